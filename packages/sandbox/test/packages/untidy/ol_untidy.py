"""Changes for its own sake what is everybody's, as scikit-learn, OpenCV and Polars do with the environment."""

import ctypes
import locale
import os
import sys
import warnings

os.environ["OL_UNTIDY"] = "1"
os.environ["LANG"] = "xx_XX"
# Behind the back of os.environ.
ctypes.CDLL(None).setenv(b"OL_BEHIND", b"1", 1)
os.chdir("/tmp")
os.umask(0)
locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")
sys.argv.append("untidy")
warnings.simplefilter("error")
