"""A worker's side of frames, made simple for tests: a guest process, its files, and frames sent and received."""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import typing
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PYTHON_PATH = HERE.parent.parent / "python"

HELLO, CALL, HTTP, REPLY, DATA, WINDOW, RESET, EVENT, PING = range(1, 10)
HEADER = struct.Struct(">IBBHI")
DEADLINE_SECONDS = 20


class Frame(typing.NamedTuple):
    kind: int
    flags: int
    stream: int
    meta: dict
    body: bytes
    # The meta with what comes more than once, in order.
    pairs: tuple = ()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return struct.unpack(">I", self.body)[0]


def pack(kind, flags, stream, meta=(), body=b""):
    raw = "\0".join(meta).encode("latin-1")
    return HEADER.pack(len(raw) + len(body), kind, flags, len(raw), stream) + raw + body


def call_frame(stream, body, invocation="i", timeout_ms=30_000, headers=(), flags=1):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return pack(CALL, flags, stream, (":id", invocation, ":timeout", str(timeout_ms), *headers), body)


class Guest:
    """One guest process. Its function's source is given as text, or several files by name."""

    def __init__(self, source=None, files=None, environment=None, window=None, greet=True, first=b"", send_buffer=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ol-guest-"))
        self.handler = self.directory / "handler"
        for name, text in (files if files is not None else {"f.py": source}).items():
            path = self.handler / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        self.handler.mkdir(exist_ok=True)
        self._received = b""
        self._stream = -1
        self._start(environment or {})
        try:
            self._connect(send_buffer)
            if greet:
                fields = [":v", "1"] + ([":window", str(window)] if window else [])
                self.socket.sendall(pack(HELLO, 0, 0, fields) + first)
                self.hello = self.receive()
        except BaseException:
            self.close()
            raise

    def _start(self, environment):
        path = str(self.directory / "s")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OL_")}
        with open(self.directory / "stdout", "ab") as out, open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "run_guest.py"), path, str(self.handler)],
                env={**clean, "PYTHONPATH": str(PYTHON_PATH), "PYTHONDONTWRITEBYTECODE": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def _connect(self, send_buffer):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE_SECONDS)
        if send_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        until = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                self.socket.connect(str(self.directory / "s"))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until or self.process.poll() is not None:
                    raise AssertionError(f"the guest did not start: {self.stderr()}") from None
                time.sleep(0.002)

    def close(self):
        self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def next_stream(self):
        self._stream += 2
        return self._stream

    def receive(self):
        """The next frame; raises EOFError at the connection's end."""
        while True:
            if len(self._received) >= 12:
                length, kind, flags, meta_length, stream = HEADER.unpack_from(self._received)
                if len(self._received) >= 12 + length:
                    payload = self._received[12 : 12 + length]
                    self._received = self._received[12 + length :]
                    raw = payload[:meta_length].decode("latin-1").split("\0") if meta_length else []
                    pairs = tuple(zip(raw[::2], raw[1::2]))
                    return Frame(kind, flags, stream, dict(pairs), payload[meta_length:], pairs)
            try:
                chunk = self.socket.recv(1 << 20)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise EOFError
            self._received += chunk

    def ready(self, kind="function"):
        event = self.receive()
        assert event.kind == EVENT and event.meta == {":event": "ready", ":kind": kind}, event
        return self

    def call(self, event, **options):
        """Sends one call and returns its reply, which has to be the next frame."""
        stream = self.next_stream()
        self.send(call_frame(stream, event, **options))
        reply = self.receive()
        assert (reply.kind, reply.stream) == (REPLY, stream), reply
        return reply

    def exit_code(self):
        return self.process.wait(DEADLINE_SECONDS)

    def stdout(self):
        return (self.directory / "stdout").read_text()

    def stderr(self):
        return (self.directory / "stderr").read_text()

    def wait_for(self, name):
        """Until the function has made this file in its directory: it runs now."""
        until = time.monotonic() + DEADLINE_SECONDS
        while not (self.handler / name).exists():
            assert time.monotonic() < until, "the function did not start"
            time.sleep(0.002)


class GuestCase(unittest.TestCase):
    maxDiff = None

    def guest(self, source=None, **options):
        guest = Guest(source, **options)
        self.addCleanup(guest.close)
        return guest

    def assert_exits(self, guest, code):
        with self.assertRaises(EOFError):
            while True:
                guest.receive()
        self.assertEqual(guest.exit_code(), code)
