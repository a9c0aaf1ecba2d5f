"""What both tools share: how a pin is spelled, and where files of a session lie."""

import re

from reasons import FAILED, Failure

# Ends with the sandbox.
CACHE = "/host/cache"


def normal(name):
    """The one spelling of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def hash_options(pin):
    return " ".join(f"--hash=sha256:{digest}" for digest in pin["hashes"])


def check_hashes(pins):
    """Without a hash nothing says what a version is: what is installed would not be what was resolved."""
    for pin in pins:
        if not pin["hashes"]:
            raise Failure(FAILED, f"the index gives no SHA-256 for {pin['name']}=={pin['version']}")


def write_requirements(name, lines):
    path = f"/tmp/{name}.txt"
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return path
