"""The control groups of a package zygote: one for itself, one for its init."""

import contextlib
import typing

from ol_host.cgroups import Group, GroupStock

# An init does nothing but wait, and what it has is mostly its parent's; while it forks the zygote there are two.
_INIT_MB = 32
_INIT_PROCS = 4
# The zygote, and what it forks for a moment before that has joined a group of its own.
_FORKING_PROCS = 24


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
