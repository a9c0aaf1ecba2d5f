"""Measures scratch directories: what a sandbox has in all its files together, and how many there are.

No file system tells of that (project quotas need a mount option that hardly any machine has), so it is looked at once
a second. A directory belongs to its sandbox and may hold a million files: a niced child of the broker does the
looking, stops where the limit is passed, and comes back to a directory the later, the longer it took.
"""

import contextlib
import os
import resource
import selectors
import signal
import stat
import time
import typing

import ol_kernel as kernel

from ol_host import processes
from ol_host.leaves import Leaf

_MIB = 1024 * 1024
_BLOCK_BYTES = 512
_LOOK_SEC = 1.0
# Looking takes at most one part in so many of a CPU, for each sandbox and for all of them.
_SHARE_OF_ONE = 50
_SHARE_OF_ALL = 10
# A child that takes this much CPU time is ended; what it has measured counts.
_MOST_CPU_SEC = 20
# Open directories on the way down; deeper ones are gone through later, from there.
_DEPTH = 64
_MOST_DEEP = 256
# Below others, but not so far that a machine which is busy throughout never lets it look: with 19 it did not in 10 s.
_NICE = 5


def most_files(scratch_mb: int) -> int:
    """Files and directories that a sandbox may have: 4 KiB is the least that most file systems give to one."""
    return max(32_768, scratch_mb * 256)


class Use(typing.NamedTuple):
    size: int
    files: int


def measure(directory_fd: int, most: Use, ignored: "typing.Container[tuple[int, int]]") -> Use:
    """What lies in a directory; stops when it is more than `most`. Nothing is followed."""
    size = files = 0
    linked: "set[int]" = set()
    deep = [os.dup(directory_fd)]
    while deep:
        for found in _below(deep.pop(), deep):
            if (found.st_dev, found.st_ino) in ignored or (found.st_nlink > 1 and found.st_ino in linked):
                continue
            if found.st_nlink > 1:
                linked.add(found.st_ino)
            # Directories count by their number: what they take on disk is the file system's business.
            size += 0 if stat.S_ISDIR(found.st_mode) else found.st_blocks * _BLOCK_BYTES
            files += 1
            if size > most.size or files > most.files or len(deep) > _MOST_DEEP:
                for descriptor in deep:
                    os.close(descriptor)
                # So deep that it cannot be gone through is as bad as too many.
                return Use(size, files if len(deep) <= _MOST_DEEP else most.files + 1)
    return Use(size, files)


def _below(top: int, deep: "list[int]") -> "typing.Iterator[os.stat_result]":
    """Everything below `top`, which it closes; directories too far down are opened and put into `deep`."""
    with contextlib.ExitStack() as levels:
        levels.callback(os.close, top)
        stack = [(top, os.scandir(top))]
        while stack:
            directory, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                if stack:
                    os.close(directory)
                continue
            try:
                yield entry.stat(follow_symlinks=False)
                if not entry.is_dir(follow_symlinks=False):
                    continue
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                below = os.open(entry.name, flags, dir_fd=directory)
            except OSError:
                # Removed, or exchanged for something else, a moment ago.
                continue
            if len(stack) < _DEPTH:
                stack.append((below, os.scandir(below)))
            else:
                deep.append(below)


class ScratchMeter:
    """Looks after sandboxes whose scratch directory is on disk; `kill` is called for those over their limit."""

    def __init__(self, selector: selectors.BaseSelector, kill: "typing.Callable[[Leaf], None]") -> None:
        self._selector = selector
        self._kill = kill
        self._next_look = 0.0
        # The child at work: its id, the pipe it tells by, what it has told, and the sandboxes it was sent to.
        self._child: "tuple[int, int, bytearray, dict[int, Leaf]] | None" = None

    def close(self) -> None:
        """Ends the child at work: it has our locks, and would outlive us for a moment."""
        if self._child is not None:
            pid, _reading, _told, _leaves = self._child
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._child = None

    def moment(self) -> "float | None":
        """When `look` wants to be called, as long as there is a sandbox; None while the child is at work."""
        return None if self._child is not None else self._next_look

    def look(self, leaves: "typing.Iterable[Leaf]", now: float) -> None:
        if self._child is not None or now < self._next_look:
            return
        self._next_look = now + _LOOK_SEC
        # A paused sandbox writes nothing.
        due = {leaf.number: leaf for leaf in leaves if leaf.measure_at <= now and not leaf.paused and leaf.pid > 0}
        if due:
            try:
                self._start(due)
            except OSError:
                # No process or descriptor is left: at the next look there may be.
                return

    def _start(self, leaves: "dict[int, Leaf]") -> None:
        reading, writing = os.pipe()
        try:
            broker = os.getpid()
            pid = os.fork()
            if pid == 0:
                _work(broker, writing, leaves.values())
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._child = (pid, reading, bytearray(), leaves)
        self._selector.register(reading, selectors.EVENT_READ, self._on_news)

    def _on_news(self) -> None:
        assert self._child is not None
        pid, reading, told, leaves = self._child
        data = os.read(reading, 65_536)
        told += data
        if data:
            return
        self._selector.unregister(reading)
        os.close(reading)
        os.waitpid(pid, 0)
        self._child = None
        now = time.monotonic()
        spent = 0.0
        for line in told.decode("ascii").splitlines():
            number, size, files, memory, microseconds = map(int, line.split())
            leaf = leaves[number]
            took = microseconds / 1e6
            spent += took
            leaf.measure_at = now + max(_LOOK_SEC, took * _SHARE_OF_ONE)
            leaf.nameless_memory_bytes = memory
            if size > leaf.scratch_mb * _MIB or files > most_files(leaf.scratch_mb):
                self._kill(leaf)
        self._next_look = max(self._next_look, now + spent * _SHARE_OF_ALL)


def _work(broker: int, writing: int, leaves: "typing.Iterable[Leaf]") -> typing.NoReturn:
    """The child: one line for each sandbox. It touches nothing of the broker's but open directories."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != broker:
            # It died before its death could be a signal to us; and we have its locks.
            os._exit(0)
        os.nice(_NICE)
        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_SEC, _MOST_CPU_SEC))
        for leaf in leaves:
            began = time.thread_time()
            scratch = leaf.scratch
            if scratch is None:
                continue
            outputs = [os.fstat(descriptor) for descriptor in (*scratch.output_fds, *scratch.further_output_fds)]
            devices = {found.st_dev for found in [os.fstat(scratch.directory_fd), *outputs]}
            unseen = processes.nameless(leaf, devices)
            use = Use(0, 0)
            if not leaf.scratch_in_memory:
                most = Use(leaf.scratch_mb * _MIB - unseen.scratch_bytes, most_files(leaf.scratch_mb))
                # The output has a limit of its own.
                use = measure(scratch.directory_fd, most, {(found.st_dev, found.st_ino) for found in outputs})
            took = round((time.thread_time() - began) * 1e6)
            size = use.size + unseen.scratch_bytes
            os.write(writing, f"{leaf.number} {size} {use.files} {unseen.memory_bytes} {took}\n".encode())
    finally:
        # Whatever happens, a forked broker must never run on as a second one.
        os._exit(0)
