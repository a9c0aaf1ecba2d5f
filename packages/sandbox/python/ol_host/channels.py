"""Reading what a zygote or a leaf sends, who may be dying, or not mean it well."""

import errno
import socket
import typing

from ol_guest import messages


def died_unread(channel: socket.socket) -> bool:
    """Whether the other side ended with something of ours unread: the kernel's word for it. Told once."""
    return channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


def receive(channel: socket.socket) -> "tuple[dict[str, typing.Any], list[int]] | None":
    """The next message; None if the other side is gone, or sends what is no message."""
    for _ in range(2):
        try:
            return messages.receive(channel)
        except ConnectionResetError:
            # It died with something unread, which is told once, and before what it had sent itself.
            continue
        except ValueError:
            return None
    return None
