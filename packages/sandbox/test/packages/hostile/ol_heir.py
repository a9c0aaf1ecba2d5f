"""Gives the channel to a child and ends."""

import os
import time

if os.fork() == 0:
    time.sleep(60)
os._exit(4)
