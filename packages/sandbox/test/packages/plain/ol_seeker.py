"""Would be quicker with a package that is not there, as many are."""

import importlib.util

try:
    import ol_not_there
except ImportError:
    ol_not_there = None
FOUND = importlib.util.find_spec("ol_not_there_either"), importlib.util.find_spec("ol_plain")
