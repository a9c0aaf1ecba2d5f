"""What the worker asks about zygotes, and what it is told of them.

`zygote` is answered when the zygote has imported its modules, with how that went, or has failed to; `kill-zygote` when
it is gone. The event `zygote-exit` comes once for each zygote that was ready.
"""

import typing

from ol_host.nursery import Nursery
from ol_host.wire import Refused, Wire
from ol_host.zygotes import Zygote

_FAILED = "OL_SANDBOX_ZYGOTE_FAILED"


class ZygoteDesk:
    def __init__(self, wire: Wire, nursery: Nursery) -> None:
        self._wire = wire
        self._nursery = nursery

    def create(self, request: "dict[str, typing.Any]") -> None:
        try:
            self._nursery.create(request)
        except OSError as error:
            raise Refused(_FAILED, f"the zygote could not be forked: {error}") from error

    def kill(self, request: "dict[str, typing.Any]") -> "dict[str, object] | None":
        zygote = self._nursery.find(request["zygote"])
        if zygote is None:
            return {}
        zygote.kill_requests.append(request["id"])
        zygote.kill()
        return None

    def ready(self, zygote: Zygote) -> None:
        if zygote.create_request is not None and zygote.imported is not None:
            ms, memory_mb, sought = zygote.imported
            told = {"ms": ms, "memoryMb": memory_mb, "sought": sought}
            self._wire.send({"v": 1, "id": zygote.create_request, "ok": told})
            zygote.create_request = None

    def ended(self, zygote: Zygote) -> None:
        end = zygote.end()
        if zygote.create_request is not None:
            message = zygote.error or f"{_how(end)}. {zygote.log.last_words}".strip()
            error = {"code": _FAILED, "message": message, "details": {"unfit": zygote.unfit}}
            self._wire.send({"v": 1, "id": zygote.create_request, "error": error})
            zygote.create_request = None
        elif not zygote.is_root:
            self._wire.send({"v": 1, "event": "zygote-exit", "zygote": zygote.id, **end})
        for number in zygote.kill_requests:
            self._wire.send({"v": 1, "id": number, "ok": {}})


def _how(end: "dict[str, object]") -> str:
    """Why there is no zygote, where the import did not say so itself."""
    if end["reason"] == "out-of-memory":
        return "importing its modules took more memory than its limit"
    if end["reason"] == "killed":
        return "it was killed before it was ready"
    if end["reason"] == "signal":
        return f"its process was ended by {end['signal']} while it imported its modules"
    if end["reason"] == "exit":
        return f"its process exited with code {end['code']} while it imported its modules"
    return str(end.get("message"))
