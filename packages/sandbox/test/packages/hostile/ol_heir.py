"""Gives the channel to a child, which calls itself that, and ends."""

import os
import time

if os.fork() == 0:
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("ol_heir")
    time.sleep(60)
os._exit(4)
