"""Entry: `python3 -I -S -B -c "..." DIRECTORY COMMAND`, the worker's socket as descriptor 3."""

import signal
import socket
import sys

_WORKER_FD = 3


def main() -> None:
    import ol_kernel

    try:
        ol_kernel.require_supported_machine()
    except ol_kernel.UnsupportedMachine as error:
        sys.exit(str(error))
    from ol_host.broker import Broker

    # A broker that somebody stopped must still notice that its worker ended. It is told again where it enters a
    # user namespace, which forgets this.
    ol_kernel.prctl(ol_kernel.PR_SET_PDEATHSIG, signal.SIGCONT)
    # A terminal's interrupt goes to the whole foreground group; the broker ends when its worker does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Broker(socket.socket(fileno=_WORKER_FD)).run()
