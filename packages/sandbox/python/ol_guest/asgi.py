"""Runs an ASGI app: every request that the worker sends, as it comes, on an event loop of asyncio."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Callable, NamedTuple, NoReturn

from ol_guest import failure
from ol_guest.asgi_server import Server, tag_of_task
from ol_guest.connection import Connection
from ol_guest.ending import exit_code, leave
from ol_guest.lifespan import Lifespan, StartupFailed
from ol_guest.output import Output
from ol_guest.reaper import Reaper


class Started(NamedTuple):
    app: Callable[..., Any]
    loop: asyncio.AbstractEventLoop
    lifespan: Lifespan


def start(app: Callable[..., Any]) -> Started:
    """Lets the app start up. Raises StartupFailed."""
    loop = _event_loop()
    asyncio.set_event_loop(loop)
    try:
        return Started(app, loop, loop.run_until_complete(_lifespan(app)))
    except StartupFailed:
        raise
    except BaseException as error:
        # A task of the app's: SystemExit passes through the loop.
        raise StartupFailed(failure.traceback_text(error)) from error


def run(link: Connection, output: Output, reaper: Reaper, started: Started, early: bytes) -> NoReturn:
    """Serves to the connection's end. `early` is what of it was read already."""
    output.tag_by(tag_of_task)
    server = Server(link, output, reaper, started.app, started.lifespan, early)
    loop = started.loop
    try:
        loop.run_until_complete(loop.create_unix_connection(lambda: server, sock=link.socket))
        while True:
            # Ends only when the app stops the loop, which is not the app's.
            loop.run_forever()
    except SystemExit as error:
        # Of a task of the app's.
        leave(output, exit_code(error))


def _event_loop() -> asyncio.AbstractEventLoop:
    if sys.version_info < (3, 10):
        # What the app made while it was loaded, a lock or a queue, is bound to this one.
        return asyncio.get_event_loop()
    return asyncio.new_event_loop()


async def _lifespan(app: Callable[..., Any]) -> Lifespan:
    lifespan = Lifespan(app)
    await lifespan.start()
    return lifespan
