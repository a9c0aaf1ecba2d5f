"""A WSGI app under the standard library's own check of servers and apps (wsgiref.validate)."""

from wsgiref.validate import validator


def echo(environ, start_response):
    # The check forbids a read() of everything.
    body = b"".join(iter(lambda: environ["wsgi.input"].read(65_536), b""))
    environ["wsgi.errors"].write("checked\n")
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body[:3], body[3:]]


app = validator(echo)
