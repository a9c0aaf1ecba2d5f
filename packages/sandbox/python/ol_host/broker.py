"""The broker's loop: requests of the worker, news of zygotes and leaves.

Verbs, all that there are: `start` (once, first), `create`, `kill`, `stats`, `close`. Events: `exit` (a sandbox is
gone and why), `log`. Nothing here waits for anybody: a leaf is told what to become before it exists, and its
death is noticed by its pidfd.
"""

import collections
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

from ol_host import cgroups, host, limits, tree as trees
from ol_host.files import InUse, Scratch, Workspace
from ol_host.leaves import Leaf, kill_process
from ol_host.strays import kill_strays, pid_of
from ol_host.wire import FRAME_BYTES, Refused, Wire, WireError

# How often output files are measured; between two looks a sandbox can write as much as its disk lets it.
_LOG_CHECK_SEC = 1.0
# A dead leaf's exit status comes from its zygote right after its pidfd; then it is not waited for any longer.
_STATUS_GRACE_SEC = 0.25
_CLOSE_SEC = 10.0
# What an earlier broker left is removed before the first sandbox is made: a million files take about this long.
_SWEEP_SEC = 40.0
# A zygote forks in a millisecond; one that takes this long was stopped, or hangs, and will not come back.
_FORK_SEC = 15.0
_FIRST_LEAF_UID = 1
_LAST_WORDS_BYTES = 4096


class Broker:
    def __init__(self, connection: socket.socket) -> None:
        self._wire = Wire(connection)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ, self._on_worker)
        self._started = False
        # The request to answer when everything is gone; None also where the worker is gone too.
        self._close_request: "int | None" = None
        self._close_deadline: "float | None" = None
        self._finished = False
        self._trees: "list[trees.Tree]" = []
        self._leaves: "dict[int, Leaf]" = {}
        self._sandboxes: "dict[str, Leaf]" = {}
        self._prepared: "dict[str, collections.deque[Leaf]]" = collections.defaultdict(collections.deque)
        self._to_refill: "set[str]" = set()
        self._free_uids = collections.deque(range(_FIRST_LEAF_UID, trees.UID_BLOCK - 1))
        self._numbers = 0
        self._created = 0
        self._destroyed = 0
        # (moment, leaf) of those dead without a known status.
        self._undecided: "list[tuple[float, Leaf]]" = []
        self._next_log_check = 0.0
        self._most_leaves = 0
        # Leaves that a zygote was asked to fork, the longest waiting first, with the moment when patience ends.
        self._unforked: "dict[int, tuple[float, Leaf]]" = {}
        self._worker_gone = False

    def run(self) -> None:
        while not self._finished:
            for key, _events in self._selector.select(self._timeout()):
                # One of the same batch may have closed it.
                registered = self._selector.get_map().get(key.fd)
                if registered is not None and registered.data == key.data:
                    key.data()
            self._refill_wanted()
            self._on_time()
            self._watch_for_writing()

    # Time

    def _timeout(self) -> "float | None":
        moments = [moment for moment, _leaf in self._undecided]
        if self._sandboxes:
            moments.append(self._next_log_check)
        if self._unforked:
            moments.append(next(iter(self._unforked.values()))[0])
        if self._close_deadline is not None:
            moments.append(min(self._close_deadline, time.monotonic() + 0.02))
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _on_time(self) -> None:
        now = time.monotonic()
        overdue = [leaf for moment, leaf in self._undecided if moment <= now]
        self._undecided = [entry for entry in self._undecided if entry[0] > now]
        for leaf in overdue:
            self._finish(leaf)
        if self._sandboxes and now >= self._next_log_check:
            self._next_log_check = now + _LOG_CHECK_SEC
            for leaf in self._sandboxes.values():
                if leaf.scratch is not None:
                    leaf.scratch.cut_output(leaf.log_mb)
        if self._unforked:
            since, leaf = next(iter(self._unforked.values()))
            if since <= now:
                self._give_up_on(leaf.tree)
        if self._close_deadline is not None:
            self._try_to_finish(now)

    def _give_up_on(self, tree: trees.Tree) -> None:
        self._log("error", f"the zygote of network {tree.network} has not answered for {_FORK_SEC:.0f} s; its tree ends")
        self._unforked = {number: entry for number, entry in self._unforked.items() if entry[1].tree is not tree}
        kill_process(tree.pidfd)

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
            "kill": self._kill,
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
            self._wire.send({"v": 1, "id": number, "error": {"code": error.code, "message": str(error)}})
            return
        if answer is not None:
            self._wire.send({"v": 1, "id": number, "ok": answer})

    def _start(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        if self._started:
            raise WireError("a second start")
        try:
            return self._set_up(request)
        except OSError as error:
            raise Refused("OL_SANDBOX_HOST_UNFIT", f"the sandbox engine cannot start: {error}") from error

    def _set_up(self, request: "dict[str, typing.Any]") -> "dict[str, object]":
        with open("/proc/self/uid_map", encoding="ascii") as uid_map:
            self._rootless = not host.has_root_rights(os.geteuid(), uid_map.read())
        self._weaken: "list[str]" = request["weaken"]
        self._wanted_prepared: int = request["prepared"]
        os.umask(0o022)
        self._most_leaves = host.allow_many_descriptors()
        hierarchies, notes = cgroups.discover(as_root=not self._rootless)
        if self._rootless:
            self._enter_own_namespace()
        self._base = trees.Base(request["runtimeDir"], request.get("packagesDir"))
        try:
            self._files = Workspace(request["workDir"], request["codeDir"], request.get("logDir"))
        except InUse as error:
            message = f"{request['workDir']} is in use by another worker; stop that one, or choose another directory"
            raise Refused("OL_SANDBOX_DIRECTORY_IN_USE", message) from error
        self._first_uid, self._uid_claim = (0, None) if self._rootless else host.claim_uid_block()
        self._groups = cgroups.GroupStock(request["groupPrefix"], hierarchies)
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
        self._started = True
        self._to_refill.update(request["networks"])
        return {
            "pid": os.getpid(),
            "swept": swept,
            "prepared": self._wanted_prepared,
            "rootless": self._rootless,
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            **limits.in_force(self._groups, self._rootless),
            "notes": notes,
        }

    def _enter_own_namespace(self) -> None:
        try:
            host.enter_own_namespace()
        except OSError as error:
            message = (
                f"an ordinary user may not make a user namespace here ({error.strerror}); run as root, or let the "
                "administrator allow it (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
                "kernel.apparmor_restrict_unprivileged_userns)"
            )
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
        network = request["network"]
        try:
            leaf = self._assign_one(request)
        except OSError as error:
            raise Refused("OL_SANDBOX_CREATE_FAILED", str(error)) from error
        self._sandboxes[sandbox] = leaf
        self._created += 1
        # After the answer: whoever waits for this sandbox should not wait for the next one's fork.
        self._to_refill.add(network)
        return {}

    def _assign_one(self, request: "dict[str, typing.Any]") -> Leaf:
        """That leaves died while they waited, with their zygote, is not the request's fault."""
        for _ in range(self._wanted_prepared + 2):
            leaf = self._take_prepared(request["network"])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._assign(leaf, request)
                return leaf
        raise OSError("no process could be forked for it, or it died at once; the log may say why")

    def _take_prepared(self, network: str) -> Leaf:
        waiting = self._prepared[network]
        while waiting:
            leaf = waiting.popleft()
            if not leaf.dead and not leaf.kill_wanted and leaf.setup_error is None:
                return leaf
        return self._prepare(network)

    def _assign(self, leaf: Leaf, request: "dict[str, typing.Any]") -> None:
        """Tells the leaf what to become. What fails here takes the leaf along."""
        owner = None if self._rootless else self._first_uid + leaf.uid
        descriptors: "list[int]" = []
        try:
            if leaf.group is not None:
                limits.apply(leaf.group, request["limits"])
            code = self._files.open_code(request["code"])
            descriptors.append(code)
            leaf.scratch = self._files.make_scratch(request["name"], request["sandbox"], owner)
            descriptors.append(self._files.scratch_tree(leaf.scratch))
            listener = self._files.listen(leaf.scratch)
            descriptors.append(listener.detach())
            descriptors.extend(leaf.scratch.output_fds)
            leaf.log_mb = request["limits"]["logMb"]
            message = {
                "op": "assign",
                "environment": request["environment"],
                "tmpMb": request["limits"]["memoryMb"],
                **limits.for_leaf(request["limits"], self._groups.controllers, self._rootless),
            }
            if leaf.channel is None:
                raise BrokenPipeError(errno.EPIPE, f"the prepared process is gone: {leaf.setup_error}")
            messages.send(leaf.channel, message, descriptors)
        except OSError:
            # It never got them, so they can go before it does.
            scratch, leaf.scratch = leaf.scratch, None
            if scratch is not None:
                self._remove(scratch)
            leaf.kill()
            raise
        finally:
            for descriptor in descriptors[:3]:
                os.close(descriptor)

    def _kill(self, request: "dict[str, typing.Any]") -> "dict[str, object] | None":
        leaf = self._sandboxes.get(request["sandbox"])
        if leaf is None:
            return {}
        leaf.waiting.append(request["id"])
        leaf.kill()
        return None

    def _stats(self, _request: "dict[str, typing.Any]") -> "dict[str, object]":
        return {
            "sandboxes": len(self._sandboxes),
            "created": self._created,
            "destroyed": self._destroyed,
            "prepared": sum(len(waiting) for waiting in self._prepared.values()),
            "trees": [{"network": tree.network, "pid": tree.pid} for tree in self._trees],
        }

    # Making leaves

    def _refill_wanted(self) -> None:
        wanted, self._to_refill = self._to_refill, set()
        if self._close_deadline is not None:
            return
        for network in wanted:
            try:
                while len(self._prepared[network]) < self._wanted_prepared:
                    self._prepared[network].append(self._prepare(network))
            except OSError as error:
                # The request that needs one will meet the same error, and its caller is told.
                self._log("warn", f"no process could be made ready in advance: {error}")

    def _prepare(self, network: str) -> Leaf:
        """Asks a zygote for a leaf; one that has just died is replaced once."""
        tree = self._tree_for(network)
        try:
            return self._ask_for_leaf(tree)
        except (BrokenPipeError, ConnectionResetError):
            # First what it said before it died.
            while tree.zygote_alive:
                self._on_zygote(tree)
        return self._ask_for_leaf(self._tree_for(network))

    def _ask_for_leaf(self, tree: trees.Tree) -> Leaf:
        if not self._free_uids:
            raise OSError(f"{trees.UID_BLOCK - 2} sandboxes are alive, and there are no more user ids")
        if len(self._leaves) >= self._most_leaves:
            reason = f"the limit of open files allows for {self._most_leaves} sandboxes; raise it (ulimit -n)"
            raise OSError(errno.EMFILE, reason)
        with contextlib.ExitStack() as sent, contextlib.ExitStack() as undo:
            group = self._groups.take() if self._groups.controllers else None
            if group is not None:
                undo.callback(self._groups.give_back, group)
            ours, theirs = messages.pair()
            undo.callback(ours.close)
            sent.callback(theirs.close)
            procs = group.open_procs() if group is not None else []
            for descriptor in procs:
                sent.callback(os.close, descriptor)
            leaf = Leaf(self._numbers, tree, self._free_uids[0], group, ours)
            message = {"op": "prepare", "leaf": leaf.number, "uid": leaf.uid}
            messages.send(tree.control, message, [theirs.fileno(), *procs])
            undo.pop_all()
        self._numbers += 1
        self._free_uids.popleft()
        self._leaves[leaf.number] = leaf
        self._unforked[leaf.number] = (time.monotonic() + _FORK_SEC, leaf)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_leaf(leaf))
        return leaf

    def _tree_for(self, network: str) -> trees.Tree:
        for tree in self._trees:
            if tree.network == network and tree.zygote_alive:
                return tree
        tree = trees.spawn(self._base, network, self._rootless, self._first_uid, self._weaken)
        self._trees.append(tree)
        self._selector.register(tree.control, selectors.EVENT_READ, lambda: self._on_zygote(tree))
        self._selector.register(tree.pidfd, selectors.EVENT_READ, lambda: self._on_tree_death(tree))
        self._selector.register(tree.log_fd, selectors.EVENT_READ, lambda: self._on_tree_log(tree))
        return tree

    # News

    def _on_zygote(self, tree: trees.Tree) -> None:
        received = _receive(tree.control)
        if received is None:
            self._on_zygote_death(tree)
            return
        message, descriptors = received
        leaf = self._leaves.get(message.get("leaf", -1))
        operation = message.get("op")
        if leaf is not None and leaf.tree is tree:
            if operation == "forked" and leaf.pidfd is None and descriptors:
                self._on_forked(leaf, descriptors.pop())
            elif operation == "exit" and isinstance(message.get("status"), int):
                self._on_status(leaf, message["status"])
            elif operation == "failed":
                self._fail_unforked(leaf, str(message.get("error")))
        for descriptor in descriptors:
            os.close(descriptor)

    def _on_forked(self, leaf: Leaf, pidfd: int) -> None:
        leaf.pidfd = pidfd
        self._unforked.pop(leaf.number, None)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._on_leaf_death(leaf))
        if leaf.group is not None and leaf.group.memory_event_fd >= 0:
            self._watch_memory(leaf)
        if leaf.kill_wanted:
            leaf.kill()

    def _watch_memory(self, leaf: Leaf) -> None:
        assert leaf.group is not None
        self._selector.register(
            leaf.group.memory_event_fd, selectors.EVENT_READ, lambda: self._on_out_of_memory(leaf)
        )

    def _on_out_of_memory(self, leaf: Leaf) -> None:
        assert leaf.group is not None
        os.read(leaf.group.memory_event_fd, 8)
        leaf.out_of_memory = True
        leaf.kill()

    def _on_status(self, leaf: Leaf, status: int) -> None:
        leaf.status = status
        if leaf.dead:
            self._finish(leaf)

    def _on_leaf(self, leaf: Leaf) -> None:
        assert leaf.channel is not None
        received = _receive(leaf.channel)
        if received is not None and received[0].get("op") == "failed":
            leaf.setup_error = str(received[0].get("error"))
            return
        # Shut in, or dead: either way it has nothing more to say here.
        self._close_channel(leaf)

    def _close_channel(self, leaf: Leaf) -> None:
        if leaf.channel is not None:
            self._selector.unregister(leaf.channel)
            leaf.channel.close()
            leaf.channel = None

    def _on_leaf_death(self, leaf: Leaf) -> None:
        assert leaf.pidfd is not None
        leaf.dead = True
        self._selector.unregister(leaf.pidfd)
        os.close(leaf.pidfd)
        if leaf.status is not None or not leaf.tree.zygote_alive:
            self._finish(leaf)
        else:
            self._undecided.append((time.monotonic() + _STATUS_GRACE_SEC, leaf))

    def _on_zygote_death(self, tree: trees.Tree) -> None:
        if not tree.zygote_alive:
            return
        tree.zygote_alive = False
        self._selector.unregister(tree.control)
        tree.control.close()
        leaves = [leaf for leaf in self._leaves.values() if leaf.tree is tree]
        if self._close_deadline is None and any(leaf.pidfd is None for leaf in leaves):
            # Between fork and announcement it may have died too; such a leaf would live where nobody looks for it.
            kill_strays(tree.pid, {pid_of(leaf.pidfd) for leaf in leaves if leaf.pidfd is not None and not leaf.dead})
        # Leaves that were forked live on; those still waiting have nobody left who would tell how they ended.
        for leaf in leaves:
            if leaf.pidfd is None:
                self._fail_unforked(leaf, f"its zygote died. {tree.last_words}".strip())
            elif not leaf.assigned:
                leaf.kill()
        if self._close_deadline is None:
            self._log("warn", f"a zygote of network {tree.network} died; the next sandbox gets a new one")

    def _fail_unforked(self, leaf: Leaf, error: str) -> None:
        leaf.setup_error = error
        leaf.dead = True
        self._finish(leaf)

    def _on_tree_death(self, tree: trees.Tree) -> None:
        os.waitid(os.P_PIDFD, tree.pidfd, os.WEXITED)
        self._on_tree_log(tree)
        self._selector.unregister(tree.pidfd)
        os.close(tree.pidfd)
        self._on_zygote_death(tree)
        if tree.log_fd in self._selector.get_map():
            self._selector.unregister(tree.log_fd)
        os.close(tree.log_fd)
        self._trees.remove(tree)

    def _on_tree_log(self, tree: trees.Tree) -> None:
        try:
            data = os.read(tree.log_fd, _LAST_WORDS_BYTES)
        except BlockingIOError:
            return
        if not data and tree.log_fd in self._selector.get_map():
            self._selector.unregister(tree.log_fd)
        if data:
            text = data.decode(errors="replace").strip()
            tree.last_words = text[-_LAST_WORDS_BYTES:]
            self._log("warn", f"sandbox tree {tree.network}: {text}")

    # The end of leaves, and of the broker

    def _finish(self, leaf: Leaf) -> None:
        """All processes are gone: tells the worker, then removes what is left."""
        if self._leaves.pop(leaf.number, None) is None:
            return
        self._undecided = [entry for entry in self._undecided if entry[1] is not leaf]
        self._unforked.pop(leaf.number, None)
        scratch = leaf.scratch
        if scratch is not None and self._sandboxes.get(scratch.sandbox) is leaf:
            self._wire.send({"v": 1, "event": "exit", "sandbox": scratch.sandbox, **leaf.end()})
            del self._sandboxes[scratch.sandbox]
            self._destroyed += 1
        elif leaf.setup_error is not None:
            self._log("warn", f"a process to fork sandboxes from could not be made: {leaf.setup_error}")
        self._close_channel(leaf)
        if leaf in self._prepared[leaf.tree.network]:
            self._prepared[leaf.tree.network].remove(leaf)
        if leaf.group is not None:
            if leaf.group.memory_event_fd in self._selector.get_map():
                self._selector.unregister(leaf.group.memory_event_fd)
            self._groups.give_back(leaf.group)
        self._free_uids.append(leaf.uid)
        if scratch is not None:
            self._remove(scratch)
        for number in leaf.waiting:
            self._wire.send({"v": 1, "id": number, "ok": {}})

    def _remove(self, scratch: Scratch) -> None:
        try:
            self._files.remove_scratch(scratch)
        except OSError as error:
            # One full disk must not end all other sandboxes; the next start tries again.
            self._log("error", f"what sandbox {scratch.sandbox} left behind could not be removed: {error}")
        self._empty_trash()

    def _empty_trash(self) -> bool:
        trash = self._files.trash
        before = trash.process_id
        empty = trash.empty()
        now = trash.process_id
        if now is not None and now != before:
            self._watch_trash(now)
        return empty

    def _watch_trash(self, pid: int) -> None:
        """What is put into the trash while rm is at work waits for its end."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            # No descriptor is left: it goes on when the next sandbox ends.
            return

        def ended() -> None:
            self._selector.unregister(pidfd)
            os.close(pidfd)
            self._empty_trash()

        self._selector.register(pidfd, selectors.EVENT_READ, ended)

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
        for leaf in self._leaves.values():
            leaf.kill()
        for tree in self._trees:
            kill_process(tree.pidfd)

    def _try_to_finish(self, now: float) -> None:
        """Ends the broker once nothing is left, or when it takes too long: the next start sweeps what stays."""
        assert self._close_deadline is not None
        empty = not self._trees and not self._leaves and self._empty_trash()
        if not empty and now < self._close_deadline:
            return
        self._groups.close()
        if self._close_request is not None:
            self._wire.connection.setblocking(True)
            self._wire.send({"v": 1, "id": self._close_request, "ok": {}})
        self._finished = True

    def _log(self, level: str, message: str) -> None:
        self._wire.send({"v": 1, "event": "log", "level": level, "message": message[: FRAME_BYTES // 4]})


def _receive(channel: socket.socket) -> "tuple[dict[str, typing.Any], list[int]] | None":
    """The next message; None if the other side is gone, or sends what is no message."""
    for _ in range(2):
        try:
            return messages.receive(channel)
        except ConnectionResetError:
            # It died with something unread, which is told once, and before what it had sent itself.
            continue
        except ValueError:
            return None
    return None
