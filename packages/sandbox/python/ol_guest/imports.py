"""What importing packages costs, each by itself, and which of their modules somebody else asked for.

Python calls `_find_and_load` of its import system for every module that is not loaded yet, from the `import` statement and
from importlib alike; as long as a recorder is at work it stands in for that function. Nothing of it is to be seen by
the code that imports: finders and loaders are as they were, and tracebacks leave it out as they do Python's own part.

An import from within a package of that package's own modules, most of all imports, is only let through. What is timed
and measured is where one package asks for another.
"""

from __future__ import annotations

import _thread
import os
import sys
import time
import types
from typing import Any, Callable, Iterable, NamedTuple, Optional, Sequence

_PACKAGES = "/packages"
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
# By this name Python knows the frames that it cuts out of tracebacks.
_FROZEN = "<frozen importlib._bootstrap>"
_importlib = sys.modules["_frozen_importlib"]


class Cost:
    """Of one package directory."""

    def __init__(self) -> None:
        self.ns = 0
        # Private memory.
        self.kb = 0
        # Its modules that were asked for from outside of it, with the place of each in the order of all imports.
        self.asked: "dict[str, int]" = {}


class _Asked(NamedTuple):
    """An import of a package's module, of which is not known yet whether it was begun inside the package."""

    place: int
    directory: str
    name: str


class _Frame:
    """An import under way."""

    __slots__ = ("name", "top", "place", "waits", "foreign_ns", "foreign_kb", "asked", "left")

    def __init__(self, name: str, top: str, place: int, waits: bool) -> None:
        self.name = name
        self.top = top
        self.place = place
        # Another thread imports it, and this one only waits for that.
        self.waits = waits
        # What imports from within it took that are counted elsewhere.
        self.foreign_ns = 0
        self.foreign_kb = 0
        self.asked: "list[_Asked]" = []
        # What `look` found while this one's code ran.
        self.left: "list[Any]" = []


def _as_pythons_own(function: "Callable[..., Any]") -> "Callable[..., Any]":
    code = function.__code__.replace(co_filename=_FROZEN)
    return types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


class Recorder:
    """Between `start` and `stop`, each once. Imports of all threads are recorded."""

    def __init__(
        self,
        directories: "Iterable[str]",
        root: str = _PACKAGES,
        look: "Callable[[], Sequence[Any]]" = tuple,
    ) -> None:
        """`look` is called whenever one package's code begins or ends to run in the middle of another's. What it returns,
        whatever that is, is kept in `left` for whose code ran before."""
        self.costs: "dict[str, Cost]" = {directory: Cost() for directory in directories}
        self._depths = sorted({directory.count("/") + 1 for directory in self.costs}, reverse=True)
        self._root = f"{root}/"
        self._look = look
        # By package directory; "" where no package's code ran.
        self.left: "dict[str, list[Any]]" = {}
        self._frames = _thread._local()
        # Taken again by an import in the middle of our own work: a finaliser's, which runs when it likes.
        self._lock = _thread.RLock()
        self._active: "set[str]" = set()
        self._places = 0
        # Top-level modules that lie in one directory, unlike namespace packages.
        self._plain: "set[str]" = set()
        self._original: "Callable[[str, Any], Any]" = _importlib._find_and_load

    def start(self) -> None:
        original, plain, frames, active = self._original, self._plain, self._frames, self._active
        is_plain, record, loaded = self._is_plain, self._record, sys.modules

        @_as_pythons_own
        def find_and_load(name: str, import_: "Callable[..., Any]") -> "Any":
            if name in loaded and name not in active:
                # importlib asks also for what is there already.
                return original(name, import_)
            frame = getattr(frames, "innermost", None)
            top = name.partition(".")[0]
            if frame is not None and frame.top == top and (top in plain or is_plain(top)):
                return original(name, import_)
            return record(frame, name, top, import_)

        _importlib._find_and_load = find_and_load

    def stop(self) -> None:
        _importlib._find_and_load = self._original

    def asked(self, directory: str) -> "list[str]":
        """Modules of it that are loaded and were asked for from outside of it, in that order."""
        found = self.costs[directory].asked
        return [name for name in sorted(found, key=found.__getitem__) if _is_loaded(name)]

    def _record(self, outer: "Optional[_Frame]", name: str, top: str, import_: "Callable[..., Any]") -> "Any":
        self._places += 1
        frame = _Frame(name, top, self._places, name in self._active)
        self._active.add(name)
        self._frames.innermost = frame
        module = None
        self._leave(outer, self._look())
        before_kb = _private_kb()
        before_ns = time.perf_counter_ns()
        try:
            module = self._original(name, import_)
            return module
        finally:
            took_ns = time.perf_counter_ns() - before_ns
            grown_kb = _private_kb() - before_kb
            self._frames.innermost = outer
            frame.left += self._look()
            self._close(frame, outer, module, took_ns, grown_kb)

    _record = _as_pythons_own(_record)

    def _close(self, frame: _Frame, outer: "Optional[_Frame]", module: object, ns: int, kb: int) -> None:
        with self._lock:
            if frame.waits:
                self._count_elsewhere(outer, ns, kb)
                self._leave(outer, frame.left)
                return
            self._active.discard(frame.name)
            directory = self._directory_of(module, frame.top)
            still_open = frame.asked
            if directory is None:
                # Nobody's, as the standard library's modules are: what it took is a cost of whoever needed it.
                self._count_elsewhere(outer, frame.foreign_ns, frame.foreign_kb)
                self._leave(outer, frame.left)
            else:
                cost = self.costs[directory]
                cost.ns += ns - frame.foreign_ns
                cost.kb += kb - frame.foreign_kb
                self._count_elsewhere(outer, ns, kb)
                self._note([asked for asked in frame.asked if asked.directory != directory])
                self.left.setdefault(directory, []).extend(frame.left)
                still_open = [_Asked(frame.place, directory, frame.name)]
            if outer is None:
                self._note(still_open)
            else:
                outer.asked += still_open

    def _count_elsewhere(self, outer: "Optional[_Frame]", ns: int, kb: int) -> None:
        if outer is not None:
            outer.foreign_ns += ns
            outer.foreign_kb += kb

    def _leave(self, outer: "Optional[_Frame]", found: "Sequence[Any]") -> None:
        if found:
            (self.left.setdefault("", []) if outer is None else outer.left).extend(found)

    def _note(self, all_asked: "list[_Asked]") -> None:
        for place, directory, name in all_asked:
            self.costs[directory].asked.setdefault(name, place)

    def _is_plain(self, top: str) -> bool:
        attributes = _attributes(sys.modules.get(top))
        if attributes is None:
            return False
        path = attributes.get("__path__")
        plain = path is None or (type(path) is list and len(path) == 1)
        if plain:
            self._plain.add(top)
        return plain

    def _directory_of(self, module: object, top: str) -> "Optional[str]":
        directory = self._directory_at(module)
        if directory is None and module is not None and top in self._plain:
            # One that has put something else in its place.
            directory = self._directory_at(sys.modules.get(top))
        return directory

    def _directory_at(self, module: object) -> "Optional[str]":
        attributes = _attributes(module) or {}
        path = getattr(attributes.get("__spec__"), "origin", None) or attributes.get("__file__")
        if not isinstance(path, str) or not path.startswith(self._root):
            return None
        parts = path[len(self._root) :].split("/")
        for depth in self._depths:
            directory = "/".join(parts[:depth])
            if directory in self.costs:
                return directory
        return None


def _attributes(module: object) -> "Optional[dict[str, Any]]":
    """Asked for in the one way that does not make a lazy module load itself."""
    try:
        attributes = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return None
    return attributes if isinstance(attributes, dict) else None


def _is_loaded(name: str) -> bool:
    """With everything above it: a package's module may have been loaded before that failed to be."""
    while name:
        if name not in sys.modules:
            return False
        name = name.rpartition(".")[0]
    return True


def _private_kb() -> int:
    """Opened anew each time: a descriptor that stays open is one that the lambda can close."""
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _size, resident, shared, _rest = os.read(descriptor, 128).split(None, 3)
    finally:
        os.close(descriptor)
    return (int(resident) - int(shared)) * _PAGE_KB
