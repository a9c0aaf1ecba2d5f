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
        _take_streams()
        output = Output()
        output.install()
        engine = _connect()
        assignment = _assignment(engine)
        if assignment is None:
            # The engine ended, or did not need this one.
            os._exit(0)
        _confine(assignment)
        os.environ.clear()
        os.environ.update(assignment["environment"])
        if "TZ" in assignment["environment"]:
            time.tzset()
        os.chdir("/handler")
        preload.make_way_for("/handler")
    except BaseException:  # noqa: B036 - whatever it is, the log is the only place where anybody finds it
        traceback.print_exc()
        os._exit(_EXIT_BROKEN)
    directories = assignment["packages"]
    search_path.use(directories)
    recorder = imports.Recorder(directories) if directories else None
    serve.serve_connection(Connection(engine), output, "/handler", recorder)


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
    }
    text = json.dumps(told).encode()
    with _connect() as engine:
        engine.sendall(_LENGTH.pack(len(text)) + text)


def _take_streams() -> None:
    """The log files that the engine has put into /host. Nobody has run here before who could have exchanged them."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        opened = os.open(f"/host/{name}", flags)
        os.dup2(opened, descriptor)
        os.close(opened)


def _connect() -> socket.socket:
    engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    engine.connect(_SOCKET)
    return engine


def _assignment(engine: socket.socket) -> "Optional[dict[str, Any]]":
    head = _exactly(engine, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MOST_BYTES:
        raise ValueError(f"an assignment of {length} bytes")
    text = _exactly(engine, length)
    return None if text is None else json.loads(text)


def _exactly(engine: socket.socket, count: int) -> "Optional[bytes]":
    """Not a byte more: behind it come the frames."""
    data = b""
    while len(data) < count:
        chunk = engine.recv(count - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def _confine(assignment: "dict[str, Any]") -> None:
    for name, value in assignment["rlimits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _soft, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))
    os.umask(0o022)
    if not assignment["ownNetwork"] and _knows_landlock():
        # Abstract sockets belong to the network namespace, and in the host's there are everybody's.
        kernel.landlock_scope()
    if assignment["seccomp"]:
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
