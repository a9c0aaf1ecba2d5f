"""The .pyc files of an installed package. Compiling runs nothing of it."""

import importlib.util
import os
import py_compile

# A package that has this was compiled.
MARK = ".compiled"
_OUT = "/host/out"
_NICE = 5
# Nobody imports a package's own tests in production; they are half of some packages, and work uncompiled.
_NOT_COMPILED = ("tests", "test", "__pycache__")


def compile_package(directory):
    """Into /host/out, laid out as the package is. Returns how many files it looked at."""
    os.nice(_NICE)
    # As guests see it, which is what tracebacks show.
    top = os.path.join("/packages", directory)
    files = list(_sources(top))
    os.makedirs(_OUT, exist_ok=True)
    count = max(1, min(len(os.sched_getaffinity(0)), len(files)))
    for pid in [_start(files[number::count], top) for number in range(count)]:
        os.waitpid(pid, 0)
    with open(os.path.join(_OUT, MARK), "wb"):
        # Says that there is no more to compile.
        pass
    return len(files)


def _start(files, top):
    """A child of its own: a source that ends the compiler takes only those after it along."""
    pid = os.fork()
    if pid == 0:
        # Never back into the caller.
        try:
            for path in files:
                _compile_one(path, top)
        finally:
            os._exit(0)
    return pid


def _sources(top):
    for where, names, files in os.walk(top):
        names[:] = [name for name in names if name not in _NOT_COMPILED]
        for name in files:
            if name.endswith(".py"):
                yield os.path.join(where, name)


def _compile_one(path, top):
    compiled = importlib.util.cache_from_source(os.path.join(_OUT, os.path.relpath(path, top)))
    try:
        py_compile.compile(path, cfile=compiled, dfile=path, doraise=True, quiet=2)
    except (py_compile.PyCompileError, OSError, ValueError, RecursionError, MemoryError):
        # Templates and code for other Pythons; whoever imports it hears of it.
        return
