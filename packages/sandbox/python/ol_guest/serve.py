"""Serves a sandbox's one connection: loads the lambda's code and runs it for each call that the worker sends.

A function is run here, in a blocking loop: one call at a time, no asyncio. Web apps are run by wsgi.py and asgi.py.

Everything in `_run_calls` is written for speed; measured per call with the smallest event and result it is what
bounds the throughput of a sandbox. A method call or a tuple more is seen in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import traceback
from typing import Any, Mapping, NoReturn, Optional

from ol_guest import entry, failure, frames, import_report, wire, wsgi
from ol_guest.connection import Cancelled, Connection, Gone
from ol_guest.context import Context
from ol_guest.ending import exit_code, leave
from ol_guest.imports import Recorder
from ol_guest.marks import Marks
from ol_guest.output import Output
from ol_guest.reaper import Reaper

# One runs, one waits: more would only make those behind them late.
_STREAMS = 16
_EXIT_IMPORT_FAILED = 1
# The worker closes as soon as it has read why; one that does not is not waited for any longer.
_LINGER_SECONDS = 1.0
# sysexits' EX_SOFTWARE.
_EXIT_BROKEN = 70


def serve(
    listener: socket.socket,
    output: Output,
    handler_dir: str = "/handler",
    recorder: "Optional[Recorder]" = None,
    marks: "Optional[Marks]" = None,
) -> NoReturn:
    """Takes one connection from the listening socket and serves it: see `serve_connection`."""
    marks = marks or Marks(wanted=False)
    marks.mark("settle")
    link = _accept(listener)
    marks.mark("accept")
    serve_connection(link, output, handler_dir, recorder, marks)


def serve_connection(
    link: Connection,
    output: Output,
    handler_dir: str = "/handler",
    recorder: "Optional[Recorder]" = None,
    marks: "Optional[Marks]" = None,
) -> NoReturn:
    """Serves a connection to its end, which is the process's end too. `output` is installed. What the recorder has seen
    while the code was loaded, the worker is told, and the marks.

    Exit codes: 0 when the worker is gone, 1 when the lambda could not be loaded, 70 for a failure of this runtime,
    76 when the worker broke the protocol, and whatever the lambda gives to sys.exit().
    """
    marks = marks or Marks(wanted=False)
    link.notice_forks()
    try:
        early = link.greet(_hello())
        marks.mark("hello")
        if recorder is not None:
            recorder.start()
        loaded = _load(link, output, handler_dir, early, os.environ)
        marks.mark("code")
        marks.tell(link.send)
        reaper = Reaper()
        reaper.install()
        if loaded.kind == "asgi":
            _serve_asgi(link, output, reaper, loaded, early, recorder)
        _report_imports(link, recorder)
        link.watch()
        link.streaming = loaded.kind == "wsgi"
        link.send(wire.ready(loaded.kind))
        link.take(early)
        if loaded.kind == "wsgi":
            wsgi.run(link, output, reaper, loaded.function)
        _run_calls(link, output, reaper, loaded)
    except (Gone, ConnectionError):
        # The worker is gone, and nobody is left to serve.
        leave(output, 0)
    except wire.Violation as violation:
        frames.die_of(violation)
    except BaseException:
        # Ours to explain; or a signal handler of the lambda raised between two calls.
        traceback.print_exc()
        leave(output, _EXIT_BROKEN)


def rehearse(listener: socket.socket, handler_dir: str, recorder: "Optional[Recorder]" = None) -> None:
    """Loads the function in a directory and answers one call of nobody: see rehearsal.py."""
    with socket.socket(socket.AF_UNIX) as far:
        far.connect(listener.getsockname())
        _call_of_nobody(far)
        link = _accept(listener)
        with link.socket:
            _answer_nobody(link, handler_dir, os.environ, recorder)


def rehearse_unnamed(handler_dir: str, environment: "Mapping[str, str]") -> None:
    """The same without a socket that has a name: for a zygote, which is no leaf. Handlers of signals are not its own afterwards."""
    near, far = socket.socketpair()
    with near, far:
        _call_of_nobody(far)
        Reaper().install()
        # As accept() makes it.
        with socket.socket(near.family, near.type, near.proto, near.detach()) as accepted:
            _answer_nobody(Connection(accepted), handler_dir, environment, None)


def _call_of_nobody(far: socket.socket) -> None:
    # As the worker sends a first call, before it is known that the code is a function.
    meta = wire.meta(":id", "rehearsal", ":timeout", "1000", ":method", "POST", ":path", "", "host", "nobody")
    call = wire.frame(wire.HTTP, wire.END, 1, meta, b'{"name": "nobody"}')
    far.sendall(wire.frame(wire.HELLO, 0, 0, _hello()) + call)


def _answer_nobody(
    link: Connection,
    handler_dir: str,
    environment: "Mapping[str, str]",
    recorder: "Optional[Recorder]",
) -> None:
    # Ends the loop when it wants to wait for the next call.
    link.socket.setblocking(False)
    output = Output()
    early = link.greet(_hello())
    if recorder is not None:
        recorder.start()
    loaded = _load(link, output, handler_dir, early, environment)
    link.watch()
    _report_imports(link, recorder)
    link.send(wire.ready(loaded.kind))
    link.take(early)
    with contextlib.suppress(BlockingIOError):
        _run_calls(link, output, Reaper(), loaded)
    link.unwatch()


def _accept(listener: socket.socket) -> Connection:
    sock, _address = listener.accept()
    listener.close()
    return Connection(sock)


def _hello() -> bytes:
    return wire.meta(
        *(":v", str(wire.VERSION)),
        *(":window", str(wire.WINDOW_BYTES)),
        *(":streams", str(_STREAMS)),
        *(":kinds", "call http"),
        *(":runtime", f"python{sys.version_info[0]}.{sys.version_info[1]}"),
    )


def _load(
    link: Connection, output: Output, handler_dir: str, early: bytes, environment: "Mapping[str, str]"
) -> entry.Entry:
    try:
        return entry.load(handler_dir, environment)
    except entry.EntryError as error:
        text = f"{error}\n"
    except BaseException as error:
        # SystemExit too: a lambda that exits while it is loaded cannot be loaded.
        text = failure.traceback_text(error)
    _refuse(link, output, early, text)


def _refuse(link: Connection, output: Output, early: bytes, text: str) -> NoReturn:
    """Tells the worker why the lambda cannot be loaded, and ends the process.

    The log has it too: where older code is still run, no caller gets to see the text.
    """
    if link.forked:
        # A child that the lambda's code forked while being loaded: it has no say.
        sys.stderr.write(text)
        leave(output, 1)
    output.finish_lines()
    output.complain(text)
    meta = wire.meta(":event", "import-error")
    message = failure.cut(text, wire.EVENT_BYTES - len(meta), 0)
    link.send(wire.frame(wire.EVENT, 0, 0, meta, message.encode()))
    link.take(early)
    link.refuse_all(wire.RESET_REFUSED, _LINGER_SECONDS)
    leave(output, _EXIT_IMPORT_FAILED)


def _report_imports(link: Connection, recorder: "Optional[Recorder]") -> None:
    if recorder is not None:
        recorder.stop()
        link.send(import_report.frame(recorder))


def _serve_asgi(
    link: Connection,
    output: Output,
    reaper: Reaper,
    loaded: entry.Entry,
    early: bytes,
    recorder: "Optional[Recorder]",
) -> NoReturn:
    # It imports asyncio: 30 ms and 9 MB, unless the zygote has it.
    from ol_guest import asgi

    try:
        app = asgi.start(loaded.function)
    except asgi.StartupFailed as error:
        _refuse(link, output, early, error.text)
    _report_imports(link, recorder)
    asgi.run(link, output, reaper, app, early)


def _run_calls(link: Connection, output: Output, reaper: Reaper, loaded: entry.Entry) -> NoReturn:
    _kind, function, takes_context = loaded
    queue = link.queue
    invocation = output.invocation
    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
    encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
    pack = wire.HEADER.pack
    # One frame and one write; above, joining head and body costs more than a second write.
    small = min(link.window, 64 * 1024)
    sendall = link.socket.sendall
    while True:
        while not queue:
            link.read()
        stream, meta, body = queue.popleft()
        if reaper.pending:
            reaper.reap()
        try:
            event = decode(str(body, "utf-8")) if body else {}
        except (ValueError, RecursionError) as error:
            link.reply(stream, _ERROR_BAD_INPUT, _bad_input(error))
            continue
        invocation.meta = meta
        reply_meta = b""
        try:
            # Cancelled can come until `running` is 0 again, so also after the function has returned or raised.
            try:
                link.start(stream)
                result = function(event, Context(meta)) if takes_context else function(event)
            finally:
                link.running = 0
        except BaseException as error:
            link.running = 0
            body = _ended_by(error, link, output)
            reply_meta = _ERROR_EXCEPTION
        else:
            try:
                body = encode(result).encode()
            except UnicodeEncodeError:
                # A lone surrogate: JSON can carry it as an escape only.
                body = json.dumps(result, allow_nan=False, separators=(",", ":")).encode()
            except Exception as error:
                body = _bad_output(error)
                reply_meta = _ERROR_BAD_OUTPUT
            result = None
        if link.forked:
            # The function forked, and this is the child, which came back from it.
            leave(output, 0)
        if invocation.holding:
            output.finish_lines()
        invocation.meta = event = None
        if link.cancelled:
            link.send(wire.reset(stream, link.cancelled))
        elif reply_meta or len(body) > small:
            link.reply(stream, reply_meta, body)
        else:
            sendall(pack(len(body), 4, 1, 0, stream) + body)
        # Nothing of a large call is kept while waiting for the next.
        body = meta = None


_ERROR_BAD_INPUT = wire.meta(":error", "bad-input")
_ERROR_EXCEPTION = wire.meta(":error", "exception")
_ERROR_BAD_OUTPUT = wire.meta(":error", "bad-output")


def _ended_by(error: BaseException, link: Connection, output: Output) -> bytes:
    """What to answer when the function did not return. Does not return for sys.exit(), which ends the process."""
    if isinstance(error, SystemExit):
        leave(output, exit_code(error))
    if link.forked:
        sys.stderr.write(failure.traceback_text(error))
        leave(output, 1)
    return b"" if isinstance(error, Cancelled) else failure.exception_body(error)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _bad_input(error: BaseException) -> bytes:
    return failure.body(type(error).__name__, f"the event is not JSON in UTF-8: {_reason(error)}")


def _bad_output(error: BaseException) -> bytes:
    return failure.body(type(error).__name__, f"the result is not JSON-able: {_reason(error)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    try:
        return failure.cut(str(error), 1024, 1024)
    except Exception:
        return type(error).__name__
