"""The broker's loop, and what the worker asks for.

Verbs, all that there are: `start` (once, first), `create`, `pause`, `resume`, `measure`, `kill`, `zygote`,
`kill-zygote` (desk.py), `stats`, `close`. Events: `exit` (a sandbox is gone and why), `zygote-exit`, `prepared` (how
many processes wait, and what they hold), `log`. Nothing here waits for anybody.
"""

import contextlib
import errno
import os
import selectors
import socket
import sys
import time
import typing

import ol_kernel as kernel
from ol_guest import messages

from ol_host import cgroups, hierarchies, host, limits, processes
from ol_host.desk import ZygoteDesk
from ol_host.files import InUse, Workspace
from ol_host.forest import Forest
from ol_host.leaves import Leaf
from ol_host.meter import ScratchMeter
from ol_host.obstacles import explain, obstacles, require_seccomp
from ol_host.outbound import Outbound
from ol_host.pausing import Pauser
from ol_host.places import Places
from ol_host.resolv import Resolver
from ol_host.soil import Soil
from ol_host.tree import Base
from ol_host.waiting import WaitingReport
from ol_host.watcher import MemoryWatcher
from ol_host.wire import FRAME_BYTES, Refused, Wire, WireError
from ol_host.zygotes import Zygote

# How often output files are measured; between two looks a sandbox can write as much as its disk lets it.
_LOG_CHECK_SEC = 1.0
_CLOSE_SEC = 10.0
# What tests leave out of the control groups.
_LEFT_OUT = {"cgroups": ("memory", "pids", "cpu", hierarchies.FREEZE), "cgroup-freeze": (hierarchies.FREEZE,)}
# Leaves that turn out to be dead when they are taken, before it is taken for a failure.
_MOST_DEAD_LEAVES = 10
# What an earlier broker left is removed before the first sandbox is made: a million files take about this long.
_SWEEP_SEC = 40.0


class Broker:
    def __init__(self, connection: socket.socket) -> None:
        self._wire = Wire(connection)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ, self._on_worker)
        self._started = False
        self._rootless = True
        # The request to answer when everything is gone; None also where the worker is gone too.
        self._close_request: "int | None" = None
        self._close_deadline: "float | None" = None
        self._finished = False
        self._sandboxes: "dict[str, Leaf]" = {}
        self._created = 0
        self._destroyed = 0
        self._next_log_check = 0.0
        self._worker_gone = False

    def run(self) -> None:
        while not self._finished:
            for key, _events in self._selector.select(self._timeout()):
                # One of the same batch may have closed it.
                registered = self._selector.get_map().get(key.fd)
                if registered is not None and registered.data == key.data:
                    key.data()
            if self._started:
                self._forest.refill()
                self._on_time()
            self._watch_for_writing()

    # Time

    def _timeout(self) -> "float | None":
        moments = self._forest.moments() + self._pauser.moments() if self._started else []
        if self._started and self._report.moment is not None:
            moments.append(self._report.moment)
        if self._sandboxes:
            moments.append(self._next_log_check)
            measuring = self._meter.moment()
            if measuring is not None:
                moments.append(measuring)
            if self._watcher is not None:
                moments.append(self._watcher.moment())
        if self._close_deadline is not None:
            moments.append(min(self._close_deadline, time.monotonic() + 0.02))
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _on_time(self) -> None:
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
            self._meter.look(self._sandboxes.values(), now)
            if self._watcher is not None:
                self._watcher.look(self._sandboxes.values(), now)
        if self._close_deadline is not None:
            self._try_to_finish(now)

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

    # The worker

    def _on_worker(self) -> None:
        self._wire.flush()
        if self._worker_gone:
            return
        requests = self._wire.receive()
        if requests is None:
            self._worker_gone = True
            self._begin_close(None)
            return
        for request in requests:
            self._answer(request)

    def _answer(self, request: "dict[str, typing.Any]") -> None:
        verbs = {
            "start": self._start,
            "create": self._create,
            "pause": self._pause,
            "resume": self._resume,
            "measure": self._measure,
            "kill": self._kill,
            "zygote": self._create_zygote,
            "kill-zygote": self._kill_zygote,
            "stats": self._stats,
            "close": self._close,
        }
        number = request["id"]
        try:
            verb = verbs.get(request["verb"])
            if verb is None or (not self._started and request["verb"] != "start"):
                raise WireError(f"verb {request['verb']!r} is unknown, or too early")
            answer = verb(request)
        except Refused as error:
            self._refuse_later(number, error)
            return
        if answer is not None:
            self._wire.send({"v": 1, "id": number, "ok": answer})

    def _start(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        if self._started:
            raise WireError("a second start")
        try:
            return self._set_up(request)
        except OSError as error:
            reason = explain(error, self._rootless)
            raise Refused("OL_SANDBOX_HOST_UNFIT", f"the sandbox engine cannot start: {reason}") from error

    def _set_up(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        with open("/proc/self/uid_map", encoding="ascii") as uid_map:
            self._rootless = not host.has_root_rights(os.geteuid(), uid_map.read())
        if "seccomp" not in request["weaken"]:
            require_seccomp()
        os.umask(0o022)
        most_leaves = host.allow_many_descriptors()
        found, notes = hierarchies.discover(as_root=not self._rootless)
        # Tests look at hosts that have less than this one.
        left_out = {name: names for name, names in _LEFT_OUT.items() if name in request["weaken"]}
        found = hierarchies.without(found, frozenset().union(*left_out.values()))
        if self._rootless:
            self._enter_own_namespace()
        base = Base(request["runtimeDir"], request.get("packagesDir"))
        try:
            self._files = Workspace(
                request["workDir"], request["codeDir"], request.get("logDir"), self._worker_ids(request)
            )
        except InUse as error:
            message = f"{request['workDir']} is in use by another worker; stop that one, or choose another directory"
            raise Refused("OL_SANDBOX_DIRECTORY_IN_USE", message) from error
        self._first_uid, self._uid_claim = (0, None) if self._rootless else host.claim_uid_block()
        self._places = Places(self._files, None if self._rootless else self._first_uid, self._selector, self.log)
        self._groups = cgroups.GroupStock(request["groupPrefix"], found)
        self._open_groups(notes)
        swept = self._files.sweep()
        stuck = self._files.trash.wait_until_empty(_SWEEP_SEC)
        if stuck:
            notes.append(f"{len(stuck)} things in {request['workDir']}/trash could not be removed; look at them")
        if not kernel.knows_landlock_scopes():
            notes.append(
                "sandboxes with network host reach this machine's abstract unix sockets: only Linux 6.12 and newer, "
                "with Landlock, can keep them off; use network none where that matters"
            )
        self._files.say_serving(True)
        self._resolver = Resolver(self._files.run_fd)
        self._outbound = Outbound(
            request["groupPrefix"],
            None if self._rootless else self._first_uid,
            self._resolver.nameservers,
            self._selector,
            self._on_outbound_lost,
        )
        soil = Soil(
            base=base,
            groups=self._groups,
            outbound=self._outbound,
            rootless=self._rootless,
            first_uid=self._first_uid,
            weaken=request["weaken"],
            preload=request["preload"],
            prepared=request["prepared"],
            most_prepared=request["mostPrepared"],
            most_leaves=most_leaves,
        )
        self._forest = Forest(soil, self._selector, self)
        self._report = WaitingReport(self._forest, self._wire.send)
        self._desk = ZygoteDesk(self._wire, self._forest.nursery)
        for network in request["networks"]:
            self._forest.nursery.root(network).stock(network)
        self._pauser = Pauser(request["downsizePaused"], self._answer_later, self._refuse_later)
        self._meter = ScratchMeter(self._selector, self._on_out_of_disk)
        self._watcher = None if "memory" in self._groups.controllers else MemoryWatcher()
        self._started = True
        return {
            "pid": os.getpid(),
            "swept": swept,
            "rootless": self._rootless,
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            **limits.in_force(self._groups, self._rootless),
            "notes": notes,
        }

    def _worker_ids(self, request: "dict[str, typing.Any]") -> "tuple[int, int] | None":
        worker = request.get("worker")
        if worker is None:
            return None
        if self._rootless:
            raise Refused("OL_SANDBOX_BAD_OPTIONS", "only a worker started by root can become another user")
        return worker["uid"], worker["gid"]

    def _enter_own_namespace(self) -> None:
        try:
            host.enter_own_namespace()
        except OSError as error:
            reasons = "; ".join(obstacles(error.errno, True)) or "run as root, or let the administrator allow it"
            message = f"an ordinary user may not make a user namespace here ({error.strerror}); {reasons}"
            raise Refused("OL_SANDBOX_HOST_UNFIT", message) from error

    def _open_groups(self, notes: "list[str]") -> None:
        try:
            self._groups.open()
        except cgroups.GroupsInUse as error:
            message = (
                f"another worker has the cgroup {error}, so it has this cluster's id and this worker's name; if the "
                "cluster directory is a copy, make a new cluster instead"
            )
            raise Refused("OL_SANDBOX_DIRECTORY_IN_USE", message) from error
        except OSError as error:
            notes.append(f"no limits by cgroup: {error.filename or 'cgroup'}: {error.strerror}")
            self._groups = cgroups.GroupStock("", [])

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
        return {}

    def _assign_one(self, request: "dict[str, typing.Any]") -> Leaf:
        """That leaves died while they waited, with their zygote, is not the request's fault."""
        for _ in range(_MOST_DEAD_LEAVES):
            leaf = self._forest.take(request["network"], request.get("zygote"), request["limits"]["memoryMb"])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._assign(leaf, request)
                return leaf
        raise OSError("no process could be forked for it, or it died at once; the log may say why")

    def _assign(self, leaf: Leaf, request: "dict[str, typing.Any]") -> None:
        """Tells the leaf what to become. What fails here takes the leaf along."""
        descriptors: "list[int]" = []
        resolver: "list[int]" = []
        try:
            if leaf.group is not None:
                limits.apply(leaf.group, request["limits"])
            code = self._files.open_code(request["code"])
            descriptors.append(code)
            descriptors.extend(self._places.take(leaf, request["name"], request["sandbox"]))
            if leaf.network == "outbound":
                resolver = self._resolver.detached()
            leaf.log_mb = request["limits"]["logMb"]
            leaf.memory_mb = request["limits"]["memoryMb"]
            leaf.scratch_mb = request["limits"]["scratchMb"]
            message = {
                "op": "assign",
                "environment": request["environment"],
                "packages": request["packages"],
                "tmpMb": request["limits"]["memoryMb"],
                **limits.for_leaf(request["limits"], self._groups.controllers, self._rootless),
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

    def _refuse_later(self, number: int, error: Refused) -> None:
        self._wire.send({"v": 1, "id": number, "error": {"code": error.code, "message": str(error)}})

    def _answer_later(self, number: int) -> None:
        self._wire.send({"v": 1, "id": number, "ok": {}})

    def _kill(self, request: "dict[str, typing.Any]") -> "dict[str, object] | None":
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is None:
            return {}
        leaf.waiting.append(request["id"])
        leaf.kill()
        return None

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
        self._places.leave(leaf)
        for number in leaf.waiting:
            self._wire.send({"v": 1, "id": number, "ok": {}})

    def _on_outbound_lost(self, reason: str) -> None:
        self.log("error", f"{reason}; its sandboxes are ended, and the next one gets new rules")
        self._forest.end_outbound(reason)

    def _close(self, request: "dict[str, typing.Any]") -> None:
        self._begin_close(request["id"])

    def _begin_close(self, answer_to: "int | None") -> None:
        if self._close_deadline is not None:
            return
        if not self._started:
            self._finished = True
            return
        self._close_request = answer_to
        self._files.say_serving(False)
        self._close_deadline = time.monotonic() + _CLOSE_SEC
        self._forest.close()

    def _try_to_finish(self, now: float) -> None:
        """Ends the broker once nothing is left, or when it takes too long: the next start sweeps what stays."""
        assert self._close_deadline is not None
        empty = self._forest.empty and self._places.empty_trash()
        if not empty and now < self._close_deadline:
            return
        self._groups.close()
        self._outbound.close()
        self._resolver.close()
        if self._close_request is not None:
            self._wire.connection.setblocking(True)
            self._wire.send({"v": 1, "id": self._close_request, "ok": {}})
        self._finished = True

    def zygote_ready(self, zygote: Zygote) -> None:
        self._desk.ready(zygote)

    def zygote_ended(self, zygote: Zygote) -> None:
        self._desk.ended(zygote)

    def log(self, level: str, message: str) -> None:
        self._wire.send({"v": 1, "event": "log", "level": level, "message": message[: FRAME_BYTES // 4]})
