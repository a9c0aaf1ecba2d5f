"""Serves, but never answers."""

import time

from ol_channel import say

say({"op": "ready", "import": {"ms": 1, "sought": []}})
time.sleep(60)
