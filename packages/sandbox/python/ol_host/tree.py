"""Makes a sandbox tree: a set of namespaces with a root file system of its own, and in it an init and a zygote.

One clone(2) with all namespaces makes the init. It has no rights outside its user namespace; the broker, which
has, prepares what must come from the host: read-only detached mounts, the id map. In order, in `_enter`:
a small tmpfs becomes the root, the detached mounts are attached, /proc is mounted (it must be, while the host's is
still visible), the old root is dropped, the root is made read-only, and a fresh interpreter is executed, so that
nothing of the broker's memory comes along.
"""

import contextlib
import errno
import json
import os
import select
import signal
import socket
import typing

import ol_kernel as kernel
from ol_guest import init, messages

from ol_host.base import SKELETON, Base, Source
from ol_host.files import write_all
from ol_host.uids import UID_BLOCK

_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)

# Looks at the version before it imports what an older Python does not understand.
START = (
    "import sys; sys.version_info < (3, 9) and sys.exit("
    "'sandboxes need Python 3.9 or newer, and this one is %d.%d' % sys.version_info[:2]); "
    "sys.path.insert(0, '/runtime'); from ol_guest.init import main; main()"
)
# Of a base that is not this machine's own; the kernel's own words would send people elsewhere.
_EXEC_REASONS = {
    errno.ENOEXEC: f"it is no program for this machine ({kernel.MACHINE})",
    errno.ENOENT: "it is a link that leads nowhere, or its loader (ld-linux) is not there",
    errno.EACCES: "everybody must be able to read and execute it (chmod -R a+rX), on a file system without noexec",
}


def tree_class(network: str) -> str:
    """Which tree serves a network class. A process cannot go back to the host's network from one of its own, so
    there are two: `none`, and `net` for those that share the host's."""
    return "none" if network == "none" else "net"


class Tree(typing.NamedTuple):
    """A tree that was started: its init, and how to hear of its root zygote."""

    pid: int
    pidfd: int
    control: socket.socket
    log_fd: int


def spawn(
    base: Base, network: str, rootless: bool, first_uid: int, weaken: "list[str]", preload: "str | list[str]"
) -> Tree:
    """Starts a tree. Its zygote reads its control channel when it is ready: nobody has to wait for it."""
    settings = json.dumps(
        {"ownNetwork": network == "none", "rootless": rootless, "weaken": weaken, "preload": preload}
    )
    flags = _NAMESPACES | (kernel.CLONE_NEWNET if network == "none" else 0)
    if "ipc-namespace" in weaken:
        flags &= ~kernel.CLONE_NEWIPC
    with contextlib.ExitStack() as handed_over, contextlib.ExitStack() as undo:
        ours, theirs = messages.pair()
        undo.callback(ours.close)
        handed_over.callback(theirs.close)
        log_read, log_write = os.pipe()
        undo.callback(os.close, log_read)
        handed_over.callback(os.close, log_write)
        mapped_read, mapped_write = os.pipe()
        for descriptor in (mapped_read, mapped_write):
            handed_over.callback(os.close, descriptor)
        trees = []
        for source, tree in base.detached():
            handed_over.callback(os.close, tree)
            trees.append((source, tree))
        pid, pidfd = kernel.clone_process(flags)
        if pid == 0:
            os.dup2(log_write, 2)
            os.close(mapped_write)
            _become_init(base, trees, theirs, mapped_read, settings)
        undo.callback(end, pidfd)
        _map_ids(pid, rootless, first_uid)
        if not rootless:
            _prefer_for_oom_kill(pid)
        os.write(mapped_write, b"1")
        undo.pop_all()
    return Tree(pid, pidfd, ours, log_read)


def end(pidfd: int) -> None:
    """Of a tree's init, and with it of everything in the tree."""
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)


def _map_ids(pid: int, rootless: bool, first_uid: int) -> None:
    text = "0 0 1" if rootless else f"0 {first_uid} {UID_BLOCK}"
    for name in ("uid_map", "gid_map"):
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            # A file object would hide the error, which comes with the write or not at all.
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _prefer_for_oom_kill(pid: int) -> None:
    """The machine's memory running out should cost lambdas before anything else. What somebody with the host's
    CAP_SYS_RESOURCE sets, nobody without can lower: it is also the least that descendants may have."""
    descriptor = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, init.OOM_SCORE_ADJ.encode())
    finally:
        os.close(descriptor)


def _become_init(
    base: Base,
    trees: "list[tuple[Source, int]]",
    control: socket.socket,
    mapped_fd: int,
    settings: str,
) -> typing.NoReturn:
    try:
        if not os.read(mapped_fd, 1):
            os._exit(1)
        # Our ids were unmapped until now, so they are those of nobody.
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        _enter(base, trees, "read-only" not in json.loads(settings)["weaken"])
        kernel.sethostname("sandbox")
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(control.fileno(), init.CONTROL_FD)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
        kernel.close_range(init.CONTROL_FD + 1)
        if _broker_is_gone():
            # It died before its death could be a signal to us.
            os._exit(1)
        arguments = [base.interpreter, "-I", "-S", "-B", "-X", "utf8", "-c", START, settings]
        _execute(base.interpreter, arguments)
    except BaseException as error:  # noqa: BLE001 - a forked broker must never run on as a second one
        write_all(2, f"{error}\n")
        os._exit(1)


def _execute(program: str, arguments: "list[str]") -> typing.NoReturn:
    try:
        os.execve(program, arguments, {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/host"})
    except OSError as error:
        reason = _EXEC_REASONS.get(error.errno or 0, error.strerror)
        raise RuntimeError(f"{program} cannot be started: {reason}") from error


def _broker_is_gone() -> bool:
    poll = select.poll()
    # Nothing asked for: the end of the other side is reported anyway.
    poll.register(init.CONTROL_FD, 0)
    return bool(poll.poll(0))


def _enter(base: Base, trees: "list[tuple[Source, int]]", read_only: bool) -> None:
    # Nothing we mount may spread to the host.
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/usr", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4m,mode=755")
    os.chdir("/usr")
    os.umask(0o022)
    for name in SKELETON:
        os.mkdir(name, 0o755)
    for name, target in base.links.items():
        os.symlink(target, name)
    for name in ("fd", "stdin", "stdout", "stderr"):
        target = "/proc/self/fd" + {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}[name]
        os.symlink(target, f"dev/{name}")
    for name, content in base.files.items():
        with open(name, "wb") as file:
            file.write(content)
    for source, tree in trees:
        if source.is_directory:
            os.makedirs(source.target, 0o755, exist_ok=True)
        else:
            open(source.target, "wb").close()
        kernel.move_mount(tree, source.target)
    kernel.mount("proc", "proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.pivot_root(".", ".")
    kernel.umount(".", kernel.MNT_DETACH)
    os.chdir("/")
    if read_only:
        kernel.mount_setattr(kernel.AT_FDCWD, "/", kernel.MOUNT_ATTR_RDONLY, recursive=False)
