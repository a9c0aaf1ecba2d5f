"""What import code left behind that a fork cannot share, or that a leaf would have to do without.

Threads, child processes and open files are gone, or shared, in a fork. Signal handlers and sys.path are set anew in each
leaf. Whoever replaced one of Python's own functions, or put a finder before Python's, decides about imports of others.
What is only added behind (as `six` adds a finder) is as it would be if the lambda had imported it.
"""

from __future__ import annotations

import builtins
import os
import sys
import threading
from typing import Iterable, NamedTuple

_NAMED = 4
# Of the lines of /proc/self/status: what is blocked, ignored, handled. Also what a C library did, behind Python's back.
_SIGNALS = ("SigBlk", "SigIgn", "SigCgt")
# The C library's own (32 and 33, musl's 34): it handles them from the first thread on.
_LIBRARY_S = 0b111 << 31


class Leftover(NamedTuple):
    kind: str
    # Equal for the same thing seen twice.
    identity: object
    # For people.
    text: str


class Leftovers:
    """Compared with how it was when this was made."""

    def __init__(self) -> None:
        self._descriptors = open_descriptors()
        self._signals = _signals()
        self._path = list(sys.path)
        self._finders = list(sys.meta_path)
        self._hooks = list(sys.path_hooks)
        self._builtins = dict(vars(builtins))
        self._seen: "set[tuple[str, object]]" = set()
        self._clue: object = _clue()

    def new(self) -> "list[Leftover]":
        """What there was at no earlier look. Much cheaper where there is no sign of anything."""
        clue = _clue()
        if clue == self._clue and not self._changes():
            return []
        self._clue = clue
        found = [leftover for leftover in self.all() if leftover[:2] not in self._seen]
        self._seen.update(leftover[:2] for leftover in found)
        return found

    def all(self) -> "list[Leftover]":
        return [*_threads(), *_processes(), *self._open(), *self._changes()]

    def _open(self) -> "list[Leftover]":
        found = open_descriptors()
        left = [(number, what) for number, what in sorted(found.items()) if self._descriptors.get(number) != what]
        return [Leftover("descriptor", entry, _open_text(entry[1])) for entry in left]

    def _changes(self) -> "list[Leftover]":
        found = []
        signals = _signals()
        if signals != self._signals:
            found.append(Leftover("signals", signals, f"{_changed(self._signals, signals)} handled, ignored or blocked"))
        if sys.path != self._path:
            found.append(Leftover("path", tuple(map(str, sys.path)), "a changed sys.path"))
        if sys.meta_path[: len(self._finders)] != self._finders:
            found.append(Leftover("finders", _types(sys.meta_path), "a finder in sys.meta_path before Python's own"))
        if sys.path_hooks[: len(self._hooks)] != self._hooks:
            found.append(Leftover("hooks", len(sys.path_hooks), "a hook in sys.path_hooks before Python's own"))
        names = vars(builtins)
        replaced = sorted(name for name, value in self._builtins.items() if names.get(name, names) is not value)
        if replaced:
            found.append(Leftover("builtins", tuple(replaced), f"replaced builtins ({', '.join(replaced[:_NAMED])})"))
        return found


def describe(leftovers: "Iterable[Leftover]") -> str:
    """Threads by their number, since their names may be all the same."""
    all_found = list(leftovers)
    threads = [leftover.text for leftover in all_found if leftover.kind == "thread"]
    texts = []
    if threads:
        named = ", ".join(text for text in threads[:_NAMED] if text)
        texts.append(f"{len(threads)} more thread{'s' if len(threads) > 1 else ''}{f' ({named})' if named else ''}")
    others = [leftover.text for leftover in all_found if leftover.kind != "thread"]
    return "; ".join([*texts, *others[:_NAMED]])


def open_descriptors() -> "dict[int, str]":
    """What each descriptor is, but for the one that looking takes."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


def _clue() -> "tuple[int, bytes]":
    """Differs after a process or thread was made (they have a last number), or a descriptor was left open (it took the
    lowest that was free)."""
    descriptor = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return descriptor, os.read(descriptor, 128).rpartition(b" ")[2]
    finally:
        os.close(descriptor)


def _signals() -> "tuple[int, ...]":
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        lines = (line.partition(":") for line in file)
        masks = {name: int(text, 16) & ~_LIBRARY_S for name, _, text in lines if name in _SIGNALS}
    return tuple(masks[name] for name in _SIGNALS)


def _changed(before: "tuple[int, ...]", now: "tuple[int, ...]") -> str:
    changed = 0
    for old, new in zip(before, now):
        changed |= old ^ new
    numbers = [str(number + 1) for number in range(changed.bit_length()) if changed >> number & 1]
    return f"signal{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _types(objects: "Iterable[object]") -> "tuple[str, ...]":
    return tuple(type(one).__name__ for one in objects)


def _threads() -> "list[Leftover]":
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    tasks = [int(name) for name in os.listdir("/proc/self/task") if int(name) != os.getpid()]
    return [Leftover("thread", task, names.get(task, "")) for task in tasks]


def _processes() -> "list[Leftover]":
    """Only its init and it itself should be in its PID namespace. What has ended already is no obstacle."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            state, command = _state(int(name))
            if state not in ("Z", "X", ""):
                found.append(Leftover("process", int(name), f"process {command}"))
    return found


def _state(pid: int) -> "tuple[str, str]":
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    opening, closing = text.index("("), text.rindex(")")
    return text[closing + 2], text[opening + 1 : closing]


def _open_text(what: str) -> str:
    # An event loop has one of these; so has whatever else waits for several things.
    return "an event loop, or another open poller" if what == "anon_inode:[eventpoll]" else f"open {what}"
