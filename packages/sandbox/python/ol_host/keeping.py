"""Directories that an ended sandbox leaves to the host: they become package directories, for every sandbox to read.

What a sandbox made is anybody's making. Before a directory goes where others see it, all of it becomes plain: regular
files and directories only, of the packages' owner, that nobody else can write to. Links and devices are refused. That is done by
a child process, since a package may have tens of thousands of files, and the broker must not wait.
"""

import errno
import json
import os
import selectors
import shutil
import signal
import stat
import typing

import ol_kernel as kernel

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NICE = 5
# Far more than any package has; what goes further is not gone through.
_MOST_FILES = 500_000
_MOST_DEEP = 60
_PLACES = 4
_TEXT = 2_000


class Order(typing.NamedTuple):
    """`source`, below the scratch directory, becomes `target`, below the packages directory. `merge`: its files are added
    to a target that is there, and replace none of its files."""

    source: str
    target: str
    merge: bool


class NotPlain(Exception):
    """There is something that cannot be kept; the text names it."""


class Keeper:
    def __init__(self, packages: "str | None", selector: selectors.BaseSelector) -> None:
        self._packages_fd = None if packages is None else os.open(packages, _DIRECTORY)
        self._selector = selector
        # Children at work.
        self.busy = 0

    def keep(
        self, scratch_fd: int, orders: "list[Order]", done: "typing.Callable[[list[str | None]], None]"
    ) -> None:
        """Calls `done` with one text for each order, why it could not be kept: None if it was, "exists" if the target
        was there already. Raises OSError where no child can be made."""
        if self._packages_fd is None:
            raise OSError(errno.ENOENT, "this engine has no directory for packages")
        reading, writing = os.pipe()
        try:
            broker = os.getpid()
            pid = os.fork()
            if pid == 0:
                _work(broker, writing, self._packages_fd, scratch_fd, orders)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.busy += 1
        told = bytearray()

        def on_news() -> None:
            data = os.read(reading, 65_536)
            told.extend(data)
            if data:
                return
            self._selector.unregister(reading)
            os.close(reading)
            os.waitpid(pid, 0)
            self.busy -= 1
            done(_outcomes(bytes(told), len(orders)))

        self._selector.register(reading, selectors.EVENT_READ, on_news)


def _outcomes(told: bytes, count: int) -> "list[str | None]":
    try:
        outcomes = json.loads(told)
    except ValueError:
        return ["the process that keeps it was ended"] * count
    return typing.cast("list[str | None]", outcomes)


def _work(broker: int, writing: int, packages_fd: int, scratch_fd: int, orders: "list[Order]") -> typing.NoReturn:
    """The child. It touches nothing of the broker's but these two directories."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != broker:
            # It died before its death could be a signal to us.
            os._exit(0)
        os.nice(_NICE)
        outcomes = json.dumps([_outcome(packages_fd, scratch_fd, order) for order in orders]).encode()
        while outcomes:
            outcomes = outcomes[os.write(writing, outcomes) :]
    finally:
        # Whatever happens, a forked broker must never run on as a second one.
        os._exit(0)


def _outcome(packages_fd: int, scratch_fd: int, order: Order) -> "str | None":
    try:
        return "exists" if not keep(packages_fd, scratch_fd, order) else None
    except NotPlain as error:
        return str(error)[:_TEXT]
    except OSError as error:
        return f"{error.strerror}: {order.target}"
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked must be told
        return f"{type(error).__name__}: {error}"[:_TEXT]


def keep(packages_fd: int, scratch_fd: int, order: Order) -> bool:
    """Whether it was kept: False if the target was there already. Raises NotPlain and OSError."""
    owner = os.fstat(packages_fd)
    source = kernel.openat2(scratch_fd, order.source, _DIRECTORY)
    try:
        make_plain(source, owner.st_uid, owner.st_gid)
        parent_path, _slash, name = order.target.rpartition("/")
        parent = _open_parent(packages_fd, parent_path, owner)
        try:
            if order.merge:
                target = kernel.openat2(parent, name, _DIRECTORY)
                try:
                    _merge(source, target)
                finally:
                    os.close(target)
                return True
            return _move(scratch_fd, order.source, source, parent, name)
        finally:
            os.close(parent)
    finally:
        os.close(source)


def make_plain(directory_fd: int, uid: int, gid: int) -> None:
    """All of it: owner, modes, and nothing that is neither a file nor a directory. Nobody else may be writing there."""
    left = [_MOST_FILES]
    _make_directory_plain(directory_fd, uid, gid, "", left)


def _make_directory_plain(directory_fd: int, uid: int, gid: int, path: str, left: "list[int]") -> None:
    _take(directory_fd, uid, gid, 0o755)
    if path.count("/") > _MOST_DEEP:
        raise NotPlain(f"it has directories in each other, more than {_MOST_DEEP} deep")
    for name in os.listdir(directory_fd):
        left[0] -= 1
        if left[0] < 0:
            raise NotPlain(f"it has more than {_MOST_FILES} files")
        inner = f"{path}/{name}"
        mode = os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            below = os.open(name, _DIRECTORY, dir_fd=directory_fd)
            try:
                _make_directory_plain(below, uid, gid, inner, left)
            finally:
                os.close(below)
        elif stat.S_ISREG(mode):
            file = os.open(name, _FILE, dir_fd=directory_fd)
            try:
                _take(file, uid, gid, 0o755 if mode & 0o100 else 0o644)
            finally:
                os.close(file)
        else:
            raise NotPlain(f"it has something that is neither a file nor a directory: {inner[1:]!r}")


def _take(descriptor: int, uid: int, gid: int, mode: int) -> None:
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (uid, gid):
        os.fchown(descriptor, uid, gid)
    # After the owner, a change of which clears bits.
    os.fchmod(descriptor, mode)


def _open_parent(packages_fd: int, path: str, owner: os.stat_result) -> int:
    """The directory above a target, made if it is not there."""
    parts = path.split("/") if path else []
    if len(parts) > _PLACES:
        raise OSError(errno.EINVAL, "a target too deep")
    directory = os.dup(packages_fd)
    for part in parts:
        above = directory
        try:
            try:
                os.mkdir(part, 0o755, dir_fd=above)
                os.chown(part, owner.st_uid, owner.st_gid, dir_fd=above, follow_symlinks=False)
            except FileExistsError:
                # As every time but the first.
                pass
            directory = kernel.openat2(above, part, _DIRECTORY)
        finally:
            os.close(above)
    return directory


def _move(scratch_fd: int, path: str, source_fd: int, parent_fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        return False
    except FileNotFoundError:
        # As it should be.
        pass
    if not os.listdir(source_fd):
        raise NotPlain("it is empty")
    try:
        os.rename(path, name, src_dir_fd=scratch_fd, dst_dir_fd=parent_fd)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        if error.errno != errno.EXDEV:
            raise
        return _copy(source_fd, parent_fd, name)
    return True


def _copy(source_fd: int, parent_fd: int, name: str) -> bool:
    """To another file system. Under a name that no package has, so that it is seen in full or not at all."""
    unfinished = f".{name}.{os.urandom(6).hex()}"
    try:
        shutil.copytree(f"/proc/self/fd/{source_fd}", f"/proc/self/fd/{parent_fd}/{unfinished}", symlinks=True)
        os.rename(unfinished, name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
    except BaseException as error:
        shutil.rmtree(f"/proc/self/fd/{parent_fd}/{unfinished}", ignore_errors=True)
        if isinstance(error, shutil.Error):
            # It collects them, each with the kernel's own text.
            raise OSError(errno.EIO, str(error.args[0][0][2])) from error
        if isinstance(error, OSError) and error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    return True


def _merge(source_fd: int, target_fd: int) -> None:
    for name in os.listdir(source_fd):
        mode = os.stat(name, dir_fd=source_fd, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _merge_below(source_fd, target_fd, name)
            continue
        try:
            os.link(name, name, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        except FileExistsError:
            # What others read already stays as it is.
            continue
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM):
                raise
            _copy_file(source_fd, target_fd, name)


def _merge_below(source_fd: int, target_fd: int, name: str) -> None:
    owner = os.fstat(target_fd)
    try:
        os.mkdir(name, 0o755, dir_fd=target_fd)
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=target_fd, follow_symlinks=False)
    except FileExistsError:
        # Most are there.
        pass
    source = os.open(name, _DIRECTORY, dir_fd=source_fd)
    try:
        target = os.open(name, _DIRECTORY, dir_fd=target_fd)
        try:
            _merge(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_file(source_fd: int, target_fd: int, name: str) -> None:
    unfinished = f".{os.urandom(6).hex()}"
    owner = os.fstat(target_fd)
    with open(os.open(name, _FILE, dir_fd=source_fd), "rb") as source:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with open(os.open(unfinished, flags, 0o644, dir_fd=target_fd), "wb") as target:
                shutil.copyfileobj(source, target)
                os.fchown(target.fileno(), owner.st_uid, owner.st_gid)
                # A compiled file names the moment at which its source was changed, not its own; yet what is moved keeps it.
                found = os.fstat(source.fileno())
                os.utime(target.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
            os.rename(unfinished, name, src_dir_fd=target_fd, dst_dir_fd=target_fd)
        except BaseException:
            os.unlink(unfinished, dir_fd=target_fd)
            raise
