"""From its first fork on, its process hears of no child's end: SIGCHLD is blocked. A leaf unblocks what it inherits."""

import os
import signal

os.register_at_fork(before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD}))
