"""Pausing sandboxes: by the freezer of cgroup v2 where there is one, else by signals.

Answers go out when the work is done; by signals that can take several passes, between which the broker does other
things.
"""

import time
import typing

from ol_host import processes
from ol_host.leaves import Leaf
from ol_host.wire import Refused

# Passes that are made at once; then the processes get the time to notice.
_PASSES_AT_ONCE = 3
_PASS_SEC = 0.002
# Whoever forks faster than it can be stopped for this long, and in so many passes, is left running. Where the whole machine
# stood still only the first of them says anything.
_STOP_SEC = 1.0
_LEAST_PASSES = 100
# What is paused is soon used again, or stays for long.
_DOWNSIZE_AFTER_SEC = 0.1


class _Stopping:
    def __init__(self, request: int, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.passes = 0


class Pauser:
    """`answer` and `refuse` settle a request that could not be settled at once."""

    def __init__(
        self,
        downsize: bool,
        answer: "typing.Callable[[int], None]",
        refuse: "typing.Callable[[int, Refused], None]",
    ) -> None:
        self._downsize = downsize
        self._answer = answer
        self._refuse = refuse
        self._stops: "dict[Leaf, processes.Stop]" = {}
        self._stopping: "dict[Leaf, _Stopping]" = {}
        self._next_pass = 0.0
        # When what was paused gets its memory limit lowered; the longest waiting first.
        self._to_downsize: "dict[Leaf, float]" = {}

    def pause(self, leaf: Leaf, request: int) -> bool:
        """False if `answer` or `refuse` come later."""
        if leaf.paused:
            return True
        if leaf in self._stopping:
            raise Refused("OL_SANDBOX_PAUSE_FAILED", "it is being paused already")
        if leaf.group is not None and leaf.group.can_freeze:
            _failing("OL_SANDBOX_PAUSE_FAILED", lambda: leaf.group.freeze(True))
            self._is_paused(leaf)
            return True
        stop = self._stops[leaf] = processes.Stop(leaf)
        for _ in range(_PASSES_AT_ONCE):
            if stop.step():
                self._is_paused(leaf)
                return True
        now = time.monotonic()
        self._stopping[leaf] = _Stopping(request, now + _STOP_SEC)
        self._next_pass = now + _PASS_SEC
        return False

    def resume(self, leaf: Leaf) -> None:
        self._to_downsize.pop(leaf, None)
        if leaf.group is not None:
            # First: with the lowered limit its first allocation would be its last.
            _failing("OL_SANDBOX_RESUME_FAILED", leaf.group.restore_memory)
            if leaf.group.can_freeze:
                _failing("OL_SANDBOX_RESUME_FAILED", lambda: leaf.group.freeze(False))
        waiting = self._stopping.pop(leaf, None)
        stop = self._stops.pop(leaf, None)
        if stop is not None:
            stop.undo()
        leaf.paused = False
        if waiting is not None:
            self._refuse(waiting.request, Refused("OL_SANDBOX_PAUSE_FAILED", "it was resumed meanwhile"))

    def forget(self, leaf: Leaf) -> None:
        """It has ended."""
        self._to_downsize.pop(leaf, None)
        self._stops.pop(leaf, None)
        waiting = self._stopping.pop(leaf, None)
        if waiting is not None:
            self._answer(waiting.request)

    def moments(self) -> "list[float]":
        """When `on_time` wants to be called."""
        moments = [self._next_pass] if self._stopping else []
        if self._to_downsize:
            moments.append(next(iter(self._to_downsize.values())))
        return moments

    def on_time(self, now: float) -> None:
        if self._stopping and now >= self._next_pass:
            self._next_pass = now + _PASS_SEC
            for leaf, waiting in list(self._stopping.items()):
                self._go_on(leaf, waiting, now)
        while self._to_downsize:
            leaf, moment = next(iter(self._to_downsize.items()))
            if moment > now:
                return
            del self._to_downsize[leaf]
            _lower(leaf)

    def _go_on(self, leaf: Leaf, waiting: _Stopping, now: float) -> None:
        waiting.passes += 1
        if self._stops[leaf].step():
            del self._stopping[leaf]
            self._is_paused(leaf)
            self._answer(waiting.request)
        elif now >= waiting.deadline and waiting.passes >= _LEAST_PASSES:
            self._stops.pop(leaf).undo()
            del self._stopping[leaf]
            message = f"its processes could not be stopped within {_STOP_SEC:.0f} s; they run on"
            self._refuse(waiting.request, Refused("OL_SANDBOX_PAUSE_FAILED", message))

    def _is_paused(self, leaf: Leaf) -> None:
        leaf.paused = True
        if self._downsize and leaf.group is not None:
            self._to_downsize[leaf] = time.monotonic() + _DOWNSIZE_AFTER_SEC


def _lower(leaf: Leaf) -> None:
    """Lowers the memory limit of a paused sandbox, if it really stands still. It is a refinement: what the pool counts
    on is that a paused sandbox cannot take more."""
    try:
        if leaf.group is not None and (not leaf.group.can_freeze or leaf.group.is_frozen()):
            leaf.group.lower_memory()
    except OSError:
        # Its group was removed by somebody, and the limits with it.
        return


def _failing(code: str, act: "typing.Callable[[], object]") -> None:
    try:
        act()
    except FileNotFoundError:
        # Somebody removed the group: nothing in it is frozen or limited any more, and nobody can make it so.
        if code == "OL_SANDBOX_PAUSE_FAILED":
            raise Refused(code, "its control group is gone") from None
    except OSError as error:
        raise Refused(code, f"its control group cannot be written: {error.strerror}") from error
