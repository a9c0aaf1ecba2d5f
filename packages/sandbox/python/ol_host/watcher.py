"""Watches the memory of sandboxes where no control group does.

The kernel has no event for "this set of processes holds more than so much" outside of control groups, so this looks
again and again: at all running sandboxes in turn, and then waits a hundred times as long as that took. A sandbox can
be over its limit between two looks; what one process can allocate is bounded by its rlimit all the time.
"""

import time
import typing

from ol_host import processes
from ol_host.leaves import Leaf

_MIB = 1024 * 1024
# What the runtime itself takes at most, which the rlimit does not count either: a lambda whose allocation failed at its
# limit, and that goes on after the MemoryError, shall not be killed for it.
_RUNTIME_BYTES = 16 * _MIB
# Looking takes at most one part in so many of one CPU.
_SHARE = 100
_SHORTEST_SEC = 0.05
_LONGEST_SEC = 5.0


class MemoryWatcher:
    def __init__(self) -> None:
        self._next_look = 0.0

    def moment(self) -> float:
        """When `look` wants to be called, as long as there is a sandbox."""
        return self._next_look

    def look(self, leaves: "typing.Iterable[Leaf]", now: float) -> None:
        """Kills what holds more than its limit."""
        if now < self._next_look:
            return
        began = time.thread_time()
        for leaf in leaves:
            # What is paused cannot take more than it had.
            if leaf.pid == 0 or leaf.paused or leaf.dead:
                continue
            limit = leaf.memory_mb * _MIB + _RUNTIME_BYTES
            # The cheap question first: hardly any sandbox is near its limit.
            if processes.memory_at_most(leaf) > limit and processes.memory_bytes(leaf) > limit:
                leaf.out_of_memory = True
                leaf.kill()
        spent = time.thread_time() - began
        self._next_look = time.monotonic() + min(_LONGEST_SEC, max(_SHORTEST_SEC, spent * _SHARE))
