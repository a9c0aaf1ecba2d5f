"""Control groups: a stock of groups to put sandboxes in.

Groups are made once and used again, since making one costs more than a fork. All are children of one group of
ours, `ol-<cluster>-<worker>`, and only it and its children are ever touched.
"""

import contextlib
import errno
import fcntl
import os
import signal
import time
import typing

import ol_kernel as kernel

from ol_host.hierarchies import FREEZE, Hierarchy, enable_controllers, read_file, write_file

_CPU_PERIOD_USEC = 100_000
_MIB = 1024 * 1024
# Killed processes are gone in some 10 ms; a machine under load takes longer.
_KILL_SEC = 2.0
# Groups kept for the next sandboxes. What a peak took on top of that goes back to the machine.
_MOST_READY = 32
# What counts as nothing: the kernel keeps some pages in advance for each CPU, and the output files are small.
_MOST_BURDEN_BYTES = 4 * _MIB


class GroupsInUse(Exception):
    """Another broker has groups of the same name."""


class Group:
    """The groups, one in each hierarchy, that one sandbox lives in."""

    def __init__(self, name: str, directories: "dict[str, str]", version: int) -> None:
        self.name = name
        # Controller to directory; on v2 all the same.
        self._directories = directories
        self._version = version
        self._written: "dict[str, str]" = {}
        self._out_of_memory_before = 0
        # v1 only: becomes readable when the group runs out of memory. On v2 the kernel itself ends the whole group
        # (memory.oom.group), the end is noticed by the leaf's pidfd, and the group's counter tells the reason.
        self.memory_event_fd = -1
        self._frozen = False
        self._memory_lowered = False

    @property
    def directories(self) -> "frozenset[str]":
        return frozenset(self._directories.values())

    def exists(self) -> bool:
        return all(os.path.isdir(path) for path in self.directories)

    def remove(self) -> bool:
        """False if it holds a process that has not quite ended; then it can still be used again."""
        for path in self.directories:
            try:
                os.rmdir(path)
            except FileNotFoundError:
                # Somebody was faster.
                continue
            except OSError:
                return False
        if self.memory_event_fd >= 0:
            os.close(self.memory_event_fd)
        return True

    def open_procs(self) -> "list[int]":
        descriptors: "list[int]" = []
        try:
            for path in self.directories:
                descriptors.append(os.open(os.path.join(path, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    def start_use(self) -> None:
        if self.memory_event_fd >= 0:
            # What the last user left unread would kill the next.
            with contextlib.suppress(BlockingIOError):
                os.read(self.memory_event_fd, 8)
        # The last user may have ended while it was paused: who joins a frozen group freezes.
        self.restore_memory()
        self.freeze(False)
        self._out_of_memory_before = self._out_of_memory_count()

    @property
    def can_freeze(self) -> bool:
        return FREEZE in self._directories

    def freeze(self, frozen: bool) -> None:
        """Takes effect at once for whoever is not in the middle of a system call, and soon for all. Nobody waits for
        that: the kernel tells of it with 10 ms delay. A frozen process can be killed."""
        if self._frozen != frozen:
            write_file(self._directories[FREEZE], "cgroup.freeze", str(int(frozen)))
            self._frozen = frozen

    def is_frozen(self) -> bool:
        """Whether every process has stopped."""
        return "frozen 1" in read_file(os.path.join(self._directories[FREEZE], "cgroup.events")).splitlines()

    def processes(self) -> "list[int]":
        for path in self.directories:
            return [int(pid) for pid in read_file(os.path.join(path, "cgroup.procs")).split()]
        return []

    def memory_bytes(self) -> "int | None":
        """What it holds; None where memory is not counted."""
        directory = self._directories.get("memory")
        if directory is None:
            return None
        return int(read_file(os.path.join(directory, "memory.current" if self._on_v2("memory") else "memory.usage_in_bytes")))

    def is_burdened(self) -> bool:
        """Whether it still pays for something when all its processes are gone: files that they wrote, in a file system
        in memory or on their way to a slow disk. The next sandbox would pay for them, and the kernel refuses a limit
        that is below them (EBUSY on v1)."""
        try:
            return (self.memory_bytes() or 0) > _MOST_BURDEN_BYTES
        except OSError:
            # Somebody removed the group: nobody can use it again.
            return True

    def lower_memory(self) -> None:
        """Holds it to what it has now. Only while none of its processes can run: it would have to ask for memory, and
        on v1 be killed for it."""
        directory = self._directories.get("memory")
        if directory is None or self._memory_lowered:
            return
        used = self.memory_bytes()
        self._memory_lowered = True
        try:
            # v2: `high` and not `max`, which would kill where this only slows down.
            name = "memory.high" if self._on_v2("memory") else "memory.limit_in_bytes"
            write_file(directory, name, str(used))
        except OSError as error:
            # EBUSY: it holds more again (v1). It is still frozen, so nothing is lost.
            if error.errno != errno.EBUSY:
                raise

    def restore_memory(self) -> None:
        if not self._memory_lowered:
            return
        directory = self._directories["memory"]
        if self._on_v2("memory"):
            write_file(directory, "memory.high", "max")
        else:
            write_file(directory, "memory.limit_in_bytes", self._written["memory.limit_in_bytes"])
        self._memory_lowered = False

    def _on_v2(self, controller: str) -> bool:
        return self._version == 2 and controller in self._directories

    def was_out_of_memory(self) -> bool:
        return self._out_of_memory_count() > self._out_of_memory_before

    def set_limits(self, memory_mb: int, swappiness: int, procs: int, cpu_percent: int) -> None:
        """Writes only what differs from the last use."""
        memory = str(memory_mb * _MIB)
        quota = cpu_percent * _CPU_PERIOD_USEC // 100
        if self._version == 2:
            self._set("memory", "memory.max", memory)
            self._set("memory", "memory.swap.max", "0" if swappiness == 0 else "max", optional=True)
            self._set("cpu", "cpu.max", f"{quota} {_CPU_PERIOD_USEC}")
        else:
            self._set("memory", "memory.limit_in_bytes", memory)
            # v1 counts what lies in TCP sockets apart, and without a limit of its own not at all.
            self._set("memory", "memory.kmem.tcp.limit_in_bytes", memory, optional=True)
            self._set("memory", "memory.swappiness", str(swappiness), optional=True)
            self._set("cpu", "cpu.cfs_quota_us", str(quota))
        self._set("pids", "pids.max", str(procs))

    def limit_memory(self, size: int) -> None:
        self._set("memory", "memory.max" if self._version == 2 else "memory.limit_in_bytes", str(size))

    def _set(self, controller: str, file: str, value: str, optional: bool = False) -> None:
        directory = self._directories.get(controller)
        if directory is None or self._written.get(file) == value:
            return
        try:
            write_file(directory, file, value)
        except FileNotFoundError:
            # A kernel without swap accounting has no swap files.
            if not optional:
                raise
        self._written[file] = value

    def watch_memory(self, kill_together: bool) -> None:
        """`kill_together`: out of memory ends the whole sandbox, not the process that happened to be the largest."""
        directory = self._directories.get("memory")
        if directory is None:
            return
        if self._version == 2:
            if kill_together:
                write_file(directory, "memory.oom.group", "1")
            return
        event = kernel.eventfd()
        control = os.open(os.path.join(directory, "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            write_file(directory, "cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
        self.memory_event_fd = event

    def _out_of_memory_count(self) -> int:
        directory = self._directories.get("memory")
        if directory is None:
            return 0
        file = "memory.events" if self._version == 2 else "memory.oom_control"
        try:
            text = read_file(os.path.join(directory, file))
        except OSError:
            # Somebody removed our group. That takes the limits away, and must not take the other sandboxes along.
            return 0
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0


class GroupStock:
    """Groups in use and ready to be used."""

    def __init__(self, prefix: str, hierarchies: "typing.Sequence[Hierarchy]") -> None:
        self._hierarchies = hierarchies
        self._roots = [os.path.join(hierarchy.parent, prefix) for hierarchy in hierarchies]
        self._ready: "list[Group]" = []
        self._stuck: "list[Group]" = []
        self._made = 0
        self._claims: "list[int]" = []

    @property
    def version(self) -> int:
        """Of the hierarchies that limit; the one beside them that only freezes does not count."""
        for hierarchy in self._hierarchies:
            if hierarchy.controllers != (FREEZE,):
                return hierarchy.version
        return 0

    @property
    def controllers(self) -> "frozenset[str]":
        return frozenset(name for hierarchy in self._hierarchies for name in hierarchy.controllers)

    def open(self) -> None:
        """Makes our own group in each hierarchy; what an earlier broker left in it goes first. GroupsInUse if it is
        none of an earlier broker's."""
        for root in self._roots:
            os.makedirs(root, exist_ok=True)
            self._claims.append(_claim(root))
        remove_groups_with_processes(self._roots, keep_roots=True)
        for hierarchy, root in zip(self._hierarchies, self._roots):
            if hierarchy.version == 2:
                enable_controllers(hierarchy, os.path.basename(root))
                controllers = [name for name in hierarchy.controllers if name != FREEZE]
                write_file(root, "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))

    def take(self) -> Group:
        while self._ready:
            group = self._ready.pop()
            if group.exists():
                break
            group.remove()
        else:
            group = self.make(kill_together=True)
        group.start_use()
        return group

    def give_back(self, group: Group) -> None:
        if group.is_burdened():
            self.discard(group)
            return
        if len(self._ready) >= _MOST_READY and group.remove():
            return
        self._ready.append(group)

    def make(self, kill_together: bool) -> Group:
        """A group that was never used. `kill_together`: running out of memory ends all its processes."""
        name = f"sb-{self._made}"
        self._made += 1
        directories = {}
        for hierarchy, root in zip(self._hierarchies, self._roots):
            path = os.path.join(root, name)
            os.makedirs(path, exist_ok=True)
            directories.update({controller: path for controller in hierarchy.controllers})
        group = Group(name, directories, self.version)
        group.watch_memory(kill_together)
        return group

    def discard(self, group: Group) -> None:
        """Removes a group that must not be used again; later, if a process of it has not quite ended."""
        self._stuck.append(group)
        self._stuck = [stuck for stuck in self._stuck if not stuck.remove()]

    def close(self) -> None:
        remove_groups_with_processes(self._roots)
        while self._claims:
            os.close(self._claims.pop())


def _claim(root: str) -> int:
    """Locks a group for as long as the descriptor is open.

    A cluster directory that was copied has the id of the first one: without this each of two workers would take the
    other's sandboxes for leftovers, and kill them.
    """
    while True:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(root)):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise GroupsInUse(root) from error
        except FileNotFoundError:
            # Its holder removed it between our two looks.
            os.makedirs(root, exist_ok=True)
        os.close(descriptor)


def remove_groups(roots: "typing.Iterable[str]", keep_roots: bool = False) -> "list[str]":
    """Removes groups of ours with their children, which must hold no process. Returns what would not go."""
    stuck = []
    for root in roots:
        for path, _directories, _files in os.walk(root, topdown=False):
            if keep_roots and path == root:
                continue
            try:
                os.rmdir(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                stuck.append(f"{path}: {error.strerror}")
    return stuck


def remove_groups_with_processes(roots: "typing.Sequence[str]", keep_roots: bool = False) -> "list[str]":
    """As `remove_groups`, after killing what still runs in them. Only we put processes there."""
    deadline = time.monotonic() + _KILL_SEC
    while True:
        for pid in processes_in(roots):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        stuck = remove_groups(roots, keep_roots)
        if not stuck or time.monotonic() > deadline:
            return stuck
        # A killed process leaves its group when its parent, in another tree, has reaped it.
        time.sleep(0.005)


def processes_in(roots: "typing.Iterable[str]") -> "set[int]":
    found = set()
    for root in roots:
        for path, _directories, _files in os.walk(root):
            try:
                found.update(int(pid) for pid in read_file(os.path.join(path, "cgroup.procs")).split())
            except FileNotFoundError:
                continue
    return found
