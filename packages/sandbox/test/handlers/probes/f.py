"""A lambda that tries what a sandbox must not let it do: f({"probe": NAME, ...}) -> {"succeeded": bool, "detail": text}.

A probe succeeds only if the forbidden effect happened; being refused, whatever the errno, is a failure. Each runs in
a child process, so that what one changes (or dies of) leaves the next one alone. Also runs on the host, as the
control that shows a probe can succeed: `python3 f.py '{"probe": NAME, ...}'`.
"""

import errno
import json
import os
import sys
import traceback

import files
import ipc
import kernel_calls
import namespaces
import network
import privileges
import processes
import resources

PROBES = {}
for family in (files, ipc, kernel_calls, namespaces, network, privileges, processes, resources):
    PROBES.update(family.PROBES)

# These look at the lambda's own process, or must outlive the call.
INLINE = privileges.INLINE | ipc.INLINE | processes.INLINE | resources.INLINE | network.INLINE


def f(event):
    name = event["probe"]
    if name in INLINE:
        return outcome(name, event)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.write(writing, json.dumps(outcome(name, event)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    _pid, status = os.waitpid(pid, 0)
    if text:
        return json.loads(text)
    return {"succeeded": False, "detail": f"the process ended with status {status:#x}"}


def outcome(name, event):
    try:
        succeeded, detail = PROBES[name](event)
        return {"succeeded": bool(succeeded), "detail": detail}
    except OSError as error:
        code = errno.errorcode.get(error.errno, str(error.errno))
        return {"succeeded": False, "detail": f"{code}: {error}"}
    except Exception:
        # A broken probe must not pass for a refused one.
        return {"succeeded": False, "broken": True, "detail": traceback.format_exc()}


if __name__ == "__main__":
    print(json.dumps(f(json.loads(sys.argv[1]))))
