"""A WSGI app for the tests over HTTP: what it does is up to the path."""

import hashlib
import json
import os
import time
import urllib.parse

# Tells sandboxes apart, and what happened in this one.
SELF = os.urandom(8).hex()
notes = []


def app(environ, start_response):
    return ROUTES[environ["PATH_INFO"].split("/")[1]](environ, start_response)


def answer(start_response, value):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]


def pieces(environ):
    return iter(lambda: environ["wsgi.input"].read1(65_536), b"")


def request(environ, start_response):
    keys = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "SERVER_PROTOCOL")
    seen = {key: environ[key] for key in keys}
    seen.update({key: value for key, value in environ.items() if key.startswith(("HTTP_", "CONTENT_"))})
    seen["body"] = environ["wsgi.input"].read().decode("latin-1")
    return answer(start_response, seen)


def echo(environ, start_response):
    fields = [("A", "B"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "\xe9")]
    start_response("207 Multi-Status", fields)
    return pieces(environ)


def lines(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for line in environ["wsgi.input"]:
        yield b"data: %s\n\n" % line.strip()


def say(environ, start_response):
    """Replies whatever the query asks for: status, headers, pieces, and what happens `before` and `after` them."""
    wish = json.loads(urllib.parse.unquote(environ["QUERY_STRING"]))
    do(wish.get("before"))
    start_response("%d Said" % wish.get("status", 200), [tuple(field) for field in wish.get("headers", ())])
    said = [piece.encode("latin-1") for piece in wish.get("pieces", ())]
    return streamed(said, wish.get("after")) if wish.get("stream") or wish.get("after") else [b"".join(said)]


def streamed(said, after):
    yield from said
    do(after)


def do(what):
    if what == "raise":
        raise ValueError("asked to raise")
    if what == "exit":
        os._exit(3)
    if what == "crash":
        os.abort()


class Endless:
    """Replies until somebody closes it."""

    def __init__(self, size):
        self.size = size
        self.sent = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.size < 65_536:
            time.sleep(0.01)
        self.sent += self.size
        notes[-1]["sent"] = self.sent
        return b"x" * self.size

    def close(self):
        notes[-1]["closed"] = True


def endless(environ, start_response):
    notes.append({"sent": 0})
    start_response("200 OK", [])
    return Endless(int(environ["QUERY_STRING"]))


def swallow(environ, start_response):
    """Begins its reply, reads the body, and notes what became of it."""
    notes.append({"read": 0})
    start_response("200 OK", [])
    yield b"taking "
    try:
        for piece in pieces(environ):
            notes[-1]["read"] += len(piece)
    except OSError:
        notes[-1]["gone"] = True
        raise
    yield b"%d" % notes[-1]["read"]


def noted(_environ, start_response):
    return answer(start_response, {"self": SELF, "notes": notes})


def upload(environ, start_response):
    digest, size = hashlib.sha256(), 0
    for piece in pieces(environ):
        digest.update(piece)
        size += len(piece)
    return answer(start_response, {"bytes": size, "sha256": digest.hexdigest()})


def download(environ, start_response):
    start_response("200 OK", [])
    for number in range(int(environ["QUERY_STRING"])):
        yield b"%08d" % number * 8_192


def memory(_environ, start_response):
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return answer(start_response, {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")})


def ignore(_environ, start_response):
    start_response("200 OK", [])
    return [b"not read"]


def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return answer(start_response, SELF)


ROUTES = {
    "request": request,
    "echo": echo,
    "lines": lines,
    "say": say,
    "endless": endless,
    "swallow": swallow,
    "noted": noted,
    "upload": upload,
    "download": download,
    "memory": memory,
    "ignore": ignore,
    "sleep": sleep,
}
