"""The reply of a WSGI app: what it was told by start_response, and which of its body is on its way."""

from __future__ import annotations

from typing import Any, Callable, Optional

from ol_guest import failure, wire
from ol_guest.client_gone import ClientGone
from ol_guest.connection import Connection
from ol_guest.reply_head import reply_head

_ERROR_EXCEPTION = wire.meta(":error", "exception")


class Reply:
    def __init__(self, link: Connection, head_only: bool) -> None:
        self._link = link
        # A reply to HEAD has none of its body.
        self._head_only = head_only
        # None until start_response.
        self._head: Optional[bytes] = None
        # Its head is on its way.
        self.started = False
        # How many bytes the app has promised and not given yet, if it has promised any.
        self._promised: Optional[int] = None
        # How many pieces follow, where the app's iterable says so.
        self._pieces = -1
        # What may be the last piece: it is sent in one frame with the end.
        self._held = b""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info:
            try:
                if self.started or self._held:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                # No cycle through the traceback's frames.
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called again, and without exc_info")
        code, fields = _checked_status(status), _checked_fields(headers)
        self._head = reply_head(code, fields)
        lengths = [value for name, value in fields if name.lower() == b"content-length"]
        self._promised = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None
        return self.write

    def expect(self, iterable: Any) -> None:
        """Looks whether the app's iterable knows how many pieces it has."""
        if isinstance(iterable, (list, tuple)):
            self._pieces = len(iterable)

    def add(self, piece: bytes) -> None:
        """Takes the next piece. It is sent at once, unless it is certainly the last."""
        self._pieces -= 1
        self._take(piece)
        if piece and not (self._pieces == 0 or self._promised == 0):
            self._send_held()

    def write(self, data: bytes) -> None:
        """What start_response returns: sends at once."""
        self._take(data)
        if data and not self._send_held():
            raise ClientGone

    def _take(self, piece: bytes) -> None:
        if not isinstance(piece, bytes):
            raise TypeError(f"a piece of the app's reply is of type {type(piece).__name__}; WSGI wants bytes")
        if not piece:
            return
        self.require_head()
        if self._promised is not None:
            self._promised -= len(piece)
            if self._promised < 0:
                raise ValueError("the app's reply is longer than its Content-Length")
        if self._held:
            # The one before was not the last after all.
            self._send_held()
        self._held = piece

    def require_head(self) -> None:
        if self._head is None:
            raise AssertionError("the app did not call start_response before its body")

    def _send_held(self) -> bool:
        """False if nobody wants it any more."""
        body, self._held = self._held, b""
        return self._link.aside(self._send, body, False)

    def _send(self, body: bytes, ended: bool) -> bool:
        if self._head_only:
            body = b""
            if self.started and not ended:
                return not self._link.cancelled
        kind, meta = (wire.DATA, b"") if self.started else (wire.REPLY, self._head or b"")
        self.started = True
        return self._link.write(kind, meta, body, ended)

    def finish(self) -> None:
        """The app has ended well, and its iterable is closed."""
        self._send(self._held, True)

    def fail(self, error: BaseException) -> None:
        """The app raised, and its reply has not started."""
        self._link.write(wire.REPLY, _ERROR_EXCEPTION, failure.exception_body(error), True)


def _checked_status(status: Any) -> int:
    if not isinstance(status, str):
        raise TypeError(f"a status is a str such as '200 OK', not a {type(status).__name__}")
    code, _space, _reason = status.partition(" ")
    if len(code) != 3 or not code.isdecimal():
        raise ValueError(f"a status begins with a number of three digits: {status!r}")
    return int(code)


def _checked_fields(headers: Any) -> list[tuple[bytes, bytes]]:
    fields = []
    for name, value in headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a header field is a tuple of two str: {(name, value)!r}")
        try:
            fields.append((name.encode("latin-1"), value.encode("latin-1")))
        except UnicodeEncodeError:
            raise ValueError(f"a header field has characters that latin-1 does not: {(name, value)!r}") from None
    return fields
