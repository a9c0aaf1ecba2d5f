"""Finding processes that a zygote forked and could no longer announce."""

import os
import signal
import typing

from ol_guest import kin

# One pass kills everything that does not fork, two what forks now and then.
_PASSES = 12


def pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    raise OSError(f"no Pid in the description of descriptor {pidfd}")


def kill_strays(init_pid: int, known: "typing.AbstractSet[int]") -> bool:
    """Kills what runs below a zygote's init and below none of the known processes (leaves, inits of child zygotes).
    The zygote must be dead: then no more of those are born. False if what was found kept forking."""
    killed: "set[int]" = set()
    for _ in range(_PASSES):
        # One that is being killed is seen for a while yet, but forks no more.
        found = kin.strays(init_pid, known, kin.everybody()) - killed
        if not found:
            return True
        killed |= found
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                # It was dying already.
                continue
    return False
