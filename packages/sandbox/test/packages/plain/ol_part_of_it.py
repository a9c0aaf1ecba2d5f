import sys

if "ol_whole" not in sys.modules:
    raise ImportError("ol_whole should be imported before its part")
