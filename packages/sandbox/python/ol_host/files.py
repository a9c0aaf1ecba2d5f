"""The directories that the broker works in. Each is opened once, at the start; everything later is a relative name
that must stay beneath one of them and contain no symbolic link.

A sandbox owns its scratch directory, so nothing in there is ever followed, and nothing believed.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import typing

import ol_kernel as kernel

from ol_host.trash import Trash

_MIB = 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Saved output of destroyed sandboxes: the last MiB of each, of the last hundred.
_KEPT_BYTES = _MIB
_KEPT_SANDBOXES = 100
_STREAMS = ("stdout", "stderr")
# A broker notices the end of its worker in milliseconds; then it says so in the lock, and has time to tidy up.
_NOTICE_SEC = 1.0
_HANDOVER_SEC = 45.0
_SERVING = b"serving"


class InUse(Exception):
    """Another broker works in this directory."""


class Scratch:
    """One sandbox's directory, its output files, and its socket, if it listens on one."""

    def __init__(
        self,
        name: str,
        sandbox: str,
        directory_fd: int,
        tree_fd: int,
        output_fds: "list[int]",
        listens: bool = True,
    ) -> None:
        self.name = name
        self.sandbox = sandbox
        # In run/; None for one that connects itself.
        self.socket_name = f"{sandbox}.sock" if listens else None
        self.directory_fd = directory_fd
        # A detached mount of the directory, which becomes the sandbox's /host; then, and with scratch in memory, -1.
        self.tree_fd = tree_fd
        # The socket on which the sandbox awaits the worker; -1 before it is made, and when it was handed over.
        self.listener_fd = -1
        self.output_fds = output_fds
        # Of others that write to this directory too: see tenants.py.
        self.further_output_fds: "list[int]" = []

    def hand_over(self) -> "tuple[int, int]":
        """The mount and the listening socket, which are the caller's from now on."""
        handed = self.tree_fd, self.listener_fd
        self.tree_fd = self.listener_fd = -1
        return handed

    def cut_output(self, limit_mb: int) -> None:
        """stdout and stderr together hold at most `limit_mb`; what is over is cut off at the end."""
        share = limit_mb * _MIB // len(self.output_fds)
        for descriptor in self.output_fds:
            if os.fstat(descriptor).st_size > share:
                os.ftruncate(descriptor, share)

    def close(self) -> None:
        for descriptor in (self.directory_fd, self.tree_fd, self.listener_fd, *self.output_fds):
            if descriptor >= 0:
                os.close(descriptor)


class Workspace:
    """`work` holds handlers/NAME/SANDBOX (scratch), run/ (sockets, the lock) and trash/; `code` the lambdas' code.

    `worker` is the user and group that a worker started by root becomes: it may connect to the sockets and look after
    the code, and writes nothing else here.
    """

    def __init__(self, work: str, code: str, logs: "str | None", worker: "tuple[int, int] | None" = None) -> None:
        self._work = work
        self.worker = worker
        self.work_fd = os.open(work, _DIRECTORY)
        # To be entered, not to be read or written: who connects knows the socket's name, and owns the socket.
        self.run_fd = self._open_own("run", 0o700 if worker is None else 0o711)
        self._lock()
        # Not for others to enter: what a rootless sandbox makes is its user's, a program with the setuid bit included.
        self.handlers_fd = self._open_own("handlers", 0o700)
        self.trash = Trash(self._open_own("trash", 0o700))
        self.code_fd = os.open(code, _DIRECTORY)
        self._hand_over_code()
        self.logs_fd = None if logs is None else os.open(logs, _DIRECTORY)

    def _hand_over_code(self) -> None:
        """Copies that belong to another user, of an earlier start, could not be removed by the worker later."""
        if self.worker is None or os.fstat(self.code_fd).st_uid == self.worker[0]:
            return
        for name in os.listdir(self.code_fd):
            self.trash.put(name, self.code_fd)
        os.fchown(self.code_fd, *self.worker)

    def _open_own(self, name: str, mode: int) -> int:
        """Made if it is not there. One that is there becomes ours alone, whoever made it: only root can do that to
        another user's, and others are refused."""
        path = os.path.join(self._work, name)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=self.work_fd)
            descriptor = kernel.openat2(self.work_fd, name, os.O_RDONLY | os.O_DIRECTORY)
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid():
                os.fchown(descriptor, os.geteuid(), os.getegid())
            if stat.S_IMODE(found.st_mode) != mode:
                os.fchmod(descriptor, mode)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                reason = "it must be a directory, and is a file or a link; remove it"
                raise OSError(error.errno, reason, path) from error
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
        return descriptor

    def _lock(self) -> None:
        """Waits for an earlier broker that is on its way out, not for one that serves."""
        try:
            self._lock_fd = kernel.openat2(self.run_fd, "lock", os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
        except OSError as error:
            path = os.path.join(self._work, "run/lock")
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
        if not _locked_within(self._lock_fd, _NOTICE_SEC):
            serving = os.pread(self._lock_fd, len(_SERVING), 0) == _SERVING
            if serving or not _locked_within(self._lock_fd, _HANDOVER_SEC):
                raise InUse
        self.say_serving(False)

    def say_serving(self, serving: bool) -> None:
        """Tells a successor that waits for the lock whether it waits in vain."""
        os.ftruncate(self._lock_fd, 0)
        if serving:
            os.pwrite(self._lock_fd, _SERVING, 0)

    def open_code_directory(self, path: str, how: int = os.O_PATH) -> int:
        return kernel.openat2(self.code_fd, path, how | os.O_DIRECTORY)

    def open_code(self, path: str) -> int:
        """A detached, read-only tree of a code directory."""
        directory = self.open_code_directory(path)
        try:
            tree = kernel.open_tree("", directory)
        finally:
            os.close(directory)
        kernel.mount_setattr(
            tree, "", kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV, False
        )
        return tree

    def make_scratch(self, name: str, sandbox: str, owner: "int | None", in_memory: bool) -> Scratch:
        """`owner` is the host's uid of the sandbox, None where it is our own. `in_memory`: the sandbox's /host is
        something else, and the directory is for people only."""
        parent = self._directory_of(name)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, parent)
            undo_on_failure = undo.enter_context(contextlib.ExitStack())
            undo_on_failure.callback(self._remove_if_empty, name)
            os.mkdir(sandbox, 0o700, dir_fd=parent)
            undo_on_failure.callback(self.trash.put, sandbox, parent)
            directory = kernel.openat2(parent, sandbox, os.O_RDONLY | os.O_DIRECTORY)
            undo_on_failure.callback(os.close, directory)
            tree = kernel.open_tree("", directory)
            undo_on_failure.callback(os.close, tree)
            kernel.mount_setattr(tree, "", kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV, False)
            outputs = []
            for stream in _STREAMS:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC
                # By the sandbox's own mount: one of the host's would show it the host's path in /proc/self/fd.
                outputs.append(os.open(stream, flags, 0o640, dir_fd=tree))
                undo_on_failure.callback(os.close, outputs[-1])
            if owner is not None and not in_memory:
                os.fchown(directory, owner, owner)
            scratch = Scratch(name, sandbox, directory, tree, outputs)
            socket_name = f"{sandbox}.sock"
            undo_on_failure.callback(_unlink_if_there, socket_name, self.run_fd)
            scratch.listener_fd = self._listen(socket_name, scratch)
            undo_on_failure.pop_all()
        if in_memory:
            # The output files, which are open, keep what they need of it.
            os.close(scratch.tree_fd)
            scratch.tree_fd = -1
        return scratch

    def make_bound_scratch(self, name: str, sandbox: str, owner: "int | None") -> Scratch:
        """One that a container gets by its path, and whose output files the container opens itself."""
        parent = self._directory_of(name)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, parent)
            undo_on_failure = undo.enter_context(contextlib.ExitStack())
            undo_on_failure.callback(self._remove_if_empty, name)
            os.mkdir(sandbox, 0o700, dir_fd=parent)
            undo_on_failure.callback(self.trash.put, sandbox, parent)
            directory = kernel.openat2(parent, sandbox, os.O_RDONLY | os.O_DIRECTORY)
            undo_on_failure.callback(os.close, directory)
            outputs = []
            for stream in _STREAMS:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                outputs.append(os.open(stream, flags, 0o640, dir_fd=directory))
                undo_on_failure.callback(os.close, outputs[-1])
            if owner is not None:
                for descriptor in (*outputs, directory):
                    os.fchown(descriptor, owner, owner)
            undo_on_failure.pop_all()
        return Scratch(name, sandbox, directory, -1, outputs, listens=False)

    def rename_scratch(self, scratch: Scratch, name: str, sandbox: str) -> None:
        """Gives it the name by which people find it. If that fails it has the one from before. Its socket, which only the
        worker looks for, keeps its name, and must still be there."""
        if scratch.socket_name is not None:
            os.stat(scratch.socket_name, dir_fd=self.run_fd, follow_symlinks=False)
        with contextlib.ExitStack() as undo:
            before = kernel.openat2(self.handlers_fd, scratch.name, os.O_RDONLY | os.O_DIRECTORY)
            undo.callback(os.close, before)
            after = self._directory_of(name)
            undo.callback(os.close, after)
            undo_on_failure = undo.enter_context(contextlib.ExitStack())
            undo_on_failure.callback(self._remove_if_empty, name)
            os.rename(scratch.sandbox, sandbox, src_dir_fd=before, dst_dir_fd=after)
            undo_on_failure.pop_all()
        scratch.name, scratch.sandbox = name, sandbox

    def _directory_of(self, name: str) -> int:
        """Where the scratch directories of a name are."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o711, dir_fd=self.handlers_fd)
        return kernel.openat2(self.handlers_fd, name, os.O_RDONLY | os.O_DIRECTORY)

    def _listen(self, name: str, scratch: Scratch) -> int:
        """The socket lives where no sandbox sees it; people find it by the link in the scratch directory."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            # A path by descriptor: the real one may be longer than the 108 bytes that an address holds.
            if self.worker is not None:
                # The name that bind makes has this mode from the beginning.
                os.fchmod(listener.fileno(), 0o600)
            listener.bind(f"/proc/self/fd/{self.run_fd}/{name}")
            if self.worker is not None:
                os.chown(name, *self.worker, dir_fd=self.run_fd, follow_symlinks=False)
            listener.listen(1)
            os.link(
                name,
                "server_pipe",
                src_dir_fd=self.run_fd,
                dst_dir_fd=scratch.directory_fd,
                follow_symlinks=False,
            )
            return listener.detach()

    def remove_scratch(self, scratch: Scratch) -> None:
        """Saves the last output, then removes everything the sandbox had. Its processes must be gone."""
        with contextlib.ExitStack() as steps:
            # From here upwards, each whatever becomes of the one before.
            steps.callback(scratch.close)
            steps.callback(self._remove_directory, scratch)
            if scratch.socket_name is not None:
                steps.callback(_unlink_if_there, scratch.socket_name, self.run_fd)
            self._save_output(scratch)
        self._remove_if_empty(scratch.name)

    def _remove_directory(self, scratch: Scratch) -> None:
        # What somebody else has removed is gone too.
        with contextlib.suppress(FileNotFoundError):
            parent = kernel.openat2(self.handlers_fd, scratch.name, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if not _remove_known(parent, scratch):
                    self.trash.put(scratch.sandbox, parent)
            finally:
                os.close(parent)

    def _remove_if_empty(self, name: str) -> None:
        try:
            os.rmdir(name, dir_fd=self.handlers_fd)
        except OSError as error:
            # Other sandboxes of this name are alive, or the last two went at once.
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise

    def _save_output(self, scratch: Scratch) -> None:
        sizes = [os.fstat(descriptor).st_size for descriptor in scratch.output_fds]
        if self.logs_fd is None or not any(sizes):
            return
        try:
            os.mkdir(scratch.name, 0o755, dir_fd=self.logs_fd)
        except FileExistsError:
            # Output of an earlier sandbox is kept there.
            pass
        directory = kernel.openat2(self.logs_fd, scratch.name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for stream, source, size in zip(_STREAMS, scratch.output_fds, sizes):
                if size > 0:
                    _copy_tail(source, size, directory, f"{scratch.sandbox}.{stream}", self.worker)
            _keep_newest(directory, _KEPT_SANDBOXES * len(_STREAMS))
        finally:
            os.close(directory)

    def sweep(self) -> int:
        """Moves everything that an earlier broker left to the trash. Returns how many things."""
        moved = 0
        for directory_fd in (self.handlers_fd, self.run_fd):
            for name in os.listdir(directory_fd):
                if directory_fd == self.run_fd and not name.endswith(".sock"):
                    continue
                self.trash.put(name, directory_fd)
                moved += 1
        return moved


def _locked_within(descriptor: int, seconds: float) -> bool:
    """Takes the lock; a lock that is free is taken at once."""

    def give_up(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return True


def _remove_known(parent_fd: int, scratch: Scratch) -> bool:
    """The common case, without a child process: nothing in the directory but what we put there."""
    try:
        for name in _STREAMS if scratch.socket_name is None else (*_STREAMS, "server_pipe"):
            os.unlink(name, dir_fd=scratch.directory_fd)
        os.rmdir(scratch.sandbox, dir_fd=parent_fd)
    except OSError:
        # The lambda left files, or replaced ours by something else: the trash deals with all of it.
        return False
    return True


def _unlink_if_there(name: str, directory_fd: int) -> None:
    try:
        os.unlink(name, dir_fd=directory_fd)
    except FileNotFoundError:
        # Making the sandbox failed before its socket was bound.
        return


def _copy_tail(source: int, size: int, directory_fd: int, name: str, owner: "tuple[int, int] | None") -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    target = os.open(name, flags, 0o640, dir_fd=directory_fd)
    try:
        if owner is not None:
            os.fchown(target, *owner)
        data = os.pread(source, _KEPT_BYTES, max(0, size - _KEPT_BYTES))
        while data:
            data = data[os.write(target, data) :]
    finally:
        os.close(target)


def _keep_newest(directory_fd: int, count: int) -> None:
    names = os.listdir(directory_fd)
    if len(names) <= count:
        return

    def changed(name: str) -> int:
        return os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mtime_ns

    for name in sorted(names, key=changed)[: len(names) - count]:
        os.unlink(name, dir_fd=directory_fd)


def real_directory(path: str) -> bool:
    """Whether `path` itself, not what a link there points to, is a directory."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def write_all(descriptor: int, text: str) -> None:
    data: "typing.Union[bytes, memoryview]" = text.encode()
    while data:
        data = data[os.write(descriptor, data) :]
