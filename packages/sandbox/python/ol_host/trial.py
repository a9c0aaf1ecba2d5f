"""Whether a base works: a tree is started on it, has to say which Python that is, and is ended again.

Done once, before the first sandbox, so that whoever starts the worker is told and not whoever calls a lambda.
"""

import os
import select

from ol_host.base import Base, bad_base
from ol_host.channels import receive
from ol_host.tree import Tree, end, spawn

# It takes 30 ms; on an emulated machine it can be a second.
_TRIAL_SEC = 20.0
_WORDS_BYTES = 64 * 1024


def python_of(base: Base, rootless: bool, first_uid: int, weaken: "list[str]") -> str:
    """The version of the base's Python. Raises Refused."""
    assert base.path is not None
    tree = spawn(base, "net", rootless, first_uid, weaken, "none")
    try:
        try:
            version = _version_said(tree)
        finally:
            end(tree.pidfd)
        if version is None:
            # Nobody is left who writes, so this waits for nothing.
            words = os.read(tree.log_fd, _WORDS_BYTES).decode(errors="replace")
            raise bad_base(base.path, f"does not work: {reason(words)}")
        return version
    finally:
        tree.control.close()
        os.close(tree.log_fd)


def _version_said(tree: Tree) -> "str | None":
    if not select.select([tree.control], [], [], _TRIAL_SEC)[0]:
        return None
    received = receive(tree.control)
    if received is None:
        return None
    message, descriptors = received
    for descriptor in descriptors:
        os.close(descriptor)
    version = message.get("python")
    return version if isinstance(version, str) else None


def reason(words: str) -> str:
    """The line that says most: a Python that cannot start ends with lines that say nothing."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()]
    return (telling or lines or [f"its Python did not start within {_TRIAL_SEC:.0f} s, or ended without a word"])[-1]
