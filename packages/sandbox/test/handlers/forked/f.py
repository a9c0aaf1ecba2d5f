"""What a sandbox finds that was forked from a zygote with packages: f({"module": NAME, "attribute": NAME})."""

import sys


def f(event):
    if "path" in event:
        return sys.path
    if "draw" in event:
        return _draw()
    if "import" in event:
        return [_file_of(name) for name in event["import"]]
    if "state" in event:
        return _state()
    if "exit" in event:
        _exit(event["exit"])
    module = sys.modules.get(event["module"])
    if module is None:
        return "not loaded"
    return getattr(module, event["attribute"], "loaded")


def _file_of(name):
    import importlib

    try:
        return importlib.import_module(name).__file__
    except ImportError as error:
        return type(error).__name__


def _state():
    """What is everybody's in a process."""
    import locale
    import os
    import subprocess
    import warnings

    umask = os.umask(0o022)
    return {
        "environment": dict(os.environ),
        "for children": sorted(subprocess.run(["env"], stdout=subprocess.PIPE, check=True).stdout.decode().split()),
        "directory": os.getcwd(),
        "umask": umask,
        "locale": locale.setlocale(locale.LC_ALL),
        "arguments": sys.argv,
        "warnings": [str(entry) for entry in warnings.filters],
        "importers": sorted(entry for entry in sys.path_importer_cache if entry.startswith("/packages")),
    }


def _exit(code):
    import os

    os._exit(code)


def _draw():
    import os
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    return {
        "random": random.random(),
        "ssl": ssl.RAND_bytes(16).hex(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "secrets": secrets.token_hex(16),
        "tempfile": next(tempfile._get_candidate_names()),
        "urandom": os.urandom(16).hex(),
    }
