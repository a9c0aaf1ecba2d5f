"""Says of something that is no process that it is a leaf of its."""

import json
import os
import time

from ol_channel import channel, say

say({"op": "ready", "import": {"ms": 1, "sought": []}})
data = channel().recv(1 << 18)
say({"op": "forked", "leaf": json.loads(data)["leaf"]}, [os.open("/etc/passwd", os.O_RDONLY)])
time.sleep(60)
