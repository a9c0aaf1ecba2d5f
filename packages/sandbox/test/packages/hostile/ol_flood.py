"""Prints without end, nearly."""

import os

for _ in range(600):
    os.write(2, b"a line of a flood\n" * 64)
DONE = True
