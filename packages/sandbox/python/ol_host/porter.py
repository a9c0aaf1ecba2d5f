"""What the engine `docker` needs of the host and the daemon does not do: directories for containers, of users that nobody
else has, measured, and removed again.

Verbs, all that there are: `start` (once, first), `place` (what a container is to have of the file system, before it is
made), `take` (a place that was made in advance gets its code and its name), `join` (one more sandbox in the container of such a
place), `limit` (what a place may hold from now on), `running` (its process), `leave` (its container
is gone), `keep` (`leave`, after which something of the scratch is kept), `close`. Events: `full` (a sandbox has more in its
scratch than it may), `log`. It neither knows the daemon nor ends a container: who asks for `leave` has done so.
"""

import os
import socket
import time
import typing

from ol_host import ground, host
from ol_host.desk_loop import DeskLoop, Verb
from ol_host.files import Scratch
from ol_host.keeping import Keeper, Order, Outcome, failed
from ol_host.meter import ScratchMeter
from ol_host.obstacles import explain
from ol_host.rooms import Room, Rooms
from ol_host.tenants import Tenant, join
from ol_host.uids import LeafUids
from ol_host.wire import Refused, WireError

_LOG_CHECK_SEC = 1.0
# For what is in the trash, which the next start would remove as well.
_CLOSE_SEC = 10.0
# What an earlier one left is removed before the first sandbox is made: a million files take about this long.
_SWEEP_SEC = 40.0


class Porter(DeskLoop):
    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._rooms: "dict[str, Room]" = {}
        self._tenants = 0
        self._close_request: "int | None" = None
        self._close_deadline: "float | None" = None
        self._next_log_check = 0.0

    def verbs(self) -> "dict[str, Verb]":
        return {
            "start": self._start,
            "place": self._place,
            "take": self._take,
            "join": self._join,
            "limit": self._limit,
            "running": self._running,
            "leave": self._leave,
            "keep": self._keep,
            "close": self._close,
        }

    def moments(self) -> "list[float]":
        moments = []
        if self._rooms:
            moments.append(self._next_log_check)
            measuring = self._meter.moment()
            if measuring is not None:
                moments.append(measuring)
        if self._close_deadline is not None:
            moments.append(min(self._close_deadline, time.monotonic() + 0.02))
        return moments

    def on_time(self) -> None:
        now = time.monotonic()
        if self._rooms:
            if now >= self._next_log_check:
                self._next_log_check = now + _LOG_CHECK_SEC
                for room in self._rooms.values():
                    room.scratch.cut_output(room.log_mb)
            self._meter.look((room for room in self._rooms.values() if room.taken), now)
        if self._close_deadline is not None:
            self._try_to_finish(now)

    # Requests

    def _start(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        if self._started:
            raise WireError("a second start")
        self._rootless = ground.is_rootless()
        try:
            return self._set_up(request)
        except OSError as error:
            reason = explain(error, self._rootless)
            raise Refused("OL_SANDBOX_HOST_UNFIT", f"the sandbox engine cannot start: {reason}") from error

    def _set_up(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        os.umask(0o022)
        host.allow_many_descriptors()
        self._files = ground.open_files(request, self._rootless)
        own_ids = self._rootless or request["ownIds"]
        # Open as long as we live: the claim hangs on it.
        first_uid, self._uid_claim = (None, None) if own_ids else host.claim_uid_block()
        swept = self._files.sweep()
        self._work = request["workDir"]
        self._made = Rooms(self._files, self._work, request["codeDir"], first_uid, LeafUids())
        swept += self._made.sweep()
        notes = []
        stuck = self._files.trash.wait_until_empty(_SWEEP_SEC)
        if stuck:
            notes.append(f"{len(stuck)} things in {request['workDir']}/trash could not be removed; look at them")
        self._keeper = Keeper(request.get("packagesDir"), self._rootless, self._selector)
        self._meter = ScratchMeter(self._selector, self._on_full)
        self._files.say_serving(True)
        self._started = True
        return {"swept": swept, "rootless": self._rootless, "notes": notes, "meeting": self._made.meeting_place}

    def _place(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        """{"sandbox", "name", "network", "limits", "code"}; without `code` it is made in advance, for nobody yet."""
        self._refuse_if_closing()
        sandbox = request["sandbox"]
        if sandbox in self._rooms:
            raise Refused("OL_SANDBOX_BAD_OPTIONS", f"there is a sandbox {sandbox} already")
        try:
            room = self._made.make(sandbox, request["name"], request["network"], request.get("code"))
        except OSError as error:
            raise Refused("OL_SANDBOX_CREATE_FAILED", explain(error, self._rootless)) from error
        room.limit(request["limits"])
        self._rooms[sandbox] = room
        return {"scratch": room.scratch_path, "code": room.code_path, "uid": room.host_uid}

    def _take(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        """{"sandbox": as in `place`, "as": its id from now on, "name", "code", "limits"}"""
        self._refuse_if_closing()
        room = self._rooms[request["sandbox"]]
        try:
            self._made.furnish(room, request["as"], request["name"], request["code"])
        except OSError as error:
            raise Refused("OL_SANDBOX_CREATE_FAILED", explain(error, self._rootless)) from error
        room.limit(request["limits"])
        self._rooms[request["as"]] = self._rooms.pop(request["sandbox"])
        return {}

    def _join(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        """{"sandbox", "name", "limits", "room": as in `place`}; `leave` ends it like any other."""
        self._refuse_if_closing()
        sandbox, landlord = request["sandbox"], self._rooms.get(request["room"])
        if sandbox in self._rooms:
            raise Refused("OL_SANDBOX_BAD_OPTIONS", f"there is a sandbox {sandbox} already")
        if landlord is None:
            raise Refused("OL_SANDBOX_CREATE_FAILED", "the container that it was to be in has ended")
        self._tenants += 1
        try:
            tenant = join(self._files, self._work, self._tenants, landlord, sandbox, request["name"])
        except OSError as error:
            raise Refused("OL_SANDBOX_CREATE_FAILED", explain(error, self._rootless)) from error
        tenant.limit(request["limits"])
        self._rooms[sandbox] = tenant
        return {"prefix": tenant.prefix}

    def _limit(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        room = self._rooms.get(request["sandbox"])
        if room is not None:
            room.limit(request["limits"])
        return {}

    def _running(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        room = self._rooms.get(request["sandbox"])
        if room is not None:
            room.pid = request["pid"]
        return {}

    def _leave(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        self._refuse_if_closing()
        room = self._rooms.pop(request["sandbox"], None)
        if room is not None:
            self._empty(room)
        return {}

    def _keep(self, request: "dict[str, typing.Any]") -> None:
        self._refuse_if_closing()
        room = self._rooms.pop(request["sandbox"], None)
        if room is None:
            raise Refused("OL_SANDBOX_DESTROYED", "it has ended: nothing of it can be kept")
        orders = [Order(order["source"], order["target"], order["merge"]) for order in request["orders"]]

        def done(outcomes: "list[Outcome]") -> None:
            self._wire.send({"v": 1, "id": request["id"], "ok": {"outcomes": outcomes}})
            self._empty(room)

        try:
            self._keeper.keep(room.scratch.directory_fd, orders, done)
        except OSError as error:
            done([failed(str(error.strerror))] * len(orders))

    def _close(self, request: "dict[str, typing.Any]") -> None:
        self.begin_close(request["id"])

    # The end

    def _empty(self, room: Room) -> None:
        scratch: Scratch = room.scratch
        try:
            if isinstance(room, Tenant):
                room.move_out(self._files)
            else:
                self._made.remove(room)
        except OSError as error:
            # One full disk must not end all other sandboxes; the next start tries again.
            self.log("error", f"what sandbox {scratch.sandbox} left behind could not be removed: {error}")
        self._files.trash.empty()

    def _on_full(self, room: typing.Any) -> None:
        self._wire.send({"v": 1, "event": "full", "sandbox": room.scratch.sandbox})

    def _refuse_if_closing(self) -> None:
        if self._close_deadline is not None:
            raise Refused("OL_SANDBOX_CLOSED", "the engine is closing")

    def begin_close(self, answer_to: "int | None") -> None:
        if self._close_deadline is not None:
            return
        if not self._started:
            self._finished = True
            return
        self._close_request = answer_to
        self._files.say_serving(False)
        # Of containers that are not gone, the next start sweeps what they have.
        self._rooms.clear()
        self._made.close()
        self._close_deadline = time.monotonic() + _CLOSE_SEC

    def _try_to_finish(self, now: float) -> None:
        assert self._close_deadline is not None
        empty = self._keeper.busy == 0 and self._files.trash.empty()
        if not empty and now < self._close_deadline:
            return
        self._meter.close()
        if self._close_request is not None:
            self._wire.connection.setblocking(True)
            self._wire.send({"v": 1, "id": self._close_request, "ok": {}})
        self._finished = True
