"""The fork-only floor: what a new process that answers one call costs before anything is isolated.

It does what the engine does, with the same processes in between, and leaves out every namespace, mount,
cgroup, filter and handler: Node asks the helper, the helper binds a socket and passes it to a zygote, the
zygote forks, the child accepts one connection, reads one frame, answers it and ends.

usage: fork-floor.py DIRECTORY    descriptor 3: a socket to Node; frames of u32 length (big-endian) and JSON
Frozen: its SHA-256 is in docs/benchmarks.md.
"""

import gc
import json
import os
import signal
import socket
import struct
import sys

LENGTH = struct.Struct(">I")


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def read_frame(connection):
    (size,) = LENGTH.unpack(read_exactly(connection, LENGTH.size))
    return read_exactly(connection, size)


def write_frame(connection, data):
    connection.sendall(LENGTH.pack(len(data)) + data)


def serve_one_call(listener):
    connection, _ = listener.accept()
    event = json.loads(read_frame(connection))
    reply = "Hello, %s!" % event.get("name", "World")
    write_frame(connection, json.dumps(reply).encode())


def zygote(from_helper):
    # Children are not waited for: the kernel reaps them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(from_helper, 64, 1)
        if not data:
            return
        listener = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                from_helper.close()
                serve_one_call(listener)
                status = 0
            finally:
                os._exit(status)
        listener.close()
        from_helper.send(b"%d" % pid)


def helper(node, to_zygote, directory):
    while True:
        request = json.loads(read_frame(node))
        path = os.path.join(directory, "%d" % request["id"])
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(1)
        socket.send_fds(to_zygote, [b"fork"], [listener.fileno()])
        pid = int(to_zygote.recv(64))
        write_frame(node, json.dumps({"v": 1, "id": request["id"], "pid": pid}).encode())
        listener.close()


def main():
    directory = sys.argv[1]
    node = socket.socket(fileno=3)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        node.close()
        zygote(theirs)
        os._exit(0)
    theirs.close()
    try:
        helper(node, ours, directory)
    except EOFError:
        pass


main()
