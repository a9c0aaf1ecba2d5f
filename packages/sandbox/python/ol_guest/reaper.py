"""A leaf is pid 1 of its namespace: what its children leave behind becomes its child, and stays a zombie that
counts against limits.procs until somebody asks for its status. Nobody in the lambda will, so it is done here,
between calls, and without taking from subprocess or multiprocessing what they wait for themselves.

A child that the lambda made by a bare os.fork() cannot be told from an orphan: it has to be waited for within the
call that made it.
"""

from __future__ import annotations

import _signal
import gc
import os
import signal
import sys
import threading
import time
from typing import Any, Iterator

_CLAIM_SECONDS = 1.0


def ended_children() -> "Iterator[tuple[int, int]]":
    """Each child that has ended, with its status as waitpid gives it: of a process in which nobody else waits for any."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


class Reaper:
    def __init__(self) -> None:
        # A child ended since the last look. The loop reads this before each call; nothing else is done until then.
        self.pending = False
        # Zombies that another thread may be about to wait for, and when they were first seen.
        self._seen: dict[int, float] = {}
        self._next_look = 0.0

    def install(self) -> None:
        # The C module, here and in connection.py: signal.signal looks the old handler up in an enum, 30 us of a start.
        _signal.signal(signal.SIGCHLD, self._notice)
        # Restarting, as if there were no handler: the lambda's and its libraries' system calls must not see EINTR.
        signal.siginterrupt(signal.SIGCHLD, False)

    def _notice(self, _number: int, _frame: Any) -> None:
        self.pending = True

    def reap(self) -> None:
        """Collects the orphans that have ended."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self.pending = False
        first = _ended_child(os.P_ALL, 0)
        if not first:
            self._seen.clear()
            return
        # Without CONFIG_PROC_CHILDREN only this one is seen.
        zombies = {pid for pid in _children() | {first} if _ended_child(os.P_PID, pid)} - _waited_for()
        if threading.active_count() > 1:
            zombies = self._unclaimed(zombies, now)
        for pid in zombies:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                # A thread of the lambda was quicker.
                continue

    def _unclaimed(self, zombies: set[int], now: float) -> set[int]:
        """Those that were there long enough for a thread inside os.system() to have taken them, were it theirs."""
        self._seen = {pid: self._seen.get(pid, now) for pid in zombies}
        old = {pid for pid, since in self._seen.items() if now - since >= _CLAIM_SECONDS}
        if len(old) < len(zombies):
            self.pending = True
            # Not at each call until then: a look is slow.
            self._next_look = now + _CLAIM_SECONDS
        return old


def _ended_child(which: int, pid: int) -> int:
    """A child whose status nobody has asked for yet, without asking for it; 0 if there is none."""
    try:
        found = os.waitid(which, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def _children() -> set[int]:
    """Children of every thread: the kernel lists each under the thread that forked it."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children", "rb") as file:
                found.update(map(int, file.read().split()))
        except (FileNotFoundError, ProcessLookupError):
            # That thread has ended meanwhile.
            continue
    return found


def _waited_for() -> set[int]:
    """The pids that objects of the standard library will ask for. Slow with many objects, but rarely needed."""
    owned: set[int] = set()
    subprocess = sys.modules.get("subprocess")
    if subprocess is not None:
        for thing in gc.get_objects():
            # type() and not isinstance: asking a stranger's proxy object for its class runs code.
            if issubclass(type(thing), subprocess.Popen) and getattr(thing, "returncode", 0) is None:
                owned.add(getattr(thing, "pid", 0) or 0)
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        for child in list(process._children) + list(process._dangling):
            owned.add(getattr(getattr(child, "_popen", None), "pid", 0) or 0)
    for module, holder, attribute in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        if module in sys.modules:
            owned.add(getattr(getattr(sys.modules[module], holder, None), attribute, 0) or 0)
    return owned
