"""Becomes a worker that goes on listening on the sockets of the one that it replaces.

take_over.py PATH UID SECONDS -- COMMAND...: waits at PATH, as the user UID, until the old worker passes its listening sockets
on (hand_over.py of ol-worker), and turns into COMMAND with them open, named by OL_LISTEN_FDS. If they do not come in time,
COMMAND has to do without, and listens anew as soon as it can. `listening` on OL_READY_FD says that it waits. A program
of its own, and not part of COMMAND, since Node cannot receive a descriptor from a process that is not its child.
"""

import os
import socket
import sys
import typing

_MOST = 16
_TAKEN = b"k"


def listener_at(path: str, uid: int) -> socket.socket:
    """Made with the rights of the user who may connect, so that nothing that he puts in the way is touched with ours."""
    if os.geteuid() == 0:
        os.seteuid(uid)
    mask = os.umask(0o177)
    try:
        # An address holds 108 bytes, and the path may be longer.
        os.chdir(os.path.dirname(path))
        remove(os.path.basename(path))
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(os.path.basename(path))
        listener.listen(1)
        return listener
    finally:
        os.umask(mask)


def remove(name: str) -> None:
    try:
        os.unlink(name)
    except FileNotFoundError:
        # Nobody took over before, or who did has removed it.
        return


def received(listener: socket.socket, seconds: float) -> "list[int]":
    listener.settimeout(seconds)
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(seconds)
            _, descriptors, _, _ = socket.recv_fds(connection, 16, _MOST)
            connection.sendall(_TAKEN)
    except OSError as error:
        print(f"no sockets were handed over: {error}", file=sys.stderr)
        return []
    return descriptors


def main() -> "typing.NoReturn":
    path, uid, seconds, dashes, *command = sys.argv[1:]
    if dashes != "--":
        sys.exit("usage: take_over.py PATH UID SECONDS -- COMMAND...")
    own = os.geteuid()
    listener = listener_at(path, int(uid))
    os.write(int(os.environ["OL_READY_FD"]), b"listening\n")
    descriptors = received(listener, float(seconds))
    remove(os.path.basename(path))
    listener.close()
    os.seteuid(own)
    os.chdir("/")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    os.environ["OL_LISTEN_FDS"] = ",".join(map(str, descriptors))
    os.execvp(command[0], command)


main()
