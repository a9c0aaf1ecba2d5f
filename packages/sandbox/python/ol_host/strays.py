"""Finding processes that a zygote forked and could no longer announce."""

import os
import signal
import typing


def pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    raise OSError(f"no Pid in the description of descriptor {pidfd}")


def parse_parent(stat: str) -> int:
    """The parent's id, from the text of /proc/PID/stat. The command's name may contain anything."""
    return int(stat[stat.rindex(")") + 1 :].split()[1])


def _children_by_parent() -> "dict[int, list[int]]":
    children: "dict[int, list[int]]" = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parent = parse_parent(file.read())
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(name))
    return children


def strays(tree_pid: int, known: "typing.AbstractSet[int]", children: "dict[int, list[int]]") -> "list[int]":
    """Descendants of a tree's init that are neither known leaves nor theirs."""
    found = []
    waiting = list(children.get(tree_pid, ()))
    while waiting:
        pid = waiting.pop()
        if pid in known:
            continue
        found.append(pid)
        waiting += children.get(pid, ())
    return found


def kill_strays(tree_pid: int, known: "typing.AbstractSet[int]") -> None:
    """Kills what runs below a tree's init and is not one of the known leaves. The tree's zygote must be dead: then
    nothing but a leaf forks there, and what it forks is its descendant."""
    for pid in strays(tree_pid, known, _children_by_parent()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            # It was dying already.
            continue
