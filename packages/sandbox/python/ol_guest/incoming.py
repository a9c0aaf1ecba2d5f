"""The body of a call while it arrives: what is there of it, and how much more the worker may send."""

from __future__ import annotations

from ol_guest import wire


class Incoming:
    __slots__ = ("stream", "meta", "data", "ended", "_owed", "_room")

    def __init__(self, stream: int, meta: bytes, body: bytes) -> None:
        self.stream = stream
        self.meta = meta
        # What has arrived and nobody has taken yet.
        self.data = bytearray(body)
        # Nothing more follows.
        self.ended = False
        # Taken and not given back as credit yet.
        self._owed = 0
        # What the worker may still send in DATA.
        self._room = wire.WINDOW_BYTES

    def arrived(self, body: bytes, ended: bool) -> None:
        self._room -= len(body)
        if self._room < 0:
            raise wire.Violation("more DATA than there was credit for")
        self.data += body
        self.ended = ended

    def credit_for(self, taken: int) -> bytes:
        """The WINDOW frame that is due after this many bytes more were taken, or nothing.

        When half a window is owed, and not for each frame: the worker pays for reading these.
        """
        self._owed += taken
        if self.ended or self._owed < wire.WINDOW_BYTES // 2:
            return b""
        credit, self._owed = self._owed, 0
        self._room += credit
        return wire.window(self.stream, credit)
