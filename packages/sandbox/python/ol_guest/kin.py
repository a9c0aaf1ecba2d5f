"""Who is whose child among the processes that /proc shows.

What is read here may have changed by the time it is used: whoever acts on it looks again, until nothing is left to do.
"""

from __future__ import annotations

import os
from typing import Container, Iterable, NamedTuple

# Stopped, traced, ended.
_STOPPED = "TtZX"


class Kin(NamedTuple):
    parent: int
    # As in /proc/PID/stat.
    state: str

    @property
    def runs(self) -> bool:
        return self.state not in _STOPPED


def parse(stat: bytes) -> Kin:
    """From what /proc/PID/stat says. The command's name may contain anything."""
    state, parent = stat[stat.rindex(b")") + 1 :].split()[:2]
    return Kin(int(parent), state.decode("ascii"))


def everybody() -> "dict[int, Kin]":
    found: "dict[int, Kin]" = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                found[int(name)] = parse(file.read())
        except (FileNotFoundError, ProcessLookupError):
            # It has just ended.
            continue
    return found


def family(head: int, all_of_them: "dict[int, Kin]") -> "set[int]":
    """`head` and all below it; nobody if it is not there."""
    return {head} | strays(head, (), all_of_them) if head in all_of_them else set()


def strays(root: int, heads: "Container[int]", all_of_them: "dict[int, Kin]") -> "set[int]":
    """All below `root` that are none of these heads and below none: those whose head has ended, and so became the root's."""
    children: "dict[int, list[int]]" = {}
    for pid, kin in all_of_them.items():
        children.setdefault(kin.parent, []).append(pid)
    found: "set[int]" = set()
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        if pid not in heads and pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def proportional_bytes(pids: "Iterable[int]") -> int:
    """Memory of these processes: of a page that several have, each has its part. Raises OSError where the kernel does not say."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith(b"Pss:")), 0) * 1024
        except ProcessLookupError:
            # It has ended; a process without memory is told so, too.
            continue
        except FileNotFoundError:
            if os.path.exists(f"/proc/{pid}"):
                raise
    return total
