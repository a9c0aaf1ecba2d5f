"""Says what is no message."""

from ol_channel import say

say(b"junk")
