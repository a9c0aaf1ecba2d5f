"""Imports packages in a zygote, and finds out whether a process in that state can be forked at all."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from typing import Iterable

from ol_guest import failure, preload

_PACKAGES = "/packages"
_MIB = 1024 * 1024
_TEXT_BYTES = 8 * 1024
_NAMED = 4
# Numerical libraries start threads while they are imported, unless they are told not to. A leaf has a fraction of
# the machine's CPUs anyway.
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "TMPDIR": "/tmp",
    **{
        f"{library}_NUM_THREADS": "1"
        for library in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS", "RAYON", "POLARS")
    },
}

# As it is without any package; taken when the root zygote imports this module.
_BASE_PATH = tuple(sys.path)


class CannotServe(Exception):
    """The import failed, or left something that a fork cannot share; the text is for the packages' user."""


def use(directories: "Iterable[str]") -> None:
    """Puts package directories, relative to /packages, on sys.path, behind the standard library."""
    sys.path[:] = [*_BASE_PATH, *(f"{_PACKAGES}/{directory}" for directory in directories)]


def limit(data_mb: "int | None") -> None:
    """Where there is no cgroup; and no core dump (see limits.py of the broker). The hard limit on memory stays as it
    is: a leaf must be able to set its own."""
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    if data_mb is not None:
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (data_segment_bytes() + data_mb * _MIB, hard))


def data_segment_bytes() -> int:
    """VmData, what RLIMIT_DATA counts: mostly inherited from the zygote."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    raise OSError("no VmData in /proc/self/status")


def load(directories: "list[str]", modules: "list[str]") -> None:
    """Imports `modules`. Raises CannotServe."""
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    use(directories)
    before = set(sys.modules)
    descriptors = open_descriptors()
    for name in modules:
        try:
            # Not importlib's function, whose frames Python would show.
            __import__(name)
        except BaseException as error:  # noqa: BLE001 - a package that calls sys.exit() failed to be imported too
            raise CannotServe(_cut(failure.traceback_text(error))) from None
    # What the garbage collector closes was not left open.
    gc.collect()
    found = [*_threads(), *_processes(), *_descriptors(descriptors)]
    if found:
        raise CannotServe(_cut(f"importing {', '.join(modules)} left what a fork cannot share: {'; '.join(found)}"))
    preload.note_since(before)
    os.chdir("/")
    os.umask(0o022)


def open_descriptors() -> "dict[int, str]":
    """What each descriptor is, but for the one that looking takes."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


def _threads() -> "list[str]":
    count = len(os.listdir("/proc/self/task"))
    if count == 1:
        return []
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    named = f" ({', '.join(names[:_NAMED])})" if names else ""
    return [f"{count - 1} more thread{'s' if count > 2 else ''}{named}"]


def _processes() -> "list[str]":
    """Only its init and it itself should be in its PID namespace. What has ended already is no obstacle."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            state, command = _state(int(name))
            if state not in ("Z", "X", ""):
                found.append(f"process {command}")
    _reap()
    return found[:_NAMED]


def _state(pid: int) -> "tuple[str, str]":
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    opening, closing = text.index("("), text.rindex(")")
    return text[closing + 2], text[opening + 1 : closing]


def _reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _descriptors(before: "dict[int, str]") -> "list[str]":
    left = [what for number, what in sorted(open_descriptors().items()) if before.get(number) != what]
    return [f"open {what}" for what in left[:_NAMED]]


def _cut(text: str) -> str:
    """Python's text ends with what matters most."""
    return text if len(text) <= _TEXT_BYTES else f"[...]{text[-_TEXT_BYTES:]}"
