"""Speaks of others' leaves and zygotes."""

from ol_channel import say

for number in range(3):
    say({"op": "exit", "zygote": number, "status": 0})
    say({"op": "forked", "leaf": number})
