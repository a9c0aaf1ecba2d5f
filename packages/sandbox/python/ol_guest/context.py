"""What a function gets as its second argument, if it takes one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Iterator, Optional

from ol_guest import wire


class Headers(Mapping):
    """The request's HTTP fields, read-only; names in any case. A field that came more than once is joined by ", "."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        joined: dict[str, str] = {}
        for name, value in fields:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        self._fields = joined

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


class Context:
    """One invocation as its function sees it. Nothing of it is parsed before it is asked for."""

    __slots__ = ("_meta", "_started", "_pairs", "_headers")

    def __init__(self, meta: bytes) -> None:
        self._meta = meta
        self._started = time.time()
        self._pairs: Optional[list[tuple[str, str]]] = None
        self._headers: Optional[Headers] = None

    def _all(self) -> list[tuple[str, str]]:
        if self._pairs is None:
            self._pairs = wire.pairs(self._meta)
        return self._pairs

    def _protocol_field(self, name: str) -> Optional[str]:
        for key, value in self._all():
            if key == name:
                return value
        return None

    @property
    def invocation_id(self) -> str:
        """The id that tags this call's output and that the caller got in X-OL-Invocation-Id."""
        return self._protocol_field(":id") or ""

    @property
    def deadline(self) -> float:
        """When the call is ended, in seconds since 1970; infinity if there is no limit."""
        timeout_ms = self._protocol_field(":timeout")
        return self._started + int(timeout_ms) / 1000 if timeout_ms else float("inf")

    def remaining_ms(self) -> float:
        """How long the call may still run, in milliseconds; never below 0."""
        return max(0.0, (self.deadline - time.time()) * 1000)

    @property
    def traceparent(self) -> Optional[str]:
        """The W3C trace context of the request."""
        return self.headers.get("traceparent")

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers([(name, value) for name, value in self._all() if not name.startswith(":")])
        return self._headers
