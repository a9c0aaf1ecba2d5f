"""What a sandbox finds that was forked from a zygote with packages: f({"module": NAME, "attribute": NAME})."""

import sys


def f(event):
    if "path" in event:
        return sys.path
    if "draw" in event:
        return _draw()
    module = sys.modules.get(event["module"])
    if module is None:
        return "not loaded"
    return getattr(module, event["attribute"], "loaded")


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
