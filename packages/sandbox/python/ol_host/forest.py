"""The leaves: which zygote is asked to fork them, and how it is noticed that one of them died.

Nothing here waits for anybody: a leaf is told what to become before it exists, and its death is noticed by its pidfd.
"""

import contextlib
import errno
import os
import selectors
import time
import typing

import ol_kernel as kernel
from ol_guest import messages

from ol_host.channels import died_unread, receive
from ol_host.leaves import Leaf
from ol_host.nursery import SHORT_GRACE_SEC, STATUS_GRACE_SEC, Nursery
from ol_host.soil import Soil
from ol_host.stocking import Stocker
from ol_host.uids import LeafUids
from ol_host.zygotes import Violation, Zygote, number_of, text_of

# A zygote forks in a millisecond; one that owes a leaf and says nothing for this long was stopped, or hangs, and will not
# come back. The time goes from its last answer: with much to do, or few CPUs, the last of many leaves waits longer.
_FORK_SEC = 8.0
# Leaves that one package zygote may owe us: what waits for it is held in memory, and it may never answer.
_MOST_UNFORKED = 64


class Worker(typing.Protocol):
    """Who hears what becomes of leaves and zygotes."""

    def leaf_waits(self, leaf: Leaf) -> None:
        """It is being forked, for whoever comes."""
        ...

    def leaf_ended(self, leaf: Leaf) -> None:
        """It is gone; told once, while its cgroup is still its own."""
        ...

    def zygote_ready(self, zygote: Zygote) -> None: ...

    def zygote_ended(self, zygote: Zygote) -> None: ...

    def log(self, level: str, message: str) -> None: ...


class Forest:
    def __init__(self, soil: Soil, selector: selectors.BaseSelector, worker: Worker) -> None:
        self._soil = soil
        self._selector = selector
        self._worker = worker
        self.nursery = Nursery(soil, selector, self, worker.log)
        self._stocker = Stocker(soil, self.nursery, self._fork_one_to_wait, lambda text: worker.log("warn", text))
        self._leaves: "dict[int, Leaf]" = {}
        self._uids = LeafUids()
        self._numbers = 0
        # (moment, leaf) of those dead without a known status.
        self._undecided: "list[tuple[float, Leaf]]" = []
        self._closing = False

    @property
    def empty(self) -> bool:
        return not self.nursery and not self._leaves

    def stats(self) -> "dict[str, object]":
        return {
            "prepared": self.count_waiting(),
            "trees": [{"network": root.network, "pid": root.init_pid} for root in self.nursery if root.is_root],
            "zygotes": [zygote.id for zygote in self.nursery if not zygote.is_root],
        }

    def waiting(self) -> "list[Leaf]":
        """Leaves that were forked in advance."""
        return [leaf for zygote in self.nursery for stock in zygote.stocks.values() for leaf in stock.waiting]

    def count_waiting(self) -> int:
        return sum(len(stock.waiting) for zygote in self.nursery for stock in zygote.stocks.values())

    def close(self) -> None:
        """Kills everything; `empty` once it is gone."""
        self._closing = True
        self._stocker.close()
        for leaf in self._leaves.values():
            leaf.kill()
        self.nursery.close()

    def end_outbound(self, reason: str) -> None:
        """Nothing keeps these off this machine's own addresses any more."""
        for leaf in self._leaves.values():
            if leaf.network == "outbound":
                leaf.end_unasked(reason)
        for zygote in self.nursery:
            if zygote.network == "outbound" and zygote.alive:
                self.nursery.give_up_on(zygote, reason)

    # Time

    def moments(self) -> "list[float]":
        """When `on_time` wants to be called."""
        moments = [moment for moment, _leaf in self._undecided] + self.nursery.moments()
        moments += self._stocker.moments()
        return moments + [zygote.silent_since + _FORK_SEC for zygote in self._owing()]

    def on_time(self, now: float) -> None:
        overdue = [leaf for moment, leaf in self._undecided if moment <= now]
        self._undecided = [entry for entry in self._undecided if entry[0] > now]
        for leaf in overdue:
            self._finish(leaf)
        for zygote in self._owing():
            if zygote.silent_since + _FORK_SEC <= now:
                self.nursery.give_up_on(zygote, f"it has not answered for {_FORK_SEC:.0f} s")
        self.nursery.on_time(now)
        self._stocker.on_time(now)

    def _owing(self) -> "list[Zygote]":
        """Zygotes that have leaves to fork. One that is not ready yet imports as well, which the nursery has patience with."""
        return [zygote for zygote in self.nursery if zygote.ready and zygote.alive and zygote.unforked]

    # Making leaves

    def take(self, network: str, identity: "str | None", tmp_mb: int) -> Leaf:
        """A leaf to assign: one that waits if there is one, else one that is being forked."""
        if network == "outbound":
            # Before any leaf is looked at: if the rules were lost unnoticed, those that waited are ended here.
            self._soil.outbound.ensure()
        zygote = self._find(network, identity)
        stock = zygote.stock(network)
        stock.takes.append(time.monotonic())
        stock.tmp_mb = tmp_mb
        while stock.waiting:
            leaf = stock.waiting.popleft()
            if not leaf.dead and not leaf.kill_wanted and leaf.setup_error is None:
                return leaf
        return self._prepare(zygote, network)

    def _find(self, network: str, identity: "str | None") -> Zygote:
        return self.nursery.root(network) if identity is None else self.nursery.serving(identity, network)

    def want_refill(self, zygote: Zygote, network: str) -> None:
        self._stocker.want(zygote, network)

    def refill(self) -> None:
        self._stocker.refill()

    def _fork_one_to_wait(self, zygote: Zygote, network: str) -> None:
        leaf = self._ask_for_leaf(zygote, network)
        zygote.stock(network).waiting.append(leaf)
        self._worker.leaf_waits(leaf)

    def _prepare(self, zygote: Zygote, network: str) -> Leaf:
        """Asks a zygote for a leaf; a root that has just died is replaced once."""
        try:
            return self._ask_for_leaf(zygote, network)
        except (BrokenPipeError, ConnectionResetError):
            # First what it said before it died.
            self.nursery.hear_out(zygote)
            if not zygote.is_root:
                raise
        return self._ask_for_leaf(self.nursery.root(network), network)

    def _ask_for_leaf(self, zygote: Zygote, network: str) -> Leaf:
        if len(self._leaves) + len(self.nursery) >= self._soil.most_leaves:
            reason = f"the limit of open files allows for {self._soil.most_leaves} sandboxes; raise it (ulimit -n)"
            raise OSError(errno.EMFILE, reason)
        if not zygote.is_root and len(zygote.unforked) >= _MOST_UNFORKED:
            raise OSError(errno.EAGAIN, f"{zygote.name} owes {len(zygote.unforked)} processes already")
        with contextlib.ExitStack() as sent, contextlib.ExitStack() as undo:
            group = zygote.groups.take() if self._soil.groups.controllers else None
            if group is not None:
                undo.callback(zygote.groups.give_back, group)
            ours, theirs = messages.pair()
            undo.callback(ours.close)
            sent.callback(theirs.close)
            procs = group.open_procs() if group is not None else []
            for descriptor in procs:
                sent.callback(os.close, descriptor)
            uid = self._uids.take(network)
            undo.callback(self._uids.give_back, uid)
            leaf = Leaf(self._numbers, zygote, network, uid, group, ours)
            tmp_mb = zygote.stock(network).tmp_mb
            message = {
                "op": "prepare",
                "leaf": leaf.number,
                "uid": leaf.uid - zygote.base_uid,
                "tmpMb": tmp_mb,
                "steps": self._soil.steps,
            }
            messages.send(zygote.control, message, [theirs.fileno(), *procs])
            undo.pop_all()
        self._numbers += 1
        self._leaves[leaf.number] = leaf
        zygote.count_fork(1)
        if not zygote.unforked:
            zygote.silent_since = time.monotonic()
        zygote.unforked.add(leaf.number)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_leaf(leaf))
        return leaf

    # News of zygotes

    def zygote_ready(self, zygote: Zygote) -> None:
        zygote.silent_since = time.monotonic()
        self._worker.zygote_ready(zygote)
        for network in zygote.stocks:
            self.want_refill(zygote, network)

    def zygote_ended(self, zygote: Zygote) -> None:
        self._worker.zygote_ended(zygote)

    def living_leaves(self, zygote: Zygote) -> "set[int]":
        leaves = (leaf for leaf in self._leaves.values() if leaf.zygote is zygote and not leaf.dead)
        return {leaf.pid for leaf in leaves if leaf.pid != 0}

    def orphan_leaves(self, zygote: Zygote) -> None:
        """Those that were forked live on; those still waiting have nobody left who would tell how they ended."""
        for stock in zygote.stocks.values():
            stock.waiting.clear()
        now = time.monotonic()
        self._undecided = [
            (now + SHORT_GRACE_SEC if leaf.zygote is zygote else moment, leaf) for moment, leaf in self._undecided
        ]
        for leaf in [leaf for leaf in self._leaves.values() if leaf.zygote is zygote]:
            if leaf.pidfd is None:
                self._fail_unforked(leaf, f"its zygote died. {zygote.error or zygote.log.last_words}".strip())
            elif not leaf.assigned:
                leaf.kill()
        if not self._closing and zygote.is_root:
            self._worker.log("warn", f"{zygote.name} died; the next sandbox gets a new one")

    def lose_leaves(self, zygote: Zygote) -> None:
        """The init above them has ended, and they with it."""
        for leaf in [leaf for leaf in self._leaves.values() if leaf.zygote is zygote]:
            leaf.tree_lost = True
            if leaf.dead:
                self._finish(leaf)

    def leaf_said(self, zygote: Zygote, message: "dict[str, typing.Any]", descriptors: "list[int]") -> None:
        number, operation = number_of(message, "leaf"), message.get("op")
        leaf = self._leaves.get(number)
        if operation == "exit" and number in zygote.telling:
            zygote.telling.discard(number)
            status = number_of(message, "status")
            if leaf is not None:
                self._on_status(leaf, status)
        elif number not in zygote.unforked or leaf is None:
            raise Violation("news of a leaf that it was not asked for")
        elif operation == "forked" and descriptors:
            self._on_forked(leaf, descriptors)
        elif operation == "failed":
            self._fail_unforked(leaf, text_of(message, "error"))
        else:
            raise Violation("news of a leaf that make no sense")

    def _on_forked(self, leaf: Leaf, descriptors: "list[int]") -> None:
        zygote = leaf.zygote
        leaf.pid = zygote.believe_leaf(descriptors[-1]) or 0
        leaf.pidfd = descriptors.pop()
        zygote.unforked.discard(leaf.number)
        zygote.silent_since = time.monotonic()
        zygote.telling.add(leaf.number)
        self._selector.register(leaf.pidfd, selectors.EVENT_READ, lambda: self._on_leaf_death(leaf))
        if leaf.group is not None and leaf.group.memory_event_fd >= 0:
            self._watch_memory(leaf)
        if leaf.kill_wanted:
            leaf.kill()

    # News of leaves

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
        if not leaf.dead:
            return
        if leaf.is_explained():
            self._finish(leaf)
            return
        # Killed from outside: what else is to be heard of that comes at once, or not at all.
        soon = time.monotonic() + SHORT_GRACE_SEC
        self._undecided = [(soon if other is leaf else moment, other) for moment, other in self._undecided]

    def _on_leaf(self, leaf: Leaf) -> None:
        assert leaf.channel is not None
        self._look_whether_read(leaf)
        received = receive(leaf.channel)
        if received is not None:
            message, descriptors = received
            for descriptor in descriptors:
                os.close(descriptor)
            if message.get("op") == "failed":
                leaf.setup_error = text_of(message, "error")
        # Shut in, or dead: either way it has nothing more to say here.
        self._close_channel(leaf)
        if leaf.dead and leaf.pidfd is None:
            self._finish(leaf)

    def _look_whether_read(self, leaf: Leaf) -> None:
        # The only thing that is ever sent there is what it is to become.
        if leaf.channel is not None and leaf.assigned and died_unread(leaf.channel):
            leaf.unread = True

    def _close_channel(self, leaf: Leaf) -> None:
        self._look_whether_read(leaf)
        if leaf.channel is not None:
            self._selector.unregister(leaf.channel)
            leaf.channel.close()
            leaf.channel = None

    def _on_leaf_death(self, leaf: Leaf) -> None:
        assert leaf.pidfd is not None
        leaf.dead = True
        self._selector.unregister(leaf.pidfd)
        if leaf.status is None:
            leaf.status = kernel.exit_status(leaf.pidfd)
        if leaf.is_explained():
            self._finish(leaf)
            return
        wanted = leaf.status is None and leaf.zygote.alive and not leaf.kill_wanted
        if wanted:
            leaf.zygote.ask_for_ends()
        self._undecided.append((time.monotonic() + (STATUS_GRACE_SEC if wanted else SHORT_GRACE_SEC), leaf))

    def _fail_unforked(self, leaf: Leaf, error: str) -> None:
        leaf.setup_error = error
        leaf.dead = True
        leaf.zygote.unforked.discard(leaf.number)
        leaf.zygote.silent_since = time.monotonic()
        if leaf.assigned and leaf.channel is not None:
            # Its end of the channel lay in the zygote's, and is closed a moment after it: that says what was read.
            self._undecided.append((time.monotonic() + STATUS_GRACE_SEC, leaf))
        else:
            self._finish(leaf)

    def _finish(self, leaf: Leaf) -> None:
        """All its processes are gone."""
        if self._leaves.pop(leaf.number, None) is None:
            return
        self._undecided = [entry for entry in self._undecided if entry[1] is not leaf]
        if leaf.pidfd is not None:
            # A zygote that runs packages may have told what is not so; and the init, which reaps a dead zygote's leaves,
            # tells nobody.
            known = kernel.exit_status(leaf.pidfd)
            leaf.status = leaf.status if known is None else known
            if leaf.pidfd in self._selector.get_map():
                self._selector.unregister(leaf.pidfd)
            os.close(leaf.pidfd)
        self._close_channel(leaf)
        zygote = leaf.zygote
        zygote.count_fork(-1)
        zygote.unforked.discard(leaf.number)
        stock = zygote.stock(leaf.network)
        if leaf in stock.waiting:
            stock.waiting.remove(leaf)
        if leaf.setup_error is not None and not leaf.assigned and not zygote.kill_wanted:
            self._worker.log("warn", f"a process to fork sandboxes from could not be made: {leaf.setup_error}")
        self._worker.leaf_ended(leaf)
        if leaf.group is not None:
            if leaf.group.memory_event_fd >= 0 and leaf.group.memory_event_fd in self._selector.get_map():
                self._selector.unregister(leaf.group.memory_event_fd)
            zygote.groups.give_back(leaf.group)
        self._uids.give_back(leaf.uid)
