"""Sends more descriptors than anybody needs."""

import os

from ol_channel import say

null = os.open("/dev/null", os.O_RDONLY)
for _ in range(40):
    say({"op": "exit", "zygote": 10**9, "status": 0}, [null] * 16)
os.close(null)
DONE = True
