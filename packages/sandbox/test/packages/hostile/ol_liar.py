"""Serves, but says of the broker that it is a leaf of its."""

import json
import time

from ol_channel import channel, pidfd_of_broker, say

say({"op": "ready", "import": {"ms": 1, "sought": []}})
while True:
    data = channel().recv(1 << 18)
    if not data:
        break
    say({"op": "forked", "leaf": json.loads(data)["leaf"]}, [pidfd_of_broker()])
time.sleep(60)
