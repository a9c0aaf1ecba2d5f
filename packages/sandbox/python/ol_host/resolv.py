"""Which name servers a sandbox asks that may not reach this machine's own addresses.

On most machines with systemd /etc/resolv.conf names a server on loopback, and the servers which that one asks are in
a file of its own: sandboxes of network `outbound` get that file instead. Where there is no such file, the rules of
outbound.py let them through to what /etc/resolv.conf names, to port 53 only.
"""

import contextlib
import os
import socket
import typing

import ol_kernel as kernel

from ol_host.files import write_all

SYSTEM = "/etc/resolv.conf"
# Written by systemd-resolved for exactly this purpose (systemd-resolved.service(8)).
UPSTREAM = "/run/systemd/resolve/resolv.conf"
_NAME = "resolv.conf"


def nameservers(text: str) -> "list[str]":
    """The addresses that a resolv.conf names, without interface (fe80::1%eth0); what is no address is left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            address = words[1].partition("%")[0]
            if _family(address) is not None:
                found.append(address)
    return found


def for_outbound(system: str, upstream: "str | None") -> str:
    """The text that sandboxes of network `outbound` get, from the two files' (None: there is no such file)."""
    if upstream is not None and nameservers(upstream) and any(map(is_loopback, nameservers(system))):
        return upstream
    return system


def is_loopback(address: str) -> bool:
    family = _family(address)
    if family is None:
        return False
    packed = socket.inet_pton(family, address)
    return packed[0] == 127 if family == socket.AF_INET else packed == socket.inet_pton(family, "::1")


def by_family(addresses: "typing.Iterable[str]") -> "tuple[list[str], list[str]]":
    """IPv4 and IPv6, each written in one way and without repetitions."""
    found: "tuple[list[str], list[str]]" = ([], [])
    for address in addresses:
        family = _family(address)
        if family is None:
            continue
        same = socket.inet_ntop(family, socket.inet_pton(family, address))
        group = found[0] if family == socket.AF_INET else found[1]
        if same not in group:
            group.append(same)
    return found


class Resolver:
    """The resolv.conf of sandboxes with network `outbound`, chosen when the broker starts."""

    def __init__(self, directory_fd: int, system: str = SYSTEM, upstream: str = UPSTREAM) -> None:
        system_text, upstream_text = _text_of(system) or "", _text_of(upstream)
        chosen = for_outbound(system_text, upstream_text)
        self.nameservers = nameservers(chosen)
        # A file to mount over the tree's; None where that one is right.
        self._file = None if chosen == system_text else _written(directory_fd, chosen)
        self._directory_fd = directory_fd

    def detached(self) -> "list[int]":
        """A mount to attach at /etc/resolv.conf, if one is needed."""
        if self._file is None:
            return []
        tree = kernel.open_tree("", self._file)
        flags = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
        kernel.mount_setattr(tree, "", flags, False)
        return [tree]

    def close(self) -> None:
        # Not earlier: the kernel mounts no file without a name.
        if self._file is not None:
            _remove(self._directory_fd)


def _text_of(path: str) -> "str | None":
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _written(directory_fd: int, text: str) -> int:
    # A killed predecessor's may be there.
    _remove(directory_fd)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(_NAME, flags, 0o444, dir_fd=directory_fd)
    write_all(descriptor, text)
    return descriptor


def _remove(directory_fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NAME, dir_fd=directory_fd)


def _family(address: str) -> "socket.AddressFamily | None":
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except OSError:
            continue
        return family
    return None
