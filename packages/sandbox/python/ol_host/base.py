"""What the inside of every tree is made of: this machine's own /usr, or a root file system in a directory.

A root file system of that kind may come from anywhere. Nothing of it is run or followed on the host: its links are
looked up as if its directory were the root, and its programs start in a tree only.
"""

import errno
import os
import stat
import sys
import typing

import ol_kernel as kernel

from ol_host.files import real_directory
from ol_host.wire import Refused

_SYSTEM_DIRECTORIES = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What programs look up outside /usr: certificates, linked alternatives, the loader's cache, the time zone.
_ETC_TREES = ("ssl", "pki", "ca-certificates", "alternatives")
_ETC_FILES = ("ld.so.cache", "localtime", "mime.types", "nsswitch.conf", "services", "protocols")
# Of this machine whatever the base is: the network is this machine's.
_MACHINE_FILES = ("resolv.conf", "hosts")
_DEVICES = ("null", "zero", "full", "random", "urandom")
SKELETON = ("dev", "dev/shm", "etc", "handler", "host", "packages", "proc", "runtime", "tmp")
# At a base's top level: what every tree has of its own, and what only a running system fills.
_NOT_FROM_BASE = frozenset((*SKELETON, "run", "sys", "lost+found"))
# Each is a mount in every sandbox and a descriptor of the broker's; a root file system has some twenty.
_MOST_DIRECTORIES = 40
# All of them lie in each tree's memory; the loader's cache, the largest, has some 100 KiB.
_MOST_FILE_BYTES = 1024 * 1024
_INTERPRETERS = ("usr/local/bin/python3", "usr/bin/python3")
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
    """Looked up once. `path` is None for this machine's own."""

    def __init__(self, runtime_directory: str, packages_directory: "str | None", path: "str | None" = None) -> None:
        self.path = path
        # Path inside.
        self.interpreter = ""
        self.links: "dict[str, str]" = {}
        self.sources: "list[Source]" = []
        self.files = {"etc/passwd": _PASSWD.encode(), "etc/group": _GROUP.encode()}
        if path is None:
            self._take_machine()
        else:
            self._take_directory(path)
        for name in _MACHINE_FILES:
            self._copy_file(name)
        for name in _DEVICES:
            self._add(f"dev/{name}", f"/dev/{name}")
        for name in ("ol_guest", "ol_kernel.py"):
            self._add(f"runtime/{name}", os.path.join(runtime_directory, name))
        if packages_directory is not None:
            self._add("packages", packages_directory)

    def detached(self) -> "typing.Iterator[tuple[Source, int]]":
        for source in self.sources:
            yield source, _detached_read_only(source)

    # This machine's own

    def _take_machine(self) -> None:
        for name in _SYSTEM_DIRECTORIES:
            path = f"/{name}"
            if os.path.islink(path):
                self.links[name] = os.readlink(path)
            elif real_directory(path):
                self._add(name, path)
        self.interpreter = os.path.realpath(sys.executable)
        for prefix in {sys.base_prefix, sys.base_exec_prefix}:
            self._add_prefix(os.path.realpath(prefix))
        for name in _ETC_TREES:
            if real_directory(f"/etc/{name}"):
                self._add(f"etc/{name}", f"/etc/{name}")
        for name in _ETC_FILES:
            self._copy_file(name)

    def _add_prefix(self, prefix: str) -> None:
        # The interpreter knows itself by its path on the host, so it is found at the same path inside.
        if not prefix.startswith("/usr/") and prefix != "/usr":
            self._add(prefix.lstrip("/"), prefix)

    def _copy_file(self, name: str) -> None:
        try:
            with open(f"/etc/{name}", "rb") as file:
                self.files[f"etc/{name}"] = file.read()
        except FileNotFoundError:
            # Not every distribution has each of them, and none is indispensable.
            return

    def _add(self, target: str, path: str) -> None:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self.sources.append(Source(target, descriptor, os.path.isdir(path)))

    # A root file system in a directory

    def _take_directory(self, path: str) -> None:
        try:
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise bad_base(path, f"cannot be opened ({error.strerror})") from error
        try:
            if os.path.samestat(os.fstat(root), os.stat("/")):
                # It would show sandboxes every file of the machine that anybody may read.
                raise bad_base(path, "is this machine's own root directory; without a base sandboxes see its /usr only")
            self._take_top_level(root, path)
            self.interpreter = _interpreter(root, path)
            for name in _ETC_TREES:
                self._add_within(root, f"etc/{name}")
            for name in _ETC_FILES:
                self._copy_within(root, f"etc/{name}", path)
        finally:
            os.close(root)

    def _take_top_level(self, root: int, path: str) -> None:
        names = [name for name in sorted(os.listdir(root)) if name not in _NOT_FROM_BASE]
        if not names:
            raise bad_base(path, "has nothing in it")
        for name in names:
            kind = os.stat(name, dir_fd=root, follow_symlinks=False).st_mode
            if stat.S_ISLNK(kind):
                # The same text in a tree, where it leads to something of the tree or to nothing.
                self.links[name] = os.readlink(name, dir_fd=root)
            elif stat.S_ISDIR(kind):
                descriptor = kernel.openat2(root, name, os.O_PATH | os.O_DIRECTORY)
                self.sources.append(Source(name, descriptor, True))
        if len(self.sources) + len(self.links) > _MOST_DIRECTORIES:
            raise bad_base(path, f"has more than {_MOST_DIRECTORIES} directories at its top level")

    def _add_within(self, root: int, name: str) -> None:
        descriptor = _open_within(root, name, os.O_PATH | os.O_DIRECTORY)
        if descriptor is not None:
            self.sources.append(Source(name, descriptor, True))

    def _copy_within(self, root: int, name: str, path: str) -> None:
        place = _open_within(root, name, os.O_PATH)
        if place is None:
            return
        try:
            # Looked at before it is opened: a pipe would keep us waiting, and a device may do anything.
            if stat.S_ISREG(os.fstat(place).st_mode):
                with open(f"/proc/self/fd/{place}", "rb") as file:
                    self.files[name] = file.read(_MOST_FILE_BYTES + 1)
        except PermissionError:
            # What an ordinary user's base keeps from him, his sandboxes do not see either.
            return
        finally:
            os.close(place)
        if len(self.files.get(name, b"")) > _MOST_FILE_BYTES:
            raise bad_base(path, f"has a file {name} of more than {_MOST_FILE_BYTES} bytes")


def bad_base(path: str, reason: str) -> Refused:
    """The one way to refuse a base. `reason` continues a sentence that began with the base's path."""
    return Refused("OL_SANDBOX_BAD_BASE", f"the base {path} {reason}")


def _interpreter(root: int, path: str) -> str:
    for name in _INTERPRETERS:
        descriptor = _open_within(root, name, os.O_PATH)
        if descriptor is not None:
            os.close(descriptor)
            return f"/{name}"
    places = " or ".join(f"/{name}" for name in _INTERPRETERS)
    raise bad_base(path, f"has no {places}; install Python 3.9 or newer in it, or name another base")


def _open_within(root: int, name: str, flags: int) -> "int | None":
    """As if `root` were the root directory, for whatever links there are on the way. None: nothing usable is there."""
    try:
        return kernel.openat2(root, name, flags, resolve=kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        # ELOOP: links in a circle, or one of /proc's. EACCES: below a directory that is kept from us.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return None
        raise


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
