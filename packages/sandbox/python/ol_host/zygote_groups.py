"""The control groups of a package zygote: one for itself, one for its init; and what its leaves may leave in its own."""

import contextlib
import typing

from ol_host.cgroups import Group, GroupStock

# An init does nothing but wait, and what it has is mostly its parent's; while it forks the zygote there are two.
_INIT_MB = 32
_INIT_PROCS = 4
# The zygote, and what it forks for a moment before that has joined a group of its own.
_FORKING_PROCS = 24

_MIB = 1024 * 1024
# What a leaf was charged to its zygote's group for before it was in its own, and what it keeps of the zygote's pages that
# the zygote has written to since: 1.3 MB of one without packages, 2.0 MB of pandas', whose page tables are larger (cgroup
# v1, kernel 6.18, 30 to 128 leaves). Half as much again, since kernels differ.
_LEAF_BYTES = 3 * _MIB // 2
_LEAF_SHARE = 32
# Forks for which the limit is raised at once.
_STEP = 4


class LeafAllowance:
    """Raises a zygote's memory limit for each leaf or child zygote of it that lives, and lowers it again. Else enough of
    them would end it for memory that is not its own, and that only their end gives back."""

    def __init__(self, group: Group, memory_mb: int, anonymous_bytes: int) -> None:
        """`anonymous_bytes`: what it has in memory that is no file's, inherited or not; what a fork copies grows with it."""
        self._group = group
        self._own_bytes = memory_mb * _MIB
        self._leaf_bytes = _LEAF_BYTES + anonymous_bytes // _LEAF_SHARE
        self._limit_bytes = self._own_bytes

    def allow(self, forks: int) -> None:
        wanted = self._own_bytes + (forks // _STEP + 1) * _STEP * self._leaf_bytes
        if wanted == self._limit_bytes:
            return
        try:
            # What a leaf had is given back a while after its end; and below what there is the kernel kills (v2), or
            # tries for long to free some (v1).
            if wanted < self._limit_bytes and (self._group.memory_bytes() or 0) > wanted:
                return
            self._group.limit_memory(wanted)
        except OSError:
            # Somebody removed the group, and the limit with it; or it holds more again (v1, EBUSY).
            return
        self._limit_bytes = wanted


class ZygoteGroups(typing.NamedTuple):
    """The init is not in the zygote's, whose import may run out of memory, nor in the parent zygote's: the end of an init
    is the end of all that lives with it."""

    init: Group
    zygote: Group


def make(stock: GroupStock, limits: "dict[str, typing.Any]", undo: contextlib.ExitStack) -> ZygoteGroups:
    made = []
    for memory_mb, procs in ((_INIT_MB, _INIT_PROCS), (limits["memoryMb"], limits["procs"] + _FORKING_PROCS)):
        group = stock.make(kill_together=False)
        undo.callback(stock.discard, group)
        group.set_limits(memory_mb, limits["swappiness"], procs, limits["cpuPercent"])
        group.start_use()
        made.append(group)
    return ZygoteGroups(*made)
