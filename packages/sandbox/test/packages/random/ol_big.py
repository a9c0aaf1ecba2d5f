"""Holds 32 MB."""

HELD = bytes(range(256)) * (1 << 17)
