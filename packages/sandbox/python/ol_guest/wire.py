"""The layout of frames, version 1: what worker and guest send each other over a sandbox's one connection.

`u32 length | u8 type | u8 flags | u16 metaLength | u32 stream | meta | body`, big-endian; length counts meta and
body. meta is name, value, name, value ..., separated by NUL, in latin-1.
"""

from __future__ import annotations

import struct

VERSION = 1

HELLO, CALL, HTTP, REPLY, DATA, WINDOW, RESET, EVENT, PING = range(1, 10)
# Types that a receiver may skip without knowing them.
EXTENSIONS = range(0x40, 0x80)

# The flag on the last frame of one direction of a stream.
END = 1

HEADER = struct.Struct(">IBBHI")
HEADER_BYTES = HEADER.size
# Of meta and body together.
FRAME_BYTES = 1024 * 1024
EVENT_BYTES = 16 * 1024
PING_BYTES = 16
# The credit of each stream and direction until the peer's HELLO says otherwise.
WINDOW_BYTES = 256 * 1024

RESET_CANCELLED, RESET_DEADLINE, RESET_FAILED, RESET_CONTENT, RESET_REFUSED = range(1, 6)

_U32 = struct.Struct(">I")


class Violation(Exception):
    """The worker broke the protocol, so nothing more can be understood."""


def frame(kind: int, flags: int, stream: int, meta: bytes = b"", body: bytes = b"") -> bytes:
    """One whole frame. The reply of a small call does not come this way: serve.py packs it in its loop."""
    return HEADER.pack(len(meta) + len(body), kind, flags, len(meta), stream) + meta + body


def reset(stream: int, code: int) -> bytes:
    return frame(RESET, 0, stream, b"", _U32.pack(code))


def window(stream: int, credit: int) -> bytes:
    return frame(WINDOW, 0, stream, b"", _U32.pack(credit))


def u32(body: bytes) -> int:
    """The number that is the whole body of WINDOW and RESET; raises struct.error when it is not four bytes."""
    return _U32.unpack(body)[0]


def pairs(meta: bytes) -> list[tuple[str, str]]:
    """The names and values of a meta, in order."""
    if not meta:
        return []
    fields = meta.decode("latin-1").split("\0")
    return list(zip(fields[::2], fields[1::2]))


def meta(*fields: str) -> bytes:
    return "\0".join(fields).encode("latin-1")


def ready(kind: str) -> bytes:
    """The frame that says that the code is loaded, and what it is: function, wsgi or asgi."""
    return frame(EVENT, 0, 0, meta(":event", "ready", ":kind", kind))
