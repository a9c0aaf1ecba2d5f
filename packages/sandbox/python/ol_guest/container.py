"""The first program of a container that becomes a sandbox, of the engine `docker`.

The container's own limits, mounts and namespaces are the daemon's making and there already. What is left is what only
the process itself can do, before it looks at the lambda's code: /ol/socket is the one way out, where the engine listens
for one connection. On it comes the assignment, u32 length (big-endian) and JSON:

    {"environment": {NAME: text}, "packages": [directory, ...], "rlimits": {NAME: number}, "ownNetwork": bool, "seccomp": bool}

and right behind it the frames (wire.py). A container that was started in advance waits there for it, with nothing in
/handler before it comes.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import time
import traceback
from typing import Any, NoReturn, Optional

import ol_kernel as kernel

from ol_guest import imports, preload, search_path, seccomp, serve
from ol_guest.connection import Connection
from ol_guest.output import Output

_SOCKET = "/ol/socket"
_LENGTH = struct.Struct(">I")
# What the broker of the other engine takes from the worker in one piece; no environment is larger.
_MOST_BYTES = 64 * 1024
# sysexits' EX_SOFTWARE.
_EXIT_BROKEN = 70


def main() -> NoReturn:
    try:
        take_streams()
        output = Output()
        output.install()
        engine = connect(_SOCKET)
        assignment = message(engine)
        if assignment is None:
            # The engine ended, or did not need this one.
            os._exit(0)
        limit(assignment["rlimits"])
        close_off(assignment["ownNetwork"])
        if assignment["seccomp"]:
            filter_calls()
    except BaseException:  # noqa: B036 - whatever it is, the log is the only place where anybody finds it
        give_up()
    run(engine, output, assignment)


def run(engine: socket.socket, output: Output, assignment: "dict[str, Any]") -> NoReturn:
    """Becomes what the assignment says: its `environment` and its `packages` count here."""
    try:
        os.environ.clear()
        os.environ.update(assignment["environment"])
        if "TZ" in assignment["environment"]:
            time.tzset()
        os.chdir("/handler")
        preload.make_way_for("/handler")
    except BaseException:  # noqa: B036 - as in main
        give_up()
    directories = assignment["packages"]
    search_path.use(directories)
    recorder = imports.Recorder(directories) if directories else None
    serve.serve_connection(Connection(engine), output, "/handler", recorder)


def give_up() -> NoReturn:
    """Of what is being handled."""
    traceback.print_exc()
    os._exit(_EXIT_BROKEN)


def report() -> None:
    """In a container that only shows whether the image is of use: compiles the runtime, and tells what is here."""
    import compileall
    from py_compile import PycInvalidationMode

    # Nobody changes a source afterwards: it need not be looked at again.
    mode = PycInvalidationMode.UNCHECKED_HASH
    compiled = compileall.compile_dir("/ol/runtime", quiet=2, invalidation_mode=mode)
    told = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "compiled": bool(compiled),
        "landlock": _knows_landlock(),
        "seccomp": _seccomp_mode(),
        # runc gives what is mounted there the mode of the image's own directory.
        "tmp": os.access("/tmp", os.W_OK),
    }
    with connect(_SOCKET) as engine:
        tell(engine, told)


def take_streams(prefix: str = "") -> None:
    """The log files that the engine has put into /host. Of a container's first process: nobody has run here before who could
    have exchanged them."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        opened = os.open(f"/host/{prefix}{name}", flags)
        os.dup2(opened, descriptor)
        os.close(opened)


def connect(path: str) -> socket.socket:
    engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    engine.connect(path)
    return engine


def message(engine: socket.socket) -> "Optional[dict[str, Any]]":
    """The next one; None when the engine has closed."""
    head = _exactly(engine, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MOST_BYTES:
        raise ValueError(f"a message of {length} bytes")
    text = _exactly(engine, length)
    return None if text is None else json.loads(text)


def tell(engine: socket.socket, told: "dict[str, Any]") -> None:
    text = json.dumps(told).encode()
    engine.sendall(_LENGTH.pack(len(text)) + text)


def _exactly(engine: socket.socket, count: int) -> "Optional[bytes]":
    """Not a byte more: behind it come the frames."""
    data = b""
    while len(data) < count:
        chunk = engine.recv(count - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def limit(rlimits: "dict[str, int]") -> None:
    for name, value in rlimits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _soft, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))
    os.umask(0o022)


def close_off(own_network: bool) -> None:
    if not own_network and _knows_landlock():
        # Abstract sockets belong to the network namespace, and in the host's there are everybody's.
        kernel.landlock_scope()


def filter_calls() -> None:
    for rules in (seccomp.tree_filter(), seccomp.leaf_filter()):
        kernel.SeccompFilter(rules).install()


def _knows_landlock() -> bool:
    """A container's own filter may refuse the question."""
    try:
        return kernel.knows_landlock_scopes()
    except PermissionError:
        return False


def _seccomp_mode() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Seccomp:"):
                return int(line.split()[1])
    return 0
