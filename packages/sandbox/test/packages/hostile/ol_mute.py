"""Serves, but never answers."""

import time

from ol_channel import say

say({"op": "ready"})
time.sleep(60)
