"""What an ASGI app is told of a request."""

from __future__ import annotations

from typing import Any

from ol_guest.request import Request


def http_scope(request: Request, state: dict[str, Any]) -> dict[str, Any]:
    """`state` is the lifespan's; each request gets a copy of its own."""
    host, port = request.server()
    mount = request.mount
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": mount + request.decoded_path().decode("utf-8", "replace"),
        "raw_path": (mount + request.path).encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "root_path": mount,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.fields],
        # The worker does not say from which port.
        "client": (request.client, 0) if request.client else None,
        "server": (host, int(port)),
        "state": state.copy(),
        "extensions": {"ol": {"invocation_id": request.invocation_id, "deadline": request.deadline}},
    }
