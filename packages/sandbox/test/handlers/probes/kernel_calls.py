"""Calls that reach the kernel itself. Those that could harm a machine are made with arguments that it refuses
after having checked the rights: EPERM is a refusal, any other error means that the rights were there."""

import ctypes
import errno
import os
import socket
import struct

from calls import errno_of, run_machine_code, syscall


def _passes_rights_check(number, *arguments):
    code = errno_of(number, *arguments)
    refused = code in (errno.EPERM, errno.ENOSYS, errno.EACCES)
    return not refused, errno.errorcode.get(code, "no error")


def add_key(_event):
    key = syscall(248, b"user", b"probe", b"x", 1, -3)
    return True, f"key {key}"


def keyctl(_event):
    get_keyring_id, session_keyring = 0, -3
    return True, f"keyring {syscall(250, get_keyring_id, session_keyring, 0)}"


def request_key(_event):
    # There is no such key, which only somebody who may ask is told.
    return _passes_rights_check(249, b"user", b"no such key", None, 0)


def bpf(_event):
    map_create, array = 0, 2
    attributes = struct.pack("IIII", array, 4, 8, 1).ljust(128, b"\0")
    return True, f"a map, descriptor {syscall(321, map_create, attributes, len(attributes))}"


def io_uring(_event):
    return True, f"a ring, descriptor {syscall(425, 4, ctypes.create_string_buffer(120))}"


def perf(_event):
    """Counts this process's own instructions in software, the least that can be asked for."""
    software, task_clock, exclude_kernel_and_hypervisor = 1, 1, 0b1100000
    attributes = struct.pack("IIQQQQQ", software, 112, task_clock, 0, 0, 0, exclude_kernel_and_hypervisor)
    return True, f"a counter, descriptor {syscall(298, attributes.ljust(112, bytes(1)), 0, -1, -1, 0)}"


def userfaultfd(_event):
    user_mode_only = 1
    return True, f"descriptor {syscall(323, user_mode_only)}"


def read_kernel_log(_event):
    size = syscall(103, 10, None, 0)
    return size > 0, f"{size} bytes of kernel log"


def open_by_handle(event):
    """Opens a directory by its inode alone, which walks out of any mount: the way out of early Docker."""
    handle = bytearray(struct.pack("Ii", 128, 0) + bytes(128))
    buffer = (ctypes.c_char * len(handle)).from_buffer(handle)
    mount_id = ctypes.c_int()
    path = event.get("path", "/")
    syscall(303, ctypes.c_int(-100), path.encode(), buffer, ctypes.byref(mount_id), 0)
    at = os.open(path, os.O_RDONLY)
    return True, f"descriptor {syscall(304, at, buffer, os.O_RDONLY)}"


def mknod_device(event):
    path = os.path.join(event.get("directory", "/tmp"), "device")
    kind = 0o060000 if event.get("block") else 0o020000
    # The same numbers as /dev/zero.
    os.mknod(path, kind | 0o666, os.makedev(1, 5))
    try:
        return True, f"a device {os.stat(path).st_rdev:#x}"
    finally:
        os.unlink(path)


def reboot(_event):
    wrong_magic = 1
    return _passes_rights_check(169, wrong_magic, wrong_magic, 0, None)


def set_host_name(_event):
    before = socket.gethostname()
    name = before.encode() if os.environ.get("OL_PROBE_ON_HOST") else b"taken"
    syscall(170, name, len(name))
    return True, f"{before} is now {socket.gethostname()}"


def set_time(_event):
    """A time zone of 99,999 minutes is refused, but only after the rights were looked at."""
    return _passes_rights_check(164, None, struct.pack("ii", 99_999, 0))


def adjust_time(_event):
    adj_tick = 0x4000
    return _passes_rights_check(159, struct.pack("Iq", adj_tick, 0).ljust(256, b"\0"))


def load_module(_event):
    return _passes_rights_check(175, None, 0, b"")


def unload_module(_event):
    return _passes_rights_check(176, b"no_such_module", os.O_NONBLOCK)


def swap_on(_event):
    return _passes_rights_check(167, b"/no/such/file", 0)


def accounting(_event):
    return _passes_rights_check(163, b"/no/such/file")


def io_ports(_event):
    syscall(173, 0x80, 1, 1)
    return True, "access to port 0x80"


def iopl(_event):
    syscall(172, 3)
    return True, "access to all ports"


def ptrace_self(_event):
    traceme = 0
    syscall(101, traceme, 0, 0, 0)
    return True, "traced by the parent"


def vm_read(_event):
    target = ctypes.create_string_buffer(b"content")
    into = ctypes.create_string_buffer(7)
    local = struct.pack("QQ", ctypes.addressof(into), 7)
    remote = struct.pack("QQ", ctypes.addressof(target), 7)
    syscall(310, os.getpid(), local, 1, remote, 1, 0)
    return into.raw == b"content", "read by pid"


def personality(_event):
    address_compat_layout = 0x0200000
    return True, f"was {syscall(135, address_compat_layout):#x}"


def kcmp(_event):
    return True, f"{syscall(312, os.getpid(), os.getpid(), 0, 0, 1)}"


def modify_ldt(_event):
    return True, f"{syscall(154, 0, ctypes.create_string_buffer(64), 64)} bytes"


def pidfd_getfd(_event):
    pidfd = os.pidfd_open(os.getpid())
    return True, f"descriptor {syscall(438, pidfd, 0, 0)}"


def fanotify(_event):
    report_fid = 0x200
    return True, f"descriptor {syscall(300, report_fid, 0)}"


def type_on_terminal(_event):
    """TIOCSTI puts characters into a terminal's input. Descriptor 0 is none: ENOTTY says that it was let through."""
    return _passes_rights_check(16, 0, 0x5412, b"x")


def type_on_terminal_wide(_event):
    """The kernel looks at 32 bits of the request; a filter that compares 64 is passed by setting a higher one."""
    return _passes_rights_check(16, 0, ctypes.c_ulong(0x1_0000_5412), b"x")


def call_by_32_bit_gate(_event):
    """unshare(CLONE_NEWUSER) by int 0x80, where calls have other numbers."""
    code = b"\x53\xb8" + struct.pack("I", 310) + b"\xbb" + struct.pack("I", 0x10000000) + b"\xcd\x80\x5b\x48\x98\xc3"
    result = run_machine_code(code)
    return result == 0, f"returned {result}"


def call_by_x32_number(_event):
    """unshare(CLONE_NEWUSER) by the number of the x32 variant."""
    syscall(0x40000000 | 272, 0x10000000)
    return True, "a user namespace"


PROBES = {
    "add-key": add_key,
    "keyctl": keyctl,
    "request-key": request_key,
    "bpf": bpf,
    "io-uring": io_uring,
    "perf": perf,
    "userfaultfd": userfaultfd,
    "syslog": read_kernel_log,
    "open-by-handle": open_by_handle,
    "mknod": mknod_device,
    "reboot": reboot,
    "sethostname": set_host_name,
    "settimeofday": set_time,
    "adjtimex": adjust_time,
    "init-module": load_module,
    "delete-module": unload_module,
    "swapon": swap_on,
    "acct": accounting,
    "ioperm": io_ports,
    "iopl": iopl,
    "ptrace": ptrace_self,
    "process-vm-readv": vm_read,
    "personality": personality,
    "kcmp": kcmp,
    "modify-ldt": modify_ldt,
    "pidfd-getfd": pidfd_getfd,
    "fanotify": fanotify,
    "tiocsti": type_on_terminal,
    "tiocsti-wide": type_on_terminal_wide,
    "int-0x80": call_by_32_bit_gate,
    "x32": call_by_x32_number,
}
