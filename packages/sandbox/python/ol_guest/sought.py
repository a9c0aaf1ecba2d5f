"""Which modules import code looked for in vain."""

from __future__ import annotations

import sys
from typing import Any

# A package looks for a dozen at most; who looks for more than that tries to fill somebody's memory.
_MOST = 256
_NAME_CHARACTERS = 100


class Seeker:
    """A finder that is asked last and finds nothing."""

    def __init__(self) -> None:
        self._names: "dict[str, None]" = {}

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        top, _, rest = name.partition(".")
        # A part of a namespace package would come from another package directory; of any other it is just not there.
        if rest and not _is_namespace(top):
            return
        if len(self._names) < _MOST and len(top) <= _NAME_CHARACTERS and top.isidentifier():
            self._names[top] = None

    def in_vain(self) -> "list[str]":
        """In the order in which they were looked for. A finder that was added since may have found some."""
        return [name for name in self._names if name not in sys.modules or _is_namespace(name)]


def _is_namespace(top: str) -> bool:
    module = sys.modules.get(top)
    try:
        attributes = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return False
    return "__path__" in attributes and attributes.get("__file__") is None
