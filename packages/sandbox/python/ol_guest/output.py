"""sys.stdout and sys.stderr of a sandbox: every line that a call prints begins with the call's id.

Lines are written whole, in one write, to files opened for appending, so lines of threads, subprocesses and forked
children never mix. A subprocess writes to the descriptor itself: its lines are in the right place, but untagged.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
from typing import Any, Callable, Optional

from ol_guest import wire

# An unfinished line longer than this is written as if it had ended: it must not collect without bound.
_HELD_BYTES = 64 * 1024
# The log is at its limit or the disk full: the lambda's call must not fail for that, so the line is lost.
_FULL = frozenset((errno.EFBIG, errno.ENOSPC, errno.EDQUOT))


class Invocation:
    """Which call is running: the loop sets `meta` for each one, and only a printed line ever looks at it."""

    def __init__(self) -> None:
        self.meta: Optional[bytes] = None
        # An unfinished line is held by one of the streams.
        self.holding = False
        self._tagged: Optional[bytes] = None
        self._tag = b""

    def tag(self) -> bytes:
        meta = self.meta
        if meta is None:
            return b""
        if self._tagged is not meta:
            self._tag = (dict(wire.pairs(meta)).get(":id", "-") + " ").encode("latin-1")
            self._tagged = meta
        return self._tag


class _Lines:
    """Cuts what is written to one descriptor into tagged lines."""

    def __init__(self, descriptor: int, invocation: Invocation) -> None:
        self.descriptor = descriptor
        # What a line begins with if it is written now.
        self.tag: Callable[[], bytes] = invocation.tag
        self._invocation = invocation
        # Unfinished lines, one for each tag.
        self._held: dict[bytes, bytes] = {}
        # Reentrant: a signal handler or a finalizer may print while its own thread prints.
        self._lock = threading.RLock()
        self._pid_of_parent: Optional[int] = None

    def write(self, data: bytes) -> None:
        with self._lock:
            tag = self.tag()
            line = self._held.pop(tag, b"") + data
            cut = line.rfind(b"\n") + 1 if b"\n" in data else 0
            if cut:
                self._append(tag, line[:cut])
                line = line[cut:]
            if len(line) > _HELD_BYTES:
                self._append(tag, line + b"\n")
            elif line:
                self._held[tag] = line
                self._invocation.holding = True

    def finish(self) -> None:
        """Writes unfinished lines, with the newline they lack."""
        with self._lock:
            for tag in list(self._held):
                self.finish_one(tag)

    def finish_one(self, tag: bytes) -> None:
        with self._lock:
            line = self._held.pop(tag, b"")
            if line:
                self._append(tag, line + b"\n")

    def flush(self) -> None:
        """In a forked child what is held must go now, since nobody ends its call; else it waits for its newline."""
        if self._pid_of_parent is not None:
            self.finish()

    def forked(self, parent: int) -> None:
        """In a child: another thread may have had the lock, and what is held belongs to the parent."""
        self._lock = threading.RLock()
        self._held = {}
        self._pid_of_parent = parent

    def _append(self, tag: bytes, lines: bytes) -> None:
        if tag:
            lines = b"".join([tag + line + b"\n" for line in lines[:-1].split(b"\n")])
        try:
            while lines:
                lines = lines[os.write(self.descriptor, lines) :]
        except OSError as error:
            if error.errno not in _FULL:
                raise


class _Binary(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, lines: _Lines, name: str) -> None:
        self._lines = lines
        self.name = name
        self.mode = "wb"

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._lines.write(data)
        return len(data)

    def flush(self) -> None:
        self._lines.flush()

    def close(self) -> None:
        """Only flushes: the descriptor is the sandbox's for as long as it lives."""
        self._lines.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._lines.descriptor

    def isatty(self) -> bool:
        return False


class _Text(io.TextIOBase):
    """`sys.stdout`: UTF-8, and what UTF-8 cannot hold is escaped rather than an error."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = True
    mode = "w"

    def __init__(self, lines: _Lines, name: str) -> None:
        self._lines = lines
        self.name = name
        self.buffer = _Binary(lines, name)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._lines.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        self._lines.flush()

    def close(self) -> None:
        """Only flushes: the descriptor is the sandbox's for as long as it lives."""
        self._lines.flush()

    def reconfigure(self, **_options: Any) -> None:
        """Accepted, since programs call it to get UTF-8, which this is already."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._lines.descriptor

    def isatty(self) -> bool:
        return False


# Who has put its streams in place, and in which process.
_installed: "Optional[tuple[int, tuple[_Lines, ...]]]" = None


def _on_fork() -> None:
    if _installed is not None:
        parent, streams = _installed
        for stream in streams:
            stream.forked(parent)


# Once, and not by each sandbox: what a process does for the first time makes it write to memory that it shares.
os.register_at_fork(after_in_child=_on_fork)


class Output:
    """Both streams. `install` puts them in place; afterwards `finish_lines` is called at the end of each call."""

    def __init__(self) -> None:
        self.invocation = Invocation()
        self._streams = (_Lines(1, self.invocation), _Lines(2, self.invocation))
        self._replaced: "tuple[Any, ...]" = ()
        self._texts = tuple(_Text(lines, name) for lines, name in zip(self._streams, ("<stdout>", "<stderr>")))

    def install(self) -> None:
        stdout, stderr = self._texts
        # Kept: nobody has to see to their end then, which is more work than all of this.
        self._replaced += (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        sys.stdout = sys.__stdout__ = stdout
        sys.stderr = sys.__stderr__ = stderr
        global _installed
        _installed = (os.getpid(), self._streams)

    @staticmethod
    def uninstall() -> None:
        """For a rehearsal; the caller puts other streams in place."""
        global _installed
        _installed = None

    def complain(self, text: str) -> None:
        """Writes to the log of errors, whatever the lambda has put in the place of sys.stderr."""
        # Without a descriptor there is no log; who is told by the socket still has to be.
        with contextlib.suppress(OSError):
            self._streams[1].write(text.encode("utf-8", "backslashreplace"))

    def tag_by(self, tag: Callable[[], bytes]) -> None:
        """For code that runs several calls at once: asks this, and no longer `invocation`, whose line it is."""
        for stream in self._streams:
            stream.tag = tag

    def finish_lines_of(self, tag: bytes) -> None:
        for stream in self._streams:
            stream.finish_one(tag)

    def finish_lines(self) -> None:
        self.invocation.holding = False
        for stream in self._streams:
            stream.finish()
