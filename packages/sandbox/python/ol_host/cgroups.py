"""Control groups: finding out what this machine lets us use, and a stock of groups to put sandboxes in.

Groups are made once and used again, since making one costs more than a fork. All are children of one group of
ours, `ol-<cluster>-<worker>`, and only it and its children are ever touched.
"""

import contextlib
import dataclasses
import errno
import fcntl
import os
import signal
import time
import typing

import ol_kernel as kernel

_CONTROLLERS = ("memory", "pids", "cpu")
# Not a controller: every v2 group can be frozen, also on hosts whose controllers are all in v1 hierarchies. (The v1
# freezer is not used: a process that it froze cannot be killed before it is thawed.)
FREEZE = "freeze"
_CPU_PERIOD_USEC = 100_000
_MIB = 1024 * 1024
# Killed processes are gone in some 10 ms; a machine under load takes longer.
_KILL_SEC = 2.0
# Groups kept for the next sandboxes. What a peak took on top of that goes back to the machine.
_MOST_READY = 32


class GroupsInUse(Exception):
    """Another broker has groups of the same name."""


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy and what of it is ours to use."""

    version: int
    # Directory that our own group is made in.
    parent: str
    controllers: "tuple[str, ...]"


def parse_mounts(mountinfo: str) -> "list[tuple[int, str, frozenset[str]]]":
    """(version, mount point, options) of each cgroup mount, from the text of /proc/self/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _source, *options = after.split(" ")
        if kind in ("cgroup", "cgroup2"):
            version = 2 if kind == "cgroup2" else 1
            found.append((version, before.split(" ")[4], frozenset(",".join(options).split(","))))
    return found


def parse_own_group(text: str) -> "dict[str, str]":
    """Controller (empty for v2) to path, from the text of /proc/self/cgroup."""
    groups = {}
    for line in text.splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _write(directory: str, name: str, text: str) -> None:
    descriptor = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def discover(as_root: bool) -> "tuple[list[Hierarchy], list[str]]":
    """The hierarchies that can be used, and a sentence for each thing that stands in the way."""
    notes: "list[str]" = []
    mounts = parse_mounts(_read("/proc/self/mountinfo"))
    own = parse_own_group(_read("/proc/self/cgroup"))
    hierarchies: "list[Hierarchy]" = []
    for version, point, _options in mounts:
        if version == 2:
            found = _discover_v2(point, own.get("", "/"), as_root, notes)
            if found is not None and found.controllers != (FREEZE,):
                return [found], notes
            hierarchies += [found] if found is not None and not hierarchies else []
    for controller in _CONTROLLERS:
        points = [point for version, point, options in mounts if version == 1 and controller in options]
        if points and as_root and os.access(points[0], os.W_OK):
            hierarchies.append(Hierarchy(1, points[0], (controller,)))
        elif points:
            notes.append(f"the {controller} limit needs write access to {points[0]}, which this user has not")
    if not mounts:
        notes.append("no cgroup file system is mounted")
    return hierarchies, notes


def _discover_v2(point: str, own: str, as_root: bool, notes: "list[str]") -> "Hierarchy | None":
    # Root's groups go to the top, as other engines do; an ordinary user's below the group delegated to it.
    parent = point if as_root else os.path.join(point, own.lstrip("/"))
    try:
        available = _read(os.path.join(parent, "cgroup.controllers")).split()
    except OSError as error:
        notes.append(f"{parent} cannot be read ({error.strerror})")
        return None
    wanted = tuple(name for name in _CONTROLLERS if name in available)
    if not wanted:
        # A hybrid host: the limits come from v1.
        return Hierarchy(2, parent, (FREEZE,)) if os.access(parent, os.W_OK) else None
    if not os.access(parent, os.W_OK):
        notes.append(f"no limits by cgroup: {parent} is not writable for this user (systemd: Delegate=yes)")
        return None
    return Hierarchy(2, parent, (*wanted, FREEZE))


def without(hierarchies: "typing.Iterable[Hierarchy]", names: "typing.Container[str]") -> "list[Hierarchy]":
    """The hierarchies with some controllers left out."""
    left = []
    for hierarchy in hierarchies:
        controllers = tuple(name for name in hierarchy.controllers if name not in names)
        if controllers:
            left.append(dataclasses.replace(hierarchy, controllers=controllers))
    return left


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
            _write(self._directories[FREEZE], "cgroup.freeze", str(int(frozen)))
            self._frozen = frozen

    def is_frozen(self) -> bool:
        """Whether every process has stopped."""
        return "frozen 1" in _read(os.path.join(self._directories[FREEZE], "cgroup.events")).splitlines()

    def processes(self) -> "list[int]":
        for path in self.directories:
            return [int(pid) for pid in _read(os.path.join(path, "cgroup.procs")).split()]
        return []

    def memory_bytes(self) -> "int | None":
        """What it holds; None where memory is not counted."""
        directory = self._directories.get("memory")
        if directory is None:
            return None
        return int(_read(os.path.join(directory, "memory.current" if self._on_v2("memory") else "memory.usage_in_bytes")))

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
            _write(directory, name, str(used))
        except OSError as error:
            # EBUSY: it holds more again (v1). It is still frozen, so nothing is lost.
            if error.errno != errno.EBUSY:
                raise

    def restore_memory(self) -> None:
        if not self._memory_lowered:
            return
        directory = self._directories["memory"]
        if self._on_v2("memory"):
            _write(directory, "memory.high", "max")
        else:
            _write(directory, "memory.limit_in_bytes", self._written["memory.limit_in_bytes"])
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

    def _set(self, controller: str, file: str, value: str, optional: bool = False) -> None:
        directory = self._directories.get(controller)
        if directory is None or self._written.get(file) == value:
            return
        try:
            _write(directory, file, value)
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
                _write(directory, "memory.oom.group", "1")
            return
        event = kernel.eventfd()
        control = os.open(os.path.join(directory, "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _write(directory, "cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
        self.memory_event_fd = event

    def _out_of_memory_count(self) -> int:
        directory = self._directories.get("memory")
        if directory is None:
            return 0
        file = "memory.events" if self._version == 2 else "memory.oom_control"
        try:
            text = _read(os.path.join(directory, file))
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
                _write(root, "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))

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


def enable_controllers(hierarchy: Hierarchy, prefix: str) -> None:
    """Lets groups below `hierarchy.parent` have limits.

    A v2 group other than the root cannot both hold processes and limit its children (EBUSY): what runs in a
    delegated group moves into a child group of it first.
    """
    enabled = _read(os.path.join(hierarchy.parent, "cgroup.subtree_control")).split()
    missing = [name for name in hierarchy.controllers if name not in enabled and name != FREEZE]
    if not missing:
        return
    text = " ".join(f"+{name}" for name in missing)
    try:
        _write(hierarchy.parent, "cgroup.subtree_control", text)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        host_group = os.path.join(hierarchy.parent, f"{prefix}-host")
        os.makedirs(host_group, exist_ok=True)
        for pid in _read(os.path.join(hierarchy.parent, "cgroup.procs")).split():
            _write(host_group, "cgroup.procs", pid)
        _write(hierarchy.parent, "cgroup.subtree_control", text)


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
                found.update(int(pid) for pid in _read(os.path.join(path, "cgroup.procs")).split())
            except FileNotFoundError:
                continue
    return found
