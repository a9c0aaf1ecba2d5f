"""Where Python looks for modules: in a zygote, and anew in each leaf, which may have other packages than its zygote."""

from __future__ import annotations

import pkgutil
import sys
from typing import Iterable

_PACKAGES = "/packages"

# As it is without any package; taken when the root zygote imports this module.
_BASE = tuple(sys.path)

_extend_path = pkgutil.extend_path
# Packages whose directories pkgutil looked up, as namespace packages of old do for themselves.
_extended: "dict[str, None]" = {}


def use(directories: "Iterable[str]") -> None:
    """Puts package directories, relative to /packages, on sys.path, behind the standard library; whatever else was there
    of packages is forgotten."""
    paths = [f"{_PACKAGES}/{directory}" for directory in directories]
    sys.path[:] = [*_BASE, *paths]
    used = tuple(f"{path}/" for path in paths)
    for path in [path for path in sys.path_importer_cache if _is_of_packages(path)]:
        if not f"{path}/".startswith(used):
            del sys.path_importer_cache[path]
    pkgutil.extend_path = _extend_path
    # Python's own namespace packages notice by themselves.
    for name in sorted(_extended):
        module = sys.modules.get(name)
        if module is not None:
            kept = [path for path in module.__path__ if not _is_of_packages(path) or f"{path}/".startswith(used)]
            module.__path__ = _extend_path(kept, name)


def note_extended() -> None:
    """From now on, until the next `use`: a leaf extends them again, by its own packages."""
    pkgutil.extend_path = _extend_and_note


def _extend_and_note(path: "list[str]", name: str) -> "list[str]":
    _extended[name] = None
    return _extend_path(path, name)


def _is_of_packages(path: object) -> bool:
    return isinstance(path, str) and path.startswith(f"{_PACKAGES}/")
