"""The broker's loop, and what the worker asks for.

Verbs, all that there are: `start` (once, first), `create`, `pause`, `resume`, `measure`, `kill`, `keep` (a kill, after
which something of the scratch is kept), `zygote`, `kill-zygote` (desk.py), `stats`, `close`. Events: `exit` (a sandbox is gone and why), `zygote-exit`, `prepared` (how
many processes wait, and what they hold), `log`. Nothing here waits for anybody.
"""

import contextlib
import errno
import os
import socket
import time
import typing

from ol_guest import messages
from ol_guest.marks import Marks

from ol_host import ground, limits, processes
from ol_host.desk import ZygoteDesk
from ol_host.desk_loop import DeskLoop, Verb
from ol_host.files import Scratch
from ol_host.forest import Forest
from ol_host.keeping import Keeper, Order, Outcome, failed
from ol_host.leaves import Leaf
from ol_host.meter import ScratchMeter
from ol_host.obstacles import explain
from ol_host.pausing import Pauser
from ol_host.places import Places
from ol_host.waiting import WaitingReport
from ol_host.watcher import MemoryWatcher
from ol_host.wire import Refused, WireError
from ol_host.zygotes import Zygote

# How often output files are measured; between two looks a sandbox can write as much as its disk lets it.
_LOG_CHECK_SEC = 1.0
_CLOSE_SEC = 10.0
# Leaves that turn out to be dead when they are taken, before it is taken for a failure.
_MOST_DEAD_LEAVES = 10


class Broker(DeskLoop):
    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._rootless = True
        # The request to answer when everything is gone; None also where the worker is gone too.
        self._close_request: "int | None" = None
        self._close_deadline: "float | None" = None
        self._sandboxes: "dict[str, Leaf]" = {}
        self._created = 0
        self._destroyed = 0
        self._next_log_check = 0.0

    # Time

    def moments(self) -> "list[float]":
        moments = self._forest.moments() + self._pauser.moments()
        if self._report.moment is not None:
            moments.append(self._report.moment)
        if self._sandboxes:
            moments.append(self._next_log_check)
            measuring = None if self._meter is None else self._meter.moment()
            if measuring is not None:
                moments.append(measuring)
            if self._watcher is not None:
                moments.append(self._watcher.moment())
        if self._close_deadline is not None:
            moments.append(min(self._close_deadline, time.monotonic() + 0.02))
        return moments

    def on_time(self) -> None:
        self._forest.refill()
        now = time.monotonic()
        self._forest.on_time(now)
        self._pauser.on_time(now)
        self._report.on_time(now)
        if self._sandboxes and now >= self._next_log_check:
            self._next_log_check = now + _LOG_CHECK_SEC
            for leaf in self._sandboxes.values():
                if leaf.scratch is not None:
                    leaf.scratch.cut_output(leaf.log_mb)
        if self._sandboxes:
            if self._meter is not None:
                self._meter.look(self._sandboxes.values(), now)
            if self._watcher is not None:
                self._watcher.look(self._sandboxes.values(), now)
        if self._close_deadline is not None:
            self._try_to_finish(now)

    # The worker

    def verbs(self) -> "dict[str, Verb]":
        return {
            "start": self._start,
            "create": self._create,
            "pause": self._pause,
            "resume": self._resume,
            "measure": self._measure,
            "kill": self._kill,
            "keep": self._keep,
            "zygote": self._create_zygote,
            "kill-zygote": self._kill_zygote,
            "stats": self._stats,
            "close": self._close,
        }

    def _start(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        if self._started:
            raise WireError("a second start")
        try:
            return self._set_up(request)
        except OSError as error:
            reason = explain(error, self._rootless)
            raise Refused("OL_SANDBOX_HOST_UNFIT", f"the sandbox engine cannot start: {reason}") from error

    def _set_up(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        self._rootless = ground.is_rootless()
        self._ground = taken = ground.take(request, self._rootless, self._selector, self._on_outbound_lost)
        in_memory = request["scratchInMemory"]
        soil = taken.soil
        self._places = Places(taken.files, taken.first_uid, in_memory, self._selector, self.log)
        self._keeper = Keeper(request.get("packagesDir"), soil.rootless, self._selector)
        self._forest = Forest(soil, self._selector, self)
        self._report = WaitingReport(self._forest, self._wire.send)
        self._desk = ZygoteDesk(self._wire, self._forest.nursery)
        for network in request["networks"]:
            self._forest.nursery.root(network).stock(network)
        self._pauser = Pauser(request["downsizePaused"], self._answer_later, self._refuse_later)
        by_group = "memory" in soil.groups.controllers
        # Files without a name are to be looked for where no group counts the memory that they take.
        self._meter = None if in_memory and by_group else ScratchMeter(self._selector, self._on_out_of_disk)
        self._watcher = None if by_group else MemoryWatcher()
        self._started = True
        return {
            "pid": os.getpid(),
            "swept": taken.swept,
            "rootless": soil.rootless,
            "python": taken.python,
            **limits.in_force(soil.groups, soil.rootless, in_memory),
            "notes": taken.notes,
        }

    def _create(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        if self._close_deadline is not None:
            raise Refused("OL_SANDBOX_CLOSED", "the engine is closing")
        sandbox = request["sandbox"]
        if sandbox in self._sandboxes:
            raise Refused("OL_SANDBOX_BAD_OPTIONS", f"there is a sandbox {sandbox} already")
        try:
            leaf = self._assign_one(request)
        except OSError as error:
            raise Refused("OL_SANDBOX_CREATE_FAILED", explain(error, self._rootless)) from error
        self._sandboxes[sandbox] = leaf
        self._created += 1
        # After the answer: whoever waits for this sandbox should not wait for the next one's fork.
        self._forest.want_refill(leaf.zygote, leaf.network)
        assert leaf.scratch is not None
        return {"socket": leaf.scratch.socket_name}

    def _assign_one(self, request: "dict[str, typing.Any]") -> Leaf:
        """That leaves died while they waited, with their zygote, is not the request's fault."""
        marks = Marks(self._ground.soil.steps)
        marks.mark("asked")
        nameless = False
        for _ in range(_MOST_DEAD_LEAVES):
            leaf = self._forest.take(request["network"], request.get("zygote"), request["limits"]["memoryMb"])
            marks.mark("leaf")
            if nameless:
                # If a directory cannot be made now either, that says why.
                self._places.forget(leaf)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if self._assign(leaf, request, marks):
                    return leaf
                nameless = True
        raise OSError("no process could be forked for it, or it died at once; the log may say why")

    def _assign(self, leaf: Leaf, request: "dict[str, typing.Any]", marks: Marks) -> bool:
        """Tells the leaf what to become. What fails here takes the leaf along. False: its scratch was of no use."""
        soil = self._ground.soil
        descriptors: "list[int]" = []
        resolver: "list[int]" = []
        try:
            if leaf.group is not None:
                limits.apply(leaf.group, request["limits"])
            marks.mark("limits")
            code = self._ground.files.open_code(request["code"])
            descriptors.append(code)
            leaf.log_mb = request["limits"]["logMb"]
            leaf.memory_mb = request["limits"]["memoryMb"]
            leaf.scratch_mb = request["limits"]["scratchMb"]
            on_disk = request["scratchOnDisk"]
            descriptors.extend(self._places.take(leaf, request["name"], request["sandbox"], on_disk))
            if leaf.network == "outbound":
                resolver = self._ground.resolver.detached()
            marks.mark("place")
            message = {
                "op": "assign",
                "environment": request["environment"],
                "packages": request["packages"],
                "tmpMb": request["limits"]["memoryMb"],
                "steps": marks.ends,
                **limits.for_leaf(request["limits"], soil.groups.controllers, soil.rootless),
            }
            if leaf.channel is None:
                raise BrokenPipeError(errno.EPIPE, f"the prepared process is gone: {leaf.setup_error}")
            messages.send(leaf.channel, message, descriptors + resolver)
        except OSError:
            # It never got them, so they can go before it does.
            self._places.leave(leaf)
            leaf.kill()
            raise
        finally:
            for descriptor in descriptors[:3] + resolver:
                os.close(descriptor)
        # Last, beside the leaf's own work: it waits for the worker, who learns of it from our answer.
        assert leaf.scratch is not None
        if self._places.name(leaf.scratch, request["name"], request["sandbox"]):
            return True
        # It has loaded nothing. What it has is removed when it is gone.
        leaf.kill()
        return False

    def _pause(self, request: "dict[str, typing.Any]") -> "dict[str, object] | None":
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is None or leaf.kill_wanted:
            # What has ended does nothing any more, which is what was asked for.
            return {}
        return {} if self._pauser.pause(leaf, request["id"]) else None

    def _resume(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is not None:
            self._pauser.resume(leaf)
        return {}

    def _measure(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is None:
            return {"bytes": 0}
        try:
            counted = None if leaf.group is None else leaf.group.memory_bytes()
        except OSError:
            # Somebody removed our group.
            counted = None
        return {"bytes": processes.memory_bytes(leaf) if counted is None else counted}

    def _kill(self, request: "dict[str, typing.Any]") -> "dict[str, object] | None":
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is None:
            return {}
        leaf.waiting.append(request["id"])
        leaf.kill()
        return None

    def _keep(self, request: "dict[str, typing.Any]") -> None:
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is None or leaf.keep is not None or leaf.scratch_in_memory:
            message = "it has ended, or what it writes is not on disk: nothing of it can be kept"
            raise Refused("OL_SANDBOX_DESTROYED", message)
        orders = [Order(order["source"], order["target"], order["merge"]) for order in request["orders"]]
        leaf.keep = (request["id"], orders)
        leaf.kill()

    def _create_zygote(self, request: "dict[str, typing.Any]") -> None:
        if self._close_deadline is not None:
            raise Refused("OL_SANDBOX_CLOSED", "the engine is closing")
        self._desk.create(request)

    def _kill_zygote(self, request: "dict[str, typing.Any]") -> "dict[str, object] | None":
        return self._desk.kill(request)

    def _stats(self, _request: "dict[str, typing.Any]") -> "dict[str, object]":
        return {
            "sandboxes": len(self._sandboxes),
            "created": self._created,
            "destroyed": self._destroyed,
            **self._forest.stats(),
        }

    # The end of sandboxes, and of the broker

    def _on_out_of_disk(self, leaf: Leaf) -> None:
        leaf.out_of_disk = True
        leaf.kill()

    def leaf_waits(self, leaf: Leaf) -> None:
        self._places.prepare(leaf)

    def leaf_ended(self, leaf: Leaf) -> None:
        """Tells the worker, then removes what is left."""
        scratch = leaf.scratch
        if scratch is None:
            self._places.leave(leaf)
            return
        self._pauser.forget(leaf)
        if self._sandboxes.get(scratch.sandbox) is leaf:
            self._wire.send({"v": 1, "event": "exit", "sandbox": scratch.sandbox, **leaf.end()})
            del self._sandboxes[scratch.sandbox]
            self._destroyed += 1
        if leaf.keep is None:
            self._leave(leaf)
        else:
            self._keep_of(leaf, scratch, *leaf.keep)

    def _leave(self, leaf: Leaf) -> None:
        self._places.leave(leaf)
        for number in leaf.waiting:
            self._answer_later(number)

    def _keep_of(self, leaf: Leaf, scratch: Scratch, number: int, orders: "list[Order]") -> None:
        def done(outcomes: "list[Outcome]") -> None:
            self._wire.send({"v": 1, "id": number, "ok": {"outcomes": outcomes}})
            self._leave(leaf)

        try:
            self._keeper.keep(scratch.directory_fd, orders, done)
        except OSError as error:
            done([failed(str(error.strerror))] * len(orders))

    def _on_outbound_lost(self, reason: str) -> None:
        self.log("error", f"{reason}; its sandboxes are ended, and the next one gets new rules")
        self._forest.end_outbound(reason)

    def _close(self, request: "dict[str, typing.Any]") -> None:
        self.begin_close(request["id"])

    def begin_close(self, answer_to: "int | None") -> None:
        if self._close_deadline is not None:
            return
        if not self._started:
            self._finished = True
            return
        self._close_request = answer_to
        self._ground.files.say_serving(False)
        self._close_deadline = time.monotonic() + _CLOSE_SEC
        self._forest.close()

    def abandon(self) -> None:
        # Processes that are in no group end with their tree, and that with this process; directories wait for the next start.
        self._ground.close()

    def _try_to_finish(self, now: float) -> None:
        """Ends the broker once nothing is left, or when it takes too long: the next start sweeps what stays."""
        assert self._close_deadline is not None
        empty = self._forest.empty and self._keeper.busy == 0 and self._places.empty_trash()
        if not empty and now < self._close_deadline:
            return
        self._ground.close()
        if self._meter is not None:
            self._meter.close()
        if self._close_request is not None:
            self._wire.connection.setblocking(True)
            self._wire.send({"v": 1, "id": self._close_request, "ok": {}})
        self._finished = True

    def zygote_ready(self, zygote: Zygote) -> None:
        self._desk.ready(zygote)

    def zygote_ended(self, zygote: Zygote) -> None:
        self._desk.ended(zygote)
