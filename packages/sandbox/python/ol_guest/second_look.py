"""Has the kernel say SIGIO once more, a little after something arrived while the lambda's code runs.

Between Python's last look at its signals and a system call that waits lies a moment in which a signal interrupts
nothing: time.sleep(60) then sleeps for 60 s, and Python hears of the signal afterwards. By chance that is rare. But a
worker that sends a large body goes on at the very moment when the handler has made room for more, which is when the
handler returns to the system call: of 5,000 bodies of 600 KB sent to a function that slept, 10 stuck for as long as
it slept, and with them the worker's order to end the function.

So this is wanted only while a frame or body is here in part, and not by calls that come one by one.
"""

from __future__ import annotations

import os
import signal
from typing import Optional

import ol_kernel as kernel

# Far longer than a handler takes to return, and nothing to who waits for a function that sleeps.
_DELAY_SECONDS = 0.005


class SecondLook:
    """For the main thread, where Python's handlers run. Has no timer until it is first wanted."""

    def __init__(self) -> None:
        self._timer: Optional[int] = None

    def want(self) -> None:
        """Once more in 5 ms; what was wanted before is put off until then."""
        try:
            if self._timer is None:
                # The main thread's id is the pid.
                self._timer = kernel.signal_timer(signal.SIGIO, os.getpid())
            kernel.start_timer(self._timer, _DELAY_SECONDS)
        except OSError:
            # The lambda has used up its user's timers and queued signals. It is interrupted by the first signal as
            # ever; one that came in that moment waits for the code's next step.
            self._timer = None
