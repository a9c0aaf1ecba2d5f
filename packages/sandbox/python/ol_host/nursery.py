"""Zygotes: how they come into being, what they say of themselves, and their end.

A root zygote is made by the broker (tree.py), one for each network class in use. Every other is forked by its parent
zygote when the broker asks. Nothing here waits for anybody.
"""

import contextlib
import os
import selectors
import socket
import time
import typing

from ol_guest import messages

from ol_host import tree as trees
from ol_host import zygote_groups
from ol_host.cgroups import GroupStock
from ol_host.channels import receive
from ol_host.leaves import kill_process
from ol_host.logtap import LogTap
from ol_host.own_groups import OwnGroups
from ol_host.processes import holding_of
from ol_host.soil import Soil
from ol_host.strays import kill_strays
from ol_host.uids import REFUSED_UIDS, UID_BLOCK, ZYGOTE_UIDS
from ol_host.wire import Refused
from ol_host.zygote_groups import LeafAllowance
from ol_host.zygotes import Violation, Zygote, import_of, number_of, text_of, unfit_of

# The kernel nests 32 user namespaces, and as many PID namespaces; the broker's, a container's and a leaf's count too.
MOST_DEPTH = 25
_IMPORT_SEC = 30.0
# What a dead zygote may still have to say.
_LAST_MESSAGES = 64
# How a leaf ended its zygote tells, and how a zygote ended its init, once nothing else lives there: right after its end. On
# a machine with much to do "right after" can be seconds; where nobody wants to know, or nobody is left to tell, it is not
# waited for as long.
STATUS_GRACE_SEC = 5.0
SHORT_GRACE_SEC = 0.1
_NO_ZYGOTE = "OL_SANDBOX_NO_ZYGOTE"


class Listener(typing.Protocol):
    """Who cares for zygotes' leaves, and tells the worker."""

    def leaf_said(self, zygote: Zygote, message: "dict[str, typing.Any]", descriptors: "list[int]") -> None: ...

    def living_leaves(self, zygote: Zygote) -> "set[int]":
        """Pids of its leaves that are known and alive."""
        ...

    def orphan_leaves(self, zygote: Zygote) -> None: ...

    def lose_leaves(self, zygote: Zygote) -> None:
        """Its init has ended: nothing that it forked is left."""
        ...

    def zygote_ready(self, zygote: Zygote) -> None: ...

    def zygote_ended(self, zygote: Zygote) -> None: ...


class Nursery:
    def __init__(
        self,
        soil: Soil,
        selector: selectors.BaseSelector,
        listener: Listener,
        log: "typing.Callable[[str, str], None]",
    ) -> None:
        self._soil = soil
        self._selector = selector
        self._listener = listener
        self._log = log
        # Until nothing of them is left: their init outlives them.
        self._zygotes: "dict[int, Zygote]" = {}
        self._numbers = 0
        self._closing = False

    def __len__(self) -> int:
        return len(self._zygotes)

    def __iter__(self) -> "typing.Iterator[Zygote]":
        return iter(list(self._zygotes.values()))

    def find(self, identity: str) -> "Zygote | None":
        """The living zygote of that name."""
        for zygote in self._zygotes.values():
            if zygote.alive and zygote.id == identity:
                return zygote
        return None

    def close(self) -> None:
        """A root's init takes everything below along."""
        self._closing = True
        for zygote in self:
            zygote.kill_everything()

    # Time

    def moments(self) -> "list[float]":
        deadlines = [zygote.deadline for zygote in self._zygotes.values() if zygote.deadline is not None]
        resumes = [zygote.log.resume_moment for zygote in self._zygotes.values()]
        tells = [zygote.tell_moment for zygote in self._zygotes.values()]
        return deadlines + [moment for moment in (*resumes, *tells) if moment is not None]

    def on_time(self, now: float) -> None:
        for zygote in self:
            zygote.log.resume(now)
            if zygote.tell_moment is not None and zygote.tell_moment <= now:
                self._tell_end(zygote)
            if zygote.deadline is not None and zygote.deadline <= now:
                zygote.deadline = None
                self.give_up_on(zygote, f"it did not import its modules within {zygote.patience_sec:g} s")

    # Making zygotes

    def root(self, network: str) -> Zygote:
        """The living root that serves a network class, made now if there is none."""
        wanted = trees.tree_class(network)
        for zygote in self._zygotes.values():
            if zygote.is_root and zygote.alive and zygote.network == wanted:
                return zygote
        soil = self._soil
        tree = trees.spawn(soil.base, wanted, soil.rootless, soil.first_uid, soil.weaken, soil.preload)
        zygote = self._admit(None, wanted, None, 0, tree.control, tree.log_fd, soil.groups)
        zygote.init_pid, zygote.init_pidfd = tree.pid, tree.pidfd
        # It imports as well: what every lambda may want of the standard library.
        zygote.patience_sec = _IMPORT_SEC
        zygote.deadline = time.monotonic() + _IMPORT_SEC
        self._selector.register(tree.pidfd, selectors.EVENT_READ, lambda: self._on_init_death(zygote))
        return zygote

    def create(self, request: "dict[str, typing.Any]") -> None:
        """Has a child zygote forked. Its fate is told by `zygote_ready` or `zygote_ended`. Raises Refused, OSError."""
        if request["network"] == "outbound":
            # Before it runs anybody's import code.
            self._soil.outbound.ensure()
        parent = self._parent_for(request)
        try:
            self._ask_for_zygote(parent, request)
        except (BrokenPipeError, ConnectionResetError):
            self.hear_out(parent)
            self._ask_for_zygote(self._parent_for(request), request)

    def _parent_for(self, request: "dict[str, typing.Any]") -> Zygote:
        if self.find(request["zygote"]) is not None:
            raise Refused("OL_SANDBOX_BAD_OPTIONS", f"there is a zygote {request['zygote']} already")
        network, identity = request["network"], request.get("parent")
        if identity is None:
            return self.root(network)
        parent = self.serving(identity, network)
        if parent.depth >= MOST_DEPTH:
            reason = f"zygote {identity} is the {MOST_DEPTH}th below its root, and the kernel nests no deeper"
            raise Refused("OL_SANDBOX_BAD_OPTIONS", reason)
        return parent

    def serving(self, identity: str, network: str) -> Zygote:
        """The zygote of that name, which must be one to fork from. Raises Refused."""
        zygote = self.find(identity)
        if zygote is None or not zygote.serves:
            raise Refused(_NO_ZYGOTE, f"there is no zygote {identity}, or it is not ready")
        if zygote.network != network:
            raise Refused("OL_SANDBOX_BAD_OPTIONS", f"zygote {identity} is one of network {zygote.network}")
        return zygote

    def _ask_for_zygote(self, parent: Zygote, request: "dict[str, typing.Any]") -> None:
        soil, limits = self._soil, request["limits"]
        base_uid = self._free_uid_above(parent.base_uid)
        with contextlib.ExitStack() as sent, contextlib.ExitStack() as undo:
            groups = zygote_groups.make(soil.groups, limits, undo) if soil.groups.controllers else None
            init_procs: "list[int]" = []
            procs: "list[int]" = []
            for group, opened in zip(groups or (), (init_procs, procs)):
                opened += group.open_procs()
                for descriptor in opened:
                    sent.callback(os.close, descriptor)
            ours, theirs = messages.pair()
            undo.callback(ours.close)
            sent.callback(theirs.close)
            log_read, log_write = os.pipe()
            undo.callback(os.close, log_read)
            sent.callback(os.close, log_write)
            message = {
                "op": "beget",
                "zygote": self._numbers,
                "initGroups": len(init_procs),
                "uidMap": "0 0 1" if soil.rootless else _uid_map(request["network"], parent.base_uid, base_uid),
                "packages": request["packages"],
                "modules": request["modules"],
                "tmpMb": limits["memoryMb"],
                "dataMb": None if "memory" in soil.groups.controllers else limits["memoryMb"],
            }
            messages.send(parent.control, message, [theirs.fileno(), log_write, *init_procs, *procs])
            undo.pop_all()
        own = OwnGroups(soil.groups)
        zygote = self._admit(request["zygote"], request["network"], parent, base_uid, ours, log_read, own)
        parent.count_fork(1)
        if groups is not None:
            zygote.init_group, zygote.group = groups
        # One leaf will wait from the start.
        zygote.stock(zygote.network)
        zygote.create_request = request["id"]
        zygote.packages = request["packages"]
        zygote.memory_mb = limits["memoryMb"]
        zygote.patience_sec = request.get("importMs", _IMPORT_SEC * 1000) / 1000
        zygote.import_moment = time.monotonic()
        zygote.deadline = zygote.import_moment + zygote.patience_sec
        if zygote.group is not None and zygote.group.memory_event_fd >= 0:
            event = zygote.group.memory_event_fd
            self._selector.register(event, selectors.EVENT_READ, lambda: self._on_out_of_memory(zygote))

    def _free_uid_above(self, base_uid: int) -> int:
        if self._soil.rootless:
            return 0
        taken = {zygote.base_uid for zygote in self._zygotes.values()}
        for uid in range(base_uid + 1, ZYGOTE_UIDS.stop):
            if uid not in taken:
                return uid
        raise OSError("there are no more user ids for zygotes")

    def _admit(
        self,
        identity: "str | None",
        network: str,
        parent: "Zygote | None",
        base_uid: int,
        control: socket.socket,
        log_fd: int,
        groups: "GroupStock | OwnGroups",
    ) -> Zygote:
        name = f"sandbox tree {network}" if identity is None else f"zygote {identity}"
        log = LogTap(log_fd, self._selector, lambda text: self._log("warn", f"{name}: {text}"))
        zygote = Zygote(self._numbers, identity, network, parent, base_uid, control, log, groups)
        self._zygotes[self._numbers] = zygote
        self._numbers += 1
        self._selector.register(control, selectors.EVENT_READ, lambda: self._on_control(zygote))
        return zygote

    # News

    def _on_control(self, zygote: Zygote) -> None:
        received = receive(zygote.control)
        if received is None:
            self._on_death(zygote)
            return
        message, descriptors = received
        try:
            self._on_message(zygote, message, descriptors)
        except Violation as violation:
            self.give_up_on(zygote, f"it broke the protocol: {violation}")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _on_message(self, zygote: Zygote, message: "dict[str, typing.Any]", descriptors: "list[int]") -> None:
        """Takes out of `descriptors` what it keeps."""
        operation = message.get("op")
        if "leaf" in message:
            self._listener.leaf_said(zygote, message, descriptors)
        elif operation == "here":
            self._on_itself(zygote, descriptors)
        elif operation == "ready" and zygote.pid is not None and not zygote.ready:
            self._on_ready(zygote, message)
        elif operation == "unfit" and not zygote.ready:
            zygote.error = text_of(message, "error")
            zygote.unfit = unfit_of(message, zygote.packages)
            zygote.kill()
        elif operation in ("failed", "exit"):
            self._on_child(zygote, message)
        else:
            raise Violation("a message that nobody asked for")

    def _on_itself(self, zygote: Zygote, descriptors: "list[int]") -> None:
        if zygote.parent is not None and zygote.parent.is_root and zygote.parent.pid is None:
            # It said so before it forked this one, and we have only not read it yet.
            with contextlib.suppress(BlockingIOError):
                self._on_control(zygote.parent)
        known_init = zygote.init_pidfd
        try:
            lives = zygote.believe_itself(descriptors)
        finally:
            if zygote.init_pidfd is not None and known_init is None:
                self._selector.register(zygote.init_pidfd, selectors.EVENT_READ, lambda: self._on_init_death(zygote))
        if not lives:
            # Not the end of its channel, which a process that it left behind may hold.
            self.hear_out(zygote)
            return
        assert zygote.pidfd is not None
        self._selector.register(zygote.pidfd, selectors.EVENT_READ, lambda: self.hear_out(zygote))
        if zygote.kill_wanted:
            zygote.kill()

    def _on_ready(self, zygote: Zygote, message: "dict[str, typing.Any]") -> None:
        if not zygote.is_root:
            assert zygote.pid is not None
            passed_ms = (time.monotonic() - zygote.import_moment) * 1000
            try:
                held = holding_of(zygote.pid)
            except PermissionError as error:
                raise Violation("it does not let itself be looked at") from error
            zygote.imported = import_of(message, passed_ms, held.private_bytes)
            if zygote.group is not None:
                zygote.allowance = LeafAllowance(zygote.group, zygote.memory_mb, held.anonymous_bytes)
                zygote.count_fork(0)
        zygote.ready = True
        zygote.deadline = None
        self._listener.zygote_ready(zygote)

    def _on_child(self, parent: Zygote, message: "dict[str, typing.Any]") -> None:
        child = self._zygotes.get(number_of(message, "zygote"))
        if child is None:
            # It ended, and its init after it, before this was read.
            return
        if child.parent is not parent:
            raise Violation("news of another's child")
        if message["op"] == "exit":
            child.status = number_of(message, "status")
            if not child.alive:
                self._tell_end(child)
        elif child.pid is None:
            child.error = text_of(message, "error")
            self._on_death(child)

    def _on_out_of_memory(self, zygote: Zygote) -> None:
        assert zygote.group is not None
        with contextlib.suppress(BlockingIOError):
            os.read(zygote.group.memory_event_fd, 8)
        zygote.out_of_memory = True
        zygote.kill()

    # Ends

    def hear_out(self, zygote: Zygote) -> None:
        """One whose channel has ended on its side: what it said before is heard first."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_LAST_MESSAGES):
                if zygote.alive:
                    self._on_control(zygote)
        self._on_death(zygote)

    def give_up_on(self, zygote: Zygote, reason: str) -> None:
        """It hangs, or lies. Its leaves live on, but what it forked besides does not."""
        self._log("error", f"{zygote.name} is ended: {reason}")
        zygote.error = zygote.error or reason
        if zygote.is_root and zygote.pid is None:
            zygote.kill_everything()
            return
        if zygote.pidfd is not None:
            kill_process(zygote.pidfd)
        self._on_death(zygote)

    def _on_death(self, zygote: Zygote) -> None:
        if not zygote.alive:
            return
        zygote.alive = False
        zygote.deadline = None
        self._selector.unregister(zygote.control)
        zygote.control.close()
        if zygote.pidfd is not None:
            kill_process(zygote.pidfd)
            self._selector.unregister(zygote.pidfd)
            os.close(zygote.pidfd)
            zygote.pidfd = None
        keep = self._outliving(zygote)
        if not self._closing:
            self._kill_strays(zygote, keep)
        self._listener.orphan_leaves(zygote)
        if isinstance(zygote.groups, OwnGroups):
            zygote.groups.dissolve()
        # Its init tells its parent how it ended, as soon as nothing else lives there.
        known = zygote.kill_wanted or zygote.error is not None or zygote.status is not None
        if known or self._closing or zygote.parent is None or not zygote.parent.alive:
            self._tell_end(zygote)
        else:
            zygote.parent.ask_for_ends()
            zygote.tell_moment = time.monotonic() + (SHORT_GRACE_SEC if keep else STATUS_GRACE_SEC)

    def _tell_end(self, zygote: Zygote) -> None:
        if zygote.end_told:
            return
        zygote.end_told = True
        zygote.tell_moment = None
        self._listener.zygote_ended(zygote)
        if zygote.init_pidfd is None:
            self._forget(zygote)

    def _outliving(self, zygote: Zygote) -> "set[int]":
        """The processes forked from it that live on when it has ended."""
        children = (child.init_pid for child in self._zygotes.values() if child.parent is zygote)
        return self._listener.living_leaves(zygote) | {pid for pid in children if pid is not None}

    def _kill_strays(self, zygote: Zygote, keep: "set[int]") -> None:
        """Leaves that it could not announce any more, and whatever import code left running."""
        if zygote.init_pid is None:
            return
        if not kill_strays(zygote.init_pid, keep):
            self._log("error", f"processes of {zygote.name} fork faster than they can be killed; all of it is ended")
            zygote.kill_everything()

    def _on_init_death(self, zygote: Zygote) -> None:
        assert zygote.init_pidfd is not None
        if zygote.is_root:
            os.waitid(os.P_PIDFD, zygote.init_pidfd, os.WEXITED)
        self.hear_out(zygote)
        if not zygote.end_told and zygote.parent is not None:
            zygote.parent.ask_for_ends()
        self._listener.lose_leaves(zygote)
        self._selector.unregister(zygote.init_pidfd)
        os.close(zygote.init_pidfd)
        zygote.init_pidfd = None
        if zygote.end_told:
            self._forget(zygote)

    def _forget(self, zygote: Zygote) -> None:
        """Nothing of it is left."""
        zygote.log.close()
        if zygote.init_group is not None:
            self._soil.groups.discard(zygote.init_group)
        if zygote.group is not None:
            if zygote.group.memory_event_fd >= 0 and zygote.group.memory_event_fd in self._selector.get_map():
                self._selector.unregister(zygote.group.memory_event_fd)
            self._soil.groups.discard(zygote.group)
        if self._zygotes.pop(zygote.number, None) is not None and zygote.parent is not None:
            zygote.parent.count_fork(-1)


def _uid_map(network: str, parent_base: int, base: int) -> str:
    """Everything from its own id on, so that its children's can be above it; but ids that may reach this machine's
    own addresses only for those who fork such leaves."""
    end = UID_BLOCK if network == "host" else REFUSED_UIDS.stop
    return f"0 {base - parent_base} {end - base}"
