"""The loop of a process that does what the worker may not: requests come over the inherited socket and are answered, others
of its descriptors are waited for beside, and the end of the worker ends it. Nothing here waits for anybody.
"""

import abc
import selectors
import socket
import time
import typing

from ol_host.wire import FRAME_BYTES, Refused, Wire, WireError

Verb = typing.Callable[["dict[str, typing.Any]"], "dict[str, object] | None"]


class DeskLoop(abc.ABC):
    def __init__(self, connection: socket.socket) -> None:
        self._wire = Wire(connection)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ, self._on_worker)
        self._started = False
        self._finished = False
        self._worker_gone = False

    @abc.abstractmethod
    def verbs(self) -> "dict[str, Verb]":
        """All that there are. One that answers later returns None; `start` comes once, and first."""

    @abc.abstractmethod
    def moments(self) -> "list[float]":
        """When `on_time` wants to be called, on the clock of time.monotonic(). Asked for once it has started."""

    @abc.abstractmethod
    def on_time(self) -> None:
        """Whatever is due; called after everything that happens, too."""

    @abc.abstractmethod
    def begin_close(self, answer_to: "int | None") -> None:
        """The worker asks for the end, or is gone."""

    def abandon(self) -> None:
        """It ends by a mistake of its own: what would stay on the machine until the next start goes now, as far as it can be
        told without knowing what the mistake was."""

    def run(self) -> None:
        try:
            self._serve()
        except BaseException:
            # The worker hears of it by the end of this process.
            if self._started:
                self.abandon()
            raise

    def _serve(self) -> None:
        while not self._finished:
            for key, _events in self._selector.select(self._timeout()):
                # One of the same batch may have closed it.
                registered = self._selector.get_map().get(key.fd)
                if registered is not None and registered.data == key.data:
                    key.data()
            if self._started:
                self.on_time()
            self._watch_for_writing()

    def _timeout(self) -> "float | None":
        moments = self.moments() if self._started else []
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _watch_for_writing(self) -> None:
        wanted = 0 if self._worker_gone else selectors.EVENT_READ
        wanted |= selectors.EVENT_WRITE if self._wire.wants_to_write else 0
        connection = self._wire.connection
        key = self._selector.get_map().get(connection.fileno())
        if wanted == 0:
            # Its end would be reported again and again.
            if key is not None:
                self._selector.unregister(connection)
        elif key is None:
            self._selector.register(connection, wanted, self._on_worker)
        elif key.events != wanted:
            self._selector.modify(connection, wanted, self._on_worker)

    def _on_worker(self) -> None:
        self._wire.flush()
        if self._worker_gone:
            return
        requests = self._wire.receive()
        if requests is None:
            self._worker_gone = True
            self.begin_close(None)
            return
        for request in requests:
            self._answer(request)

    def _answer(self, request: "dict[str, typing.Any]") -> None:
        number = request["id"]
        try:
            verb = self.verbs().get(request["verb"])
            if verb is None or (not self._started and request["verb"] != "start"):
                raise WireError(f"verb {request['verb']!r} is unknown, or too early")
            answer = verb(request)
        except Refused as error:
            self._refuse_later(number, error)
            return
        if answer is not None:
            self._wire.send({"v": 1, "id": number, "ok": answer})

    def _refuse_later(self, number: int, error: Refused) -> None:
        self._wire.send({"v": 1, "id": number, "error": {"code": error.code, "message": str(error)}})

    def _answer_later(self, number: int) -> None:
        self._wire.send({"v": 1, "id": number, "ok": {}})

    def log(self, level: str, message: str) -> None:
        self._wire.send({"v": 1, "event": "log", "level": level, "message": message[: FRAME_BYTES // 4]})
