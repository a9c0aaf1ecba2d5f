"""Each pin into a directory of its own."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from compiling import MARK
from reasons import FAILED, Failure

OUT = "/host/out"


def install(tool, pins, source):
    """One result for each pin, in their order."""
    with ThreadPoolExecutor(tool.at_once) as threads:
        return list(threads.map(lambda pin: _install_one(tool, pin, source), pins))


def _install_one(tool, pin, source):
    target = os.path.join(OUT, pin["directory"])
    try:
        tool.install(pin, target, source)
        if not os.path.isdir(target):
            raise Failure(FAILED, "it has no files")
    except Failure as failure:
        shutil.rmtree(target, ignore_errors=True)
        return failure.answer()
    mark = os.path.join(target, MARK)
    if os.path.isfile(mark) or os.path.islink(mark):
        # A package that says so of itself would never be compiled.
        os.unlink(mark)
    return {"ok": True, "bytes": _size(target)}


def _size(directory):
    return sum(
        os.lstat(os.path.join(where, name)).st_size for where, _names, files in os.walk(directory) for name in files
    )
