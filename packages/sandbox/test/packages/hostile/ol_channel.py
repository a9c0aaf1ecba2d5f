"""Plays with the channel to the broker, which is descriptor 3: what it does is chosen by the module imported."""

import json
import os
import socket
import struct

_SO_PEERPIDFD = 77


def channel():
    return socket.socket(fileno=os.dup(3))


def say(message, descriptors=()):
    socket.send_fds(channel(), [message if isinstance(message, bytes) else json.dumps(message).encode()], list(descriptors))


def pidfd_of_broker():
    return struct.unpack("i", channel().getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, struct.calcsize("i")).ljust(4))[0]
