"""How this process ends."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from ol_guest.output import Output


def leave(output: Output, code: int) -> NoReturn:
    """Ends the process without atexit and without waiting for threads: those of the zygote are not ours."""
    try:
        output.finish_lines()
    finally:
        os._exit(code)


def exit_code(error: SystemExit) -> int:
    """As the interpreter does: nothing is 0, a number is itself, anything else is printed and counts as 1."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1
