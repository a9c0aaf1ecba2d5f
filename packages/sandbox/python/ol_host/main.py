"""Entry: `python3 -I -S -B -c "..." DIRECTORY`, the worker's socket as descriptor 3."""

import signal
import socket
import sys
import typing

if typing.TYPE_CHECKING:
    from ol_host.desk_loop import DeskLoop

_WORKER_FD = 3


def main() -> None:
    """The broker of the engine `sock`."""
    _prepare()
    from ol_host.broker import Broker

    _run(Broker)


def porter() -> None:
    """The helper of the engine `docker`."""
    _prepare()
    from ol_host.porter import Porter

    _run(Porter)


def _prepare() -> None:
    import ol_kernel

    try:
        ol_kernel.require_supported_machine()
    except ol_kernel.UnsupportedMachine as error:
        sys.exit(str(error))
    # One that somebody stopped must still notice that its worker ended. The broker is told again where it enters a
    # user namespace, which forgets this.
    ol_kernel.prctl(ol_kernel.PR_SET_PDEATHSIG, signal.SIGCONT)
    # A terminal's interrupt goes to the whole foreground group; the helper ends when its worker does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _run(loop: "typing.Callable[[socket.socket], DeskLoop]") -> None:
    loop(socket.socket(fileno=_WORKER_FD)).run()
