"""Mounts control groups, which it may in its own mount namespace, and opens what decides about limits, other processes and
a program that the machine's root would run. Nothing is written."""

import ctypes
import json
import os

_DIRECTORY = "/tmp/ol-cgroups"
_WANTED = {"release_agent", "cgroup.procs", "cgroup.subtree_control", "memory.limit_in_bytes", "memory.max", "pids.max"}
_libc = ctypes.CDLL(None, use_errno=True)


def _open_for_writing(kind, options):
    if _libc.mount(kind.encode(), _DIRECTORY.encode(), kind.encode(), 0, options.encode()) != 0:
        return []
    opened = []
    for name in sorted(_WANTED.intersection(os.listdir(_DIRECTORY))):
        try:
            os.close(os.open(os.path.join(_DIRECTORY, name), os.O_WRONLY))
            opened.append(name)
        except OSError:
            continue
    _libc.umount2(_DIRECTORY.encode(), 2)
    return opened


os.makedirs(_DIRECTORY, exist_ok=True)
OPENED = sorted(
    {
        name
        for kind, options in (("cgroup2", ""), ("cgroup", "memory"), ("cgroup", "pids"), ("cgroup", "none,name=systemd"))
        for name in _open_for_writing(kind, options)
    }
)
os.rmdir(_DIRECTORY)

if __name__ == "__main__":
    print(json.dumps(OPENED))
