"""Why something could not be done, going by what uv and pip write."""

import re

# The lines ask for what there is not.
UNSATISFIABLE = "unsatisfiable"
# A file is not the one that was resolved, or that the author named by its hash.
MISMATCH = "mismatch"
# The index does not answer, or not to us.
UNREACHABLE = "unreachable"
NO_SPACE = "no-space"
# There is neither uv nor pip.
NO_TOOL = "no-tool"
# Anything else.
FAILED = "failed"

_REASON_CHARACTERS = 4_000

_MISMATCH = re.compile(r"hash mismatch|do not match the hashes|hashes are required|no known hash", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|file too large", re.IGNORECASE)
# Phrases that hold no name of a package: one may be called timeout.
_UNREACHABLE = re.compile(
    r"operation timed out|read timed out|: timed out|(read|connect)timeout|error sending request|connection (refused|reset|broken|error)"
    r"|could not connect|dns error|name or service not known|temporary failure in name resolution|newconnectionerror"
    r"|max retries exceeded|remotedisconnected|network is unreachable|no route to host|status server error \(5\d\d"
    r"|\b5\d\d server error|http error 5\d\d|incomplete(body|read|message)|error decoding response body|bytes missing"
    r"|end of file before|proxy (error|authentication)|tunnel error|certificate verify failed|invalid peer certificate"
    r"|\(40[17] (unauthorized|proxy)|\b40[17] client error|http error 40[17]",
    re.IGNORECASE,
)
_UNSATISFIABLE = re.compile(
    r"no solution found|no matching distribution|could not find a version|conflicting dependencies|resolutionimpossible"
    r"|not found in the (package )?registry|no wheels|no usable wheels|invalid requirement|requires-python"
    r"|requires a different python|has no (usable|compatible)",
    re.IGNORECASE,
)


class Failure(Exception):
    """`reason` is for people, as a tool says it."""

    def __init__(self, kind, reason):
        super().__init__(reason)
        self.kind = kind
        self.reason = reason

    def answer(self):
        return {"ok": False, "kind": self.kind, "reason": self.reason}


def kind_of(text):
    """Which of the reasons a tool's text gives. Not answering comes before there being no such version: pip says both."""
    for kind, pattern in _PATTERNS:
        if pattern.search(text):
            return kind
    return FAILED


_PATTERNS = (
    (MISMATCH, _MISMATCH),
    (NO_SPACE, _NO_SPACE),
    (UNREACHABLE, _UNREACHABLE),
    (UNSATISFIABLE, _UNSATISFIABLE),
)


def readable(text):
    """Without what tools say on the way to what went wrong, which comes last: attempts, and tracebacks, which name paths."""
    lines = []
    inside = False
    for line in text.splitlines():
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and (line.startswith(" ") or not line or line.startswith("During handling")):
            continue
        elif not line.startswith("WARNING: Retrying") and line != "ERROR: Exception:":
            inside = False
            lines.append(line)
    plain = "\n".join(lines).strip()
    return plain if len(plain) <= _REASON_CHARACTERS else f"[...]{plain[-_REASON_CHARACTERS:]}"
