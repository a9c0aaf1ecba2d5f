"""The part of the standard library that the root zygote has in memory before anybody needs it.

A leaf gets these modules for nothing, and an import of a package that needs them is shorter. On the list is what
packages and lambdas import often, and whose import has no lasting effect: no thread, descriptor, child process,
signal handler or change of the environment (test_preload.py holds that). Left out: what is there for tests, GUIs,
other operating systems and compiling, and `antigravity`, `this`, `site`, whose import does something.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Iterable

STANDARD_LIBRARY = tuple(
    """
    __future__ abc argparse array ast asyncio base64 binascii bisect bz2 calendar cmath codecs collections
    collections.abc colorsys concurrent.futures concurrent.futures.thread configparser contextlib contextvars copy
    copyreg csv ctypes ctypes.util dataclasses datetime decimal difflib dis email email.charset email.encoders
    email.generator email.header email.message email.mime.application email.mime.base email.mime.image
    email.mime.multipart email.mime.text email.parser email.policy email.utils encodings.ascii encodings.idna
    encodings.latin_1 encodings.utf_8 enum errno fcntl fileinput fnmatch fractions ftplib functools gc getpass
    gettext glob graphlib grp gzip hashlib heapq hmac html html.entities html.parser http http.client http.cookiejar
    http.cookies http.server imaplib importlib importlib.abc importlib.metadata importlib.resources importlib.util
    inspect io ipaddress itertools json keyword linecache locale logging logging.config logging.handlers lzma
    mimetypes mmap multiprocessing.context multiprocessing.pool multiprocessing.process multiprocessing.queues
    multiprocessing.synchronize netrc numbers opcode operator optparse pathlib pickle pickletools pkgutil platform
    plistlib posixpath pprint pwd queue quopri random re reprlib resource secrets select selectors shelve shlex
    shutil signal smtplib socket socketserver sqlite3 ssl stat statistics string stringprep struct subprocess sysconfig
    tarfile tempfile termios textwrap threading time timeit token tokenize traceback types typing unicodedata
    unittest.mock urllib.error urllib.parse urllib.request urllib.response urllib.robotparser uuid warnings wave
    weakref xml.dom.minidom xml.etree.ElementTree xml.parsers.expat xml.sax xml.sax.saxutils xmlrpc.client zipfile
    zipimport zlib zoneinfo
    """.split()
)

# What was loaded for the sake of lambdas, and not because the runtime itself needs it.
_loaded: "set[str]" = set()


def named(choice: "str | list[str]") -> "tuple[str, ...]":
    """The modules of an engine's option `preload`."""
    if isinstance(choice, str):
        return STANDARD_LIBRARY if choice == "stdlib" else ()
    return tuple(choice)


def load(names: "Iterable[str]") -> None:
    """Imports what there is of it: a distribution may leave out parts of the standard library."""
    before = set(sys.modules)
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    note_since(before)


def note_since(before: "set[str]") -> None:
    """Whatever was loaded since then was loaded in advance."""
    _loaded.update(name for name in sys.modules if name not in before)


def make_way_for(directory: str) -> None:
    """Forgets modules that have the name of one in the lambda's own directory, which comes first on sys.path."""
    for entry in os.listdir(directory):
        name = entry.partition(".")[0]
        if name in _loaded:
            for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
                del sys.modules[module]
