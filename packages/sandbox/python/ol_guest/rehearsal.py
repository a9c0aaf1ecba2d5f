"""One call of nobody, in a process that waits to become a sandbox, and some in the zygote that it is forked from.

A fork shares its zygote's memory until it writes to it, and code that runs for the first time writes all over:
reference counts, the interpreter's caches. Each page costs a fault, which together were a third of the time from
the request for a sandbox to its first reply. So everything that a first call runs is run once while nobody waits for it.
Nothing of it may be left.

What the zygote has run often enough is written less by each fork: the interpreter (3.11 and newer) has made its own faster
version of that code, in place, and the allocator has room where it is wanted. Measured with 3.11: of 3.5 MB that a sandbox
held of its own, 0.6; not making anew what the zygote has already (a function of ctypes, an object for a stream) was 0.3 more, and no hole left in its
memory 0.1.
"""

import contextlib
import os
import resource
import socket
import sys

import ol_kernel as kernel

from ol_guest import hygiene, imports, messages, serve
from ol_guest.output import Output

# In the leaf's own memory, as yet without a file of anybody's.
_DIRECTORY = "/tmp/rehearsal"
_SOCKET = f"{_DIRECTORY}/socket"
_FUNCTION = 'def f(event):\n    return "Hello, %s!" % event.get("name", "World")\n'
_ENVIRONMENT = {name: "/host" for name in ("HOME", "LANG", "LOGNAME", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "USER")}


def rehearse(with_packages: bool) -> None:
    """`with_packages`: it will probably have some, and be asked what it imported."""
    _take_assignment()
    # A zygote may not be one that can be looked into.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
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


# CPython looks eight times before it replaces code by a faster version.
_ROUNDS = 10


def warm() -> None:
    """In a root zygote, with everything imported and nothing of a package. No file is made that has a name; its streams stay as
    they are, its environment is empty afterwards, its signal handlers are not its own."""
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    count, search_path = len(sys.modules), list(sys.path)
    try:
        for _ in range(_ROUNDS):
            _become_nobody()
            _call_nobody()
            sys.path[:] = search_path
            while len(sys.modules) > count:
                sys.modules.popitem()
    finally:
        Output.uninstall()
        sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
        kernel.clear_environment()


# Python's own allocator has a list of free memory for each of these sizes.
_SIZES = range(16, 513, 16)
_BYTES_HEAD = bytes().__sizeof__()
# Side by side: then they are of memory that was not in use before.
_IN_A_ROW = 6
_MOST_HOLES = 10_000


def fill_holes() -> "list[object]":
    """Objects for whoever forks next to keep. What is free between objects that are in use is given out first, and each would be
    a page to copy for the sake of one object; once that is filled, all that a fork makes lies together. 0.1 MB is filled so."""
    kept: "list[object]" = []
    for size in _SIZES:
        in_a_row = last = 0
        for _ in range(_MOST_HOLES):
            # The smallest bytes are of the third size.
            thing = bytes(size - _BYTES_HEAD) if size > 32 else float(size) if size > 16 else object()
            kept.append(thing)
            in_a_row = in_a_row + 1 if 0 < id(thing) - last <= 8 * size else 0
            if in_a_row == _IN_A_ROW:
                break
            last = id(thing)
    return kept


def _become_nobody() -> None:
    """What a leaf does before its first call, as far as it has no effect here."""
    kernel.run_fork_handlers()
    with contextlib.suppress(PermissionError):
        # A container's filter refuses it, whatever is asked for.
        kernel.unshare(0)
    os.umask(0o022)
    kernel.clear_environment()
    hygiene.fresh_process()
    Output().install()
    _take_assignment()
    os.setresgid(-1, -1, -1)
    os.environ.update(_ENVIRONMENT)


def _call_nobody() -> None:
    try:
        nameless = os.memfd_create("rehearsal")
    except OSError:
        # A hardened kernel lets nobody have one (vm.memfd_noexec=2): then leaves hold half a MB more.
        return
    with open(nameless, "w", encoding="ascii") as file:
        file.write(_FUNCTION)
        file.flush()
        serve.rehearse_unnamed("/proc/self/fd", {"OL_ENTRY_FILE": str(file.fileno())})


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
        kernel.close_range(0x7FFFFFFF)
        socket.socket(fileno=os.dup(near.fileno())).close()
