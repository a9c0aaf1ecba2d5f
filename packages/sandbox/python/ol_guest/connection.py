"""The guest's end of the one connection to the worker: reading frames, credit, and being cancelled.

Normally the loop in serve.py reads, here and nowhere else. While the lambda's function runs, nobody would: then
the kernel sends SIGIO for what arrives (O_ASYNC on this socket; it stays silent while a read is waiting anyway), and
the handler reads in the middle of the function. That is how a RESET ends a `while True`.
"""

from __future__ import annotations

import _signal
import collections
import fcntl
import os
import signal
import socket
import struct
import time
from typing import Any, NoReturn, Optional

from ol_guest import wire

_READ_BYTES = 64 * 1024
# <linux/fcntl.h>; not in Python's fcntl. SIGIO must go to the main thread: only there do Python's handlers run.
_F_SETOWN_EX, _F_OWNER_TID = 15, 0
_O_ASYNC = 0o20000


class Cancelled(BaseException):
    """Raised inside the lambda's function when the worker has cancelled its call. No Exception: it must get through."""


class Violation(Exception):
    """The worker broke the protocol, so nothing more can be understood."""


class Gone(Exception):
    """The worker closed the connection."""


class _Incoming:
    """A call whose body is still arriving."""

    __slots__ = ("meta", "body", "owed", "room")

    def __init__(self, meta: bytes, body: bytes) -> None:
        self.meta = meta
        self.body = bytearray(body)
        # Taken in and not given back as credit yet.
        self.owed = len(body)
        # What the worker may still send in DATA.
        self.room = wire.WINDOW_BYTES


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        # Calls that are complete and wait to be run: stream, meta, body.
        self.queue: collections.deque[tuple[int, bytes, bytes]] = collections.deque()
        # The stream whose function runs right now, else 0. Only then may the handler act.
        self.running = 0
        # The code of the worker's RESET for the call that runs or is being answered, else 0.
        self.cancelled = 0
        # Something may have arrived that no read has seen, because the handler was not to act.
        self.stale = True
        self._thrown = False
        self._in_handler = False
        # The begin of a frame whose rest is still to come, in the pieces in which it came, and how many bytes lack.
        self._unread: list[bytes] = []
        self._missing = 0
        self._last_stream = 0
        self._incoming: dict[int, _Incoming] = {}
        self._answering = 0
        self._credit = 0
        # The credit of a reply before any WINDOW frame.
        self.window = wire.WINDOW_BYTES
        # Set in a process that the lambda forked: it must never speak for its parent.
        self.forked = False

    def notice_forks(self) -> None:
        """From now on a process that the lambda forks is kept from speaking for this one."""
        os.register_at_fork(after_in_child=self._in_child)

    def _in_child(self) -> None:
        self.forked = True
        self.running = 0
        self.socket.close()

    # -- Opening

    def greet(self, hello: bytes) -> None:
        """Exchanges HELLOs. Whatever the worker sent right behind its own is taken in too."""
        self.socket.sendall(wire.frame(wire.HELLO, 0, 0, hello))
        data = b""
        while True:
            chunk = self.socket.recv(_READ_BYTES)
            if not chunk:
                raise Gone
            data += chunk
            if len(data) < wire.HEADER_BYTES:
                continue
            length, kind, flags, meta_length, stream = wire.HEADER.unpack_from(data)
            if kind != wire.HELLO or flags or stream or meta_length != length:
                raise Violation("the first frame is no HELLO")
            if len(data) >= wire.HEADER_BYTES + length:
                break
        end = wire.HEADER_BYTES + length
        self._read_hello(dict(wire.pairs(data[wire.HEADER_BYTES : end])))
        self.take(data[end:])

    def _read_hello(self, fields: dict[str, str]) -> None:
        try:
            version = int(fields.get(":v", "0"))
            self.window = int(fields.get(":window", wire.WINDOW_BYTES))
        except ValueError:
            raise Violation("HELLO has a number that is none") from None
        if version < 1 or not 0 < self.window < 2**32:
            raise Violation("HELLO has a number out of range")

    def watch(self) -> None:
        """From now on frames are noticed while the lambda's function runs."""
        _signal.signal(signal.SIGIO, self._on_sigio)
        # After a fork the only thread's id is the pid, and it is the main thread.
        fcntl.fcntl(self.socket, _F_SETOWN_EX, struct.pack("ii", _F_OWNER_TID, os.getpid()))
        flags = fcntl.fcntl(self.socket, fcntl.F_GETFL)
        fcntl.fcntl(self.socket, fcntl.F_SETFL, flags | _O_ASYNC)
        # What came before this has raised no signal.
        self.stale = True

    # -- Reading

    def read(self) -> None:
        """Waits for the worker to send something and takes it in."""
        self.stale = False
        chunk = self.socket.recv(_READ_BYTES)
        if not chunk:
            raise Gone
        if len(chunk) == _READ_BYTES:
            # More may lie there, whose signal came before this read.
            self.stale = True
        self.take(chunk)

    def take(self, chunk: bytes) -> None:
        """Parses what has arrived. Complete calls go to the queue; everything else is dealt with at once."""
        if self._missing:
            self._unread.append(chunk)
            self._missing -= len(chunk)
            if self._missing > 0:
                return
            chunk = b"".join(self._unread)
            self._unread.clear()
        self._missing = self._parse(chunk)

    def _parse(self, data: bytes) -> int:
        """Returns how many bytes are missing of the frame at the end, 0 if none has begun."""
        unpack_from = wire.HEADER.unpack_from
        position, size = 0, len(data)
        while size - position >= 12:
            length, kind, flags, meta_length, stream = unpack_from(data, position)
            if length > wire.FRAME_BYTES or meta_length > length:
                raise Violation("a frame's lengths are wrong")
            start = position + 12
            end = start + length
            if end > size:
                self._unread.append(data[position:])
                return end - size
            middle = start + meta_length
            if kind == 2 and flags == 1:
                self._open(stream)
                self.queue.append((stream, data[start:middle], data[middle:end]))
            else:
                self._other(kind, flags, stream, data[start:middle], data[middle:end])
            position = end
        if position == size:
            return 0
        self._unread.append(data[position:])
        return position + 12 - size

    def _open(self, stream: int) -> None:
        if stream <= self._last_stream or not stream & 1:
            raise Violation("a stream's number is not odd and rising")
        self._last_stream = stream

    def _other(self, kind: int, flags: int, stream: int, meta: bytes, body: bytes) -> None:
        if kind == wire.CALL:
            self._open(stream)
            self._incoming[stream] = _Incoming(meta, body)
            self._give_credit(stream)
        elif kind == wire.DATA:
            self._data(flags, stream, body)
        elif kind == wire.WINDOW:
            self._window_frame(stream, body)
        elif kind == wire.RESET:
            self._reset(stream, body)
        elif kind == wire.PING and len(body) <= wire.PING_BYTES:
            self.send(wire.frame(wire.PING, wire.END, stream, b"", body))
        elif kind == wire.HTTP:
            # HELLO said that only calls are taken.
            self._open(stream)
            self.send(wire.reset(stream, wire.RESET_REFUSED))
        elif kind != wire.EVENT and kind not in wire.EXTENSIONS:
            raise Violation(f"a frame of type {kind}")

    def _data(self, flags: int, stream: int, body: bytes) -> None:
        call = self._incoming.get(stream)
        if call is None:
            self._require_opened(stream)
            return
        call.body += body
        call.owed += len(body)
        call.room -= len(body)
        if call.room < 0:
            raise Violation("more DATA than there was credit for")
        if flags & wire.END:
            del self._incoming[stream]
            self.queue.append((stream, call.meta, bytes(call.body)))
        else:
            self._give_credit(stream)

    def _give_credit(self, stream: int) -> None:
        """When half a window is owed, and not for each frame: the worker pays for reading these."""
        call = self._incoming[stream]
        if call.owed >= wire.WINDOW_BYTES // 2:
            call.room += call.owed
            self.send(wire.window(stream, call.owed))
            call.owed = 0

    def _window_frame(self, stream: int, body: bytes) -> None:
        credit = _number(body)
        self._require_opened(stream)
        if credit == 0:
            raise Violation("a WINDOW of 0")
        if stream == self._answering:
            self._credit += credit

    def _reset(self, stream: int, body: bytes) -> None:
        """Each RESET for an open stream is answered by one, which is then this side's last frame for it."""
        code = _number(body)
        self._require_opened(stream)
        if stream in (self.running, self._answering):
            if code == wire.RESET_REFUSED:
                # It was asked back, and has begun: the reply says so.
                return
            # Answered by the loop, when the function has ended.
            self.cancelled = code or wire.RESET_CANCELLED
            return
        waiting = [call for call in self.queue if call[0] == stream]
        if waiting:
            self.queue.remove(waiting[0])
        elif self._incoming.pop(stream, None) is None:
            # Already answered: the two crossed.
            return
        self.send(wire.reset(stream, code))

    def _require_opened(self, stream: int) -> None:
        if stream > self._last_stream or not stream & 1:
            raise Violation("a frame for a stream that was never opened")

    # -- While the function runs

    def _poll(self) -> None:
        """Reads what has arrived without waiting; raises Cancelled if that ends the running call."""
        self.stale = True
        if self._in_handler:
            # Interrupted by itself: the one below looks again.
            return
        while self.stale:
            self._in_handler = True
            self.stale = False
            try:
                self._read_waiting()
            finally:
                self._in_handler = False
        if self.cancelled and not self._thrown:
            self._thrown = True
            raise Cancelled

    def _read_waiting(self) -> None:
        while True:
            try:
                chunk = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not chunk:
                raise Gone
            self.take(chunk)

    def _on_sigio(self, _number: int, _frame: Any) -> None:
        if self.running:
            self._look()
        else:
            self.stale = True

    def _look(self) -> None:
        """Ends the process itself when there is a reason to: an exception would land in the lambda's code."""
        try:
            self._poll()
        except (Gone, ConnectionError):
            os._exit(0)
        except Violation as violation:
            die_of(violation)

    def start(self, stream: int) -> None:
        """The function of this stream begins; `running` is 0 again when it has ended."""
        self.cancelled = 0
        self._thrown = False
        self.running = stream
        if self.stale:
            self._look()

    # -- Writing

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, stream: int, meta: bytes, body: bytes) -> None:
        """Sends a reply of any size, as the worker gives credit. Ends early if the worker cancels the call."""
        self._answering = stream
        self._credit = self.window
        self.cancelled = 0
        rest = memoryview(body)
        kind = wire.REPLY
        try:
            while True:
                while rest and not self._credit and not self.cancelled:
                    self.read()
                if self.cancelled:
                    self.send(wire.reset(stream, self.cancelled))
                    return
                part = rest[: min(self._credit, wire.WINDOW_BYTES)]
                rest = rest[len(part) :]
                self._credit -= len(part)
                head = wire.HEADER.pack(len(meta) + len(part), kind, 0 if rest else wire.END, len(meta), stream)
                # Two writes: joining would copy each byte of a large result once more.
                self.send(head + meta)
                self.send(part)
                if not rest:
                    return
                kind, meta = wire.DATA, b""
        finally:
            self._answering = 0

    def refuse_all(self, code: int, linger_seconds: float) -> None:
        """Answers with RESET every call that has arrived, in part or whole, until the worker closes the connection.

        Waiting for that is no politeness: what the worker writes to a closed socket is an error there, and may hide
        from it what was sent before.
        """
        deadline = time.monotonic() + linger_seconds
        try:
            while True:
                for stream in sorted([call[0] for call in self.queue] + list(self._incoming)):
                    self.send(wire.reset(stream, code))
                self.queue.clear()
                self._incoming.clear()
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                self.read()
        except (Gone, ConnectionError, socket.timeout):
            return


def _number(body: bytes) -> int:
    try:
        return wire.u32(body)
    except struct.error:
        raise Violation("a WINDOW or RESET without its number") from None


EXIT_PROTOCOL = 76


def die_of(violation: Optional[Exception]) -> NoReturn:
    """sysexits' EX_PROTOCOL. Says why in the sandbox's log, since the worker certainly has a bug."""
    os.write(2, f"the worker broke the frames protocol: {violation}\n".encode())
    os._exit(EXIT_PROTOCOL)
