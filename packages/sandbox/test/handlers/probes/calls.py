"""System calls by number (x86_64)."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mmap.restype = ctypes.c_void_p


def syscall(number, *arguments):
    """Raises OSError with the kernel's errno."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def errno_of(number, *arguments):
    """The errno of a call that is made to fail in any case; 0 if it did not."""
    try:
        syscall(number, *arguments)
    except OSError as error:
        return error.errno
    return 0


def mount(source, target, kind, flags, data=None):
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    return syscall(165, *encoded, flags, None if data is None else data.encode())


def run_machine_code(code):
    """Calls raw instructions that return a number in rax."""
    protection, mode = 7, 0x22  # read, write, execute; private, anonymous
    page = _libc.mmap(None, ctypes.c_size_t(4096), protection, mode, -1, ctypes.c_long(0))
    if page in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memmove(page, code, len(code))
    return ctypes.CFUNCTYPE(ctypes.c_long)(page)()
