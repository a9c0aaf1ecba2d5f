"""A sandbox's limits in the kernel's terms: by cgroup where there is one to write to, else by rlimit."""

import resource
import typing

from ol_host import host
from ol_host.cgroups import Group, GroupStock
from ol_host.hierarchies import FREEZE

_MIB = 1024 * 1024
# Descriptors that a sandbox may open; libraries with many connections need more than the customary 1,024.
_OPEN_FILES = 4096


def apply(group: Group, wanted: "dict[str, typing.Any]") -> None:
    group.set_limits(wanted["memoryMb"], wanted["swappiness"], wanted["procs"], wanted["cpuPercent"])


def for_leaf(wanted: "dict[str, typing.Any]", controllers: "frozenset[str]", rootless: bool) -> "dict[str, object]":
    """What the leaf has to do itself: `rlimits`, and `dataMb` and `procs` where no cgroup limits its memory and its
    processes."""
    # 1 and not 0: a core_pattern that is a pipe is given even to those with 0, and its program would run as root
    # on the host, with what a lambda wrote as its input. 1 is what the kernel takes as "never" (fs/coredump.c).
    rlimits = {"CORE": 1, "NOFILE": min(_OPEN_FILES, _hard_limit_of_files()), "FSIZE": wanted["scratchMb"] * _MIB}
    by_rlimit = "pids" not in controllers and counts_processes(rootless)
    return {
        "rlimits": rlimits,
        "dataMb": None if "memory" in controllers else wanted["memoryMb"],
        "procs": wanted["procs"] if by_rlimit else None,
    }


def _hard_limit_of_files() -> int:
    """A leaf has no right to more than we have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else hard


def counts_processes(rootless: bool) -> bool:
    """RLIMIT_NPROC counts by user id, and since Linux 5.14 by user namespace too, which is what leaves differ in
    where they share an ordinary user's id."""
    return not rootless or host.kernel_at_least(5, 14)


def in_force(groups: GroupStock, rootless: bool, scratch_in_memory: bool) -> "dict[str, object]":
    by_group = f"cgroup-v{groups.version}"
    return {
        "memory": by_group if "memory" in groups.controllers else "rlimit",
        "procs": by_group if "pids" in groups.controllers else ("rlimit" if counts_processes(rootless) else "none"),
        "cpu": by_group if "cpu" in groups.controllers else "none",
        "pause": "cgroup-v2" if FREEZE in groups.controllers else "signals",
        "scratch": "quota" if scratch_in_memory else "measured",
    }
