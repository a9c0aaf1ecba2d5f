"""Makes a sandbox tree: a set of namespaces with a root file system of its own, and in it an init and a zygote.

One clone(2) with all namespaces makes the init. It has no rights outside its user namespace; the broker, which
has, prepares what must come from the host: read-only detached mounts, the id map. In order, in `_enter`:
a small tmpfs becomes the root, the detached mounts are attached, /proc is mounted (it must be, while the host's is
still visible), the old root is dropped, the root is made read-only, and a fresh interpreter is executed, so that
nothing of the broker's memory comes along.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import typing

import ol_kernel as kernel
from ol_guest import init, messages

from ol_host.files import real_directory, write_all
from ol_host.uids import UID_BLOCK

_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
_SYSTEM_DIRECTORIES = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What programs look up outside /usr: certificates, linked alternatives, the loader's cache, the time zone.
_ETC_TREES = ("ssl", "pki", "ca-certificates", "alternatives")
_ETC_FILES = ("resolv.conf", "ld.so.cache", "localtime", "mime.types", "nsswitch.conf", "services", "protocols", "hosts")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_SKELETON = ("dev", "dev/shm", "etc", "handler", "host", "packages", "proc", "runtime", "tmp")
_PASSWD = "root:x:0:0:root:/:/bin/false\nsandbox:x:1000:1000:sandbox:/host:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n"


class Source(typing.NamedTuple):
    """Something of the host that every tree sees read-only."""

    # Path inside, without the leading slash.
    target: str
    # An O_PATH descriptor, held from the start, so that a later exchange of the path changes nothing.
    descriptor: int
    is_directory: bool


class Base:
    """What the inside of every tree is made of; looked up once."""

    def __init__(self, runtime_directory: str, packages_directory: "str | None") -> None:
        self.links: "dict[str, str]" = {}
        self.sources: "list[Source]" = []
        self.files = {"etc/passwd": _PASSWD.encode(), "etc/group": _GROUP.encode()}
        for name in _SYSTEM_DIRECTORIES:
            self._add_system_directory(name)
        self.interpreter = os.path.realpath(sys.executable)
        for prefix in {sys.base_prefix, sys.base_exec_prefix}:
            self._add_prefix(os.path.realpath(prefix))
        for name in _ETC_TREES:
            if real_directory(f"/etc/{name}"):
                self._add(f"etc/{name}", f"/etc/{name}")
        for name in _ETC_FILES:
            self._add_file(name)
        for name in _DEVICES:
            self._add(f"dev/{name}", f"/dev/{name}")
        for name in ("ol_guest", "ol_kernel.py"):
            self._add(f"runtime/{name}", os.path.join(runtime_directory, name))
        if packages_directory is not None:
            self._add("packages", packages_directory)

    def _add_system_directory(self, name: str) -> None:
        path = f"/{name}"
        if os.path.islink(path):
            self.links[name] = os.readlink(path)
        elif real_directory(path):
            self._add(name, path)

    def _add_prefix(self, prefix: str) -> None:
        # The interpreter knows itself by its path on the host, so it is found at the same path inside.
        if not prefix.startswith("/usr/") and prefix != "/usr":
            self._add(prefix.lstrip("/"), prefix)

    def _add_file(self, name: str) -> None:
        try:
            with open(f"/etc/{name}", "rb") as file:
                self.files[f"etc/{name}"] = file.read()
        except FileNotFoundError:
            # Not every distribution has each of them, and none is indispensable.
            return

    def _add(self, target: str, path: str) -> None:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self.sources.append(Source(target, descriptor, os.path.isdir(path)))

    def detached(self) -> "typing.Iterator[tuple[Source, int]]":
        for source in self.sources:
            yield source, _detached_read_only(source)


def _detached_read_only(source: Source) -> int:
    tree = kernel.open_tree("", source.descriptor, recursive=source.is_directory)
    flags = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_RDONLY
    # Device files must stay devices; everything else must not become one.
    if not source.target.startswith("dev/"):
        flags |= kernel.MOUNT_ATTR_NODEV
    try:
        kernel.mount_setattr(tree, "", flags, recursive=source.is_directory)
    except OSError:
        os.close(tree)
        raise
    return tree


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
        undo.callback(_end, pidfd)
        _map_ids(pid, rootless, first_uid)
        if not rootless:
            _prefer_for_oom_kill(pid)
        os.write(mapped_write, b"1")
        undo.pop_all()
    return Tree(pid, pidfd, ours, log_read)


def _end(pidfd: int) -> None:
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
        start = "import sys; sys.path.insert(0, '/runtime'); from ol_guest.init import main; main()"
        arguments = [base.interpreter, "-I", "-S", "-B", "-X", "utf8", "-c", start, settings]
        os.execve(base.interpreter, arguments, {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/host"})
    except BaseException as error:  # noqa: BLE001 - a forked broker must never run on as a second one
        write_all(2, f"sandbox tree: {error}\n")
        os._exit(1)


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
    for name in _SKELETON:
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
