"""Directories that an ended sandbox leaves to the host: they become package directories, for every sandbox to read.

What a sandbox made is anybody's making. Before a directory goes where others see it, all of it becomes plain: regular
files and directories only, of the packages' owner, that nobody else can write to. Links and devices are refused. That is done by
a child process, since a package may have tens of thousands of files, and the broker must not wait.

A package that is there is believed for ever, so it is on the disk before it has its name: after a power cut, files could
otherwise be empty that a directory names.
"""

import errno
import fcntl
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
# Begins the name of what is no package (any more).
_UNFINISHED = "."
# An answer of the broker's has room for as many as are asked for at once.
_TEXT = 200


class Order(typing.NamedTuple):
    """`source`, below the scratch directory, becomes `target`, below the packages directory. `merge`: its files are added
    to a target that is there, and replace none of its files."""

    source: str
    target: str
    merge: bool


# User and group of packages; None where all that there is has our own.
Owner = typing.Optional[typing.Tuple[int, int]]
# What became of an order: {"kind": "kept"}, "exists" if the target was there already, or with a "reason" "refused" (there
# is something that may not be kept) or "failed".
Outcome = typing.Dict[str, str]


class NotPlain(Exception):
    """There is something that cannot be kept; the text names it."""


class Keeper:
    def __init__(self, packages: "str | None", rootless: bool, selector: selectors.BaseSelector) -> None:
        self._rootless = rootless
        self._packages_fd = None if packages is None else os.open(packages, _DIRECTORY)
        self._selector = selector
        # Children at work.
        self.busy = 0
        if self._packages_fd is not None:
            remove_unfinished(self._packages_fd)

    def keep(
        self, scratch_fd: int, orders: "list[Order]", done: "typing.Callable[[list[Outcome]], None]"
    ) -> None:
        """Calls `done` with one outcome for each order. Raises OSError where no child can be made."""
        if self._packages_fd is None:
            raise OSError(errno.ENOENT, "this engine has no directory for packages")
        reading, writing = os.pipe()
        try:
            broker = os.getpid()
            pid = os.fork()
            if pid == 0:
                found = os.fstat(self._packages_fd)
                owner = None if self._rootless else (found.st_uid, found.st_gid)
                _work(broker, writing, self._packages_fd, scratch_fd, owner, orders)
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


def failed(reason: str) -> Outcome:
    return {"kind": "failed", "reason": reason[:_TEXT]}


def _outcomes(told: bytes, count: int) -> "list[Outcome]":
    try:
        outcomes = json.loads(told)
    except ValueError:
        return [failed("the process that keeps it was ended")] * count
    return typing.cast("list[Outcome]", outcomes)


def _work(
    broker: int, writing: int, packages_fd: int, scratch_fd: int, owner: Owner, orders: "list[Order]"
) -> typing.NoReturn:
    """The child. It touches nothing of the broker's but these two directories."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != broker:
            # It died before its death could be a signal to us.
            os._exit(0)
        os.nice(_NICE)
        outcomes = json.dumps(keep_all(packages_fd, scratch_fd, owner, orders)).encode()
        while outcomes:
            outcomes = outcomes[os.write(writing, outcomes) :]
    finally:
        # Whatever happens, a forked broker must never run on as a second one.
        os._exit(0)


def keep_all(packages_fd: int, scratch_fd: int, owner: Owner, orders: "list[Order]") -> "list[Outcome]":
    """One outcome for each order, in their order."""
    prepared = [_tried(_prepare, scratch_fd, order, owner) for order in orders]
    # Once for all of them: it takes as long as the disk needs for what is new on it.
    synced = _tried(kernel.syncfs, scratch_fd)
    return [
        outcome or synced or _tried(_keep, packages_fd, scratch_fd, order, owner) or {"kind": "kept"}
        for order, outcome in zip(orders, prepared)
    ]


def _tried(step: "typing.Callable[..., Outcome | None]", *arguments: object) -> "Outcome | None":
    """What became of it, if that was not to be expected."""
    try:
        return step(*arguments)
    except NotPlain as error:
        return {"kind": "refused", "reason": str(error)[:_TEXT]}
    except OSError as error:
        return failed(str(error.strerror))
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked must be told
        return failed(f"{type(error).__name__}: {error}")


def _prepare(scratch_fd: int, order: Order, owner: Owner) -> None:
    source = kernel.openat2(scratch_fd, order.source, _DIRECTORY)
    try:
        make_plain(source, owner)
    finally:
        os.close(source)


def _keep(packages_fd: int, scratch_fd: int, order: Order, owner: Owner) -> "Outcome | None":
    source = kernel.openat2(scratch_fd, order.source, _DIRECTORY)
    try:
        parent_path, _slash, name = order.target.rpartition("/")
        parent = _open_parent(packages_fd, parent_path, owner)
        try:
            if order.merge:
                target = kernel.openat2(parent, name, _DIRECTORY)
                try:
                    _merge(source, target, owner)
                finally:
                    os.close(target)
                return None
            return None if _move(scratch_fd, order.source, source, parent, name, owner) else {"kind": "exists"}
        finally:
            os.close(parent)
    finally:
        os.close(source)


def make_plain(directory_fd: int, owner: Owner) -> None:
    """All of it: owner, modes, and nothing that is neither a file nor a directory. Nobody else may be writing there."""
    left = [_MOST_FILES]
    _make_directory_plain(directory_fd, owner, "", left)


def _make_directory_plain(directory_fd: int, owner: Owner, path: str, left: "list[int]") -> None:
    _take(directory_fd, owner, 0o755)
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
                _make_directory_plain(below, owner, inner, left)
            finally:
                os.close(below)
        elif stat.S_ISREG(mode):
            file = os.open(name, _FILE, dir_fd=directory_fd)
            try:
                _take(file, owner, 0o755 if mode & 0o100 else 0o644)
            finally:
                os.close(file)
        else:
            raise NotPlain(f"it has something that is neither a file nor a directory: {inner[1:]!r}")


def _take(descriptor: int, owner: Owner, mode: int) -> None:
    _give(descriptor, owner)
    # After the owner, a change of which clears bits.
    os.fchmod(descriptor, mode)


def _give(descriptor: int, owner: Owner) -> None:
    if owner is not None:
        os.fchown(descriptor, *owner)


def _open_parent(packages_fd: int, path: str, owner: Owner) -> int:
    """The directory above a target, made if it is not there."""
    parts = path.split("/") if path else []
    if len(parts) > _PLACES:
        raise OSError(errno.EINVAL, "a target too deep")
    directory = os.dup(packages_fd)
    for part in parts:
        above = directory
        try:
            try:
                _make_directory(part, above, owner)
            except FileExistsError:
                # As every time but the first.
                pass
            directory = kernel.openat2(above, part, _DIRECTORY)
        finally:
            os.close(above)
    return directory


def _make_directory(name: str, parent_fd: int, owner: Owner) -> None:
    os.mkdir(name, 0o755, dir_fd=parent_fd)
    if owner is None:
        return
    # By descriptor: whoever owns the parent could have put something else in its place.
    directory = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    try:
        if os.fstat(directory).st_uid == os.geteuid():
            os.fchown(directory, *owner)
    finally:
        os.close(directory)


def _move(scratch_fd: int, path: str, source_fd: int, parent_fd: int, name: str, owner: Owner) -> bool:
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
        return _copy(source_fd, parent_fd, name, owner)
    return True


def _copy(source_fd: int, parent_fd: int, name: str, owner: Owner) -> bool:
    """To another file system. Under a name that no package has, so that it is seen in full or not at all."""
    unfinished = f"{_UNFINISHED}{name}.{os.urandom(6).hex()}"
    os.mkdir(unfinished, 0o755, dir_fd=parent_fd)
    directory = os.open(unfinished, _DIRECTORY, dir_fd=parent_fd)
    try:
        # Whoever removes what is unfinished sees by it that somebody is at work.
        fcntl.flock(directory, fcntl.LOCK_EX)
        shutil.copytree(f"/proc/self/fd/{source_fd}", f"/proc/self/fd/{directory}", symlinks=True, dirs_exist_ok=True)
        _give_all(directory, owner)
        kernel.syncfs(directory)
        os.rename(unfinished, name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
    except BaseException as error:
        shutil.rmtree(f"/proc/self/fd/{parent_fd}/{unfinished}", ignore_errors=True)
        if isinstance(error, shutil.Error):
            # It collects them, each with the kernel's own text.
            raise OSError(errno.EIO, str(error.args[0][0][2])) from error
        if isinstance(error, OSError) and error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    finally:
        os.close(directory)
    return True


def _give_all(directory_fd: int, owner: Owner) -> None:
    """What was copied is the copier's. From the inside out: nobody gets a directory in which there is something to give."""
    if owner is None:
        return
    for _where, _names, files, below in os.fwalk(".", topdown=False, dir_fd=directory_fd):
        for name in files:
            os.chown(name, *owner, dir_fd=below, follow_symlinks=False)
        os.fchown(below, *owner)


def remove_unfinished(packages_fd: int) -> None:
    """What somebody was copying, or removing, who was ended. Others may be doing that in this very moment."""
    for python in os.listdir(packages_fd):
        try:
            directory = kernel.openat2(packages_fd, python, _DIRECTORY)
        except OSError:
            # None of ours: a file, a link, or not for us.
            continue
        try:
            for name in os.listdir(directory):
                if name.startswith(_UNFINISHED):
                    _remove_if_unused(directory, name)
        finally:
            os.close(directory)


def _remove_if_unused(parent_fd: int, name: str) -> None:
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    except FileNotFoundError:
        # Finished meanwhile.
        return
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(directory)
    shutil.rmtree(f"/proc/self/fd/{parent_fd}/{name}", ignore_errors=True)


def _merge(source_fd: int, target_fd: int, owner: Owner) -> None:
    for name in os.listdir(source_fd):
        mode = os.stat(name, dir_fd=source_fd, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _merge_below(source_fd, target_fd, name, owner)
            continue
        try:
            os.link(name, name, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        except FileExistsError:
            # What others read already stays as it is.
            continue
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM):
                raise
            _copy_file(source_fd, target_fd, name, owner)


def _merge_below(source_fd: int, target_fd: int, name: str, owner: Owner) -> None:
    try:
        _make_directory(name, target_fd, owner)
    except FileExistsError:
        # Most are there.
        pass
    source = os.open(name, _DIRECTORY, dir_fd=source_fd)
    try:
        target = os.open(name, _DIRECTORY, dir_fd=target_fd)
        try:
            _merge(source, target, owner)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_file(source_fd: int, target_fd: int, name: str, owner: Owner) -> None:
    unfinished = f".{os.urandom(6).hex()}"
    with open(os.open(name, _FILE, dir_fd=source_fd), "rb") as source:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with open(os.open(unfinished, flags, 0o644, dir_fd=target_fd), "wb") as target:
                shutil.copyfileobj(source, target)
                _give(target.fileno(), owner)
                # A compiled file names the moment at which its source was changed, not its own; yet what is moved keeps it.
                found = os.fstat(source.fileno())
                os.utime(target.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
                os.fsync(target.fileno())
            os.rename(unfinished, name, src_dir_fd=target_fd, dst_dir_fd=target_fd)
        except BaseException:
            os.unlink(unfinished, dir_fd=target_fd)
            raise
