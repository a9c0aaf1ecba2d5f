"""Keeps what it drew while it was imported, as packages do that make a key or a token then."""

import os
import random
import ssl
import tempfile
import uuid

PID = os.getpid()
VALUES = {
    "random": random.random(),
    "ssl": ssl.RAND_bytes(16).hex(),
    "uuid1": str(uuid.uuid1()),
    "tempfile": next(tempfile._get_candidate_names()),
}
