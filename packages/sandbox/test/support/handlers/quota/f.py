"""Fills /host, or looks at it."""

import errno
import os
import shutil
import time

_BLOCK = b"x" * 65536
_FILE_BYTES = 1024 * 1024


def _fill():
    """Files of one MiB until there is no space. Returns how much they hold together, and the error's name."""
    held = 0
    for number in range(1_000_000):
        with open(f"/host/{number}", "wb", buffering=0) as file:
            size = 0
            try:
                while size < _FILE_BYTES:
                    written = file.write(_BLOCK)
                    size += written
                    held += written
            except OSError as error:
                return [held, errno.errorcode[error.errno]]


def _crowd():
    """Empty files in a directory until there can be no more. Returns how many of both."""
    os.mkdir("/host/crowd")
    count = 1
    try:
        while True:
            os.close(os.open(f"/host/crowd/{count}", os.O_CREAT | os.O_EXCL))
            count += 1
    except OSError as error:
        return [count, errno.errorcode[error.errno]]
    finally:
        shutil.rmtree("/host/crowd")


def _look():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split() for line in file]
    (line,) = [line for line in mounts if line[4] == "/host"]
    return {
        "kind": line[line.index("-") + 1],
        "options": line[5].split(","),
        "files": os.listdir("/host"),
        "owned": os.stat("/host").st_uid == os.getuid(),
        "mode": oct(os.stat("/host").st_mode & 0o7777),
        "output": os.readlink("/proc/self/fd/1"),
    }


def f(event):
    print(event.get("say", ""), end="", flush=True)
    result = {"fill": _fill, "crowd": _crowd, "look": _look}[event["do"]]()
    time.sleep(event.get("napSec", 0))
    if "empty" in event:
        for name in os.listdir("/host"):
            os.unlink(f"/host/{name}")
    return result
