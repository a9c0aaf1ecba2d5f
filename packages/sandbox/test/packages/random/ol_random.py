"""Uses every generator of the standard library while it is imported, as some packages do."""

import os
import random
import secrets
import ssl
import tempfile
import uuid

PID = os.getpid()
USED = (
    random.random(),
    ssl.RAND_bytes(16),
    uuid.uuid1(),
    uuid.uuid4(),
    secrets.token_hex(16),
    next(tempfile._get_candidate_names()),
)
