import sys

sys.exit("it does not want to be imported")
