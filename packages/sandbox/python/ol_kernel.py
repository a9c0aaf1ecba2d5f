"""System calls that Python does not offer, one function each; used on both sides of the sandbox's wall.

Every function raises OSError with the kernel's errno. Numbers are those of x86_64: another machine is refused at
import, because a wrong number would be another system call.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct

MACHINE = "x86_64"

_NUMBERS = {
    "pivot_root": 155,
    "seccomp": 317,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "clone": 56,
    "timer_create": 222,
    "timer_settime": 223,
    "landlock_create_ruleset": 444,
    "landlock_restrict_self": 446,
}

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PIDFD = 0x00001000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4

FSOPEN_CLOEXEC = 1
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
FSMOUNT_CLOEXEC = 1

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_STRICTLY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_GET_SECCOMP = 21
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1
LANDLOCK_SCOPE_SIGNAL = 2

CAP_SETGID = 6
CAP_SETUID = 7
CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21
CAP_SETFCAP = 31
CAP_LAST = 40

_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the interpreter's lock: a child made by a bare clone must find it held by itself.
_libc_locked = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
# Not when they are first called: that makes each of them anew in every process that was forked before.
_unshare, _setns, _mount, _umount2 = _libc.unshare, _libc.setns, _libc.mount, _libc.umount2
_prctl, _capset, _clearenv = _libc.prctl, _libc.capset, _libc.clearenv


class UnsupportedMachine(Exception):
    """The processor's system call numbers are not known to this program."""


def require_supported_machine() -> None:
    if platform.machine() != MACHINE:
        raise UnsupportedMachine(f"this version runs on {MACHINE} only, and this machine is {platform.machine()}")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _call(name: str, *args: object) -> int:
    return _check(_syscall(ctypes.c_long(_NUMBERS[name]), *args), name)


def unshare(flags: int) -> None:
    _check(_unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    _check(_setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def clone_process(flags: int) -> "tuple[int, int]":
    """Forks with namespaces. Returns (pid, pidfd) in the parent and (0, -1) in the child.

    A bare clone skips glibc's own bookkeeping (the cached thread id), so the child must soon exec.
    """
    pidfd = ctypes.c_int(-1)
    signal_on_exit = 17  # SIGCHLD
    ctypes.pythonapi.PyOS_BeforeFork()
    result = _libc_locked.syscall(
        ctypes.c_long(_NUMBERS["clone"]),
        ctypes.c_ulong(flags | CLONE_PIDFD | signal_on_exit),
        ctypes.c_void_p(None),
        ctypes.byref(pidfd),
        ctypes.c_void_p(None),
        ctypes.c_ulong(0),
    )
    number = ctypes.get_errno()
    if result == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if result < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return result, pidfd.value


def run_fork_handlers() -> None:
    """What Python does before a fork and then, in the child, after it, where there is none. No other thread may run."""
    ctypes.pythonapi.PyOS_BeforeFork()
    ctypes.pythonapi.PyOS_AfterFork_Child()


def mount(source: str, target: str, kind: "str | None", flags: int, data: "str | None" = None) -> None:
    encoded = (None if text is None else text.encode() for text in (kind, data))
    kind_bytes, data_bytes = encoded
    _check(
        _mount(source.encode(), target.encode(), kind_bytes, ctypes.c_ulong(flags), data_bytes),
        f"mount {target}",
    )


def umount(target: str, flags: int) -> None:
    _check(_umount2(target.encode(), ctypes.c_int(flags)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _call("pivot_root", new.encode(), old.encode())


def open_tree(path: str, dir_fd: int = AT_FDCWD, recursive: bool = False) -> int:
    """A detached copy of the mount at `path` (with an empty path: of `dir_fd` itself)."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    flags |= 0 if path else AT_EMPTY_PATH
    return _call("open_tree", ctypes.c_int(dir_fd), os.fsencode(path), ctypes.c_uint(flags))


def move_mount(tree_fd: int, target: str) -> None:
    """Attaches a detached tree at `target`."""
    _call(
        "move_mount",
        ctypes.c_int(tree_fd),
        b"",
        ctypes.c_int(AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
    )


def new_mount(kind: str, options: "dict[str, str]", attributes: int) -> int:
    """A detached mount of a new file system, which is gone when nobody has it any more, attached or open."""
    context = _call("fsopen", kind.encode(), ctypes.c_uint(FSOPEN_CLOEXEC))
    try:
        for name, value in options.items():
            _configure(context, FSCONFIG_SET_STRING, name.encode(), value.encode())
        _configure(context, FSCONFIG_CMD_CREATE, None, None)
        return _call("fsmount", ctypes.c_int(context), ctypes.c_uint(FSMOUNT_CLOEXEC), ctypes.c_uint(attributes))
    finally:
        os.close(context)


def _configure(context: int, command: int, name: "bytes | None", value: "bytes | None") -> None:
    _call("fsconfig", ctypes.c_int(context), ctypes.c_uint(command), name, value, ctypes.c_int(0))


def mount_setattr(fd: int, path: str, set_flags: int, recursive: bool) -> None:
    """Sets attributes, and makes the mount private: a copy of a shared mount, which on most machines all are, is one
    of its peers, and what either side mounts below it appears on the other."""
    attributes = struct.pack("QQQQ", set_flags, 0, MS_PRIVATE, 0)
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    _call(
        "mount_setattr",
        ctypes.c_int(fd),
        path.encode(),
        ctypes.c_uint(flags),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )


def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = RESOLVE_STRICTLY) -> int:
    """Opens a path that, unless `resolve` says otherwise, stays beneath `dir_fd` and has no symbolic link in it."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    # EAGAIN: a rename raced with the walk; the kernel asks for another try.
    for _ in range(8):
        try:
            return _call("openat2", ctypes.c_int(dir_fd), os.fsencode(path), how, ctypes.c_size_t(len(how)))
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, f"openat2 {path}: the path kept changing")


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    _call("close_range", ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0))


def prctl(option: int, argument: int = 0, argument3: int = 0) -> None:
    _check(
        _prctl(
            ctypes.c_int(option),
            ctypes.c_ulong(argument),
            ctypes.c_ulong(argument3),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        ),
        f"prctl {option}",
    )


def sethostname(name: str) -> None:
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def syncfs(fd: int) -> None:
    """Settles when all that was written to the file system of `fd` is on its disk."""
    _check(_libc.syncfs(ctypes.c_int(fd)), "syncfs")


def exit_status(pidfd: int) -> "int | None":
    """How a process ended, as waitpid gives it, also of one that is not our child; None if its parent has not asked for
    it yet, or the kernel keeps no account of it (before Linux 6.15)."""
    get_info, size, with_exit = 0xC040FF0B, 64, 1 << 3
    info = bytearray(size)
    struct.pack_into("Q", info, 0, with_exit)
    try:
        fcntl.ioctl(pidfd, get_info, info)
    except OSError:
        # ENOTTY, EINVAL: an older kernel; ESRCH: reaped, and not remembered.
        return None
    (known,) = struct.unpack_from("Q", info, 0)
    (status,) = struct.unpack_from("i", info, 60)
    return status if known & with_exit else None


def eventfd() -> int:
    """os.eventfd came with Python 3.10 only."""
    return _check(_libc.eventfd(ctypes.c_uint(0), ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)), "eventfd")


def signal_timer(number: int, thread: int) -> int:
    """Makes a timer that sends this signal to that thread of this process. Forked processes do not have it."""
    monotonic_clock, to_thread, size = 1, 4, 64
    # A struct sigevent: a value, the signal, how it is sent, and to whom.
    event = struct.pack("Qiii", 0, number, to_thread, thread).ljust(size, b"\0")
    timer = ctypes.c_int(-1)
    _call("timer_create", ctypes.c_int(monotonic_clock), event, ctypes.byref(timer))
    return timer.value


def start_timer(timer: int, seconds: float) -> None:
    """Lets it go off once, so much later, and not when it would have before."""
    whole = int(seconds)
    once = struct.pack("qqqq", 0, 0, whole, int((seconds - whole) * 1e9))
    _call("timer_settime", ctypes.c_int(timer), ctypes.c_int(0), once, ctypes.c_void_p(None))


def clear_environment() -> None:
    """Also of what C code has put there, of which os.environ knows nothing."""
    # Its own clear() ends with an exception.
    for name in list(os.environ):
        del os.environ[name]
    _clearenv()


def set_thread_stack(size: int) -> None:
    """What threads made from now on get, those of C libraries too, unless they ask for another size."""
    # A pthread_attr_t; 56 bytes with glibc and musl on x86_64.
    attributes = ctypes.create_string_buffer(128)
    try:
        set_default = _libc.pthread_setattr_default_np
    except AttributeError:
        # A C library without it has small stacks.
        return
    for act in (
        lambda: _libc.pthread_attr_init(attributes),
        lambda: _libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(size)),
        lambda: set_default(attributes),
    ):
        number = act()
        if number:
            raise OSError(number, f"size of thread stacks: {os.strerror(number)}")


def set_capabilities(capabilities: "tuple[int, ...]") -> None:
    """Makes these the permitted and effective set, and the inheritable set empty."""
    version_3 = 0x20080522
    bits = sum(1 << capability for capability in capabilities)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = struct.pack("Ii", version_3, 0)
    data = struct.pack("IIIIII", low, low, 0, high, high, 0)
    _check(_capset(header, data), "capset")


def drop_bounding_set() -> None:
    for capability in range(CAP_LAST + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            # EINVAL: this kernel ends its list of capabilities before this one.
            if error.errno != errno.EINVAL:
                raise


class SeccompFilter:
    """A filter (see ol_guest.seccomp) as the kernel takes it: made once, and not by each process that is forked."""

    def __init__(self, program: bytes) -> None:
        self._instructions = ctypes.create_string_buffer(program, len(program))
        self._program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(self._instructions))

    def install(self) -> None:
        """Puts it in force; needs no_new_privs or CAP_SYS_ADMIN."""
        set_mode_filter = 1
        _call("seccomp", ctypes.c_uint(set_mode_filter), ctypes.c_uint(0), self._program)


def knows_landlock_scopes() -> bool:
    """Whether `landlock_scope` has an effect here: Linux 6.12 with Landlock switched on."""
    version_wanted, first_with_scopes = 1, 6
    try:
        version = _call(
            "landlock_create_ruleset", ctypes.c_void_p(None), ctypes.c_size_t(0), ctypes.c_uint(version_wanted)
        )
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return False
        raise
    return version >= first_with_scopes


def landlock_scope() -> bool:
    """Shuts this process and its descendants off from everybody else's abstract sockets and from signalling
    anybody else. False where the kernel is older than 6.12 or runs without Landlock. Needs no_new_privs."""
    handled_files, handled_network = 0, 0
    scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL
    attributes = struct.pack("QQQ", handled_files, handled_network, scoped)
    try:
        ruleset = _call("landlock_create_ruleset", attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    except OSError as error:
        # No Landlock; not enabled; scopes, or this size of the attributes, not known to it.
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.E2BIG):
            return False
        raise
    try:
        _call("landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)
    return True
