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
# Rights first where rm alone did not do: an ordinary user's, whose rights end at a directory of mode 0.
_STEPS = (("rm", "-rf", "--one-file-system"), ("chmod", "-R", "u+rwx"), ("rm", "-rf", "--one-file-system"))


class Trash:
    """A directory of mode 0700 that nobody but the broker changes."""

    def __init__(self, directory_fd: int) -> None:
        self._fd = directory_fd
        self._process: "subprocess.Popen[bytes] | None" = None
        self._batch: "list[str]" = []
        # How many of _STEPS the batch has been through.
        self._steps_done = 0
        # What all steps could not remove; the next start tries again.
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
            while self._next_batch():
                command = _STEPS[self._steps_done]
                self._steps_done += 1
                self._process = self._start(command)
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
        """Whether there is something to do; `_batch` then holds directories only, since chmod follows links named
        to it, and some that stand here are of the host's own users."""
        self._batch = self._directories(self._batch)
        if self._batch and self._steps_done == len(_STEPS):
            self._stuck.update(self._batch)
            self._batch = []
        if not self._batch:
            self._steps_done = 0
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

    def _start(self, command: "tuple[str, ...]") -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*command, "--", *self._batch],
            cwd=f"/proc/self/fd/{self._fd}",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._fd,),
            preexec_fn=_die_with_broker,
        )


def _die_with_broker() -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
