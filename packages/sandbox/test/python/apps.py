"""Requests for web apps, and their replies, over frames."""

import time
import typing

from guest import DATA, DEADLINE_SECONDS, HTTP, REPLY, RESET, WINDOW, GuestCase, pack, struct

CANCELLED, DEADLINE, FAILED, CONTENT, REFUSED = range(1, 6)
WINDOW_BYTES = 262_144


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
