"""What the worker and the broker say to each other: u32 length (big-endian) and JSON, over an inherited socketpair.

Requests carry `v` (1), `id` and `verb`; replies the same `id` and either `ok` or `error` {code, message}. Events
have no id.
"""

import json
import os
import socket
import struct
import typing

FRAME_BYTES = 64 * 1024
VERSION = 1
_HEADER = struct.Struct(">I")


class WireError(Exception):
    """The worker broke the protocol; there is nobody left to talk to."""


class Refused(Exception):
    """A request that cannot be carried out; `code` is one of the engine's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Wire:
    """Never blocks: what the worker does not read yet waits here."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._incoming = bytearray()
        self._outgoing = bytearray()

    @property
    def wants_to_write(self) -> bool:
        return bool(self._outgoing)

    def receive(self) -> "list[dict[str, typing.Any]] | None":
        """The whole requests that have arrived; None when the worker is gone."""
        try:
            data = os.read(self.connection.fileno(), 256 * 1024)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not data:
            return None
        self._incoming += data
        requests = []
        while len(self._incoming) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._incoming)
            if length > FRAME_BYTES:
                raise WireError(f"a frame of {length} bytes")
            end = _HEADER.size + length
            if len(self._incoming) < end:
                break
            requests.append(_request(bytes(self._incoming[_HEADER.size : end])))
            del self._incoming[:end]
        return requests

    def send(self, message: "dict[str, object]") -> None:
        text = json.dumps(message).encode()
        self._outgoing += _HEADER.pack(len(text)) + text
        self.flush()

    def flush(self) -> None:
        try:
            while self._outgoing:
                written = os.write(self.connection.fileno(), self._outgoing)
                del self._outgoing[:written]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # The end of the worker is noticed, and acted on, where requests are read.
            self._outgoing.clear()


def _request(data: bytes) -> "dict[str, typing.Any]":
    try:
        request = json.loads(data)
    except ValueError as error:
        raise WireError(f"not JSON: {error}") from error
    well_formed = (
        isinstance(request, dict)
        and request.get("v") == VERSION
        and isinstance(request.get("id"), int)
        and isinstance(request.get("verb"), str)
    )
    if not well_formed:
        raise WireError("a request without v, id or verb")
    return request
