"""When each step of making a sandbox was over, for who studies what a start is made of.

Only where the worker asked for it, in an EVENT `steps` right before `ready`. Its body is JSON: {"broker": [[NAME, NS], ...],
"leaf": [[NAME, NS], ...]}, each in its order: a step's name and the moment of its end, in ns of CLOCK_MONOTONIC, which all
processes of a machine share. The first of each list is a beginning. Both go on at the same time.
"""

from __future__ import annotations

import json
import time
import typing

from ol_guest import wire

_META = wire.meta(":event", "steps")


class Marks:
    """One process's list; one that is not wanted stays empty."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self.ends: "list[tuple[str, int]]" = []
        # The broker's, as it sent them.
        self.of_broker: "list[typing.Any]" = []

    def mark(self, step: str) -> None:
        if self._wanted:
            self.ends.append((step, time.monotonic_ns()))

    def tell(self, send: "typing.Callable[[bytes], None]") -> None:
        if self._wanted:
            body = json.dumps({"broker": self.of_broker, "leaf": self.ends}, separators=(",", ":"))
            send(wire.frame(wire.EVENT, 0, 0, _META, body.encode()))
