"""What a web app is told of a request, taken out of its opening frame's meta."""

from __future__ import annotations

import binascii
import time

from ol_guest import wire


class Request:
    __slots__ = ("invocation_id", "deadline", "method", "mount", "path", "query", "client", "fields")

    def __init__(self, meta: bytes) -> None:
        pairs = wire.pairs(meta)
        own = {name: value for name, value in pairs if name.startswith(":")}
        self.invocation_id = own.get(":id", "")
        # In seconds since 1970; infinity if there is no limit.
        timeout_ms = own.get(":timeout")
        self.deadline = time.time() + int(timeout_ms) / 1000 if timeout_ms else float("inf")
        # A call that was meant for a function says nothing of HTTP: it is a POST of its event.
        self.method = own.get(":method", "POST")
        self.mount = own.get(":mount", "")
        # As the client sent it, percent-encoded; "" or "/...".
        self.path = own.get(":path", "")
        self.query = own.get(":query", "")
        self.client = own.get(":client", "")
        # The header fields in their order, in latin-1.
        self.fields = [(name, value) for name, value in pairs if not name.startswith(":")]

    def decoded_path(self) -> bytes:
        return _percent_decoded(self.path)

    def server(self) -> tuple[str, str]:
        """Host and port to which the client turned, as it says itself."""
        for name, value in self.fields:
            if name.lower() == "host":
                return _host_and_port(value)
        return "localhost", "80"


def _percent_decoded(text: str) -> bytes:
    """As urllib.parse.unquote_to_bytes, whose import takes as long as many requests. What is no escape stays."""
    first, *rest = text.encode("latin-1").split(b"%")
    pieces = [first]
    for piece in rest:
        try:
            pieces.append(binascii.unhexlify(piece[:2]) + piece[2:] if len(piece) > 1 else b"%" + piece)
        except binascii.Error:
            pieces.append(b"%" + piece)
    return b"".join(pieces)


def _host_and_port(value: str) -> tuple[str, str]:
    """`[::1]` is an address of IPv6, whose colons are not the port's. What cannot be a port is none."""
    host, colon, port = value.rpartition(":")
    if not colon or (port and not port.isdecimal()) or len(port) > 5:
        host, port = value, ""
    return host.strip() or "localhost", port or "80"
