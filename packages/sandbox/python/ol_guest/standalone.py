"""Runs a lambda in this process, for engines that isolate by other means than ol_host, or not at all:

    python3 -I -S -B standalone.py DESCRIPTOR HANDLER_DIRECTORY [PACKAGE_DIRECTORY ...]

DESCRIPTOR is a connected stream socket to the worker. Environment, working directory, standard streams, limits and whatever
else keeps a lambda in its place are those that this process is started with.
"""

import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from ol_guest import hygiene, preload, serve  # noqa: E402
from ol_guest.connection import Connection  # noqa: E402
from ol_guest.output import Output  # noqa: E402


def main(descriptor: int, handler_dir: str, packages: "list[str]") -> None:
    connection = socket.socket(fileno=descriptor)
    # The lambda's children have no part in it.
    connection.set_inheritable(False)
    # Behind the standard library, as in every sandbox.
    sys.path.extend(packages)
    hygiene.fresh_process()
    output = Output()
    output.install()
    preload.make_way_for(handler_dir)
    serve.serve_connection(Connection(connection), output, handler_dir)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
