"""Runs the guest runtime as a leaf would, but without a sandbox: run_guest.py SOCKET HANDLER_DIRECTORY."""

import os
import signal
import socket
import sys

from ol_guest import hygiene, serve

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(1)
# As a zygote leaves it.
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
handler = sys.argv[2]
os.chdir(handler)
hygiene.fresh_process()
serve.serve(listener, handler)
