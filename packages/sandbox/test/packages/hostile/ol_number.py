"""Names a leaf by what cannot be one."""

from ol_channel import say

say({"op": "exit", "leaf": [], "status": {}})
