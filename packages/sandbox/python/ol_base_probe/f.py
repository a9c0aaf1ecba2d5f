"""What a base offers to lambdas, seen from inside a sandbox on it: the code of `ol-admin base check`."""

import glob
import importlib
import os
import platform
import sys

# What small images and self-made interpreters leave out, and packages of others want.
_MODULES = ("bz2", "ctypes", "decimal", "hashlib", "lzma", "multiprocessing.synchronize", "sqlite3", "ssl", "zlib")


def f(_event):
    return {
        "version": ".".join(map(str, sys.version_info[:3])),
        "implementation": platform.python_implementation(),
        "interpreter": os.path.realpath(sys.executable),
        "libc": _libc(),
        "machine": platform.machine(),
        "system": _system(),
        "lacking": _lacking(),
        "seccomp": _status("Seccomp") == "2",
    }


def _libc():
    name, version = platform.libc_ver()
    if name:
        return f"{name} {version}".strip()
    return "musl" if glob.glob("/lib/ld-musl-*") else ""


def _system():
    """The distribution's own name for itself; it need not have one."""
    for name in ("/usr/lib/os-release", "/etc/os-release"):
        try:
            with open(name, encoding="utf-8", errors="replace") as file:
                fields = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        except OSError:
            continue
        return fields.get("PRETTY_NAME", "").strip("\"'")
    return ""


def _lacking():
    """What is not there, by its name, and why not."""
    lacking = {}
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # An extension of another build may fail in any way.
            lacking[name] = f"{type(error).__name__}: {error}"
    if "ssl" not in lacking and not _has_certificates():
        lacking["certificates"] = "no certificate authority is known, so that HTTPS fails (Debian: ca-certificates)"
    if not _has_time_zones():
        lacking["time zones"] = "there is no /usr/share/zoneinfo (Debian: tzdata)"
    return lacking


def _has_certificates():
    import ssl

    return bool(ssl.create_default_context().get_ca_certs())


def _has_time_zones():
    return os.path.exists("/usr/share/zoneinfo/Europe/Paris")


def _status(name):
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
    return ""
