"""Runs the guest runtime as a leaf would, but without a sandbox.

run_guest.py SOCKET HANDLER_DIRECTORY listens; run_guest.py --connect SOCKET HANDLER_DIRECTORY connects.
"""

import os
import signal
import socket
import sys

from ol_guest import hygiene, serve
from ol_guest.output import Output


class Connected:
    """A listener whose one connection is there already."""

    def __init__(self, path):
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(path)

    def accept(self):
        return self.connection, None

    def close(self):
        pass


def listening(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    return listener


arguments = sys.argv[1:]
listener = Connected(arguments.pop(1)) if arguments[0] == "--connect" else listening(arguments[0])
handler = arguments[1]
# As a zygote leaves it.
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.chdir(handler)
hygiene.fresh_process()
output = Output()
output.install()
serve.serve(listener, output, handler)
