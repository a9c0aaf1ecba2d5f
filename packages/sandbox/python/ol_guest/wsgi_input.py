"""`wsgi.input` of a request whose body is still arriving. One that came whole is an io.BytesIO."""

from __future__ import annotations

import io
from typing import Any, Optional

from ol_guest.client_gone import ClientGone
from ol_guest.connection import Connection
from ol_guest.incoming import Incoming


class Input(io.BufferedIOBase):
    """Reads wait for the client, and what was read makes room for more."""

    def __init__(self, link: Connection, incoming: Incoming) -> None:
        self._link = link
        self._incoming = incoming

    def readable(self) -> bool:
        return True

    def read(self, size: Optional[int] = -1) -> bytes:
        """As many bytes as asked for, or all there are; fewer only at the body's end."""
        left = -1 if size is None or size < 0 else size
        pieces: list[bytes] = []
        while left:
            piece = self._take(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """What is there, but at least one byte unless the body is at its end."""
        return self._take(size) if size else b""

    def readinto(self, buffer: Any) -> int:
        return self._into(buffer, self.read)

    def readinto1(self, buffer: Any) -> int:
        return self._into(buffer, self.read1)

    def _into(self, buffer: Any, read: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: Optional[int] = -1) -> bytes:
        left = -1 if size is None or size < 0 else size
        pieces: list[bytes] = []
        while left:
            piece = self._take(left, True)
            pieces.append(piece)
            if not piece or piece.endswith(b"\n"):
                break
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    def readlines(self, hint: Optional[int] = -1) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _take(self, limit: int, line: bool = False) -> bytes:
        """At least one byte and at most `limit` (if it is not negative), and not beyond a line if so asked."""
        piece = self._link.aside(self._wait_and_take, limit, line)
        if piece is None:
            raise ClientGone
        return piece

    def _wait_and_take(self, limit: int, line: bool) -> Optional[bytes]:
        data = self._incoming.data
        while not data and not self._incoming.ended:
            if self._link.cancelled:
                return None
            self._link.read()
        end = len(data) if limit < 0 else min(limit, len(data))
        if line:
            end = data.find(b"\n", 0, end) + 1 or end
        piece = bytes(data[:end])
        del data[:end]
        self._link.taken(self._incoming, end)
        return piece
