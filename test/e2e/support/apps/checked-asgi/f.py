"""An ASGI app that asserts all of its scope and of the messages it receives."""

import json

seen = []


async def app(scope, receive, send):
    assert scope["asgi"]["version"] == "3.0", scope
    seen.append(scope["type"])
    await (lifespan if scope["type"] == "lifespan" else http)(scope, receive, send)


async def lifespan(scope, receive, send):
    assert set(scope) == {"type", "asgi", "state"}, scope
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["token"] = "of the lifespan"
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    await send({"type": "lifespan.shutdown.complete"})


async def http(scope, receive, send):
    assert seen[0] == "lifespan", seen
    assert set(scope["asgi"]) == {"version", "spec_version"}, scope
    extensions = scope.pop("extensions")
    assert set(extensions["ol"]) == {"invocation_id", "deadline"}, extensions
    headers = scope.pop("headers")
    assert all(type(name) is bytes and type(value) is bytes for name, value in headers), headers
    assert all(name == name.lower() for name, _value in headers), headers
    assert dict(headers)[b"x-mixed-case"] == b"Kept", headers
    client, server = scope.pop("client"), scope.pop("server")
    assert client[0] == "127.0.0.1" and type(client[1]) is int, client
    assert type(server[0]) is str and type(server[1]) is int, server
    assert scope == {
        "type": "http",
        "asgi": scope["asgi"],
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/run/checked-asgi/a b/\xe9",
        "raw_path": b"/run/checked-asgi/a%20b/%C3%A9",
        "query_string": b"x=1&y=%20",
        "root_path": "/run/checked-asgi",
        "state": {"token": "of the lifespan"},
    }, scope
    scope["state"]["token"] = "changed, which the next request does not see"
    message = await receive()
    assert message == {"type": "http.request", "body": b"body", "more_body": False}, message
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen[:2]).encode()})
    assert await receive() == {"type": "http.disconnect"}
