"""A leaf: the process that a lambda's code runs in. Two halves, so that the slow one can be done in advance.

`prepare` needs nothing of the lambda: cgroup, namespaces, mounts, signals, fresh random numbers, the standard
streams, and a rehearsal of the first call. Then the leaf waits on its channel for {"op": "assign", ...} with five
descriptors: the handler's tree, the tree of its scratch, the listening socket, stdout, stderr, and perhaps a sixth,
a resolv.conf of its own. `confine` takes the rest away for good; only then is the lambda's code looked at.

On the channel the leaf sends {"op": "failed", "error": "step: reason"} if it must; closing it is the good news.
"""

import fcntl
import os
import resource
import select
import socket
import struct
import time
import typing

import ol_kernel as kernel

from ol_guest import hygiene, imports, messages, packages, preload, rehearsal, search_path, serve
from ol_guest.marks import Marks
from ol_guest.output import Output

if typing.TYPE_CHECKING:
    from ol_guest.settings import Settings

# A leaf ends with this when it could not be set up; the reason went to the broker.
EXIT_SETUP_FAILED = 70

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
# A new namespace's has no other flag that can be changed.
_LOOPBACK_UP = struct.pack("16sh14x", b"lo", _IFF_UP)
_ROOTLESS_UID = 1000
_MIB = 1024 * 1024
# Enough for a Python thread at its recursion limit.
_THREAD_STACK_BYTES = 2 * _MIB


def run(
    channel: socket.socket,
    cgroup_files: "list[int]",
    request: "dict[str, typing.Any]",
    tree_proc: int,
    settings: "Settings",
    seccomp_filter: kernel.SeccompFilter,
    output: Output,
    marks: Marks,
) -> None:
    """Becomes a sandbox and serves calls until the worker goes; returns only if the broker is gone.

    `request` is the broker's (zygote.py), of which `uid` counts here, and `tmpMb`, what the last sandbox wanted.
    `tree_proc` is an open directory, the tree's writable /proc.
    """
    step = "prepare"
    try:
        _prepare(cgroup_files, request["tmpMb"], settings, marks)
        output.install()
        if not _is_awaited(channel):
            rehearsal.rehearse(settings.depth > 0)
        marks.mark("rehearsal")
        received = messages.receive(channel)
        if received is None:
            return
        marks.mark("assignment")
        assignment, descriptors = received
        marks.of_broker = assignment["steps"]
        step = "attach"
        if assignment["tmpMb"] != request["tmpMb"]:
            # On top: import code's filter in a zygote forbids to change what is mounted.
            _mount_memory_directories(assignment["tmpMb"])
        listener = _attach(descriptors)
        marks.mark("attach")
        step = "confine"
        _limit(assignment["rlimits"], assignment["dataMb"])
        _confine(request["uid"], tree_proc, settings, assignment["procs"], seccomp_filter)
        marks.mark("confine")
    except Exception as error:  # whatever it is, the broker must be told: nobody else can tell anybody
        messages.send(channel, {"op": "failed", "error": f"{step}: {type(error).__name__}: {error}"})
        return
    channel.close()
    if assignment["packages"] or settings.depth > 0:
        search_path.use(assignment["packages"])
    _start(assignment["environment"], assignment["packages"], listener, output, marks)


def _prepare(cgroup_files: "list[int]", tmp_mb: int, settings: "Settings", marks: Marks) -> None:
    for descriptor in cgroup_files:
        # "0" is the writer itself. The right to do this is that of the broker, which opened the file.
        os.write(descriptor, b"0")
        os.close(descriptor)
    marks.mark("cgroup")
    weaken = settings.weaken
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    if settings.own_network and "network-namespace" not in weaken:
        flags |= kernel.CLONE_NEWNET
    if "ipc-namespace" in weaken:
        flags &= ~kernel.CLONE_NEWIPC
    kernel.unshare(flags)
    marks.mark("namespaces")
    if flags & kernel.CLONE_NEWNET:
        _bring_loopback_up()
        marks.mark("loopback")
    if "pid-namespace" not in weaken:
        # Read-only: an id equal to a namespace's owner may write many of its /proc/sys files, anybody may lower his
        # oom_score_adj, and no lambda has a reason to write anything there.
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        flags |= 0 if "read-only" in weaken else kernel.MS_RDONLY
        kernel.mount("proc", "/proc", "proc", flags)
    _mount_memory_directories(tmp_mb)
    marks.mark("mounts")
    os.setsid()
    os.umask(0o022)
    if settings.depth > 0:
        # Before that it is empty.
        kernel.clear_environment()
    hygiene.fresh_process(of_packages=settings.depth > 0)
    marks.mark("fresh")


def _mount_memory_directories(size_mb: int) -> None:
    """Counted by the memory limit where there is one; the size is what bounds them where there is none."""
    for directory in ("/tmp", "/dev/shm"):
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("tmpfs", directory, "tmpfs", flags, f"mode=1777,size={size_mb}m")


def _is_awaited(channel: socket.socket) -> bool:
    """Whether somebody waits for this sandbox already: then nothing is done that is only good for later."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(0))


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, _SIOCSIFFLAGS, _LOOPBACK_UP)


def _attach(descriptors: "list[int]") -> socket.socket:
    """Puts the lambda's directories and descriptors in their places; closes every other descriptor."""
    handler, scratch, listener, stdout, stderr, *resolver = descriptors
    kernel.move_mount(handler, "/handler")
    kernel.move_mount(scratch, "/host")
    for tree in resolver:
        kernel.move_mount(tree, "/etc/resolv.conf")
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(listener, 3)
    return socket.socket(fileno=3)


def _limit(rlimits: "dict[str, int]", data_mb: "int | None") -> None:
    if data_mb is not None:
        # Only private writable memory counts; a limit on addresses (RLIMIT_AS) would forbid numpy its libraries.
        rlimits["DATA"] = packages.data_segment_bytes() + data_mb * _MIB
        # Which counts the stacks of threads in full, 8 MiB each by default, used or not.
        kernel.set_thread_stack(_THREAD_STACK_BYTES)
    for name, value in rlimits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _confine(
    uid: int, tree_proc: int, settings: "Settings", procs: "int | None", seccomp_filter: kernel.SeccompFilter
) -> None:
    weaken = settings.weaken
    if "user" not in weaken:
        if settings.rootless:
            _take_own_user_namespace(tree_proc)
        else:
            _take_own_uid(uid)
    if procs is not None:
        # Only now: what is set before holds for the namespace, or the user, that all leaves share.
        resource.setrlimit(resource.RLIMIT_NPROC, (procs, procs))
    if "capabilities" not in weaken:
        kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
        kernel.set_capabilities(())
    # Changed ids made this process undumpable, and its own /proc/self unreadable to its subprocesses.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    if not settings.own_network and "landlock" not in weaken:
        # Abstract sockets belong to the network namespace, and in the host's there are everybody's.
        kernel.landlock_scope()
    if "seccomp" not in weaken:
        seccomp_filter.install()


def _take_own_uid(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _take_own_user_namespace(tree_proc: int) -> None:
    """Process limits count by user namespace, and the tree's one id is shared by all leaves."""
    kernel.unshare(kernel.CLONE_NEWUSER)
    # A new user namespace comes with a full set.
    kernel.drop_bounding_set()
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_ROOTLESS_UID} 0 1"),
        ("gid_map", f"{_ROOTLESS_UID} 0 1"),
    ):
        # os.write and not a file object, whose close would hide the error.
        descriptor = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=tree_proc)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _start(
    environment: "dict[str, str]", directories: "list[str]", listener: socket.socket, output: Output, marks: Marks
) -> typing.NoReturn:
    kernel.close_range(4)
    os.environ.update(environment)
    if "TZ" in environment:
        time.tzset()
    os.chdir("/handler")
    preload.make_way_for("/handler")
    recorder = imports.Recorder(directories) if directories else None
    serve.serve(listener, output, "/handler", recorder, marks)
    os._exit(0)
