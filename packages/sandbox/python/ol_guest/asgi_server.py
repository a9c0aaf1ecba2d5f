"""The connection of an ASGI app: frames in, frames out, and the calls that are open."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any, Callable, Optional, Union

from ol_guest import failure, wire
from ol_guest.asgi_call import Call
from ol_guest.connection import Connection
from ol_guest.ending import exit_code, leave
from ol_guest.frames import Frames, die_of
from ol_guest.incoming import Incoming
from ol_guest.lifespan import Lifespan
from ol_guest.output import Output
from ol_guest.reaper import Reaper
from ol_guest.request import Request

# For what is open when the worker goes, and the app's shutdown after it.
_SHUTDOWN_SECONDS = 1.0

_TAG: contextvars.ContextVar[bytes] = contextvars.ContextVar("ol_tag", default=b"")
tag_of_task = _TAG.get


class Server(Frames, asyncio.Protocol):
    def __init__(
        self,
        link: Connection,
        output: Output,
        reaper: Reaper,
        app: Callable[..., Any],
        lifespan: Lifespan,
        early: bytes,
    ) -> None:
        super().__init__()
        self.paused = False
        self._link = link
        self._output = output
        self._reaper = reaper
        self._app = app
        self._lifespan = lifespan
        self._early = early
        self._transport: Any = None
        # Those whose app runs, with its task. Their reply may be complete.
        self._calls: dict[int, tuple[Call, asyncio.Task[None]]] = {}
        # Those whose app has begun.
        self._begun: set[int] = set()
        self._incoming: dict[int, Incoming] = {}
        self._is_told_to_stop = False
        # The loop keeps no task alive.
        self._stop_task: Optional[asyncio.Task[None]] = None

    # -- As asyncio wants it

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.send(wire.ready("asgi"))
        self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        try:
            self.take(data)
        except wire.Violation as violation:
            die_of(violation)
        self._begin_queued()

    def connection_lost(self, _error: Optional[Exception]) -> None:
        if self._link.forked:
            # A child that came back to the loop: it has no say.
            leave(self._output, 1)
        self._stop()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        for call, _task in self._calls.values():
            call.changed()

    def send(self, data: bytes) -> None:
        # What is said to a worker that is gone would only be complained of.
        if not self._transport.is_closing():
            self._transport.write(data)

    def finish_lines(self) -> None:
        self._output.finish_lines_of(tag_of_task())

    # -- What becomes of frames

    def _other(self, kind: int, flags: int, stream: int, meta: bytes, body: bytes) -> None:
        # It may be about one of those.
        self._begin_queued()
        super()._other(kind, flags, stream, meta, body)

    def _begin_queued(self) -> None:
        while self.queue:
            self._begin(*self.queue.popleft())

    def _begin(self, stream: int, meta: bytes, body: Union[bytes, Incoming]) -> None:
        if self._reaper.pending:
            self._reaper.reap()
        call = Call(self, stream, body, self._link.window)
        task = asyncio.get_running_loop().create_task(self._run(call, meta))
        self._calls[stream] = (call, task)

    def _arriving(self, incoming: Incoming) -> None:
        self._incoming[incoming.stream] = incoming
        self._begin(incoming.stream, incoming.meta, incoming)

    def _data(self, stream: int, body: bytes, ended: bool) -> None:
        incoming = self._incoming.get(stream)
        if incoming is None:
            return
        incoming.arrived(body, ended)
        if ended:
            del self._incoming[stream]
        self._calls[stream][0].changed()

    def _window(self, stream: int, credit: int) -> None:
        if stream in self._calls:
            self._calls[stream][0].credited(credit)

    def _reset(self, stream: int, code: int) -> None:
        """Each RESET for an open stream is answered by one, which is then this side's last frame for it."""
        call, task = self._calls.get(stream, (None, None))
        if call is None or task is None or call.complete:
            # Already answered: the two crossed.
            return
        if stream not in self._begun:
            self._forget(stream)
            task.cancel()
            self.send(wire.reset(stream, code))
        elif code != wire.RESET_REFUSED:
            # Asked back, but begun: the reply says so. Others are answered when the app has ended.
            call.cancel(code)
            # A client that is gone interrupts nothing: the app hears of it.
            if code != wire.RESET_CANCELLED:
                task.cancel()

    def _event(self, name: str) -> None:
        if name == "shutdown":
            self._is_told_to_stop = True
            self._stop_if_told()

    # -- The course of a call

    async def _run(self, call: Call, meta: bytes) -> None:
        stream = call.stream
        self._begun.add(stream)
        request = Request(meta)
        _TAG.set(f"{request.invocation_id or '-'} ".encode("latin-1"))
        error = await call.run(self._app, request, self._lifespan.state)
        self._leave_if_it_has_to(error)
        self._incoming.pop(stream, None)
        self.finish_lines()
        await call.finish(error)
        self._forget(stream)
        self._stop_if_told()

    def _leave_if_it_has_to(self, error: Optional[BaseException]) -> None:
        if isinstance(error, SystemExit):
            leave(self._output, exit_code(error))
        if self._link.forked:
            # The app forked, and this is the child, which came back from it.
            if error is not None:
                sys.stderr.write(failure.traceback_text(error))
            leave(self._output, 0 if error is None else 1)

    def _forget(self, stream: int) -> None:
        del self._calls[stream]
        self._begun.discard(stream)
        self._incoming.pop(stream, None)

    # -- The end

    def _stop_if_told(self) -> None:
        if self._is_told_to_stop and not self._calls:
            self._stop()

    def _stop(self) -> None:
        if self._stop_task is None:
            self._stop_task = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        """Ends what is open, lets the app shut down, and leaves."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SHUTDOWN_SECONDS
        tasks = []
        for call, task in self._calls.values():
            call.cancel(wire.RESET_CANCELLED)
            task.cancel()
            tasks.append(task)
        if tasks:
            await asyncio.wait(tasks, timeout=_SHUTDOWN_SECONDS)
        await self._lifespan.stop(max(0.0, until - loop.time()))
        leave(self._output, 0)
