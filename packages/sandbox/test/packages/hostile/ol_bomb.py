"""Forks children that stay, as many as it may."""

import os
import time

for _ in range(100):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
