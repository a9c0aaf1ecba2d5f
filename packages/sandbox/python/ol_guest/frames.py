"""Cuts what the worker sends into frames, and holds it to the rules that are the same for every kind of code."""

from __future__ import annotations

import collections
import os
import struct
from typing import NoReturn, Optional, Union

from ol_guest import wire
from ol_guest.incoming import Incoming

# A stream, its meta, and its body: whole, or still arriving.
Opened = tuple[int, bytes, Union[bytes, Incoming]]


class Frames:
    """What a connection's one reader does; its subclasses say what becomes of a frame."""

    def __init__(self) -> None:
        # Calls that can be run and wait for it. A function's are complete; an app's may have a body that is arriving.
        self.queue: collections.deque[Opened] = collections.deque()
        # The begin of a frame whose rest is still to come, in the pieces in which it came, and how many bytes lack.
        self._unread: list[bytes] = []
        self._missing = 0
        self._last_stream = 0

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def take(self, chunk: bytes) -> None:
        """Parses what has arrived. Calls go to the queue; everything else is dealt with at once."""
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
                raise wire.Violation("a frame's lengths are wrong")
            start = position + 12
            end = start + length
            if end > size:
                self._unread.append(data[position:])
                return end - size
            middle = start + meta_length
            if flags == 1 and (kind == 2 or kind == 3):
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
            raise wire.Violation("a stream's number is not odd and rising")
        self._last_stream = stream

    def _other(self, kind: int, flags: int, stream: int, meta: bytes, body: bytes) -> None:
        if kind in (wire.CALL, wire.HTTP):
            self._open(stream)
            self._arriving(Incoming(stream, meta, body))
        elif kind in (wire.DATA, wire.WINDOW, wire.RESET):
            if stream > self._last_stream or not stream & 1:
                raise wire.Violation("a frame for a stream that was never opened")
            if kind == wire.DATA:
                self._data(stream, body, bool(flags & wire.END))
            elif kind == wire.WINDOW:
                self._window(stream, _positive(body))
            else:
                self._reset(stream, _number(body) or wire.RESET_CANCELLED)
        elif kind == wire.PING and len(body) <= wire.PING_BYTES:
            self.send(wire.frame(wire.PING, wire.END, stream, b"", body))
        elif kind == wire.EVENT:
            self._event(dict(wire.pairs(meta)).get(":event", ""))
        elif kind not in wire.EXTENSIONS:
            raise wire.Violation(f"a frame of type {kind}")

    # -- What becomes of a frame. The stream was opened; whether it is finished already, a subclass knows.

    def _arriving(self, incoming: Incoming) -> None:
        """A call whose body is not complete yet."""
        raise NotImplementedError

    def _data(self, stream: int, body: bytes, ended: bool) -> None:
        raise NotImplementedError

    def _window(self, stream: int, credit: int) -> None:
        raise NotImplementedError

    def _reset(self, stream: int, code: int) -> None:
        raise NotImplementedError

    def _event(self, name: str) -> None:
        """Most are for somebody else: unknown ones are skipped."""


def _number(body: bytes) -> int:
    try:
        return wire.u32(body)
    except struct.error:
        raise wire.Violation("a WINDOW or RESET without its number") from None


def _positive(body: bytes) -> int:
    credit = _number(body)
    if credit == 0:
        raise wire.Violation("a WINDOW of 0")
    return credit


EXIT_PROTOCOL = 76


def die_of(violation: Optional[Exception]) -> NoReturn:
    """sysexits' EX_PROTOCOL. Says why in the sandbox's log, since the worker certainly has a bug."""
    os.write(2, f"the worker broke the frames protocol: {violation}\n".encode())
    os._exit(EXIT_PROTOCOL)
