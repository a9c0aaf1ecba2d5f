"""Rooms: what of the host's file system a container is given. Its scratch, of a user of its own; and, if it is started
before anybody knows what for, an empty directory that becomes its code.
"""

import contextlib
import os
import stat
import typing

import ol_kernel as kernel

from ol_host.files import Scratch, Workspace
from ol_host.uids import LeafUids

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Below run/: where the engine listens for its guests, and code of containers that were started in advance.
_MEETING_PLACE = "guests"
_CODE = "code"
# The guest's runtime, which the worker copies there.
_RUNTIME = "runtime"
# No lambda can have that name.
_WAITING = ".waiting"


class Room:
    """Has what ScratchMeter asks for of a leaf; to it a container is one that has no control group of ours."""

    group = None
    paused = False
    scratch_in_memory = False

    def __init__(self, number: int, scratch: Scratch, scratch_path: str, code_path: str) -> None:
        self.number = number
        self.scratch = scratch
        self.scratch_path = scratch_path
        self.code_path = code_path
        # Of the container's first process, on the host; None where it has our own ids.
        self.uid: "int | None" = None
        self.host_uid: "int | None" = None
        # Whether it has its code.
        self.taken = True
        # Its id on the host, to look at it by; never to signal it by. 0 until it is known.
        self.pid = 0
        self.log_mb = 0
        self.scratch_mb = 0
        self.measure_at = 0.0
        self.nameless_memory_bytes = 0

    def limit(self, limits: "dict[str, typing.Any]") -> None:
        self.log_mb = limits["logMb"]
        self.scratch_mb = limits["scratchMb"]


class Rooms:
    """`first_uid` begins the block of user ids; None where containers have our own."""

    def __init__(
        self, files: Workspace, work: str, code: str, first_uid: "int | None", uids: LeafUids
    ) -> None:
        self._files = files
        self._work = work
        self._code = code
        self._first_uid = first_uid
        self._uids = uids
        self._number = 0
        self._meeting_fd = self._open_below_run(_MEETING_PLACE, 0o700)
        if files.worker is not None:
            os.fchown(self._meeting_fd, *files.worker)
        self._code_fd = self._open_below_run(_CODE, 0o711)

    @property
    def meeting_place(self) -> str:
        return os.path.join(self._work, "run", _MEETING_PLACE)

    def sweep(self) -> int:
        """What an earlier engine left goes to the trash. Returns how many things."""
        count = 0
        for directory in (self._meeting_fd, self._code_fd):
            for name in os.listdir(directory):
                self._files.trash.put(name, directory)
                count += 1
        return count

    def make(self, sandbox: str, name: str, network: str, code: "str | None") -> Room:
        with contextlib.ExitStack() as undo:
            uid = None
            host_uid = None
            if self._first_uid is not None:
                uid = self._uids.take(network)
                undo.callback(self._uids.give_back, uid)
                host_uid = self._first_uid + uid
            if code is None:
                code_path = os.path.join(self._work, "run", _CODE, sandbox)
                os.mkdir(sandbox, 0o755, dir_fd=self._code_fd)
                undo.callback(self._files.trash.put, sandbox, self._code_fd)
                name = _WAITING
            else:
                os.close(self._files.open_code_directory(code))
                code_path = os.path.join(self._code, code)
            scratch = self._files.make_bound_scratch(name, sandbox, host_uid)
            undo.pop_all()
        self._number += 1
        path = os.path.join(self._work, "handlers", name, sandbox)
        room = Room(self._number, scratch, path, code_path)
        room.uid, room.host_uid, room.taken = uid, host_uid, code is not None
        return room

    def furnish(self, room: Room, sandbox: str, name: str, code: str) -> None:
        """Gives a room that was made in advance its code, as hard links, and the name by which people find it."""
        source = self._files.open_code_directory(code, os.O_RDONLY)
        try:
            target = kernel.openat2(self._code_fd, os.path.basename(room.code_path), _DIRECTORY)
            try:
                _link_all(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)
        self._files.rename_scratch(room.scratch, name, sandbox)
        room.taken = True

    def remove(self, room: Room) -> None:
        with contextlib.ExitStack() as steps:
            # From here upwards, each whatever becomes of the one before.
            if room.uid is not None:
                steps.callback(self._uids.give_back, room.uid)
            directory, name = os.path.split(room.code_path)
            if directory == os.path.join(self._work, "run", _CODE):
                steps.callback(self._files.trash.put, name, self._code_fd)
            self._files.remove_scratch(room.scratch)

    def close(self) -> None:
        """Nothing is left of what only a running engine needs."""
        for name in (_MEETING_PLACE, _CODE, _RUNTIME):
            with contextlib.suppress(FileNotFoundError):
                self._files.trash.put(name, self._files.run_fd)
        os.close(self._meeting_fd)
        os.close(self._code_fd)

    def _open_below_run(self, name: str, mode: int) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=self._files.run_fd)
        directory = kernel.openat2(self._files.run_fd, name, os.O_RDONLY | os.O_DIRECTORY)
        os.fchmod(directory, mode)
        return directory


def _link_all(source: int, target: int) -> None:
    """Code is never changed where it lies, and read-only where it is seen: it can be shared."""
    for name in os.listdir(source):
        mode = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode):
            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            continue
        os.mkdir(name, stat.S_IMODE(mode), dir_fd=target)
        below = [os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory) for directory in (source, target)]
        try:
            _link_all(*below)
        finally:
            for directory in below:
                os.close(directory)
