"""Imports packages in a zygote, and finds out whether a process in that state can be forked at all."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
import typing

import ol_kernel as kernel

from ol_guest import failure, preload, search_path
from ol_guest.imports import Recorder
from ol_guest.leftovers import Leftover, Leftovers, describe
from ol_guest.reaper import ended_children
from ol_guest.sought import Seeker

_MIB = 1024 * 1024
_TEXT_BYTES = 8 * 1024
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


class CannotServe(Exception):
    """The import failed, or left something that a fork cannot share; the text is for the packages' user."""

    def __init__(self, text: str, unfit: "typing.Sequence[str]" = ()) -> None:
        super().__init__(text)
        # The package directories whose code left it, as far as that is known.
        self.unfit = list(unfit)


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


class Imported(typing.NamedTuple):
    """How it went."""

    ms: float
    # Top-level modules that were looked for and not found.
    sought: "list[str]"


def load(directories: "list[str]", modules: "list[str]") -> Imported:
    """Imports `modules`. Raises CannotServe."""
    kernel.clear_environment()
    os.environ.update(_ENVIRONMENT)
    search_path.use(directories)
    search_path.note_extended()
    before = set(sys.modules)
    seeker = Seeker()
    sys.meta_path.append(seeker)
    watch = Watch()
    recorder = Recorder(directories, look=watch.look)
    recorder.start()
    began = time.perf_counter()
    try:
        _import_all(modules)
    except BaseException as error:  # noqa: BLE001 - a package that calls sys.exit() failed to be imported too
        raise CannotServe(_cut(failure.traceback_text(error))) from None
    took = time.perf_counter() - began - watch.seconds
    recorder.stop()
    _refuse_what_is_unfit(watch.leftovers, recorder)
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not seeker]
    preload.note_since(before)
    os.chdir("/")
    os.umask(0o022)
    return Imported(took * 1000, seeker.in_vain())


def _import_all(modules: "list[str]") -> None:
    """What fails is tried again after the others: a part such as psycopg_binary wants to be imported by its whole."""
    later = []
    for name in modules:
        try:
            # Not importlib's function, whose frames Python would show.
            __import__(name)
        except ImportError:
            if len(modules) == 1:
                raise
            later.append(name)
    for name in later:
        __import__(name)


class Watch:
    """Looks after each package's code, and keeps the time that this takes out of the import's."""

    def __init__(self) -> None:
        self.leftovers = Leftovers()
        self.seconds = 0.0

    def look(self) -> "list[Leftover]":
        began = time.perf_counter()
        try:
            return self.leftovers.new()
        finally:
            self.seconds += time.perf_counter() - began


def _refuse_what_is_unfit(leftovers: Leftovers, recorder: Recorder) -> None:
    # What the garbage collector closes was not left open, and what has ended need not be waited for.
    gc.collect()
    for _pid, _status in ended_children():
        continue
    found = leftovers.all()
    if not found:
        return
    kept = {leftover[:2] for leftover in found}
    unfit = [
        directory
        for directory, left in recorder.left.items()
        if directory and any(leftover[:2] in kept for leftover in left)
    ]
    whose = f" ({', '.join(unfit)})" if unfit else ""
    raise CannotServe(_cut(f"importing left what a fork cannot share{whose}: {describe(found)}"), unfit)


def _cut(text: str) -> str:
    """Python's text ends with what matters most."""
    return text if len(text) <= _TEXT_BYTES else f"[...]{text[-_TEXT_BYTES:]}"
