"""A WSGI app: what it does is up to the path."""

import time

# What happened to earlier requests.
notes = []


def app(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)


def echo(environ, start_response):
    fields = [
        ("X-Method", environ["REQUEST_METHOD"]),
        ("X-Mount", environ["SCRIPT_NAME"]),
        ("X-Path", environ["PATH_INFO"]),
        ("X-Query", environ["QUERY_STRING"]),
        ("X-Client", environ["REMOTE_ADDR"]),
        ("X-Seen", environ.get("HTTP_X_FIELD", "")),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=\xe9"),
    ]
    start_response("207 Multi-Status", fields)
    return iter(lambda: environ["wsgi.input"].read(50_000), b"")


def lines(environ, start_response):
    start_response("200 OK", [])
    for line in environ["wsgi.input"]:
        yield line.upper()


def make(environ, start_response):
    start_response("200 OK", [])
    began = time.monotonic()
    left = int(environ["QUERY_STRING"])
    while left > 0:
        piece = b"x" * min(left, 65_536)
        left -= len(piece)
        yield piece
    notes.append("%d" % (1_000 * (time.monotonic() - began)))


def count(environ, start_response):
    time.sleep(0.3)
    size = sum(map(len, iter(lambda: environ["wsgi.input"].read(50_000), b"")))
    start_response("200 OK", [])
    return [b"%d" % size]


def endless(_environ, start_response):
    start_response("200 OK", [])
    try:
        while True:
            yield b"x" * 1_000
            time.sleep(0.01)
    finally:
        notes.append("ended")


def noted(_environ, start_response):
    start_response("200 OK", [])
    return [" ".join(notes).encode()]


def fail_before(_environ, _start_response):
    raise ValueError("asked to raise")


def fail_after(_environ, start_response):
    start_response("200 OK", [])
    yield b"some"
    raise ValueError("asked to raise")


def bad_status(_environ, start_response):
    start_response("999 Odd", [])
    return [b"never seen"]


def bad_field(_environ, start_response):
    start_response("200 OK", [("X-Odd", "a\r\nX-Forged: b")])
    return [b"never seen"]


def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [])
    return [b"slept"]


ROUTES = {
    "/echo": echo,
    "/lines": lines,
    "/make": make,
    "/count": count,
    "/endless": endless,
    "/noted": noted,
    "/fail-before": fail_before,
    "/fail-after": fail_after,
    "/bad-status": bad_status,
    "/bad-field": bad_field,
    "/sleep": sleep,
}
