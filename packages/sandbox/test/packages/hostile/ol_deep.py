"""Nests deeper than a parser can."""

from ol_channel import say

say(b"[" * 100_000)
