"""The lifespan of an ASGI app: what it does once before its first request, and once after its last."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Callable, Optional

from ol_guest import failure


class StartupFailed(Exception):
    """The app says that it cannot serve, or raised before it could say anything; `text` is why."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Lifespan:
    """Make it where its loop runs."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        # What the app wants to find in each request's scope.
        self.state: dict[str, Any] = {}
        self._task: Optional[asyncio.Task[None]] = None
        # The app has asked for what there is to hear, and has said nothing that is not of lifespans.
        self._asked = False
        self._is_other = False
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = loop.create_future()
        self._stopping: asyncio.Future[None] = loop.create_future()
        self._stopped: asyncio.Future[None] = loop.create_future()

    async def start(self) -> None:
        """Returns when the app can serve. An app that does not know lifespans raises or returns, and can too."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await asyncio.wait((self._task, self._started), return_when=asyncio.FIRST_COMPLETED)
        if self._started.done():
            self._started.result()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as error:
            if self._started.done():
                # Of a startup that failed the app has spoken.
                if self._started.exception() is None:
                    sys.stderr.write(failure.traceback_text(error))
            elif self._asked and not self._is_other:
                self._started.set_exception(StartupFailed(failure.traceback_text(error)))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        # Shielded: who gives up waiting must not take it from who asks again.
        await asyncio.shield(self._stopping)
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.done():
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            text = str(message.get("message", "")) or "the app's startup failed, and it does not say why"
            self._started.set_exception(StartupFailed(text.rstrip("\n") + "\n"))
        elif kind == "lifespan.shutdown.complete" and not self._stopped.done():
            self._stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and not self._stopped.done():
            sys.stderr.write(f"the app's shutdown failed: {message.get('message', '')}\n")
            self._stopped.set_result(None)
        else:
            self._is_other = not self._started.done()
            raise RuntimeError(f"{kind} was sent in a lifespan, where it has no place")

    async def stop(self, timeout_seconds: float) -> None:
        """Tells the app that its last request was answered, and waits until it has done what it then does."""
        if self._task is None or self._task.done() or not self._started.done():
            return
        self._stopping.set_result(None)
        await asyncio.wait((self._task, self._stopped), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
