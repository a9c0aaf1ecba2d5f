"""Runs a WSGI app (PEP 3333) for each request that the worker sends: one at a time, without asyncio."""

from __future__ import annotations

import io
import sys
from typing import Any, Callable, Iterator, NoReturn, Optional, Union

from ol_guest import failure, wire
from ol_guest.client_gone import is_for_its_sake
from ol_guest.connection import Cancelled, Connection
from ol_guest.ending import exit_code, leave
from ol_guest.incoming import Incoming
from ol_guest.output import Output
from ol_guest.reaper import Reaper
from ol_guest.request import Request
from ol_guest.wsgi_input import Input
from ol_guest.wsgi_reply import Reply


class FileWrapper:
    """`wsgi.file_wrapper`: a file in blocks."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self._file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._block_size), b"")


def run(link: Connection, output: Output, reaper: Reaper, app: Callable[..., Any]) -> NoReturn:
    queue = link.queue
    while True:
        while not queue:
            link.read()
        stream, meta, body = queue.popleft()
        if reaper.pending:
            reaper.reap()
        output.invocation.meta = meta
        _answer(link, output, app, stream, meta, body)
        output.invocation.meta = meta = body = None


def _answer(
    link: Connection, output: Output, app: Callable[..., Any], stream: int, meta: bytes, body: Union[bytes, Incoming]
) -> None:
    """Runs the app for one request and sends whatever frame is its last."""
    request = Request(meta)
    environ = _environ(request, body, link)
    reply = Reply(link, request.method == "HEAD")
    error: Optional[BaseException] = None
    link.answer(stream)
    try:
        # Cancelled can come until `running` is 0 again.
        try:
            link.start(stream)
            _respond(link, app, environ, reply)
        finally:
            link.running = 0
    except BaseException as raised:
        link.running = 0
        error = raised
        if isinstance(error, SystemExit):
            leave(output, exit_code(error))
    if link.forked:
        # The app forked, and this is the child, which came back from it.
        if error is not None:
            sys.stderr.write(failure.traceback_text(error))
        leave(output, 0 if error is None else 1)
    if error is not None and (link.cancelled or reply.started):
        # No reply can say so any more.
        if not isinstance(error, Cancelled) and not is_for_its_sake(error):
            sys.stderr.write(failure.traceback_text(error))
    if output.invocation.holding:
        output.finish_lines()
    if not link.cancelled:
        if error is None:
            reply.finish()
        elif reply.started:
            link.send(wire.reset(stream, wire.RESET_FAILED))
        else:
            reply.fail(error)
    # Also since a moment ago, while the reply's last piece waited for credit.
    if link.cancelled:
        link.send(wire.reset(stream, link.cancelled))
    link.answered(stream)


def _respond(link: Connection, app: Callable[..., Any], environ: dict[str, Any], reply: Reply) -> None:
    """Calls the app and passes on the pieces of its reply, the last one excepted."""
    result = app(environ, reply.start_response)
    if result is None:
        raise TypeError("the app returned None; WSGI wants an iterable of bytes")
    try:
        reply.expect(result)
        for piece in result:
            if link.forked:
                break
            reply.add(piece)
            if link.cancelled:
                break
        else:
            reply.require_head()
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _environ(request: Request, body: Union[bytes, Incoming], link: Connection) -> dict[str, Any]:
    host, port = request.server()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": request.mount,
        # Bytes as the characters of the same numbers, as the PEP has it.
        "PATH_INFO": request.decoded_path().decode("latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else Input(link, body),
        # Reading to the end ends, also without a CONTENT_LENGTH.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "ol.invocation_id": request.invocation_id,
        "ol.deadline": request.deadline,
    }
    _add_fields(environ, request.fields)
    if body and isinstance(body, bytes):
        # Of one that came in chunks it is known now.
        environ.setdefault("CONTENT_LENGTH", str(len(body)))
    return environ


def _add_fields(environ: dict[str, Any], fields: list[tuple[str, str]]) -> None:
    for name, value in fields:
        if "_" in name:
            # `X_Y` would pass for `X-Y`, which the client may not be allowed to set.
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
