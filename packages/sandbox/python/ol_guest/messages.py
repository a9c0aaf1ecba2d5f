"""Messages between broker, zygote and a leaf that is being made: JSON in one datagram, descriptors beside it."""

import array
import json
import os
import socket
import typing

# One datagram: environment variables are its bulk. The sender is refused anything larger (EMSGSIZE).
MESSAGE_BYTES = 256 * 1024
_DESCRIPTORS = 16
_DIGITS = 18
_MSG_CMSG_CLOEXEC = 0x40000000


def send(channel: socket.socket, message: "dict[str, object]", descriptors: "typing.Sequence[int]" = ()) -> None:
    ancillary = []
    if descriptors:
        ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)))
    channel.sendmsg([json.dumps(message).encode()], ancillary)


def receive(channel: socket.socket) -> "tuple[dict[str, typing.Any], list[int]] | None":
    """The next message with its descriptors; None when the other side is gone.

    Raises ValueError for what is no message, and BlockingIOError if there is none on a non-blocking channel.
    """
    room = socket.CMSG_SPACE(_DESCRIPTORS * 4)
    data, ancillary, _flags, _address = channel.recvmsg(MESSAGE_BYTES, room, _MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if not data:
        return None
    try:
        message = _DECODE(str(data, "utf-8"))
        if not isinstance(message, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise ValueError(f"no message: {type(error).__name__}") from error
    return message, list(descriptors)


def _parse_int(digits: str) -> int:
    """Older Pythons take seconds for a number of a quarter of a million digits."""
    if len(digits) > _DIGITS:
        raise ValueError("a number that is none of ours")
    return int(digits)


_DECODE = json.JSONDecoder(parse_int=_parse_int).decode


def pair() -> "tuple[socket.socket, socket.socket]":
    """A channel that keeps message boundaries and notices the other side's death. The broker's end never blocks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES)
    ours.setblocking(False)
    return ours, theirs
