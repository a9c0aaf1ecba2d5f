"""What resolves, installs and compiles packages: a lambda of the worker's own, so that all of it happens in a sandbox.

`resolve` turns requirement lines into pins, `install` puts each pin into a directory of its own below /host/out, `compile`
makes the .pyc files of an installed package, which nobody could make later: packages are read-only. uv does the work where
it is to be had, else pip. With wheels only, which is the default, nothing of a package is run.

An answer is {"ok": true, ...} or {"ok": false, "kind": KIND, "reason": TEXT}; reasons.py has the kinds.
"""

import errno

import compiling
import installing
import tools
from reasons import NO_SPACE, Failure


def f(event):
    try:
        return {"ok": True, **_OPERATIONS[event["op"]](event)}
    except Failure as failure:
        return failure.answer()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return Failure(NO_SPACE, "no space left on device").answer()


def _resolve(event):
    tool = tools.find(event)
    return {"tool": tool.name, "pins": tool.resolve(event["lines"], event["source"])}


def _install(event):
    tool = tools.find(event)
    return {"tool": tool.name, "results": installing.install(tool, event["pins"], event["source"])}


def _compile(event):
    return {"files": compiling.compile_package(event["directory"])}


_OPERATIONS = {"resolve": _resolve, "install": _install, "compile": _compile}
