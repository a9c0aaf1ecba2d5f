"""Fills the disk below its scratch directory. Returns the error's name, and leaves the disk full."""

import errno
import os


def f(event):
    try:
        with open("/host/fill", "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 65536)
    except OSError as error:
        name = errno.errorcode[error.errno]
    try:
        for number in range(100_000):
            os.mkdir(f"/host/{number}")
    except OSError:
        pass
    return name
