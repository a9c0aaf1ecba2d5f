"""One call of nobody, in a process that waits to become a sandbox.

A fork shares its zygote's memory until it writes to it, and code that runs for the first time writes all over:
reference counts, the interpreter's caches. Each page costs a fault, which together were a third of the time from
the request for a sandbox to its first reply. So everything that a first call runs is run once while nobody waits for it.
Nothing of it may be left.
"""

import os
import resource
import socket
import sys

import ol_kernel as kernel

from ol_guest import imports, messages, serve

# In the leaf's own memory, as yet without a file of anybody's.
_DIRECTORY = "/tmp/rehearsal"
_SOCKET = f"{_DIRECTORY}/socket"
_FUNCTION = 'def f(event):\n    return "Hello, %s!" % event.get("name", "World")\n'
_ENVIRONMENT = {name: "/host" for name in ("HOME", "LANG", "LOGNAME", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "USER")}


def rehearse(with_packages: bool) -> None:
    """`with_packages`: it will probably have some, and be asked what it imported."""
    _take_assignment()
    path = os.path.join(_DIRECTORY, "f.py")
    count, search_path = len(sys.modules), list(sys.path)
    os.mkdir(_DIRECTORY)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(_FUNCTION)
        os.listdir(_DIRECTORY)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(_SOCKET)
            listener.listen(1)
            serve.rehearse(listener, _DIRECTORY, imports.Recorder([_DIRECTORY]) if with_packages else None)
        os.unlink(_SOCKET)
        os.unlink(path)
    finally:
        os.rmdir(_DIRECTORY)
        sys.path[:] = search_path
        # The last one in; looking at all others would write to each one's reference count.
        while len(sys.modules) > count:
            sys.modules.popitem()


def _take_assignment() -> None:
    near, far = messages.pair()
    with near, far:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        assignment = {"op": "assign", "environment": _ENVIRONMENT, "packages": [], "rlimits": {"NOFILE": 1}, "dataMb": None}
        messages.send(near, assignment, [near.fileno(), far.fileno()])
        received = messages.receive(far)
        assert received is not None
        message, descriptors = received
        for descriptor in descriptors:
            os.dup2(descriptor, descriptor)
            os.close(descriptor)
        resource.setrlimit(getattr(resource, "RLIMIT_" + next(iter(message["rlimits"]))), files)
        os.environ.update(message["environment"])
        os.environ.clear()
        os.chdir("/")
        os.setresuid(-1, -1, -1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        kernel.close_range(0x7FFFFFFF)
        socket.socket(fileno=os.dup(near.fileno())).close()
