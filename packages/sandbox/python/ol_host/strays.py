"""Finding processes that a zygote forked and could no longer announce."""

import os
import signal
import typing

# One pass kills everything that does not fork, two what forks now and then.
_PASSES = 12


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


def strays(init_pid: int, known: "typing.AbstractSet[int]", children: "dict[int, list[int]]") -> "list[int]":
    """Descendants of an init that are neither known leaves nor theirs."""
    found = []
    waiting = list(children.get(init_pid, ()))
    while waiting:
        pid = waiting.pop()
        if pid in known:
            continue
        found.append(pid)
        waiting += children.get(pid, ())
    return found


def kill_strays(init_pid: int, known: "typing.AbstractSet[int]") -> bool:
    """Kills what runs below a zygote's init and below none of the known processes (leaves, inits of child zygotes).
    The zygote must be dead: then no more of those are born. False if what was found kept forking."""
    killed: "set[int]" = set()
    for _ in range(_PASSES):
        # One that is being killed is seen for a while yet, but forks no more.
        found = [pid for pid in strays(init_pid, known, _children_by_parent()) if pid not in killed]
        if not found:
            return True
        killed.update(found)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                # It was dying already.
                continue
    return False
