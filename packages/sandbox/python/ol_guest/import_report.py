"""What a sandbox with packages tells of its imports, in an EVENT `imports` right before `ready`.

Its body is JSON: {"packages": [{"directory", "ms", "kb", "modules": [NAME, ...]}, ...]}, of each package directory
of which it imported something itself: how long that took and what private memory it took, without what other packages
took that were imported from within; and its modules that were asked for from outside of it, in order.
"""

from __future__ import annotations

import json
from typing import Any

from ol_guest import wire
from ol_guest.imports import Recorder

_META = wire.meta(":event", "imports")
_BODY_BYTES = wire.EVENT_BYTES - len(_META)
# What others ask for of a package is mostly its top, and a few parts.
_MOST_MODULES = 64
_NAME_CHARACTERS = 200


def frame(recorder: Recorder) -> bytes:
    """If there is too much to tell, the later modules of each package are left out, and then the cheapest packages."""
    packages = [
        {
            "directory": directory,
            "ms": round(cost.ns / 1e6, 3),
            "kb": max(0, cost.kb),
            "modules": [name for name in recorder.asked(directory) if _is_name(name)],
        }
        for directory, cost in recorder.costs.items()
        if cost.ns > 0
    ]
    packages.sort(key=lambda package: package["ms"], reverse=True)
    most = _MOST_MODULES
    while True:
        body = _encode(packages, most)
        if len(body) <= _BODY_BYTES:
            return wire.frame(wire.EVENT, 0, 0, _META, body)
        if most > 1:
            most //= 2
        else:
            packages = packages[: len(packages) * 3 // 4]


def _encode(packages: "list[dict[str, Any]]", most: int) -> bytes:
    cut = [{**package, "modules": package["modules"][:most]} for package in packages]
    return json.dumps({"packages": cut}, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _is_name(name: object) -> bool:
    """What can be imported in a zygote: importlib takes any text for a name."""
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS:
        return False
    return all(part.isidentifier() for part in name.split("."))
