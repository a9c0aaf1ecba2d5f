"""How a zygote makes a child zygote: a fork of itself that has imported more, walled off from it and its siblings.

Import code is anybody's code, so each child zygote has namespaces of its own: a user namespace nested in its
parent's, with other ids, in which the mounts it inherits are locked (it cannot make /packages writable, nor unmount
anything to see what lies beneath); a PID namespace, in which there are only its own init, itself and its leaves; and
mount, IPC, UTS and cgroup namespaces, without a network one of its own too. One clone(2) makes the init, which is pid 1
and outlives the zygote as long as there are leaves or further child zygotes; its fork becomes the zygote.
"""

import os
import signal
import socket
import sys
import typing

import ol_kernel as kernel

from ol_guest import hygiene, messages, packages, seccomp

if typing.TYPE_CHECKING:
    from ol_guest.zygote import Settings

_NAMESPACES = (
    kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
)
_CONTROL_FD = 3
_EXIT_FAILED = 70
# The kernel stacks 16 Landlock domains, and a leaf needs one of its own.
_MOST_LANDLOCK_DOMAINS = 14


# What the child runs once it has imported, with how that went.
Serve = typing.Callable[[socket.socket, "Settings", packages.Imported], None]


class Request(typing.NamedTuple):
    """What the broker asked for. The descriptors that came along: the control channel, the log, and cgroup.procs files,
    first the init's (`initGroups` of them), then the zygote's."""

    message: "dict[str, typing.Any]"
    descriptors: "list[int]"


def beget(request: Request, settings: "Settings", serve: Serve) -> int:
    """Forks the child zygote's init and returns its pid."""
    flags = _NAMESPACES | (kernel.CLONE_NEWNET if settings.own_network else 0)
    if "zygote-user" in settings.weaken:
        flags &= ~kernel.CLONE_NEWUSER
    mapped_read, mapped_write = os.pipe()
    try:
        pid, pidfd = kernel.clone_process(flags)
        if pid == 0:
            os.close(mapped_write)
            _become_init(request, settings, mapped_read, serve)
        os.close(pidfd)
        try:
            if flags & kernel.CLONE_NEWUSER:
                _map_ids(pid, request.message["uidMap"])
            os.write(mapped_write, b"1")
        except OSError:
            os.kill(pid, signal.SIGKILL)
            raise
        return pid
    finally:
        os.close(mapped_read)
        os.close(mapped_write)


def _map_ids(pid: int, text: str) -> None:
    for name in ("uid_map", "gid_map"):
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _become_init(
    request: Request,
    settings: "Settings",
    mapped_fd: int,
    serve: Serve,
) -> typing.NoReturn:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if not os.read(mapped_fd, 1):
            os._exit(_EXIT_FAILED)
        control, log, *procs = request.descriptors
        count = request.message["initGroups"]
        # Neither the parent's group nor the zygote's: running out of memory in one of those must not end this process,
        # and with it all that lives here.
        _join(procs[:count])
        os.dup2(log, 2)
        os.dup2(control, _CONTROL_FD)
        _close_all_but(procs[count:])
        _take_ids(settings)
        _enter_own_root(settings)
        _skip_process_numbers(settings.depth)
        pid = os.fork()
        if pid == 0:
            _join(procs[count:])
            kernel.unshare(kernel.CLONE_NEWCGROUP)
            _become_zygote(request.message, settings, serve)
        os.dup2(1, 2)
        kernel.close_range(_CONTROL_FD)
        kernel.set_capabilities(())
        # The zygote has our user id and none of our limits' scope: it must not get at this process's memory.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        _reap_until_alone(pid)
    except BaseException as error:  # noqa: BLE001 - a forked zygote must never run on as a second one
        _say(f"a zygote could not be set up: {type(error).__name__}: {error}\n")
    finally:
        os._exit(_EXIT_FAILED)


def _skip_process_numbers(count: int) -> None:
    """So that no zygote has the number that one above it has in its own namespace: a library with a generator of its
    own, such as cryptography's OpenSSL, tells a fork by nothing else, and would make the same keys in siblings."""
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def _join(procs: "list[int]") -> None:
    for descriptor in procs:
        # "0" is the writer itself. The right to do this is that of the broker, which opened the file.
        os.write(descriptor, b"0")
        os.close(descriptor)


def _close_all_but(kept: "list[int]") -> None:
    """Of the descriptors above the control channel's."""
    first = _CONTROL_FD + 1
    for descriptor in sorted(kept):
        if descriptor > first:
            kernel.close_range(first, descriptor - 1)
        first = descriptor + 1
    kernel.close_range(first)


def _take_ids(settings: "Settings") -> None:
    """Until they were mapped they were those of nobody. Changed ids make a process undumpable, and its files in /proc
    those of the host's root; then nobody here could map a child's ids."""
    if not settings.rootless:
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def _enter_own_root(settings: "Settings") -> None:
    """The same root again, but with a /proc under which there is no other: whoever unmounts this one must not find the
    parent's, with its siblings in it."""
    os.chdir("/tmp")
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    os.chdir("/tmp")
    os.umask(0o022)
    for entry in os.scandir("/"):
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), entry.name)
            continue
        os.mkdir(entry.name, 0o755)
        if entry.name in ("proc", "tmp"):
            continue
        tree = kernel.open_tree(entry.path, recursive=True)
        kernel.move_mount(tree, entry.name)
        os.close(tree)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("proc", "proc", "proc", flags | kernel.MS_NOEXEC)
    kernel.pivot_root(".", ".")
    kernel.umount(".", kernel.MNT_DETACH)
    os.chdir("/")
    if "read-only" not in settings.weaken:
        kernel.mount_setattr(kernel.AT_FDCWD, "/", kernel.MOUNT_ATTR_RDONLY, recursive=False)


def _become_zygote(
    message: "dict[str, typing.Any]",
    settings: "Settings",
    serve: Serve,
) -> typing.NoReturn:
    control = socket.socket(fileno=_CONTROL_FD)
    try:
        announce(control, [os.getpid(), 1])
        for directory in ("/tmp", "/dev/shm"):
            flags = kernel.MS_NOSUID | kernel.MS_NODEV
            kernel.mount("tmpfs", directory, "tmpfs", flags, f"size={message['tmpMb']}m,mode=1777")
        # Before the filter, under which these stay as they are.
        packages.limit(message["dataMb"])
        _shut_in(settings)
        hygiene.reseed()
        imported = packages.load(message["packages"], message["modules"])
        serve(control, settings, imported)
    except packages.CannotServe as error:
        messages.send(control, {"op": "unfit", "error": str(error), "packages": error.unfit})
    except (BrokenPipeError, ConnectionResetError):
        # The broker has given us up.
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the import may have changed anything, and this must not return
        _say(f"the zygote broke: {type(error).__name__}: {error}\n")
    finally:
        os._exit(_EXIT_FAILED)


def announce(control: socket.socket, pids: "list[int]") -> None:
    """Before any import, so that the broker can end a zygote whatever the import does."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    messages.send(control, {"op": "here", "python": "%d.%d.%d" % sys.version_info[:3]}, pidfds)
    for pidfd in pidfds:
        os.close(pidfd)


def _shut_in(settings: "Settings") -> None:
    """Everything that forking leaves and child zygotes does not need goes before the first line of a package runs."""
    if not settings.own_network and "landlock" not in settings.weaken and settings.depth <= _MOST_LANDLOCK_DOMAINS:
        kernel.landlock_scope()
    if settings.depth == 1 and "seccomp" not in settings.weaken:
        # What forks from it inherits it.
        kernel.SeccompFilter(seccomp.package_zygote_filter()).install()
    if "zygote-user" not in settings.weaken:
        # Else there are no others to give up.
        settings.keep_only_what_forking_needs()


def _reap_until_alone(zygote: int) -> typing.NoReturn:
    """Ends with the last process that lives here, and as the zygote did."""
    code = _EXIT_FAILED
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            os._exit(code)
        if pid == zygote:
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _say(text: str) -> None:
    try:
        os.write(2, text.encode(errors="replace"))
    except OSError:
        # Nobody listens any more; then nobody has to be told.
        sys.exc_info()
