"""Control groups that this machine lets us use: which hierarchies are mounted, and where in them our own group goes."""

import dataclasses
import errno
import os
import typing

_CONTROLLERS = ("memory", "pids", "cpu")
# Not a controller: every v2 group can be frozen, also on hosts whose controllers are all in v1 hierarchies. (The v1
# freezer is not used: a process that it froze cannot be killed before it is thawed.)
FREEZE = "freeze"
# Of the group that a delegated group's processes move into: `ol-<cluster>-<worker>-host`.
HOST_SUFFIX = "-host"
# Processes that start while the others are moved are found by looking again.
_MOVES = 20


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


def read_file(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def write_file(directory: str, name: str, text: str) -> None:
    descriptor = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def discover(as_root: bool) -> "tuple[list[Hierarchy], list[str]]":
    """The hierarchies that can be used, and a sentence for each thing that stands in the way."""
    notes: "list[str]" = []
    mounts = parse_mounts(read_file("/proc/self/mountinfo"))
    own = parse_own_group(read_file("/proc/self/cgroup"))
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
            reason = "which is read-only" if _is_read_only(points[0]) else "which this user has not"
            notes.append(f"the {controller} limit needs write access to {points[0]}, {reason}")
    if not mounts:
        notes.append("no cgroup file system is mounted")
    return hierarchies, notes


def _discover_v2(point: str, own: str, as_root: bool, notes: "list[str]") -> "Hierarchy | None":
    parent = delegated_group(point, own)
    if as_root and not _marked_delegated(parent):
        # Nobody gave us a group of our own, and one that systemd looks after is not ours to divide: it would move
        # processes out of it and back. The top is what other engines take in this case; systemd leaves alone there
        # what it has not made itself.
        parent = point
    try:
        available = read_file(os.path.join(parent, "cgroup.controllers")).split()
    except OSError as error:
        notes.append(f"{parent} cannot be read ({error.strerror})")
        return None
    wanted = tuple(name for name in _CONTROLLERS if name in available)
    if not wanted:
        # On a hybrid host there is none here, and the limits come from v1.
        if "memory" in read_file(os.path.join(point, "cgroup.controllers")):
            notes.append(f"no limits by cgroup: the groups above {parent} let it have no controller of {_CONTROLLERS}")
        return Hierarchy(2, parent, (FREEZE,)) if os.access(parent, os.W_OK) else None
    if not os.access(parent, os.W_OK):
        notes.append(_why_not_writable(parent, as_root))
        return None
    return Hierarchy(2, parent, (*wanted, FREEZE))


def delegated_group(point: str, own: str) -> str:
    """The group that is ours to divide: our own, or the one above it if a worker before us moved us out of that one
    (see `enable_controllers`)."""
    group = own.lstrip("/")
    name = os.path.basename(group)
    if name.startswith("ol-") and name.endswith(HOST_SUFFIX):
        group = os.path.dirname(group)
    return os.path.join(point, group).rstrip("/")


def _marked_delegated(group: str) -> bool:
    """Whether systemd gave this group away for good (Delegate=yes): it says so in an extended attribute."""
    for name in ("trusted.delegate", "user.delegate"):
        try:
            if os.getxattr(group, name) == b"1":
                return True
        except OSError:
            # Not set, or the kernel has none of this kind here (user.* on cgroups: 5.7 and newer).
            continue
    return False


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _why_not_writable(group: str, as_root: bool) -> str:
    if _is_read_only(group):
        remedy = "mount it writable (containers: their own cgroup namespace, and writable)"
        return f"no limits by cgroup: the file system at {group} is read-only; {remedy}"
    if as_root:
        return f"no limits by cgroup: {group} is not writable"
    remedy = "start the worker by systemd-run --user --scope -p Delegate=yes (ol-admin workers does, after loginctl enable-linger)"
    return f"no limits by cgroup: {group} is not writable for this user; {remedy}"


def without(hierarchies: "typing.Iterable[Hierarchy]", names: "typing.Container[str]") -> "list[Hierarchy]":
    """The hierarchies with some controllers left out."""
    left = []
    for hierarchy in hierarchies:
        controllers = tuple(name for name in hierarchy.controllers if name not in names)
        if controllers:
            left.append(dataclasses.replace(hierarchy, controllers=controllers))
    return left


def enable_controllers(hierarchy: Hierarchy, prefix: str) -> None:
    """Lets groups below `hierarchy.parent` have limits.

    A v2 group other than the root cannot both hold processes and limit its children (EBUSY): what runs in a
    delegated group moves into a child group of it first.
    """
    enabled = read_file(os.path.join(hierarchy.parent, "cgroup.subtree_control")).split()
    missing = [name for name in hierarchy.controllers if name not in enabled and name != FREEZE]
    if not missing:
        return
    text = " ".join(f"+{name}" for name in missing)
    for _ in range(_MOVES):
        try:
            write_file(hierarchy.parent, "cgroup.subtree_control", text)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        _move_processes(hierarchy.parent, os.path.join(hierarchy.parent, prefix + HOST_SUFFIX))
    raise OSError(errno.EBUSY, "processes keep starting in it, so it cannot limit groups below it", hierarchy.parent)


def _move_processes(source: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    for pid in read_file(os.path.join(source, "cgroup.procs")).split():
        try:
            write_file(target, "cgroup.procs", pid)
        except ProcessLookupError:
            # It ended in the meantime.
            continue
