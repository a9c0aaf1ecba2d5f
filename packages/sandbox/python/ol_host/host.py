"""What the broker takes from the host for itself: an ordinary user's namespace, a block of user ids, descriptors."""

import errno
import fcntl
import os
import resource
import signal

import ol_kernel as kernel

from ol_host.uids import UID_BLOCK

# The range that systemd's table of user ids leaves unused, in whole blocks.
_FIRST_BLOCK = 0x70000000
_BLOCKS = 4_000
# Empty, one byte's lock for each block. Gone with a reboot.
_UID_CLAIMS = "/run/ol-uids.lock"
# Ours: the directories, what every tree is made of (some thirty), and what making a sandbox takes for a moment.
_OWN_DESCRIPTORS = 100
# Channel, pidfd, scratch directory and its mount, listening socket, two outputs, the group's memory event.
_DESCRIPTORS_PER_SANDBOX = 8


def has_root_rights(uid: int, uid_map: str) -> bool:
    """Whether we are the machine's root, and not one of a user namespace (a rootless container's, for example) with
    a few ids to its name. `uid_map` is the text of /proc/self/uid_map.
    """
    return uid == 0 and uid_map.split() == ["0", "0", str(2**32 - 1)]


def enter_own_namespace() -> None:
    """An ordinary user's way to the rights that root has: over a user and a mount namespace of our own."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    # The change of rights made the kernel forget it (see main).
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGCONT)


def allow_many_descriptors() -> int:
    """Raises our limit as far as it goes. Returns for how many sandboxes it will do."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return UID_BLOCK
    return max(1, (hard - _OWN_DESCRIPTORS) // _DESCRIPTORS_PER_SANDBOX)


def parse_subordinate_ids(text: str) -> "list[tuple[int, int]]":
    """(first, count) of each line of /etc/subuid."""
    found = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            found.append((int(fields[1]), int(fields[2])))
    return found


def claim_uid_block() -> "tuple[int, int]":
    """The first id of a block that nobody else on this machine uses, and the descriptor that holds the claim.

    The claim is a lock on one byte of a file that only root can open: taken atomically, and gone with its holder,
    however that ends.
    """
    reserved = []
    for path in ("/etc/subuid", "/etc/subgid"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                reserved += parse_subordinate_ids(file.read())
        except FileNotFoundError:
            # No such file means that nothing is set aside.
            continue
    claims = os.open(_UID_CLAIMS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    for index in range(_BLOCKS):
        first = _FIRST_BLOCK + index * UID_BLOCK
        if any(first < start + count and start < first + UID_BLOCK for start, count in reserved):
            continue
        try:
            fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        except BlockingIOError:
            continue
        return first, claims
    raise OSError(errno.EAGAIN, "no free block of user ids")


def kernel_at_least(major: int, minor: int) -> bool:
    release = os.uname().release.split(".")
    return (int(release[0]), int(release[1].split("-")[0])) >= (major, minor)
