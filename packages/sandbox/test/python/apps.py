"""Web apps as guests: their source, requests for them, and their replies, over frames."""

import time
import typing

from guest import DATA, DEADLINE_SECONDS, HTTP, REPLY, RESET, WINDOW, GuestCase, pack, struct

CANCELLED, DEADLINE, FAILED, CONTENT, REFUSED = range(1, 6)
WINDOW_BYTES = 262_144
MEGABYTE = 1024 * 1024

# What the apps under test have in common: a file that appears whole tells the test how far they are.
MARK = """
def mark(name, text=""):
    with open(name + ".part", "w") as file: file.write(text)
    os.rename(name + ".part", name)
"""

ASGI = MARK + """
import asyncio, json, os, sys, time
async def until(name):
    while not os.path.exists(name): await asyncio.sleep(0.002)
async def start(send, status=200, *headers):
    await send({"type": "http.response.start", "status": status, "headers": headers})
async def body(send, body=b"", more=False):
    await send({"type": "http.response.body", "body": body, "more_body": more})
async def whole(receive):
    got = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        got += message["body"]
        if not message["more_body"]: return got
"""

# Every app here is held against wsgiref's validator, but for those that break the rules on purpose.
WSGI = MARK + """
import json, os, sys, time
from wsgiref.validate import validator
def ok(start, *headers):
    return start("200 OK", [("Content-Type", "text/plain"), *headers])
"""


def reset(stream, code):
    return pack(RESET, 0, stream, (), struct.pack(">I", code))


def window(stream, credit):
    return pack(WINDOW, 0, stream, (), struct.pack(">I", credit))


def data(stream, body, end=False):
    return pack(DATA, 1 if end else 0, stream, (), body)


def request(stream, path="", method="GET", headers=(), body=b"", end=True, query="", invocation="i", timeout_ms=30_000):
    meta = [":id", invocation, ":timeout", str(timeout_ms), ":method", method, ":mount", "/run/app"]
    meta += [":path", path, ":query", query, ":client", "192.0.2.7", *headers]
    return pack(HTTP, 1 if end else 0, stream, meta, body)


class Response(typing.NamedTuple):
    status: int
    headers: list
    body: bytes
    # How the body was cut into frames, an empty last one included.
    pieces: list


class AppCase(GuestCase):
    kind = ""

    def app(self, source, **options):
        return self.guest(source, **options).ready(self.kind)

    def reply(self, guest, stream):
        """The whole reply, giving back each byte's credit; checks the order of frames. None after an error."""
        head = guest.receive()
        while head.kind == WINDOW:
            head = guest.receive()
        self.assertEqual((head.kind, head.stream), (REPLY, stream), head)
        self.assertIn(":status", head.meta, head.body)
        last, pieces = head, [head.body]
        while not last.flags:
            if last.kind != WINDOW and last.body:
                guest.send(window(stream, len(last.body)))
            last = guest.receive()
            if last.kind != WINDOW:
                self.assertEqual((last.kind, last.stream), (DATA, stream), last)
                pieces.append(last.body)
        return Response(int(head.meta[":status"]), list(head.pairs[1:]), b"".join(pieces), pieces)

    def get(self, guest, path="", **options):
        stream = guest.next_stream()
        guest.send(request(stream, path, **options))
        return self.reply(guest, stream)

    def post(self, guest, body, path="", **options):
        return self.get(guest, path, method="POST", body=body, **options)

    def error(self, guest, path="", **options):
        """The failure with which a request is answered: {type, message}."""
        stream = guest.next_stream()
        guest.send(request(stream, path, **options))
        head = guest.receive()
        self.assertEqual(
            (head.kind, head.stream, head.flags, head.meta), (REPLY, stream, 1, {":error": "exception"}), head
        )
        return head.json

    def assert_reset(self, guest, stream, code):
        frame = guest.receive()
        while frame.kind == WINDOW:
            frame = guest.receive()
        self.assertEqual((frame.kind, frame.flags, frame.stream), (RESET, 0, stream), frame)
        self.assertEqual(frame.code, code)

    def settled(self, guest, name):
        """What is in this file once the app does not write to it any more."""
        guest.wait_for(name)
        before, text = None, ""
        until = time.monotonic() + DEADLINE_SECONDS
        while before != text:
            self.assertLess(time.monotonic(), until, "the app goes on and on")
            time.sleep(0.5)
            before, text = text, (guest.handler / name).read_text()
        return text

    def upload(self, guest, stream, body, piece=60_000):
        """Sends the rest of a body as the guest gives credit; frames that are no credit are returned."""
        credit, others = WINDOW_BYTES, []
        while True:
            while credit == 0:
                frame = guest.receive()
                if frame.kind == WINDOW:
                    self.assertEqual(frame.stream, stream)
                    credit += frame.code
                else:
                    others.append(frame)
            part, body = body[: min(credit, piece)], body[min(credit, piece) :]
            credit -= len(part)
            guest.send(data(stream, part, not body))
            if not body:
                return others


class AsgiCase(AppCase):
    kind = "asgi"

    def asgi(self, code, prelude="", **options):
        """An app with this body, which does not know lifespans."""
        return self.app(
            f"{ASGI}\n{prelude}\nasync def app(scope, receive, send):\n assert scope['type'] == 'http'\n"
            f" path = scope['path'][len('/run/app'):]\n{code}",
            **options,
        )


class WsgiCase(AppCase):
    kind = "wsgi"

    def valid(self, body, **options):
        """An app with this body, in the validator."""
        return self.app(f"{WSGI}\n@validator\ndef app(environ, start):\n{body}", **options)

    def raw(self, body, **options):
        return self.app(f"{WSGI}\ndef app(environ, start):\n{body}", **options)
