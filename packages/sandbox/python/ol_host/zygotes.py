"""The broker's record of a zygote, and what it believes of one.

A root zygote runs the standard library only. A package zygote runs anybody's import code, so nothing that one says
is taken for granted: a pidfd must be one of its own children, a leaf one that it was asked for. Else it could have the
broker kill whom it likes; a pidfd of the broker itself is easily had from any socket of its.
"""

import collections
import contextlib
import os
import socket
import typing

from ol_guest import kin, messages
from ol_host.cgroups import Group, GroupStock
from ol_host.leaves import kill_process, signal_name
from ol_host.logtap import LogTap
from ol_host.own_groups import OwnGroups
from ol_host.strays import pid_of
from ol_host.zygote_groups import LeafAllowance

if typing.TYPE_CHECKING:
    from ol_host.leaves import Leaf

# Enough to see the bursts of demand.py.
_REMEMBERED_TAKES = 64
_USUAL_TMP_MB = 50
_ERROR_CHARACTERS = 8 * 1024
_MOST_SOUGHT = 256
_NAME_CHARACTERS = 100
_MIB = 1024 * 1024


class Violation(Exception):
    """A zygote said what it cannot mean."""


class Imported(typing.NamedTuple):
    """How a package zygote's import went, as the worker is told."""

    ms: float
    # Private memory besides its parent's.
    memory_mb: float
    # Modules that were looked for and not found.
    sought: "list[str]"


class Stock:
    """Leaves of one zygote and network class that were forked in advance."""

    def __init__(self) -> None:
        self.waiting: "collections.deque[Leaf]" = collections.deque()
        # The moments when one was taken.
        self.takes: "collections.deque[float]" = collections.deque(maxlen=_REMEMBERED_TAKES)
        # What the last one wanted for /tmp: the next will probably want the same.
        self.tmp_mb = _USUAL_TMP_MB


class Zygote:
    def __init__(
        self,
        number: int,
        identity: "str | None",
        network: str,
        parent: "Zygote | None",
        base_uid: int,
        control: socket.socket,
        log: LogTap,
        groups: "GroupStock | OwnGroups",
    ) -> None:
        self.number = number
        # What the worker calls it; None for a root.
        self.id = identity
        # The class of what is forked from it; for a root that of its tree, which may serve two.
        self.network = network
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        # The id, within the broker's block, that is 0 in its user namespace.
        self.base_uid = base_uid
        self.control = control
        self.log = log
        # Where its leaves' groups come from.
        self.groups = groups
        # Its own; None for a root, and where there are no groups.
        self.group: "Group | None" = None
        # Where there are groups, once it is ready: what its leaves may add to its own.
        self.allowance: "LeafAllowance | None" = None
        # Leaves, and child zygotes, that it was asked for and that are not gone.
        self.forks = 0
        # Its init's, for a child zygote where there are groups.
        self.init_group: "Group | None" = None
        self.pid: "int | None" = None
        self.pidfd: "int | None" = None
        # Pid 1 of its namespace, which lives as long as anything in there does.
        self.init_pid: "int | None" = None
        self.init_pidfd: "int | None" = None
        # The package directories that it may import from.
        self.packages: "list[str]" = []
        # Of them, those whose import left what a fork cannot share, as it says.
        self.unfit: "list[str]" = []
        self.memory_mb = 0
        # Since when it may have been importing.
        self.import_moment = 0.0
        self.imported: "Imported | None" = None
        self.ready = False
        self.alive = True
        self.kill_wanted = False
        self.out_of_memory = False
        self.status: "int | None" = None
        # Why it serves nobody, for people.
        self.error: "str | None" = None
        # How long its import may take, and when that is over.
        self.patience_sec = 0.0
        self.deadline: "float | None" = None
        # Once it is dead: when its end is told although nobody knows how it ended; and whether it was told.
        self.tell_moment: "float | None" = None
        self.end_told = False
        # Requests to be answered when it is ready, and when it is gone.
        self.create_request: "int | None" = None
        self.kill_requests: "list[int]" = []
        # Of each network class that it has served.
        self.stocks: "dict[str, Stock]" = {}
        # Leaves that it was asked for and has not announced.
        self.unforked: "set[int]" = set()
        # Since when it has announced none of them.
        self.silent_since = 0.0
        # Leaves whose exit it may still tell.
        self.telling: "set[int]" = set()

    @property
    def is_root(self) -> bool:
        return self.parent is None

    @property
    def serves(self) -> bool:
        return self.ready and self.alive and not self.kill_wanted

    @property
    def name(self) -> str:
        """For people."""
        return f"the zygote of network {self.network}" if self.is_root else f"zygote {self.id}"

    def count_fork(self, change: int) -> None:
        self.forks += change
        if self.allowance is not None and self.alive:
            self.allowance.allow(self.forks)

    def stock(self, network: str) -> Stock:
        return self.stocks.setdefault(network, Stock())

    def kill(self) -> None:
        """Ends the zygote; not its leaves and child zygotes, nor its init while there are some. One that has not said yet
        who it is was not walled off yet either, and is ended when it does."""
        self.kill_wanted = True
        if self.pidfd is not None and self.alive:
            kill_process(self.pidfd)

    def kill_everything(self) -> None:
        if self.init_pidfd is not None:
            kill_process(self.init_pidfd)

    def end(self) -> "dict[str, object]":
        """Why it ended, as the worker is told."""
        if self.out_of_memory or (self.group is not None and self.group.was_out_of_memory()):
            return {"reason": "out-of-memory"}
        if self.kill_wanted:
            return {"reason": "killed"}
        if self.error is not None:
            return {"reason": "lost", "message": self.error}
        if self.status is None or not os.WIFEXITED(self.status):
            return {"reason": "lost", "message": "its process ended, nobody knows how"}
        return _as_init_tells(os.WEXITSTATUS(self.status))

    def ask_for_ends(self) -> None:
        """Has it look which of its children have ended.

        It does so by itself, but Python misses a signal that comes just when a wait begins, and import code may block it.
        """
        if not self.alive:
            return
        # Full, and it will look after each of the messages; or dead, and the news of that is on its way.
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            messages.send(self.control, {"op": "look"})

    # What it says

    def believe_leaf(self, descriptor: int) -> "int | None":
        """The pid of a leaf that it says to have forked; None if that has ended already."""
        if self.is_root:
            # It has run nothing but our own code.
            return pid_of(descriptor)
        return self._believe(descriptor, {self.pid, self.init_pid})

    def believe_itself(self, descriptors: "list[int]") -> bool:
        """Takes pidfds over, each as soon as it is believed: for a child zygote of its init, and of itself. False if it has
        ended already; then its init may live, and with it what import code left there."""
        if self.parent is None:
            self.pidfd = descriptors.pop()
            self.pid = pid_of(self.pidfd)
            return True
        if len(descriptors) != 2 or self.pid is not None or self.init_pid is not None:
            raise Violation("it did not say who it is, or did so twice")
        self.init_pid = self._believe(descriptors[1], {self.parent.pid, self.parent.init_pid})
        if self.init_pid is None:
            return False
        self.init_pidfd = descriptors.pop()
        self.pid = self._believe(descriptors[0], {self.init_pid})
        if self.pid is None:
            return False
        self.pidfd = descriptors.pop()
        return True

    def _believe(self, descriptor: int, parents: "set[int | None]") -> "int | None":
        """The pid of a process with one of these parents. Raises Violation for any other, and what is no pidfd."""
        try:
            pid = pid_of(descriptor)
            if pid < 0:
                return None
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = kin.parse(file.read()).parent
            # Again: a process that was reaped meanwhile may have left its number to another.
            if pid_of(descriptor) != pid:
                return None
        except (FileNotFoundError, ProcessLookupError):
            return None
        except (OSError, ValueError) as error:
            raise Violation(f"a descriptor that is no pidfd: {error}") from error
        if parent not in parents:
            raise Violation("a process that is not its child")
        return pid


def import_of(message: "dict[str, typing.Any]", passed_ms: float, private_bytes: int) -> Imported:
    """What it says of its import, as far as it can be so. Raises Violation."""
    told = message.get("import")
    ms, sought = (told.get("ms"), told.get("sought")) if isinstance(told, dict) else (None, None)
    if not isinstance(ms, (int, float)) or not isinstance(sought, list) or len(sought) > _MOST_SOUGHT:
        raise Violation("no news of its import")
    # Of no use to anybody, and true in JSON alone: NaN is none of these.
    if not 0 <= ms:
        raise Violation("an import of no length")
    if not all(isinstance(name, str) and name.isidentifier() and len(name) <= _NAME_CHARACTERS for name in sought):
        raise Violation("a module that cannot be one")
    return Imported(round(min(ms, passed_ms), 3), round(private_bytes / _MIB, 3), sought)


def unfit_of(message: "dict[str, typing.Any]", packages: "list[str]") -> "list[str]":
    """Only those that it was given."""
    told = message.get("packages")
    return [directory for directory in packages if isinstance(told, list) and directory in told]


def text_of(message: "dict[str, typing.Any]", field: str) -> str:
    """Of what somebody says who may not mean it well."""
    text = message.get(field)
    return text[:_ERROR_CHARACTERS] if isinstance(text, str) else "no reason was given"


def number_of(message: "dict[str, typing.Any]", field: str) -> int:
    number = message.get(field)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    raise Violation(f"a message without {field}")


def _as_init_tells(code: int) -> "dict[str, object]":
    """Its init ends as the zygote did, with shells' way to put a signal into an exit code."""
    if code > 128:
        return {"reason": "signal", "signal": signal_name(code - 128)}
    return {"reason": "exit", "code": code}
