"""The broker's record of a leaf, from the request to fork it until nothing of it is left."""

import os
import signal
import socket
import typing

from ol_host.cgroups import Group
from ol_host.files import Scratch
from ol_host.keeping import Order

if typing.TYPE_CHECKING:
    from ol_host.zygotes import Zygote


class Leaf:
    def __init__(
        self, number: int, zygote: "Zygote", network: str, uid: int, group: "Group | None", channel: socket.socket
    ) -> None:
        self.number = number
        self.zygote = zygote
        # Its network class; a root zygote may serve two.
        self.network = network
        self.uid = uid
        self.group = group
        # Open until the leaf has shut itself in.
        self.channel: "socket.socket | None" = channel
        # None until the zygote has forked it.
        self.pidfd: "int | None" = None
        # What it will have as its scratch, made in advance.
        self.place: "Scratch | None" = None
        # None while it waits to become a sandbox.
        self.scratch: "Scratch | None" = None
        self.log_mb = 0
        self.memory_mb = 0
        self.scratch_mb = 0
        self.scratch_in_memory = False
        # In open files without a name, as last measured.
        self.nameless_memory_bytes = 0
        # Its id on the host, to look at it by; never to signal it by. 0 until the zygote has forked it.
        self.pid = 0
        self.paused = False
        # When its scratch directory is measured next.
        self.measure_at = 0.0
        self.dead = False
        self.status: "int | None" = None
        self.setup_error: "str | None" = None
        # Why the broker ended it unasked.
        self.lost: "str | None" = None
        # Its end of the channel is gone, and what it was to become was still in it: nobody ever had its listener, so
        # nobody read what was written to it.
        self.unread = False
        self.kill_wanted = False
        self.out_of_memory = False
        self.out_of_disk = False
        # Its tree's init has ended, which kills everything in the tree.
        self.tree_lost = False
        # Requests to be answered when nothing is left of it.
        self.waiting: "list[int]" = []
        # The request that asked for it, and what of its scratch is to be kept once it has ended.
        self.keep: "tuple[int, list[Order]] | None" = None

    @property
    def assigned(self) -> bool:
        return self.scratch is not None

    def owns_its_number(self) -> bool:
        """Whether `pid` is still it, and no stranger to whom the kernel gave the number after its end."""
        if self.pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self.pidfd, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """Ends every process of it: they share a pid namespace, and this is its pid 1."""
        if self.dead:
            return
        self.kill_wanted = True
        if self.pidfd is not None:
            kill_process(self.pidfd)

    def end_unasked(self, reason: str) -> None:
        self.lost = reason
        self.kill()

    def is_explained(self) -> bool:
        """Whether there is nothing more to learn of its end. Who was killed from outside may be only the first of a tree
        that ends: the news of that comes later."""
        if self.status is None:
            return False
        return not _killed(self.status) or self.kill_wanted or self.tree_lost or self._was_out_of_memory()

    def _was_out_of_memory(self) -> bool:
        return self.out_of_memory or (self.group is not None and self.group.was_out_of_memory())

    def end(self) -> "dict[str, typing.Any]":
        """Why it ended, as the worker is told."""
        if self._was_out_of_memory():
            return {"reason": "out-of-memory"}
        if self.out_of_disk:
            return {"reason": "out-of-disk"}
        if self.lost is not None:
            return {"reason": "lost", "message": self.lost}
        if self.kill_wanted:
            return {"reason": "killed"}
        if self.unread:
            message = self.setup_error or "its process ended before it read what it was to run"
            return {"reason": "lost", "message": message, "notStarted": True}
        if self.setup_error is not None:
            return {"reason": "lost", "message": self.setup_error}
        if self.tree_lost and (self.status is None or _killed(self.status)):
            return {"reason": "lost", "message": "the processes that it was forked from ended, and it with them"}
        if self.status is None:
            return {"reason": "lost", "message": "its zygote died and took the exit status along"}
        if os.WIFSIGNALED(self.status):
            return {"reason": "signal", "signal": signal_name(os.WTERMSIG(self.status))}
        return {"reason": "exit", "code": os.WEXITSTATUS(self.status)}


def _killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # Most of the real-time signals have no name.
        return f"signal {number}"


def kill_process(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        # It ended by itself a moment ago; the news of that is on its way.
        return
