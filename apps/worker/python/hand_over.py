"""Passes listening sockets on to whoever waits for them at a path: the process that a worker's successor starts as.

hand_over.py PATH COUNT, with the sockets as descriptors 3 and up. Node has no way of passing a descriptor to a process
that is not its child. Both sides keep the sockets open then, so that connections that nobody has accepted yet survive
the end of the one that hands over. The other side is take_over.py of ol-admin.
"""

import os
import socket
import sys

_FIRST = 3
_TAKEN = b"k"
# Whoever waits there is at work on nothing else.
_PATIENCE_SEC = 5.0


def main() -> None:
    path, count = sys.argv[1], int(sys.argv[2])
    # An address holds 108 bytes, and the path may be longer.
    os.chdir(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_SEC)
        connection.connect(os.path.basename(path))
        socket.send_fds(connection, [b"%d" % count], list(range(_FIRST, _FIRST + count)))
        if connection.recv(1) != _TAKEN:
            sys.exit("the successor did not take the sockets")


try:
    main()
except OSError as error:
    sys.exit(str(error))
