"""The trees and the leaves in them: who is asked to fork what, and how it is noticed that one of them died.

Nothing here waits for anybody: a leaf is told what to become before it exists, and its death is noticed by its pidfd.
"""

import collections
import contextlib
import dataclasses
import errno
import os
import selectors
import socket
import time
import typing

from ol_guest import messages

from ol_host import tree as trees
from ol_host.cgroups import GroupStock
from ol_host.leaves import Leaf, kill_process
from ol_host.strays import kill_strays, pid_of
from ol_host.uids import LeafUids

# A dead leaf's exit status comes from its zygote right after its pidfd; then it is not waited for any longer.
_STATUS_GRACE_SEC = 0.25
# A zygote forks in a millisecond; one that takes this long was stopped, or hangs, and will not come back.
_FORK_SEC = 8.0
# A sandbox that was just handed out starts up in about this time; the next one's fork would take a CPU from it.
_REFILL_DELAY_SEC = 0.004
_LAST_WORDS_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Soil:
    """What trees are made with."""

    base: trees.Base
    groups: GroupStock
    rootless: bool
    first_uid: int
    weaken: "list[str]"
    # Leaves that wait, of each network class in use.
    wanted_prepared: int
    # Leaves that our descriptors allow for.
    most_leaves: int


class Forest:
    """`ended` hears of each leaf that is gone, once, while its cgroup is still its own; `log` of what people should
    know."""

    def __init__(
        self,
        soil: Soil,
        selector: selectors.BaseSelector,
        ended: "typing.Callable[[Leaf], None]",
        log: "typing.Callable[[str, str], None]",
    ) -> None:
        self._soil = soil
        self._selector = selector
        self._ended = ended
        self._log = log
        self._trees: "list[trees.Tree]" = []
        self._leaves: "dict[int, Leaf]" = {}
        self._prepared: "dict[str, collections.deque[Leaf]]" = collections.defaultdict(collections.deque)
        self._to_refill: "set[str]" = set()
        self._refill_moment: "float | None" = None
        self._uids = LeafUids()
        self._numbers = 0
        # (moment, leaf) of those dead without a known status.
        self._undecided: "list[tuple[float, Leaf]]" = []
        # Leaves that a zygote was asked to fork, the longest waiting first, with the moment when patience ends.
        self._unforked: "dict[int, tuple[float, Leaf]]" = {}
        self._closing = False

    @property
    def empty(self) -> bool:
        return not self._trees and not self._leaves

    def stats(self) -> "dict[str, object]":
        return {
            "prepared": sum(len(waiting) for waiting in self._prepared.values()),
            "trees": [{"network": tree.network, "pid": tree.pid} for tree in self._trees],
        }

    def close(self) -> None:
        """Kills everything; `empty` once it is gone."""
        self._closing = True
        for leaf in self._leaves.values():
            leaf.kill()
        for tree in self._trees:
            kill_process(tree.pidfd)

    # Time

    def moments(self) -> "list[float]":
        """When `on_time` wants to be called."""
        moments = [moment for moment, _leaf in self._undecided]
        if self._refill_moment is not None:
            moments.append(self._refill_moment)
        if self._unforked:
            moments.append(next(iter(self._unforked.values()))[0])
        return moments

    def on_time(self, now: float) -> None:
        overdue = [leaf for moment, leaf in self._undecided if moment <= now]
        self._undecided = [entry for entry in self._undecided if entry[0] > now]
        for leaf in overdue:
            self._finish(leaf)
        if self._unforked:
            since, leaf = next(iter(self._unforked.values()))
            if since <= now:
                self._give_up_on(leaf.tree)

    # Making leaves

    def take(self, network: str) -> Leaf:
        """A leaf to assign: one that waits if there is one, else one that is being forked."""
        waiting = self._prepared[network]
        while waiting:
            leaf = waiting.popleft()
            if not leaf.dead and not leaf.kill_wanted and leaf.setup_error is None:
                return leaf
        return self._prepare(network)

    def want_refill(self, networks: "typing.Iterable[str]") -> None:
        self._to_refill.update(networks)
        if self._refill_moment is None:
            self._refill_moment = time.monotonic() + _REFILL_DELAY_SEC

    def refill(self) -> None:
        """Has leaves forked for those that were taken."""
        if self._refill_moment is None or time.monotonic() < self._refill_moment:
            return
        self._refill_moment = None
        wanted, self._to_refill = self._to_refill, set()
        if self._closing:
            return
        for network in wanted:
            try:
                while len(self._prepared[network]) < self._soil.wanted_prepared:
                    self._prepared[network].append(self._prepare(network))
            except OSError as error:
                # The request that needs one will meet the same error, and its caller is told.
                self._log("warn", f"no process could be made ready in advance: {error}")

    def _prepare(self, network: str) -> Leaf:
        """Asks a zygote for a leaf; one that has just died is replaced once."""
        tree = self._tree_for(network)
        try:
            return self._ask_for_leaf(tree, network)
        except (BrokenPipeError, ConnectionResetError):
            # First what it said before it died.
            while tree.zygote_alive:
                self._on_zygote(tree)
        return self._ask_for_leaf(self._tree_for(network), network)

    def _ask_for_leaf(self, tree: trees.Tree, network: str) -> Leaf:
        if len(self._leaves) >= self._soil.most_leaves:
            reason = f"the limit of open files allows for {self._soil.most_leaves} sandboxes; raise it (ulimit -n)"
            raise OSError(errno.EMFILE, reason)
        with contextlib.ExitStack() as sent, contextlib.ExitStack() as undo:
            group = self._soil.groups.take() if self._soil.groups.controllers else None
            if group is not None:
                undo.callback(self._soil.groups.give_back, group)
            ours, theirs = messages.pair()
            undo.callback(ours.close)
            sent.callback(theirs.close)
            procs = group.open_procs() if group is not None else []
            for descriptor in procs:
                sent.callback(os.close, descriptor)
            uid = self._uids.take(network)
            undo.callback(self._uids.give_back, uid)
            leaf = Leaf(self._numbers, tree, network, uid, group, ours)
            message = {"op": "prepare", "leaf": leaf.number, "uid": leaf.uid}
            messages.send(tree.control, message, [theirs.fileno(), *procs])
            undo.pop_all()
        self._numbers += 1
        self._leaves[leaf.number] = leaf
        self._unforked[leaf.number] = (time.monotonic() + _FORK_SEC, leaf)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_leaf(leaf))
        return leaf

    def _tree_for(self, network: str) -> trees.Tree:
        wanted = trees.tree_class(network)
        for tree in self._trees:
            if tree.network == wanted and tree.zygote_alive:
                return tree
        tree = self._spawn(wanted)
        self._trees.append(tree)
        self._selector.register(tree.control, selectors.EVENT_READ, lambda: self._on_zygote(tree))
        self._selector.register(tree.pidfd, selectors.EVENT_READ, lambda: self._on_tree_death(tree))
        self._selector.register(tree.log_fd, selectors.EVENT_READ, lambda: self._on_tree_log(tree))
        return tree

    def _spawn(self, network: str) -> trees.Tree:
        soil = self._soil
        return trees.spawn(soil.base, network, soil.rootless, soil.first_uid, soil.weaken)

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
        leaf.pid = max(0, pid_of(pidfd))
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
        if not self._closing and any(leaf.pidfd is None for leaf in leaves):
            # Between fork and announcement it may have died too; such a leaf would live where nobody looks for it.
            kill_strays(tree.pid, {pid_of(leaf.pidfd) for leaf in leaves if leaf.pidfd is not None and not leaf.dead})
        # Leaves that were forked live on; those still waiting have nobody left who would tell how they ended.
        for leaf in leaves:
            if leaf.pidfd is None:
                self._fail_unforked(leaf, f"its zygote died. {tree.last_words}".strip())
            elif not leaf.assigned:
                leaf.kill()
        if not self._closing:
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

    def _give_up_on(self, tree: trees.Tree) -> None:
        self._log("error", f"the zygote of network {tree.network} has not answered for {_FORK_SEC:.0f} s; its tree ends")
        self._unforked = {number: entry for number, entry in self._unforked.items() if entry[1].tree is not tree}
        kill_process(tree.pidfd)

    def _finish(self, leaf: Leaf) -> None:
        """All its processes are gone."""
        if self._leaves.pop(leaf.number, None) is None:
            return
        self._undecided = [entry for entry in self._undecided if entry[1] is not leaf]
        self._unforked.pop(leaf.number, None)
        self._close_channel(leaf)
        if leaf in self._prepared[leaf.network]:
            self._prepared[leaf.network].remove(leaf)
        if leaf.setup_error is not None and not leaf.assigned:
            self._log("warn", f"a process to fork sandboxes from could not be made: {leaf.setup_error}")
        self._ended(leaf)
        if leaf.group is not None:
            if leaf.group.memory_event_fd in self._selector.get_map():
                self._selector.unregister(leaf.group.memory_event_fd)
            self._soil.groups.give_back(leaf.group)
        self._uids.give_back(leaf.uid)


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
