"""What the broker takes from the host before it makes the first sandbox: namespaces, directories, groups, user ids."""

import dataclasses
import os
import selectors
import sys
import typing

import ol_kernel as kernel

from ol_host import cgroups, hierarchies, host, trial
from ol_host.base import Base
from ol_host.files import InUse, Workspace
from ol_host.obstacles import obstacles, require_seccomp
from ol_host.outbound import Outbound
from ol_host.resolv import Resolver
from ol_host.soil import Soil
from ol_host.wire import Refused

# What tests leave out of the control groups.
_LEFT_OUT = {"cgroups": ("memory", "pids", "cpu", hierarchies.FREEZE), "cgroup-freeze": (hierarchies.FREEZE,)}
# What an earlier broker left is removed before the first sandbox is made: a million files take about this long.
_SWEEP_SEC = 40.0


@dataclasses.dataclass(frozen=True)
class Ground:
    files: Workspace
    resolver: Resolver
    soil: Soil
    # Keeps others from our user ids as long as it is open; None where all are our own.
    uid_claim: "int | None"
    # The version that sandboxes run on.
    python: str
    # How many things of an earlier broker were removed.
    swept: int
    # Sentences about what is not as it should be.
    notes: "list[str]"

    @property
    def first_uid(self) -> "int | None":
        """The host's id of what is 0 for leaves; None where all are our own."""
        return None if self.soil.rootless else self.soil.first_uid

    def close(self) -> None:
        self.soil.groups.close()
        self.soil.outbound.close()
        self.resolver.close()


def is_rootless() -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as uid_map:
        return not host.has_root_rights(os.geteuid(), uid_map.read())


def take(
    request: "dict[str, typing.Any]",
    rootless: bool,
    selector: selectors.BaseSelector,
    on_outbound_lost: "typing.Callable[[str], None]",
) -> Ground:
    """`request` is `start`'s. Raises OSError, and Refused where there is a better word for it."""
    if "seccomp" not in request["weaken"]:
        require_seccomp()
    os.umask(0o022)
    most_leaves = host.allow_many_descriptors()
    found, notes = hierarchies.discover(as_root=not rootless)
    # Tests look at hosts that have less than this one.
    left_out = {name: names for name, names in _LEFT_OUT.items() if name in request["weaken"]}
    found = hierarchies.without(found, frozenset().union(*left_out.values()))
    if rootless:
        _enter_own_namespace()
    base = Base(request["runtimeDir"], request.get("packagesDir"), request.get("base"))
    files = open_files(request, rootless)
    first_uid, uid_claim = (0, None) if rootless else host.claim_uid_block()
    weaken = request["weaken"]
    # Before anything is made that would have to be removed again.
    python = _own_python() if base.path is None else trial.python_of(base, rootless, first_uid, weaken)
    groups = _open_groups(request["groupPrefix"], found, notes)
    swept = files.sweep()
    stuck = files.trash.wait_until_empty(_SWEEP_SEC)
    if stuck:
        notes.append(f"{len(stuck)} things in {request['workDir']}/trash could not be removed; look at them")
    if not kernel.knows_landlock_scopes():
        notes.append(
            "sandboxes with network host reach this machine's abstract unix sockets: only Linux 6.12 and newer, "
            "with Landlock, can keep them off; use network none where that matters"
        )
    files.say_serving(True)
    resolver = Resolver(files.run_fd)
    claimed = None if rootless else first_uid
    outbound = Outbound(request["groupPrefix"], claimed, resolver.nameservers, selector, on_outbound_lost)
    soil = Soil(
        base=base,
        groups=groups,
        outbound=outbound,
        rootless=rootless,
        first_uid=first_uid,
        weaken=weaken,
        preload=request["preload"],
        steps=request["steps"],
        prepared=request["prepared"],
        most_prepared=request["mostPrepared"],
        most_leaves=most_leaves,
    )
    return Ground(files, resolver, soil, uid_claim, python, swept, notes)


def _own_python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _enter_own_namespace() -> None:
    try:
        host.enter_own_namespace()
    except OSError as error:
        reasons = "; ".join(obstacles(error.errno, True)) or "run as root, or let the administrator allow it"
        message = f"an ordinary user may not make a user namespace here ({error.strerror}); {reasons}"
        raise Refused("OL_SANDBOX_HOST_UNFIT", message) from error


def open_files(request: "dict[str, typing.Any]", rootless: bool) -> Workspace:
    """Takes the lock of the directories that `request` names. Raises OSError and Refused."""
    try:
        return Workspace(
            request["workDir"], request["codeDir"], request.get("logDir"), _worker_ids(request, rootless)
        )
    except InUse as error:
        message = f"{request['workDir']} is in use by another worker; stop that one, or choose another directory"
        raise Refused("OL_SANDBOX_DIRECTORY_IN_USE", message) from error


def _worker_ids(request: "dict[str, typing.Any]", rootless: bool) -> "tuple[int, int] | None":
    worker = request.get("worker")
    if worker is None:
        return None
    if rootless:
        raise Refused("OL_SANDBOX_BAD_OPTIONS", "only a worker started by root can become another user")
    return worker["uid"], worker["gid"]


def _open_groups(
    prefix: str, found: "list[hierarchies.Hierarchy]", notes: "list[str]"
) -> cgroups.GroupStock:
    groups = cgroups.GroupStock(prefix, found)
    try:
        groups.open()
    except cgroups.GroupsInUse as error:
        message = (
            f"another worker has the cgroup {error}, so it has this cluster's id and this worker's name; if the "
            "cluster directory is a copy, make a new cluster instead"
        )
        raise Refused("OL_SANDBOX_DIRECTORY_IN_USE", message) from error
    except OSError as error:
        notes.append(f"no limits by cgroup: {error.filename or 'cgroup'}: {error.strerror}")
        return cgroups.GroupStock("", [])
    return groups
