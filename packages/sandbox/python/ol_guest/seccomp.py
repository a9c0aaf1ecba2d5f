"""Seccomp filters as classic BPF, made from tables of system calls (x86_64).

Three filters, stacked: the tree's (what neither zygotes nor lambdas ever need), the package zygotes' (what making
leaves and further zygotes does not need) and the leaf's (what only zygotes need). A call newer than the tables is answered ENOSYS, as by an older kernel, so nothing unknown is let through.
"""

import errno
import struct

_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
# file_setattr, the last call of Linux 6.17. What comes later is not known to be harmless.
_LAST_KNOWN_CALL = 469

# struct seccomp_data: nr, arch, instruction pointer, six 64-bit arguments.
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16

_LOAD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_AND = 0x54
_RETURN = 0x06

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERRNO = 0x00050000

# clone's flags for new namespaces.
NAMESPACE_FLAGS = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000

# Reach the kernel itself, the machine, or other processes' memory. Nobody in a tree needs them.
TREE_DENIED = {
    "acct": 163,
    "add_key": 248,
    "adjtimex": 159,
    "bpf": 321,
    "chroot": 161,
    "clock_adjtime": 305,
    "clock_settime": 227,
    "create_module": 174,
    "delete_module": 176,
    "fanotify_init": 300,
    "finit_module": 313,
    "get_kernel_syms": 177,
    "init_module": 175,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "io_uring_setup": 425,
    "ioperm": 173,
    "iopl": 172,
    "kcmp": 312,
    "kexec_file_load": 320,
    "kexec_load": 246,
    "keyctl": 250,
    "lookup_dcookie": 212,
    "migrate_pages": 256,
    "modify_ldt": 154,
    "move_pages": 279,
    "name_to_handle_at": 303,
    "nfsservctl": 180,
    "open_by_handle_at": 304,
    "perf_event_open": 298,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "ptrace": 101,
    "query_module": 178,
    "quotactl": 179,
    "quotactl_fd": 443,
    "reboot": 169,
    "request_key": 249,
    "setdomainname": 171,
    "sethostname": 170,
    "settimeofday": 164,
    "swapoff": 168,
    "swapon": 167,
    "syslog": 103,
    "sysfs": 139,
    "_sysctl": 156,
    "userfaultfd": 323,
    "uselib": 134,
    "ustat": 136,
    "vhangup": 153,
}

# What a zygote does to make a leaf, and a lambda must not.
LEAF_DENIED = {
    "fsconfig": 431,
    "fsmount": 432,
    "fsopen": 430,
    "fspick": 433,
    "mount": 165,
    "mount_setattr": 442,
    "move_mount": 429,
    "open_tree": 428,
    "open_tree_attr": 467,
    "personality": 135,
    "pivot_root": 155,
    "setns": 308,
    "umount2": 166,
    "unshare": 272,
}

# Of those, what a zygote does not do either.
PACKAGE_ZYGOTE_DENIED = {
    name: LEAF_DENIED[name] for name in ("fsconfig", "fsmount", "fsopen", "fspick", "open_tree_attr", "personality")
}

_CLONE, _CLONE3, _SOCKET, _SOCKETPAIR, _IOCTL, _MKNOD, _MKNODAT = 56, 435, 41, 53, 16, 133, 259
_SETRLIMIT, _PRLIMIT64, _RLIMIT_CORE = 160, 302, 4
# AF_UNIX, AF_INET, AF_INET6. AF_NETLINK and AF_VSOCK reach the host's configuration and hypervisor.
_AF_UNIX, _INTERNET_FAMILIES = 1, (2, 10)
# The default, ICMP, TCP, UDP, ICMPv6. Asking for another one makes the kernel load its module, for anybody; and for
# MPTCP the kernel itself opens connections to where the other side says, which no packet filter can tell whose are.
_INTERNET_PROTOCOLS = (0, 1, 6, 17, 58)
_NEW_PID_NAMESPACE = 0x20000000
# MS_REMOUNT, MS_BIND, MS_MOVE: what would change, repeat or move a mount that is there.
_MOUNT_CHANGES = 0x20 | 0x1000 | 0x2000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FILE_TYPE_MASK, _CHARACTER_DEVICE, _BLOCK_DEVICE = 0o170000, 0o020000, 0o060000


def _statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _statement(_RETURN, _ERRNO | number)


def _load(offset: int) -> bytes:
    return _statement(_LOAD, offset)


def _on_value(value: int, body: "list[bytes]") -> "list[bytes]":
    """Runs `body` (which must return in every case) if that value is loaded."""
    return [_statement(_JUMP_EQUAL, value, 0, len(body)), *body]


def _prologue() -> "list[bytes]":
    return [
        _load(_ARCH),
        _statement(_JUMP_EQUAL, _AUDIT_ARCH_X86_64, 1, 0),
        _statement(_RETURN, _KILL),
        _load(_NUMBER),
        # The x32 variant of every call has this bit: other numbers for the same calls.
        _statement(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1),
        _refuse(errno.ENOSYS),
        _statement(_JUMP_GREATER_EQUAL, _LAST_KNOWN_CALL + 1, 0, 1),
        _refuse(errno.ENOSYS),
    ]


def _denials(table: "dict[str, int]") -> "list[bytes]":
    return [part for number in sorted(table.values()) for part in _on_value(number, [_refuse(errno.EPERM)])]


def _argument(index: int) -> bytes:
    """Loads the low half of an argument (little endian)."""
    return _load(_ARGUMENTS + 8 * index)


def _argument_high(index: int) -> bytes:
    return _load(_ARGUMENTS + 8 * index + 4)


def _namespace_clone() -> "list[bytes]":
    allow = _statement(_RETURN, _ALLOW)
    body = [_argument(0), _statement(_JUMP_ANY_BIT, NAMESPACE_FLAGS, 0, 1), _refuse(errno.EPERM), allow]
    # clone3 has its flags in memory, which a filter cannot read: ENOSYS makes libraries use clone.
    return _on_value(_CLONE, body) + _on_value(_CLONE3, [_refuse(errno.ENOSYS)])


def _allow_only(values: "tuple[int, ...]", refusal: int) -> "list[bytes]":
    """Returns in every case, for the value that is loaded."""
    checks = [_statement(_JUMP_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [*checks, _refuse(refusal), _statement(_RETURN, _ALLOW)]


def _socket_families() -> "list[bytes]":
    protocols = [_argument(2), *_allow_only(_INTERNET_PROTOCOLS, errno.EPROTONOSUPPORT)]
    socket = [_argument(0)]
    for family in _INTERNET_FAMILIES:
        socket += _on_value(family, protocols)
    socket += _allow_only((_AF_UNIX,), errno.EAFNOSUPPORT)
    pair = [_argument(0), *_allow_only((_AF_UNIX,), errno.EAFNOSUPPORT)]
    return _on_value(_SOCKET, socket) + _on_value(_SOCKETPAIR, pair)


def _terminal_ioctls() -> "list[bytes]":
    body = [
        _argument(1),
        _statement(_JUMP_EQUAL, _TIOCSTI, 1, 0),
        _statement(_JUMP_EQUAL, _TIOCLINUX, 0, 1),
        _refuse(errno.EPERM),
        _statement(_RETURN, _ALLOW),
    ]
    return _on_value(_IOCTL, body)


def _device_files() -> "list[bytes]":
    """mknod may make FIFOs and sockets, no devices. The mode is its second argument, mknodat's third."""

    def body(mode_argument: int) -> "list[bytes]":
        return [
            _argument(mode_argument),
            _statement(_AND, _FILE_TYPE_MASK),
            _statement(_JUMP_EQUAL, _CHARACTER_DEVICE, 1, 0),
            _statement(_JUMP_EQUAL, _BLOCK_DEVICE, 0, 1),
            _refuse(errno.EPERM),
            _statement(_RETURN, _ALLOW),
        ]

    return _on_value(_MKNOD, body(1)) + _on_value(_MKNODAT, body(2))


def _core_limit() -> "list[bytes]":
    """RLIMIT_CORE stays at the 1 that turns core dumps off; lowering it to 0 would turn piped ones on.

    Answered with success, since programs that set 0 mean the same as we do.
    """
    pretend = _refuse(0)
    allow = _statement(_RETURN, _ALLOW)
    only_core = _statement(_JUMP_EQUAL, _RLIMIT_CORE, 1, 0)
    set_limit = [_argument(0), only_core, allow, pretend]
    # Without a new limit it only asks for the present one; a pointer may lie at any address.
    is_null = [_argument(2), _statement(_JUMP_EQUAL, 0, 0, 2), _argument_high(2), _statement(_JUMP_EQUAL, 0, 1, 0)]
    return _on_value(_SETRLIMIT, set_limit) + _on_value(
        _PRLIMIT64, [_argument(1), only_core, allow, *is_null, pretend, allow]
    )


def _only_with(call: int, argument: int, refused_bits: int) -> "list[bytes]":
    """That call only without any of these bits in that argument."""
    allow = _statement(_RETURN, _ALLOW)
    return _on_value(
        call, [_argument(argument), _statement(_JUMP_ANY_BIT, refused_bits, 0, 1), _refuse(errno.EPERM), allow]
    )


def _namespace_calls() -> "list[bytes]":
    """New namespaces of the kinds that leaves have; back only into its own PID namespace."""
    unshare = _only_with(LEAF_DENIED["unshare"], 0, ~NAMESPACE_FLAGS & 0xFFFFFFFF)
    only_pid = [_argument(1), *_allow_only((_NEW_PID_NAMESPACE,), errno.EPERM)]
    # clone3 has its flags in memory, which a filter cannot read: ENOSYS makes libraries use clone.
    return unshare + _on_value(LEAF_DENIED["setns"], only_pid) + _on_value(_CLONE3, [_refuse(errno.ENOSYS)])


def tree_filter() -> bytes:
    """For a tree's init, zygotes and leaves."""
    return b"".join([*_prologue(), *_denials(TREE_DENIED), _statement(_RETURN, _ALLOW)])


def package_zygote_filter() -> bytes:
    """For a zygote with packages, on top of the tree's: their import code runs under it. What forks inherits it."""
    rules = _namespace_calls() + _only_with(LEAF_DENIED["mount"], 3, _MOUNT_CHANGES)
    rules += _socket_families() + _terminal_ioctls() + _device_files() + _core_limit()
    return b"".join([*_prologue(), *_denials(PACKAGE_ZYGOTE_DENIED), *rules, _statement(_RETURN, _ALLOW)])


def leaf_filter() -> bytes:
    """For a leaf, on top of the tree's."""
    rules = _namespace_clone() + _socket_families() + _terminal_ioctls() + _device_files() + _core_limit()
    return b"".join([*_prologue(), *_denials(LEAF_DENIED), *rules, _statement(_RETURN, _ALLOW)])
