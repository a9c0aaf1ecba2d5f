"""Failures as text for the lambda's developer: Python's own tracebacks, without the runtime's frames."""

from __future__ import annotations

import json
import os
import sys
import traceback
import types
from typing import Optional

_RUNTIME = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MESSAGE_BYTES = 64 * 1024
# Of a message that is too long, this much of its begin is kept; the rest of the room shows its end.
_HEAD_BYTES = 16 * 1024


def exception_body(error: BaseException) -> bytes:
    """The body of a REPLY with `:error`."""
    try:
        return body(_name(error), cut(traceback_text(error), _MESSAGE_BYTES, _HEAD_BYTES))
    except Exception as second:
        # Out of memory, or an exception that defeats the formatter: its name at least.
        return body(_name(error), f"{_name(error)} (its traceback could not be made: {_name(second)})\n")


def body(kind: str, message: str) -> bytes:
    text = json.dumps({"type": kind, "message": message}, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def traceback_text(error: BaseException) -> str:
    """As Python prints it, chained exceptions and groups included."""
    trace = _skip_runtime(error.__traceback__)
    report = traceback.TracebackException(type(error), error, trace)
    _drop_runtime_frames(report, set())
    return "".join(report.format())


def cut(text: str, limit: int, head: int) -> str:
    """At most `limit` bytes of UTF-8: the first `head` of them and, more telling in a traceback, the end."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    marker = "\n... cut here ...\n" if head else "... cut here ...\n"
    tail = limit - head - len(marker)
    return data[:head].decode("utf-8", "ignore") + marker + data[-tail:].decode("utf-8", "ignore")


def _name(error: BaseException) -> str:
    return type(error).__name__


def _is_runtime(filename: str) -> bool:
    return filename.startswith(_RUNTIME)


def _skip_runtime(trace: Optional[types.TracebackType]) -> Optional[types.TracebackType]:
    """The first frame of the lambda: before it come ours, and asyncio's where it called an async function."""
    asyncio = os.path.dirname(getattr(sys.modules.get("asyncio"), "__file__", None) or "")
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not (_is_runtime(filename) or os.path.dirname(filename) == asyncio):
            break
        trace = trace.tb_next
    return trace


def _drop_runtime_frames(report: traceback.TracebackException, done: set[int]) -> None:
    """Also inside: print() ends in our streams. A chain can be a loop, hence `done`."""
    if id(report) in done:
        return
    done.add(id(report))
    report.stack[:] = [frame for frame in report.stack if not _is_runtime(frame.filename)]
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _drop_runtime_frames(other, done)
