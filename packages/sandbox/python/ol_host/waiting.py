"""Tells the worker, now and then, how many processes wait to become sandboxes and what they hold."""

import time
import typing

from ol_host import processes
from ol_host.forest import Forest
from ol_host.leaves import Leaf

_REPORT_SEC = 0.2
_MIB = 1024 * 1024


class WaitingReport:
    def __init__(self, forest: Forest, send: "typing.Callable[[dict[str, object]], None]") -> None:
        self._count = forest.count_waiting
        self._waiting = forest.waiting
        self._send = send
        self._last_count = 0
        self._due: "float | None" = None

    @property
    def moment(self) -> "float | None":
        """When `on_time` has something to say: not at once, since what was just asked for has no memory yet."""
        if self._count() == self._last_count:
            self._due = None
        elif self._due is None:
            self._due = time.monotonic() + _REPORT_SEC
        return self._due

    def on_time(self, now: float) -> None:
        if self._due is None or now < self._due:
            return
        leaves = self._waiting()
        self._last_count = len(leaves)
        self._due = None
        held = sum(_held_bytes(leaf) for leaf in leaves)
        self._send({"v": 1, "event": "prepared", "count": len(leaves), "memoryMb": round(held / _MIB, 1)})


def _held_bytes(leaf: Leaf) -> int:
    try:
        in_group = None if leaf.group is None else leaf.group.memory_bytes()
        if in_group is None:
            return processes.memory_bytes(leaf) if leaf.pid != 0 else 0
        return in_group
    except OSError:
        # It is dead already.
        return 0
