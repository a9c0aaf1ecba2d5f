"""One request to an ASGI app: its receive, its send, and how it ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Callable, Optional, Protocol, Union

from ol_guest import failure, wire
from ol_guest.asgi_scope import http_scope
from ol_guest.client_gone import ClientGone, is_for_its_sake
from ol_guest.incoming import Incoming
from ol_guest.reply_head import reply_head
from ol_guest.request import Request

_ERROR_EXCEPTION = wire.meta(":error", "exception")


class Line(Protocol):
    """What a call needs of the connection."""

    # The worker does not read as fast as is written.
    paused: bool

    def send(self, data: bytes) -> None: ...

    def finish_lines(self) -> None:
        """Writes what the call that asks has printed of an unfinished line."""


class Call:
    """Make it where its loop runs."""

    def __init__(self, line: Line, stream: int, body: Union[bytes, Incoming], window: int) -> None:
        self.stream = stream
        # The code of the worker's RESET, else 0.
        self.cancelled = 0
        # The reply's last frame was sent.
        self.complete = False
        self._line = line
        # None once the app has all of it.
        self._body: Union[bytes, Incoming, None] = body
        self._credit = window
        self._head_only = False
        self._head: Optional[bytes] = None
        # The head was sent.
        self._started = False
        # A piece was cancelled on its way: what follows would not fit.
        self._torn = False
        # One piece at a time; and something happened that somebody may wait for.
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    # -- What happens to it

    def changed(self) -> None:
        self._changed.set()

    def credited(self, credit: int) -> None:
        self._credit += credit
        self._changed.set()

    def cancel(self, code: int) -> None:
        """The worker's RESET. The app hears of it when it receives or sends."""
        self.cancelled = code
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # -- What the app does

    async def receive(self) -> dict[str, Any]:
        while not self.cancelled and not self.complete:
            body = self._body
            if isinstance(body, bytes):
                self._body = None
                return {"type": "http.request", "body": body, "more_body": False}
            if body is not None and (body.data or body.ended):
                piece = bytes(body.data)
                body.data.clear()
                credit = body.credit_for(len(piece))
                if credit:
                    self._line.send(credit)
                if body.ended:
                    self._body = None
                return {"type": "http.request", "body": piece, "more_body": not body.ended}
            await self._change()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Returns when the worker has room for more."""
        async with self._turn:
            if self.cancelled:
                raise ClientGone
            kind = message["type"]
            if kind == "http.response.start":
                if self._head is not None:
                    raise RuntimeError("http.response.start was sent a second time")
                self._head = _head(message)
            elif kind != "http.response.body":
                raise RuntimeError(f"{kind} was sent in reply to a request, where it has no place")
            elif self._head is None:
                raise RuntimeError("http.response.body was sent before http.response.start")
            elif self.complete:
                raise RuntimeError("http.response.body was sent after the last one")
            elif self._torn:
                raise RuntimeError("http.response.body was sent after one that was cancelled on its way")
            else:
                await self._piece(self._head, message)

    async def _piece(self, head: bytes, message: dict[str, Any]) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._head_only:
            body = b""
        if not self._started:
            await self._write(wire.REPLY, head, body, not more)
        elif body or not more:
            await self._write(wire.DATA, b"", body, not more)

    async def _write(self, kind: int, meta: bytes, body: bytes, ended: bool) -> None:
        rest = memoryview(body)
        self._torn = True
        while True:
            while not self.cancelled and (self._line.paused or (rest and not self._credit)):
                await self._change()
            if self.cancelled:
                raise ClientGone
            part = rest[: min(self._credit, wire.WINDOW_BYTES)]
            rest = rest[len(part) :]
            self._credit -= len(part)
            self._started = True
            if ended and not rest:
                self.complete = True
                self._line.finish_lines()
            flags = wire.END if self.complete else 0
            head = wire.HEADER.pack(len(meta) + len(part), kind, flags, len(meta), self.stream)
            self._line.send(b"".join((head, meta, part)))
            if not rest:
                break
            kind, meta = wire.DATA, b""
        self._torn = False
        if self.complete:
            # Whoever receives is told that there is nothing more to hear.
            self._changed.set()

    # -- Its course

    async def run(self, app: Callable[..., Any], request: Request, state: dict[str, Any]) -> Optional[BaseException]:
        """Runs the app; what it raised. Nothing is left to be sent then but what `finish` sends."""
        self._head_only = request.method == "HEAD"
        try:
            await app(http_scope(request, state), self.receive, self.send)
        except BaseException as error:
            return error
        return None

    async def finish(self, error: Optional[BaseException]) -> None:
        """Sends the last frame, if the app did not see to that."""
        if error is not None and (self.cancelled or self._started) and not self._is_expected(error):
            # No reply can say so any more.
            sys.stderr.write(failure.traceback_text(error))
        if self.complete:
            return
        code = wire.RESET_FAILED
        if not self._started and not self.cancelled:
            try:
                await self._write(wire.REPLY, _ERROR_EXCEPTION, _body_of(error), True)
            except (ClientGone, asyncio.CancelledError):
                # The worker's RESET came meanwhile.
                code = wire.RESET_CANCELLED
        elif error is None and not self.cancelled:
            sys.stderr.write(_INCOMPLETE)
        if not self.complete:
            self.complete = True
            self._line.send(wire.reset(self.stream, self.cancelled or code))

    def _is_expected(self, error: BaseException) -> bool:
        return is_for_its_sake(error) or bool(self.cancelled and isinstance(error, asyncio.CancelledError))


_INCOMPLETE = "the app returned before its reply was complete\n"


def _body_of(error: Optional[BaseException]) -> bytes:
    return failure.body("RuntimeError", _INCOMPLETE) if error is None else failure.exception_body(error)


def _head(message: dict[str, Any]) -> bytes:
    status = message["status"]
    if not isinstance(status, int):
        raise TypeError(f"a status is an int, not a {type(status).__name__}")
    fields = []
    for name, value in message.get("headers", ()):
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"a header field is a pair of bytes: {(name, value)!r}")
        fields.append((name, value))
    return reply_head(status, fields)
