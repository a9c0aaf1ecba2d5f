"""System V and POSIX objects, shared directories."""

import ctypes
import os
import subprocess
import sys

from calls import syscall

_SHMGET, _SHMAT, _MQ_OPEN = 29, 30, 240
_CREATE = 0o1000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p


def make_objects(event):
    """A shared memory segment, a message queue, and files where only this sandbox should see them."""
    os.umask(0)
    segment = syscall(_SHMGET, event["key"], 4096, _CREATE | 0o666)
    address = _libc.shmat(segment, None, 0)
    ctypes.memmove(address, event["content"].encode(), len(event["content"]))
    queue = syscall(_MQ_OPEN, event["name"].encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
    for directory in event["directories"]:
        path = os.path.join(directory, event["name"])
        with open(path, "w", encoding="utf-8") as file:
            file.write(event["content"])
    return True, f"segment {segment}, queue {queue}"


def remove_objects(event):
    segment = syscall(_SHMGET, event["key"], 4096, 0)
    syscall(31, segment, 0, None)
    syscall(241, event["name"].encode())
    for directory in event["directories"]:
        os.unlink(os.path.join(directory, event["name"]))
    return True, "removed"


def read_segment(event):
    segment = syscall(_SHMGET, event["key"], 4096, 0)
    address = _libc.shmat(segment, None, 0o10000)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")
    text = ctypes.string_at(address, len(event["content"])).decode()
    return text == event["content"], f"read {text!r}"


def open_queue(event):
    descriptor = syscall(_MQ_OPEN, event["name"].encode(), os.O_RDONLY, 0, None)
    return True, f"descriptor {descriptor}"


def read_shared(event):
    found = []
    for directory in event["directories"]:
        try:
            with open(os.path.join(directory, event["name"]), encoding="utf-8") as file:
                if file.read() == event["content"]:
                    found.append(directory)
        except OSError:
            continue
    return found != [], f"read in {found}"


def first_random_values(_event):
    """What a program draws first, of every generator that a zygote could have handed down."""
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    return True, {
        "random": random.random(),
        "ssl": ssl.RAND_bytes(16).hex(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "secrets": secrets.token_hex(16),
        "tempfile": next(tempfile._get_candidate_names()),
        "urandom": os.urandom(16).hex(),
    }


def first_random_values_of_programs(_event):
    """The same of another program than Python, where the machine has it."""
    text = subprocess.run([sys.executable, "-c", "import uuid; print(uuid.uuid4())"], stdout=subprocess.PIPE, check=True)
    return True, text.stdout.decode().strip()


PROBES = {
    "make-objects": make_objects,
    "remove-objects": remove_objects,
    "shared-memory": read_segment,
    "message-queue": open_queue,
    "shared-directories": read_shared,
    "first-random-values": first_random_values,
    "first-random-values-of-programs": first_random_values_of_programs,
}
INLINE = {"first-random-values"}
