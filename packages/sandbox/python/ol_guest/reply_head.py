"""The head of a web app's reply: checked here, where the app can still be told what is wrong with it."""

from __future__ import annotations

import re
from typing import Iterable

# Of a frame's meta.
_PAIRS, _META_BYTES = 256, 65_535
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(rb"[\0\r\n]")


def reply_head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The meta of the REPLY frame. Raises ValueError if it could not be the head of a reply in HTTP."""
    if not 200 <= status <= 599:
        raise ValueError(f"a reply's status is from 200 to 599, not {status}")
    parts = [b":status", b"%d" % status]
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header field")
        if _FORBIDDEN_IN_VALUE.search(value):
            raise ValueError(f"the header field {name.decode()} has a line break or a NUL in its value")
        parts += (name, value)
    meta = b"\0".join(parts)
    if len(parts) > 2 * _PAIRS or len(meta) > _META_BYTES:
        raise ValueError(f"a reply has at most {_PAIRS - 1} header fields, which have 64 KiB together")
    return meta
