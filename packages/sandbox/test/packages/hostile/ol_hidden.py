"""Wants nobody to look at it."""

import ctypes

_PR_SET_DUMPABLE = 4
DONE = ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
