"""An ASGI app for the tests over HTTP: what it does is up to the path, as in the WSGI app beside it."""

import asyncio
import hashlib
import json
import os
import urllib.parse

# Tells sandboxes apart, and what happened in this one.
SELF = os.urandom(8).hex()
notes = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    await ROUTES[scope["path"][len(scope["root_path"]) :].split("/")[1]](scope, receive, send)


async def lifespan(scope, receive, send):
    await receive()
    scope["state"]["started"] = True
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def write(send, body, more=True):
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send, value):
    await start(send, 200, [(b"content-type", b"application/json")])
    await write(send, json.dumps(value).encode(), more=False)


async def pieces(receive):
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client is gone")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def query(scope):
    return scope["query_string"].decode()


async def request(scope, receive, send):
    seen = {key: scope[key] for key in ("method", "path", "root_path", "http_version", "client", "state")}
    seen["query"] = query(scope)
    seen["raw_path"] = scope["raw_path"].decode()
    seen["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    seen["body"] = b"".join([piece async for piece in pieces(receive)]).decode("latin-1")
    await answer(send, seen)


async def echo(_scope, receive, send):
    fields = [(b"A", b"B"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-latin", b"\xe9")]
    await start(send, 207, fields)
    async for piece in pieces(receive):
        await write(send, piece)
    await write(send, b"", more=False)


async def lines(_scope, receive, send):
    await start(send, 200, [(b"content-type", b"text/event-stream")])
    rest = b""
    async for piece in pieces(receive):
        # A piece may end in the middle of a line, and hold several.
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            await write(send, b"data: %s\n\n" % line)
    await write(send, b"", more=False)


async def say(scope, _receive, send):
    """Replies whatever the query asks for: status, headers, pieces, and what happens `before` and `after` them."""
    wish = json.loads(urllib.parse.unquote(query(scope)))
    do(wish.get("before"))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in wish.get("headers", ())]
    await start(send, wish.get("status", 200), headers)
    said = [piece.encode("latin-1") for piece in wish.get("pieces", ())]
    if not wish.get("stream") and not wish.get("after"):
        return await write(send, b"".join(said), more=False)
    for piece in said:
        await write(send, piece)
    do(wish.get("after"))
    await write(send, b"", more=False)


def do(what):
    if what == "raise":
        raise ValueError("asked to raise")
    if what == "exit":
        os._exit(3)
    if what == "crash":
        os.abort()


async def endless(scope, receive, send):
    """Replies until it hears that its client is gone."""
    note = {"sent": 0}
    notes.append(note)
    size = int(query(scope))
    await receive()
    listening = asyncio.ensure_future(receive())
    await start(send)
    while not listening.done():
        try:
            await write(send, b"x" * size)
        except OSError:
            note["refused"] = True
            break
        note["sent"] += size
        await asyncio.sleep(0.01 if size < 65_536 else 0)
    note["closed"] = (await listening)["type"] == "http.disconnect"


async def swallow(_scope, receive, send):
    """Begins its reply, reads the body, and notes what became of it."""
    note = {"read": 0}
    notes.append(note)
    await start(send)
    await write(send, b"taking ")
    try:
        async for piece in pieces(receive):
            note["read"] += len(piece)
    except OSError:
        note["gone"] = True
        raise
    await write(send, b"%d" % note["read"], more=False)


async def noted(_scope, _receive, send):
    await answer(send, {"self": SELF, "notes": notes})


async def upload(_scope, receive, send):
    digest, size = hashlib.sha256(), 0
    async for piece in pieces(receive):
        digest.update(piece)
        size += len(piece)
    await answer(send, {"bytes": size, "sha256": digest.hexdigest()})


async def download(scope, _receive, send):
    await start(send)
    for number in range(int(query(scope))):
        await write(send, b"%08d" % number * 8_192)
    await write(send, b"", more=False)


async def memory(_scope, _receive, send):
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    await answer(send, {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")})


async def ignore(_scope, _receive, send):
    await start(send)
    await write(send, b"not read", more=False)


async def sleep(scope, _receive, send):
    await asyncio.sleep(float(query(scope)))
    await answer(send, SELF)


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
