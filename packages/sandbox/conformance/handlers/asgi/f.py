"""An ASGI app: what it does is up to the path."""

import asyncio
import time

# What happened to earlier requests.
notes = []


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("http and nothing else")
    await ROUTES[scope["path"][len(scope["root_path"]) :]](scope, receive, send)


async def pieces(receive):
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client is gone")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def write(send, body, more=True):
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send, body):
    await start(send)
    await write(send, body, more=False)


async def echo(scope, receive, send):
    seen = dict(scope["headers"]).get(b"x-field", b"")
    headers = [
        (b"x-method", scope["method"].encode()),
        (b"x-mount", scope["root_path"].encode()),
        (b"x-path", scope["path"][len(scope["root_path"]) :].encode()),
        (b"x-query", scope["query_string"]),
        (b"x-client", scope["client"][0].encode()),
        (b"x-seen", seen),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=\xe9"),
    ]
    await start(send, 207, headers)
    async for piece in pieces(receive):
        await write(send, piece)
    await write(send, b"", more=False)


async def lines(_scope, receive, send):
    await start(send)
    async for piece in pieces(receive):
        await write(send, piece.upper())
    await write(send, b"", more=False)


async def make(scope, _receive, send):
    await start(send)
    began = time.monotonic()
    left = int(scope["query_string"])
    while left > 0:
        piece = b"x" * min(left, 65_536)
        left -= len(piece)
        await write(send, piece)
    notes.append("%d" % (1_000 * (time.monotonic() - began)))
    await write(send, b"", more=False)


async def count(_scope, receive, send):
    await asyncio.sleep(0.3)
    size = 0
    async for piece in pieces(receive):
        size += len(piece)
    await answer(send, b"%d" % size)


async def endless(_scope, receive, send):
    await start(send)
    try:
        while True:
            await write(send, b"x" * 1_000)
            await asyncio.sleep(0.01)
    finally:
        notes.append("ended")


async def noted(_scope, _receive, send):
    await answer(send, " ".join(notes).encode())


async def fail_before(_scope, _receive, _send):
    raise ValueError("asked to raise")


async def fail_after(_scope, _receive, send):
    await start(send)
    await write(send, b"some")
    raise ValueError("asked to raise")


async def bad_status(_scope, _receive, send):
    await start(send, 999)
    await write(send, b"never seen", more=False)


async def bad_field(_scope, _receive, send):
    await start(send, 200, [(b"x-odd", b"a\r\nX-Forged: b")])
    await write(send, b"never seen", more=False)


async def sleep(scope, _receive, send):
    await asyncio.sleep(float(scope["query_string"]))
    await answer(send, b"slept")


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
