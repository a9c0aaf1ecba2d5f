"""The processes of one sandbox, as the host sees them: listing, stopping, and what memory they hold."""

import contextlib
import os
import signal
import stat
import typing

from ol_guest import kin
from ol_host.leaves import Leaf

# A sandbox with more is not looked at in full; limits.procs is far below.
_MOST_PROCESSES = 4_096
# Stopped, traced, ended. One in uninterruptible sleep (D) stops before it runs again, once it was told to.
_STOPPED = "TtZX"
_BLOCK_BYTES = 512
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def of_leaf(leaf: Leaf) -> "set[int]":
    """Every process of it. While some of them fork, a new one can be missing."""
    if leaf.group is not None:
        try:
            return set(leaf.group.processes())
        except OSError:
            # Somebody removed our group; the processes are still there.
            pass
    return _with_descendants(leaf.pid)


def _with_descendants(pid: int) -> "set[int]":
    """`pid` is pid 1 of a namespace: whose parent ended becomes its child, so that none is lost."""
    found: "set[int]" = set()
    waiting = [pid]
    while waiting and len(found) < _MOST_PROCESSES:
        pid = waiting.pop()
        if pid in found:
            continue
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                    waiting += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            # It, or that thread, has just ended.
            if not os.path.exists(f"/proc/{pid}"):
                continue
        found.add(pid)
    return found


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return kin.parse(file.read()).state
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class Stop:
    """Stops a sandbox by SIGSTOP to each process. New ones can be forked while others are told, so there are passes,
    until one finds none that runs."""

    def __init__(self, leaf: Leaf) -> None:
        self._leaf = leaf
        self._told: "set[int]" = set()

    def step(self) -> bool:
        """One pass; true if everything had been stopped before it."""
        if self._leaf.pid == 0:
            # It can answer its first call before its zygote has told us of it.
            return False
        running = {pid for pid in of_leaf(self._leaf) if self._runs(pid)}
        for pid in _signal(self._leaf, running, signal.SIGSTOP):
            self._told.add(pid)
        return not running

    def _runs(self, pid: int) -> bool:
        state = _state(pid)
        return state not in _STOPPED and not (state == "D" and pid in self._told)

    def undo(self) -> None:
        """Lets those run that were stopped here, and not what the lambda has stopped itself."""
        _signal(self._leaf, self._told, signal.SIGCONT)
        self._told.clear()


def _signal(leaf: Leaf, pids: "typing.Iterable[int]", number: int) -> "list[int]":
    """Signals those that are still of this sandbox: a number whose process ended may be a stranger's by now."""
    with contextlib.ExitStack() as opened:
        pidfds = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                pidfds[pid] = os.pidfd_open(pid)
                opened.callback(os.close, pidfds[pid])
        # Whoever has the number now and is ours, is the one that was opened; or that one is gone.
        ours = of_leaf(leaf)
        if leaf.group is None and not leaf.owns_its_number():
            # They were found from a number that is no longer the sandbox's.
            return []
        done = []
        for pid, pidfd in pidfds.items():
            if pid in ours:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)
                    done.append(pid)
        return done


def memory_at_most(leaf: Leaf) -> int:
    """A cheap upper bound of `memory_bytes`."""
    return sum(_resident_bytes(pid) for pid in of_leaf(leaf)) + _bytes_in_files(leaf)


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def memory_bytes(leaf: Leaf) -> int:
    """What it holds: its share of its processes' memory, and files in memory, whether they are mapped or not."""
    private = mapped = 0
    for pid in of_leaf(leaf):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pss, of_files = _proportional_bytes(pid)
            private += pss - of_files
            mapped += of_files
    return private + max(mapped, _bytes_in_files(leaf))


def _bytes_in_files(leaf: Leaf) -> int:
    return _tmpfs_bytes(leaf) + leaf.nameless_memory_bytes


def _tmpfs_bytes(leaf: Leaf) -> int:
    total = 0
    for path in _tmpfs_paths(leaf):
        with contextlib.suppress(OSError):
            found = os.statvfs(path)
            total += (found.f_blocks - found.f_bfree) * found.f_frsize
    return total


def _tmpfs_paths(leaf: Leaf) -> "list[str]":
    """Nobody in the sandbox can put something else there. Before it is set up they are the tree's, and empty."""
    places = ["tmp", "dev/shm"] + (["host"] if leaf.scratch_in_memory else [])
    return [f"/proc/{leaf.pid}/root/{place}" for place in places]


class Holding(typing.NamedTuple):
    """What one process has in memory."""

    # Shared with no other, and gone with it.
    private_bytes: int
    # No file's, shared or not.
    anonymous_bytes: int


def holding_of(pid: int) -> Holding:
    """Nothing if it has ended. PermissionError if it forbids to look (PR_SET_DUMPABLE) and we are not the machine's root."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        sizes = _rolled_up(pid, ("Private_Dirty", "Swap", "Anonymous"))
        return Holding(sizes["Private_Dirty"] + sizes["Swap"], sizes["Anonymous"])
    return Holding(0, 0)


def _proportional_bytes(pid: int) -> "tuple[int, int]":
    """(all, of that in files in memory), each page shared out among those who map it."""
    sizes = _rolled_up(pid, ("Pss", "Pss_Shmem"))
    return sizes["Pss"], sizes["Pss_Shmem"]


def _rolled_up(pid: int, names: "tuple[str, ...]") -> "dict[str, int]":
    """Bytes, of lines of smaps_rollup."""
    sizes = dict.fromkeys(names, 0)
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0]) * 1024
    return sizes


class Nameless(typing.NamedTuple):
    """Open or mapped files that no directory lists: deleted ones, and those that never had a name (memfd_create)."""

    memory_bytes: int
    scratch_bytes: int


def nameless(leaf: Leaf, scratch_devices: "typing.Container[int]") -> Nameless:
    """Slow with many open files; not for the broker's own loop."""
    in_memory: "dict[int, int]" = {}
    in_scratch: "dict[int, int]" = {}
    for pid in of_leaf(leaf):
        for path in _open_and_mapped(pid):
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if found.st_nlink > 0 or not stat.S_ISREG(found.st_mode):
                    continue
                # What was deleted from a file system in memory is counted with that.
                if os.readlink(path).startswith("/memfd:"):
                    in_memory[found.st_ino] = found.st_blocks * _BLOCK_BYTES
                elif found.st_dev in scratch_devices:
                    in_scratch[found.st_ino] = found.st_blocks * _BLOCK_BYTES
    return Nameless(sum(in_memory.values()), sum(in_scratch.values()))


def _open_and_mapped(pid: int) -> "typing.Iterator[str]":
    """Links to all its open files, and to those that it has mapped and that were deleted: mapping a file keeps it without
    a descriptor. Only the machine's root may follow these (CAP_CHECKPOINT_RESTORE)."""
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            yield f"/proc/{pid}/fd/{descriptor}"
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            if line.endswith(" (deleted)\n"):
                begin, end = line.split(" ", 1)[0].split("-")
                # Without the leading zeros that are shown of low addresses.
                yield f"/proc/{pid}/map_files/{int(begin, 16):x}-{int(end, 16):x}"
