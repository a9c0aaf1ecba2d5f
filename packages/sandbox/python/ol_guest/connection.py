"""The guest's end of the one connection to the worker: reading frames, credit, and being cancelled.

Normally the loop in serve.py reads, here and nowhere else. While the lambda's function runs, nobody would: then
the kernel sends SIGIO for what arrives (O_ASYNC on this socket; it stays silent while a read is waiting anyway), and
the handler reads in the middle of the function. That is how a RESET ends a `while True`. A signal may be missed, though:
see second_look.py.
"""

from __future__ import annotations

import _signal
import fcntl
import os
import signal
import socket
import struct
import time
from typing import Any, Callable, Optional, Union

from ol_guest import wire
from ol_guest.frames import Frames, die_of
from ol_guest.incoming import Incoming
from ol_guest.second_look import SecondLook
from ol_guest.wire import Violation

_READ_BYTES = 64 * 1024
# One write up to here; above, joining head and body costs more than a second write.
_JOINED_BYTES = 64 * 1024
# <linux/fcntl.h>; not in Python's fcntl. SIGIO must go to the main thread: only there do Python's handlers run.
_F_SETOWN_EX, _F_OWNER_TID = 15, 0
_O_ASYNC = 0o20000


class Cancelled(BaseException):
    """Raised inside the lambda's code when its call is over its time. No Exception: it must get through."""


class Gone(Exception):
    """The worker closed the connection."""


_noticing: "Optional[Connection]" = None


def _on_fork() -> None:
    if _noticing is not None:
        _noticing.in_child()


# Once, and not by each sandbox: see output.py.
os.register_at_fork(after_in_child=_on_fork)


class Connection(Frames):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.socket = sock
        # The stream whose code runs right now, else 0. Only then may the handler act.
        self.running = 0
        # The code of the worker's RESET for the call that runs or is being answered, else 0.
        self.cancelled = 0
        # Something may have arrived that no read has seen, because the handler was not to act.
        self.stale = True
        # Whether a call may begin before its body is complete, as an app's does.
        self.streaming = False
        self._thrown = False
        self._in_handler = False
        self._second_look = SecondLook()
        # Calls whose bodies are not complete.
        self._incoming: dict[int, Incoming] = {}
        self._answering = 0
        self._credit = 0
        # The credit of a reply before any WINDOW frame.
        self.window = wire.WINDOW_BYTES
        # Set in a process that the lambda forked: it must never speak for its parent.
        self.forked = False

    def notice_forks(self) -> None:
        """From now on a process that the lambda forks is kept from speaking for this one. Of one connection at a time."""
        global _noticing
        _noticing = self

    def in_child(self) -> None:
        self.forked = True
        self.running = 0
        self.socket.close()

    # -- Opening

    def greet(self, hello: bytes) -> bytes:
        """Exchanges HELLOs. Returns what the worker sent right behind its own, for whoever is to `take` it."""
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
        return data[end:]

    def _read_hello(self, fields: dict[str, str]) -> None:
        try:
            version = int(fields.get(":v", "0"))
            self.window = int(fields.get(":window", wire.WINDOW_BYTES))
        except ValueError:
            raise Violation("HELLO has a number that is none") from None
        if version < 1 or not 0 < self.window < 2**32:
            raise Violation("HELLO has a number out of range")

    def watch(self) -> None:
        """From now on frames are noticed while the lambda's code runs."""
        _signal.signal(signal.SIGIO, self._on_sigio)
        # After a fork the only thread's id is the pid, and it is the main thread.
        fcntl.fcntl(self.socket, _F_SETOWN_EX, struct.pack("ii", _F_OWNER_TID, os.getpid()))
        flags = fcntl.fcntl(self.socket, fcntl.F_GETFL)
        fcntl.fcntl(self.socket, fcntl.F_SETFL, flags | _O_ASYNC)
        # What came before this has raised no signal.
        self.stale = True

    def unwatch(self) -> None:
        flags = fcntl.fcntl(self.socket, fcntl.F_GETFL)
        fcntl.fcntl(self.socket, fcntl.F_SETFL, flags & ~_O_ASYNC)
        _signal.signal(signal.SIGIO, _signal.SIG_DFL)

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

    def _arriving(self, incoming: Incoming) -> None:
        self._incoming[incoming.stream] = incoming
        if self.streaming:
            self.queue.append((incoming.stream, incoming.meta, incoming))
        else:
            self.taken(incoming, len(incoming.data))

    def _data(self, stream: int, body: bytes, ended: bool) -> None:
        incoming = self._incoming.get(stream)
        if incoming is None:
            return
        incoming.arrived(body, ended)
        if ended:
            del self._incoming[stream]
        if self.streaming:
            return
        if ended:
            self.queue.append((stream, incoming.meta, bytes(incoming.data)))
        else:
            self.taken(incoming, len(body))

    def taken(self, incoming: Incoming, count: int) -> None:
        """So many bytes of a body need no more room: the worker may send others."""
        credit = incoming.credit_for(count)
        if credit:
            self.send(credit)

    def _window(self, stream: int, credit: int) -> None:
        if stream == self._answering:
            self._credit += credit

    def _reset(self, stream: int, code: int) -> None:
        """Each RESET for an open stream is answered by one, which is then this side's last frame for it."""
        if stream in (self.running, self._answering):
            # One that was asked back, and has begun: the reply says so. Others are answered when the code has ended.
            if code != wire.RESET_REFUSED:
                self.cancelled = code
            return
        waiting = [call for call in self.queue if call[0] == stream]
        for call in waiting:
            self.queue.remove(call)
        arriving = self._incoming.pop(stream, None)
        if waiting or arriving is not None:
            self.send(wire.reset(stream, code))
        # Else it was answered already: the two crossed.

    # -- While the lambda's code runs

    def _poll(self) -> None:
        """Reads what has arrived without waiting; raises Cancelled if that ends the running call."""
        self.stale = True
        if self._in_handler:
            # Interrupted by itself: the one below looks again.
            return
        partly = self._partly_here()
        arrived = False
        while self.stale:
            self._in_handler = True
            self.stale = False
            try:
                arrived |= self._read_waiting()
            finally:
                self._in_handler = False
        if arrived and (partly or self._partly_here()):
            self._second_look.want()
        # A client that is gone interrupts nothing: a function runs on, an app hears of it when it reads or writes.
        if self.cancelled not in (0, wire.RESET_CANCELLED) and not self._thrown:
            self._thrown = True
            raise Cancelled

    def _partly_here(self) -> bool:
        """Whether the worker may be waiting to send on, for room or credit."""
        return self._missing > 0 or bool(self._incoming)

    def _read_waiting(self) -> bool:
        """Whether anything was there."""
        arrived = False
        while True:
            try:
                chunk = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return arrived
            if not chunk:
                raise Gone
            arrived = True
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
        """The code of this stream begins; `running` is 0 again when it has ended."""
        self.cancelled = 0
        self._thrown = False
        self.running = stream
        if self.stale:
            self._look()
        if self._partly_here():
            self._second_look.want()

    def aside(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Reads or writes in the middle of the lambda's code, which must neither be interrupted nor see it fail."""
        stream, self.running = self.running, 0
        try:
            result = action(*arguments)
        except (Gone, ConnectionError):
            os._exit(0)
        except Violation as violation:
            die_of(violation)
        finally:
            self.running = stream
        if self.stale or self.cancelled:
            self._look()
        return result

    # -- Writing

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, stream: int) -> None:
        """From now on `write` is for this stream, until `answered`."""
        self._answering = stream
        self._credit = self.window
        self.cancelled = 0

    def answered(self, stream: int) -> None:
        """Its last frame was sent; what still comes of its body is dropped."""
        self._answering = 0
        self._incoming.pop(stream, None)

    def write(self, kind: int, meta: bytes, body: Union[bytes, memoryview], ended: bool) -> bool:
        """Sends one piece of a reply, as the worker gives credit. False if the worker cancels the call instead."""
        rest = memoryview(body)
        while True:
            while rest and not self._credit and not self.cancelled:
                self.read()
            if self.cancelled:
                return False
            part = rest[: min(self._credit, wire.WINDOW_BYTES)]
            rest = rest[len(part) :]
            self._credit -= len(part)
            flags = wire.END if ended and not rest else 0
            head = wire.HEADER.pack(len(meta) + len(part), kind, flags, len(meta), self._answering) + meta
            if len(part) <= _JOINED_BYTES:
                self.send(b"".join((head, part)))
            else:
                self.send(head)
                self.send(part)
            if not rest:
                return True
            kind, meta = wire.DATA, b""

    def reply(self, stream: int, meta: bytes, body: bytes) -> None:
        """Sends a whole reply of any size. Ends early if the worker cancels the call."""
        self.answer(stream)
        if not self.write(wire.REPLY, meta, body, True):
            self.send(wire.reset(stream, self.cancelled))
        self.answered(stream)

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
