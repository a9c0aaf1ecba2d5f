"""The trash: what sandboxes left is renamed into it at once, and removed from it in time.

A child process does the removing: rm manages any depth of directories, which Python's own functions do not, and the
broker must not wait for a hundred thousand files. The child ends with the broker, however that ends.
"""

import os
import signal
import stat
import subprocess
import time
import typing

import ol_kernel as kernel

# Names in one command line.
_BATCH = 1_000
# Modes do not matter: root's broker may do anything to files, an ordinary user's to those of its own namespace.
# Never chmod: whoever still holds a directory open could lead it through a link to another file.
_REMOVE = ("rm", "-rf", "--one-file-system")


class Trash:
    """A directory of mode 0700 that nobody but the broker changes."""

    def __init__(self, directory_fd: int) -> None:
        self._fd = directory_fd
        self._process: "subprocess.Popen[bytes] | None" = None
        self._batch: "list[str]" = []
        # What could not be removed; the next start tries again.
        self._stuck: "set[str]" = set()

    def put(self, name: str, parent_fd: int) -> None:
        # A name of its own, since an earlier broker may have left some and had our process id.
        os.rename(name, os.urandom(12).hex(), src_dir_fd=parent_fd, dst_dir_fd=self._fd)

    @property
    def process_id(self) -> "int | None":
        """The child that is at work."""
        return None if self._process is None else self._process.pid

    def empty(self) -> bool:
        """Goes on with removing, without waiting. True if there is nothing (more) that could be done."""
        if self._process is not None:
            if self._process.poll() is None:
                return False
            self._process = None
        try:
            if self._next_batch():
                self._process = self._start()
                return False
        except OSError:
            # No process can be made now: whoever asks next tries again.
            return False
        return True

    def wait_until_empty(self, seconds: float) -> "list[str]":
        """Removes all; returns the names that stayed."""
        deadline = time.monotonic() + seconds
        while not self.empty() and time.monotonic() < deadline:
            if self._process is None:
                time.sleep(0.05)
                continue
            try:
                self._process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                break
        return sorted(os.listdir(self._fd))

    def _next_batch(self) -> bool:
        """Whether there is something to do; `_batch` then holds directories only."""
        # What is still there has withstood one rm.
        self._stuck.update(self._directories(self._batch))
        waiting = (name for name in os.listdir(self._fd) if name not in self._stuck)
        self._batch = self._directories(waiting)[:_BATCH]
        return bool(self._batch)

    def _directories(self, names: "typing.Iterable[str]") -> "list[str]":
        """Those that are directories; what is none is removed on the spot."""
        found = []
        for name in names:
            try:
                if stat.S_ISDIR(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode):
                    found.append(name)
                else:
                    os.unlink(name, dir_fd=self._fd)
            except FileNotFoundError:
                continue
            except OSError:
                self._stuck.add(name)
        return found

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*_REMOVE, "--", *self._batch],
            cwd=f"/proc/self/fd/{self._fd}",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._fd,),
            preexec_fn=_die_with_broker,
        )


def _die_with_broker() -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
