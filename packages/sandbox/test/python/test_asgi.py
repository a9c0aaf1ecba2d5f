import socket
import time
import unittest

from apps import CANCELLED, DEADLINE, FAILED, REFUSED, WINDOW_BYTES, AppCase, Response, data, request, reset, window
from guest import DATA, DEADLINE_SECONDS, EVENT, PING, REPLY, RESET, WINDOW, call_frame, pack

MEGABYTE = 1024 * 1024

PRELUDE = """
import asyncio, json, os, sys, time
def mark(name, text=""):
    with open(name + ".part", "w") as file: file.write(text)
    os.rename(name + ".part", name)
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


class AsgiCase(AppCase):
    kind = "asgi"

    def asgi(self, code, prelude="", **options):
        """An app with this body, which does not know lifespans."""
        return self.app(
            f"{PRELUDE}\n{prelude}\nasync def app(scope, receive, send):\n assert scope['type'] == 'http'\n"
            f" path = scope['path'][len('/run/app'):]\n{code}",
            **options,
        )


class Scope(AsgiCase):
    def test_an_app_finds_all_that_the_specification_wants(self):
        guest = self.app(PRELUDE + """
expected = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "PUT",
    "scheme": "http",
    "path": "/run/app/a b/\\u00e9",
    "raw_path": b"/run/app/a%20b/%C3%A9",
    "query_string": b"q=%20&r",
    "root_path": "/run/app",
    "headers": [(b"host", b"[::1]:5000"), (b"x-two", b"1"), (b"x-two", b"\\xe9"),
                (b"x_y", b"z"), (b"traceparent", b"00-a")],
    "client": ("192.0.2.7", 0),
    "server": ("[::1]", 5000),
    "state": {"made": "at the start"},
}
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}, scope
        scope["state"]["made"] = "at the start"
        assert await receive() == {"type": "lifespan.startup"}
        await send({"type": "lifespan.startup.complete"})
        return
    extensions = scope.pop("extensions")
    assert list(extensions) == ["ol"] and extensions["ol"]["invocation_id"] == "01J", extensions
    assert time.time() + 25 < extensions["ol"]["deadline"] <= time.time() + 30
    assert scope == expected, scope
    assert type(scope["path"]) is str and type(scope["root_path"]) is str
    # A copy: the next request does not see it.
    scope["state"]["mine"] = 1
    assert await receive() == {"type": "http.request", "body": b"x", "more_body": False}
    await start(send, 201, (b"A", b"b"), [b"A", b"\\xe9"])
    await body(send, b"fine")
""")
        headers = ("Host", "[::1]:5000", "X-Two", "1", "x-two", "\xe9", "X_Y", "z", "traceparent", "00-a")
        for _ in range(2):
            reply = self.get(
                guest, "/a%20b/%C3%A9", method="PUT", headers=headers, body=b"x", query="q=%20&r", invocation="01J"
            )
            self.assertEqual(reply, Response(201, [("A", "b"), ("A", "é")], b"fine", [b"fine"]))

    def test_a_path_that_is_no_utf8_is_mended_and_odd_hosts_do_no_harm(self):
        guest = self.asgi(
            " await start(send)\n await body(send, ascii([path, scope['raw_path'], scope['server']]).encode())"
        )
        for path, headers, expected in (
            ("", (), ["", b"/run/app", ("localhost", 80)]),
            ("/%ff", ("Host", "a:b"), ["/\ufffd", b"/run/app/%ff", ("a:b", 80)]),
            ("/%2F", ("Host", "a:" + "9" * 9000), ["//", b"/run/app/%2F", ("a:" + "9" * 9000, 80)]),
        ):
            with self.subTest(path):
                self.assertEqual(self.get(guest, path, headers=headers).body, ascii(expected).encode())

    def test_a_call_that_says_nothing_of_http_is_a_post_of_its_event(self):
        guest = self.asgi(" await start(send)\n await body(send, scope['method'].encode() + await whole(receive))")
        guest.send(call_frame(1, {"a": 1}))
        self.assertEqual(self.reply(guest, 1).body, b'POST{"a": 1}')


class Lifespans(AsgiCase):
    app_source = PRELUDE + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await start(send)
    await body(send, b"served")
"""

    def lifespan(self, code, **options):
        return self.guest(f"{self.app_source}\nasync def lifespan(receive, send):\n{code}", **options)

    def test_the_startup_comes_before_ready_and_the_shutdown_when_the_worker_goes(self):
        guest = self.lifespan(
            " await receive()\n print('starting')\n await until('go')\n"
            " await send({'type': 'lifespan.startup.complete'})\n"
            " assert await receive() == {'type': 'lifespan.shutdown'}\n"
            " await asyncio.sleep(0.05)\n mark('down')\n await send({'type': 'lifespan.shutdown.complete'})\n"
        )
        guest.socket.settimeout(0.3)
        with self.assertRaises(socket.timeout):
            guest.receive()
        guest.socket.settimeout(DEADLINE_SECONDS)
        (guest.handler / "go").touch()
        guest.ready("asgi")
        self.assertEqual(self.get(guest).body, b"served")
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)
        self.assertTrue((guest.handler / "down").exists())
        self.assertEqual((guest.stdout(), guest.stderr()), ("starting\n", ""))

    def test_the_worker_can_ask_for_the_shutdown_and_what_is_open_is_finished_first(self):
        guest = self.app(PRELUDE + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        mark("down")
        await send({"type": "lifespan.shutdown.complete"})
    else:
        mark("on")
        await until("go")
        await start(send)
        await body(send, b"served")
""")
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(pack(EVENT, 0, 0, (":event", "shutdown")), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        self.assertFalse((guest.handler / "down").exists())
        (guest.handler / "go").touch()
        self.assertEqual(self.reply(guest, 1).body, b"served")
        self.assert_exits(guest, 0)
        self.assertTrue((guest.handler / "down").exists())

    def test_a_shutdown_that_does_not_end_is_not_waited_for(self):
        guest = self.lifespan(
            " await receive()\n await send({'type': 'lifespan.startup.complete'})\n await receive()\n"
            " await asyncio.sleep(600)"
        ).ready("asgi")
        started = time.monotonic()
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)
        self.assertLess(time.monotonic() - started, 10)

    def test_a_shutdown_that_fails_is_in_the_log(self):
        guest = self.lifespan(
            " await receive()\n await send({'type': 'lifespan.startup.complete'})\n await receive()\n"
            " await send({'type': 'lifespan.shutdown.failed', 'message': 'no disk'})"
        ).ready("asgi")
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)
        self.assertEqual(guest.stderr(), "the app's shutdown failed: no disk\n")

    def test_apps_that_do_not_know_lifespans_serve(self):
        for name, code in {
            "raises at once": " raise KeyError('path')",
            "returns": " pass",
            "returns after hearing": " await receive()",
            "does not look at the scope": " await start(send)\n await body(send, b'x')",
            "does not look and reads first": " await receive()\n await start(send)\n await body(send, b'x')",
        }.items():
            with self.subTest(name):
                guest = self.lifespan(code).ready("asgi")
                self.assertEqual(self.get(guest).body, b"served")
                guest.socket.close()
                self.assertEqual(guest.exit_code(), 0)
                self.assertEqual(guest.stderr(), "")

    def assert_import_error(self, code, expected):
        guest = self.lifespan(code, first=request(1) + request(3, method="POST", body=b"a", end=False))
        event = guest.receive()
        self.assertEqual((event.kind, event.meta), (EVENT, {":event": "import-error"}))
        text = event.body.decode()
        if not text.endswith(expected):
            self.assertEqual(text, expected)
        self.assertNotIn("ol_guest", text)
        for stream in (1, 3):
            self.assert_reset(guest, stream, REFUSED)
        guest.socket.shutdown(socket.SHUT_WR)
        self.assert_exits(guest, 1)

    def test_a_startup_that_fails_is_an_import_error_with_its_text(self):
        self.assert_import_error(
            " await receive()\n await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
            " raise ValueError",
            "no database\n",
        )
        self.assert_import_error(
            " await receive()\n await send({'type': 'lifespan.startup.failed'})",
            "the app's startup failed, and it does not say why\n",
        )

    def test_so_is_an_exception_once_the_app_has_heard_of_the_startup(self):
        self.assert_import_error(" await receive()\n raise ValueError('no table')", "\nValueError: no table\n")
        self.assert_import_error(" await receive()\n sys.exit(3)", "\nSystemExit: 3\n")
        self.assert_import_error(
            " await receive()\n asyncio.get_running_loop().create_task(leave())\n await asyncio.sleep(60)\n"
            "async def leave(): sys.exit(3)",
            "\nSystemExit: 3\n",
        )

    def test_a_lifespan_that_breaks_off_later_is_in_the_log_and_requests_are_served(self):
        guest = self.lifespan(
            " await receive()\n await send({'type': 'lifespan.startup.complete'})\n raise ValueError('later')"
        ).ready("asgi")
        self.assertEqual(self.get(guest).body, b"served")
        self.assertTrue(guest.stderr().endswith("ValueError: later\n"), guest.stderr())

    def test_what_was_made_while_loading_works_in_requests(self):
        guest = self.asgi(
            " async with lock: await queue.put(path)\n await start(send)\n"
            " await body(send, (await queue.get()).encode())",
            prelude="lock, queue = asyncio.Lock(), asyncio.Queue()",
        )
        guest.send(*(request(stream, f"/{stream}") for stream in (1, 3, 5)))
        self.assertEqual([self.reply(guest, stream).body for stream in (1, 3, 5)], [b"/1", b"/3", b"/5"])


class Replies(AsgiCase):
    def test_a_reply_of_one_piece_is_one_frame(self):
        guest = self.asgi(" await start(send, 418, (b'A', b'B'))\n await body(send, b'hi\\n')")
        self.assertEqual(self.get(guest), Response(418, [("A", "B")], b"hi\n", [b"hi\n"]))
        guest = self.asgi(" await start(send, 204)\n await send({'type': 'http.response.body'})")
        self.assertEqual(self.get(guest), Response(204, [], b"", [b""]))

    def test_events_are_sent_one_by_one(self):
        guest = self.asgi(
            " await start(send, 200, (b'content-type', b'text/event-stream'))\n await body(send, b'', True)\n"
            " for n in range(3):\n"
            "  await until(f'go{n}')\n"
            "  await body(send, b'data: %d\\n\\n' % n, True)\n"
            "  await body(send, b'', True)\n"
            " await body(send)"
        )
        guest.send(request(1))
        head = guest.receive()
        self.assertEqual((head.kind, head.flags, head.body), (REPLY, 0, b""))
        self.assertEqual(head.meta, {":status": "200", "content-type": "text/event-stream"})
        for number in range(3):
            (guest.handler / f"go{number}").touch()
            self.assertEqual(guest.receive()[::4], (DATA, b"data: %d\n\n" % number))
        self.assertEqual(guest.receive()[:3], (DATA, 1, 1))

    def test_a_reply_to_head_has_the_fields_and_no_body(self):
        guest = self.asgi(
            " await start(send, 200, (b'content-length', b'6'))\n" " for n in range(3): await body(send, b'ab', n < 2)"
        )
        self.assertEqual(self.get(guest, method="HEAD"), Response(200, [("content-length", "6")], b"", [b"", b""]))

    def test_a_reply_waits_for_the_worker_s_credit_and_no_other_is_held_up(self):
        guest = self.asgi(
            " await start(send)\n await body(send, bytes(1_000_000) if path else b'small')\n mark('sent' + path[1:])",
            window=100_000,
        )
        guest.send(request(1, "/big"))
        self.assertEqual(len(guest.receive().body), 100_000)
        guest.send(request(3))
        self.assertEqual(self.reply(guest, 3).body, b"small")
        self.assertFalse((guest.handler / "sentbig").exists())
        left = 900_000
        while left:
            guest.send(window(1, 50_000))
            frame = guest.receive()
            self.assertEqual((frame.kind, frame.stream, len(frame.body)), (DATA, 1, 50_000))
            left -= 50_000
        self.assertEqual(frame.flags, 1)
        guest.wait_for("sentbig")

    def test_a_worker_that_stops_reading_stops_the_app(self):
        guest = self.asgi(
            " await start(send)\n"
            " for n in range(400):\n  mark('at', str(n))\n  await body(send, bytes(50_000), True)\n"
            " await body(send)",
            window=1 << 30,
            send_buffer=4096,
        )
        guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        guest.send(request(1))
        self.assertLess(int(self.settled(guest, "at")), 300)
        count = 0
        while True:
            frame = guest.receive()
            count += len(frame.body)
            if frame.flags:
                break
        self.assertEqual(count, 20_000_000)

    def test_pieces_sent_at_once_come_whole_and_in_turn(self):
        guest = self.asgi(
            " await start(send)\n"
            " await asyncio.gather(*(body(send, b'%d' % n * 5000, True) for n in range(5)))\n await body(send)",
            window=3000,
        )
        self.assertEqual(self.get(guest).body, b"".join(b"%d" % n * 5000 for n in range(5)))

    def test_work_after_the_reply_goes_on_and_receive_says_that_it_is_over(self):
        guest = self.asgi(
            " await start(send)\n await body(send, b'x')\n"
            " message = await receive()\n await until('go')\n mark('after', message['type'])"
        )
        self.assertEqual(self.get(guest).body, b"x")
        guest.send(reset(1, CANCELLED), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        guest.wait_for("after")
        self.assertEqual((guest.handler / "after").read_text(), "http.disconnect")


class Failures(AsgiCase):
    cases = {
        "raises": (" raise ValueError('no')", "ValueError", "ValueError: no"),
        "raises after it has started": (" await start(send)\n raise ValueError('no')", "ValueError", "ValueError: no"),
        "is cancelled by itself": (" raise asyncio.CancelledError", "CancelledError", "CancelledError"),
        "returns at once": (" pass", "RuntimeError", "the app returned before its reply was complete\n"),
        "returns after its start": (
            " await start(send)",
            "RuntimeError",
            "the app returned before its reply was complete\n",
        ),
        "sends a body first": (" await body(send)", "RuntimeError", "body was sent before http.response.start"),
        "starts twice": (" await start(send)\n await start(send)", "RuntimeError", "start was sent a second time"),
        "sends what has no place": (
            " await send({'type': 'lifespan.startup.complete'})",
            "RuntimeError",
            "has no place",
        ),
        "gives text as status": (" await start(send, '200')", "TypeError", "a status is an int, not a str"),
        "gives a status that is none": (" await start(send, 101)", "ValueError", "from 200 to 599, not 101"),
        "gives text in fields": (
            " await start(send, 200, ('a', 'b'))",
            "TypeError",
            "a header field is a pair of bytes",
        ),
        "breaks a line": (
            " await start(send, 200, (b'a', b'b\\n'))",
            "ValueError",
            "the header field a has a line break",
        ),
        "names no field": (
            " await start(send, 200, (b'', b'b'))",
            "ValueError",
            "b'' is not the name of a header field",
        ),
        "sends text": (" await start(send)\n await body(send, 'text')", "TypeError", "memoryview"),
    }

    def test_an_app_that_fails_before_its_reply_has_begun_is_answered_with_its_exception_and_lives_on(self):
        for name, (code, kind, text) in self.cases.items():
            with self.subTest(name):
                guest = self.asgi(
                    f" if path: return await bad(receive, send)\n await start(send)\n await body(send, b'fine')\n"
                    f"async def bad(receive, send):\n{code}"
                )
                error = self.error(guest, "/bad")
                self.assertEqual(error["type"], kind)
                self.assertIn(text, error["message"])
                self.assertNotIn("ol_guest", error["message"])
                self.assertNotIn("asyncio/", error["message"])
                self.assertEqual(self.get(guest).body, b"fine")
                self.assertEqual(guest.stderr(), "")

    def test_an_exception_s_text_waits_for_credit_as_any_reply(self):
        guest = self.asgi(" raise ValueError('x' * 3000)", window=1000)
        guest.send(request(1))
        head = guest.receive()
        self.assertEqual((head.meta, head.flags, len(head.body)), ({":error": "exception"}, 0, 1000))
        guest.send(reset(1, DEADLINE))
        self.assert_reset(guest, 1, DEADLINE)

    def test_one_that_fails_later_is_broken_off_and_why_is_in_the_log(self):
        for code, text in (
            (" raise ValueError('no')", "i ValueError: no\n"),
            (" pass", "i the app returned before its reply was complete\n"),
        ):
            with self.subTest(code):
                guest = self.asgi(f" await start(send)\n await body(send, b'begin', True)\n{code}")
                guest.send(request(1))
                self.assertEqual(guest.receive().body, b"begin")
                self.assert_reset(guest, 1, FAILED)
                self.assertTrue(guest.stderr().endswith(text), guest.stderr())
                self.assertNotIn("ol_guest", guest.stderr())

    def test_one_that_fails_after_its_reply_is_in_the_log(self):
        guest = self.asgi(" await start(send)\n await body(send, b'x')\n await body(send, b'y')")
        self.assertEqual(self.get(guest).body, b"x")
        self.assertEqual(self.get(guest).body, b"x")
        self.assertIn("i RuntimeError: http.response.body was sent after the last one\n", guest.stderr())

    def test_after_a_piece_that_was_cancelled_on_its_way_nothing_more_is_sent(self):
        guest = self.asgi(
            " await start(send)\n"
            " try: await asyncio.wait_for(body(send, b'x' * 5000, True), 0.05)\n except asyncio.TimeoutError: pass\n"
            " await body(send, b'y')",
            window=1000,
        )
        guest.send(request(1))
        self.assertEqual(len(guest.receive().body), 1000)
        self.assert_reset(guest, 1, FAILED)
        self.assertIn("was sent after one that was cancelled on its way", guest.stderr())

    def test_sys_exit_ends_the_process_with_its_code(self):
        for code in (" sys.exit(7)", " asyncio.get_running_loop().create_task(leave())\n await asyncio.sleep(60)"):
            guest = self.asgi(code, prelude="async def leave(): sys.exit(7)")
            guest.send(request(1))
            self.assert_exits(guest, 7)

    def test_stopping_the_loop_stops_nothing(self):
        guest = self.asgi(" asyncio.get_running_loop().stop()\n await start(send)\n await body(send, b'x')")
        self.assertEqual([self.get(guest).body for _ in range(2)], [b"x", b"x"])

    def test_a_forked_child_that_comes_back_never_speaks(self):
        guest = self.asgi(
            " pid = os.fork()\n"
            " if not pid and path == '/raise': raise ValueError('in the child')\n"
            " if pid: code = os.waitpid(pid, 0)[1] >> 8\n"
            " await start(send)\n await body(send, b'%d' % code if pid else b'child')"
        )
        self.assertEqual(self.get(guest).body, b"0")
        self.assertEqual(self.get(guest, "/raise").body, b"1")
        self.assertIn("i ValueError: in the child\n", guest.stderr())
        self.assertEqual(self.get(guest).body, b"0")

    def test_a_violation_ends_the_process(self):
        for frames in (
            pack(WINDOW, 0, 1, (), bytes(4)),
            pack(0x30, 0, 0),
            data(3, b"x"),
            pack(RESET, 0, 1, (), b"x"),
            request(1),
        ):
            guest = self.asgi(" mark('on')\n await asyncio.sleep(60)")
            guest.send(request(1))
            guest.wait_for("on")
            guest.send(frames)
            self.assert_exits(guest, 76)

    def test_the_worker_s_going_ends_open_requests_and_the_process(self):
        guest = self.asgi(" mark('on')\n try: await asyncio.sleep(60)\n finally: mark('finally')")
        guest.send(request(1))
        guest.wait_for("on")
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)
        self.assertTrue((guest.handler / "finally").exists())

    def test_orphans_are_reaped_and_subprocesses_of_asyncio_keep_their_codes(self):
        guest = self.asgi(
            " process = await asyncio.create_subprocess_exec('sh', '-c', 'exit 7')\n"
            " code = await process.wait()\n await start(send)\n await body(send, b'%d' % code)"
        )
        self.assertEqual([self.get(guest).body for _ in range(5)], [b"7"] * 5)


class Bodies(AsgiCase):
    def test_every_byte_comes_through_in_both_directions(self):
        guest = self.asgi(" await start(send)\n await body(send, await whole(receive))")
        content = bytes(range(256)) * 700
        self.assertTrue(self.post(guest, content).body == content)

    def test_a_body_is_received_as_it_comes(self):
        guest = self.asgi(
            " await start(send)\n"
            " while True:\n  message = await receive()\n  await body(send, message['body'], message['more_body'])\n"
            "  if not message['more_body']: return"
        )
        guest.send(request(1, method="POST", end=False, body=b"first"))
        self.assertEqual(guest.receive()[::4], (REPLY, b"first"))
        for piece in (b"second", b"third"):
            guest.send(data(1, piece))
            self.assertEqual(guest.receive()[::4], (DATA, piece))
        guest.send(data(1, b"", True))
        self.assertEqual(guest.receive()[:2], (DATA, 1))

    def test_a_body_larger_than_the_window_is_taken_as_it_is_received(self):
        guest = self.asgi(" got = await whole(receive)\n await start(send)\n await body(send, b'%d' % len(got))")
        guest.send(request(1, method="POST", end=False))
        self.assertEqual(self.upload(guest, 1, bytes(3 * MEGABYTE)), [])
        self.assertEqual(self.reply(guest, 1).body, b"%d" % (3 * MEGABYTE))

    def test_a_body_that_nobody_receives_gets_no_credit_and_more_is_a_violation(self):
        guest = self.asgi(
            " mark('on')\n await until('go')\n await receive()\n await start(send)\n await body(send, b'x')"
        )
        guest.send(request(1, method="POST", end=False))
        guest.wait_for("on")
        guest.send(data(1, bytes(WINDOW_BYTES)), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        self.assertEqual(guest.receive().code, WINDOW_BYTES)
        self.assertEqual(self.reply(guest, 1).body, b"x")
        guest = self.asgi(" await asyncio.sleep(60)")
        guest.send(request(1, method="POST", end=False), data(1, bytes(WINDOW_BYTES)), data(1, b"x"))
        self.assert_exits(guest, 76)

    def test_a_body_that_was_not_received_to_its_end_disturbs_nobody(self):
        guest = self.asgi(" await start(send)\n await body(send, (await receive())['body'])")
        guest.send(request(1, method="POST", body=b"a", end=False))
        self.assertEqual(self.reply(guest, 1).body, b"a")
        guest.send(data(1, bytes(1000)), data(1, bytes(WINDOW_BYTES)), data(1, b"", True))
        guest.send(request(3, method="POST", body=b"b"))
        self.assertEqual(self.reply(guest, 3).body, b"b")


class Concurrency(AsgiCase):
    def test_requests_run_at_the_same_time(self):
        guest = self.asgi(
            " seen.add(path)\n"
            " while len(seen) < 50: await asyncio.sleep(0.002)\n"
            " await start(send)\n await body(send, path.encode())",
            prelude="seen = set()",
        )
        guest.send(*(request(1 + 2 * n, f"/{n}") for n in range(50)))
        replies = [guest.receive() for _ in range(50)]
        self.assertEqual({frame.stream: frame.body for frame in replies}, {1 + 2 * n: b"/%d" % n for n in range(50)})
        self.assertTrue(all(frame.flags for frame in replies))

    def test_each_one_s_lines_begin_with_its_own_id(self):
        guest = self.asgi(
            " for n in range(3):\n"
            "  print('line', path, end='')\n  await asyncio.sleep(0.001)\n  print(' goes on')\n"
            "  await asyncio.get_running_loop().create_task(later(path))\n"
            " sys.stderr.write('unfinished ' + path)\n"
            " await start(send)\n await body(send)",
            prelude="print('loading')\nasync def later(path): await asyncio.sleep(0); print('in a task', path)",
        )
        guest.send(*(request(1 + 2 * n, f"/{n}", invocation=f"id{n}") for n in range(20)))
        for _ in range(20):
            self.assertEqual(guest.receive().kind, REPLY)
        lines = guest.stdout().splitlines()
        self.assertEqual(lines[0], "loading")
        expected = [f"id{n} {text}" for n in range(20) for text in (f"line /{n} goes on", f"in a task /{n}")]
        self.assertEqual(sorted(lines[1:]), sorted(expected * 3))
        self.assertEqual(sorted(guest.stderr().splitlines()), sorted(f"id{n} unfinished /{n}" for n in range(20)))

    def test_the_output_of_a_request_is_written_before_its_reply_ends(self):
        guest = self.asgi(
            " print(path, end='')\n await start(send)\n await body(send)\n print('after', end='')\n"
            " mark('end' + path[1:])"
        )
        for number in range(50):
            self.get(guest, f"/{number}")
            self.assertIn(f"i /{number}\n", guest.stdout())
        guest.wait_for("end49")
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)
        self.assertEqual(guest.stdout().count("i after\n"), 50)

    def test_uploads_and_downloads_at_the_same_time_stay_apart(self):
        guest = self.asgi(
            " await start(send)\n"
            " while True:\n  message = await receive()\n  await body(send, message['body'], message['more_body'])\n"
            "  if not message['more_body']: return",
            window=10_000,
        )
        streams = {1 + 2 * n: bytes([n]) * 100_000 for n in range(8)}
        guest.send(*(request(stream, method="POST", end=False) for stream in streams))
        for start in range(0, 100_000, 20_000):
            guest.send(
                *(data(stream, body[start : start + 20_000], start == 80_000) for stream, body in streams.items())
            )
        got, ended = dict.fromkeys(streams, b""), 0
        while ended < len(streams):
            frame = guest.receive()
            if frame.kind != WINDOW:
                got[frame.stream] += frame.body
                ended += frame.flags
                if frame.body and not frame.flags:
                    guest.send(window(frame.stream, len(frame.body)))
        self.assertTrue(got == streams)


class Cancelling(AsgiCase):
    def test_an_app_hears_that_its_client_is_gone_and_the_reset_is_answered_when_it_ends(self):
        guest = self.asgi(
            " assert (await receive())['type'] == 'http.request'\n mark('on')\n"
            " message = await receive()\n mark('heard', message['type'])\n await until('go')"
        )
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        guest.wait_for("heard")
        self.assertEqual((guest.handler / "heard").read_text(), "http.disconnect")
        guest.send(pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        self.assert_reset(guest, 1, CANCELLED)
        self.assertEqual(guest.stderr(), "")

    def test_sending_to_a_client_that_is_gone_raises_oserror(self):
        guest = self.asgi(
            " await start(send)\n mark('on')\n"
            " try:\n  while True:\n   await body(send, b'x', True)\n   await asyncio.sleep(0.002)\n"
            " except OSError as error:\n  mark('error', str(error))\n  raise ValueError from error"
        )
        guest.send(request(1))
        self.assertEqual(guest.receive().kind, REPLY)
        guest.send(reset(1, CANCELLED))
        frame = guest.receive()
        while frame.kind == DATA:
            frame = guest.receive()
        self.assertEqual((frame.kind, frame.code), (RESET, CANCELLED))
        self.assertEqual((guest.handler / "error").read_text(), "the client is gone")
        # It is what the app made of it, and nobody's mistake.
        self.assertEqual(guest.stderr(), "")

    def test_a_send_that_waits_for_credit_is_woken(self):
        guest = self.asgi(" await start(send)\n await body(send, bytes(5000))", window=1000)
        guest.send(request(1))
        self.assertEqual(guest.receive().kind, REPLY)
        guest.send(reset(1, CANCELLED))
        self.assert_reset(guest, 1, CANCELLED)

    def test_a_body_that_stops_coming_ends_in_a_disconnect(self):
        guest = self.asgi(" while (await receive())['type'] != 'http.disconnect': mark('on')\n mark('end')")
        guest.send(request(1, method="POST", body=b"x", end=False))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED))
        self.assert_reset(guest, 1, CANCELLED)
        self.assertTrue((guest.handler / "end").exists())

    def test_the_deadline_cancels_the_task_and_its_finally_blocks_run(self):
        guest = self.asgi(
            " if path == '/fine': await start(send); return await body(send, b'fine')\n"
            " if path == '/sent': await start(send); await body(send, b'x', True)\n"
            " mark('on' + path[1:])\n"
            " try: await asyncio.sleep(60)\n"
            " except Exception: mark('caught')\n"
            " finally:\n  await asyncio.sleep(0.01)\n  mark('finally' + path[1:])"
        )
        for path in ("/waits", "/sent"):
            stream = guest.next_stream()
            guest.send(request(stream, path))
            guest.wait_for("on" + path[1:])
            guest.send(reset(stream, DEADLINE))
            if path == "/sent":
                self.assertEqual(guest.receive().body, b"x")
            self.assert_reset(guest, stream, DEADLINE)
            self.assertTrue((guest.handler / f"finally{path[1:]}").exists())
        self.assertFalse((guest.handler / "caught").exists())
        self.assertEqual(self.get(guest, "/fine").body, b"fine")
        self.assertEqual(guest.stderr(), "")

    def test_an_app_that_swallows_the_deadline_cannot_reply_any_more(self):
        guest = self.asgi(
            " mark('on')\n try: await asyncio.sleep(60)\n except asyncio.CancelledError: pass\n"
            " await start(send)\n await body(send, b'x')"
        )
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, DEADLINE))
        self.assert_reset(guest, 1, DEADLINE)

    def test_the_deadline_after_the_client_has_gone_still_cancels(self):
        guest = self.asgi(" mark('on')\n await asyncio.sleep(60)")
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED), reset(1, DEADLINE))
        self.assert_reset(guest, 1, DEADLINE)

    def test_one_that_has_begun_is_not_given_back_and_others_are_not_touched(self):
        guest = self.asgi(
            " mark('on' + path[1:])\n await until('go')\n await start(send)\n await body(send, path.encode())"
        )
        guest.send(request(1, "/1"), request(3, "/3"))
        guest.wait_for("on1")
        guest.wait_for("on3")
        guest.send(reset(1, REFUSED), reset(3, CANCELLED), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        frames = {frame.stream: frame for frame in (guest.receive(), guest.receive())}
        self.assertEqual((frames[1].kind, frames[1].body), (REPLY, b"/1"))
        self.assertEqual((frames[3].kind, frames[3].code), (RESET, CANCELLED))

    def test_one_that_is_cancelled_in_the_same_write_never_begins(self):
        guest = self.asgi(" mark('on')\n await start(send)\n await body(send)")
        for stream, code, end in ((1, CANCELLED, True), (3, DEADLINE, True), (5, REFUSED, False)):
            guest.send(request(stream, method="POST", end=end) + reset(stream, code))
            self.assert_reset(guest, stream, code)
        guest.send(data(5, b"late", True))
        self.assertFalse((guest.handler / "on").exists())
        guest.send(request(7))
        self.assertEqual(self.reply(guest, 7).status, 200)

    def test_resets_at_any_moment_end_every_request_exactly_once(self):
        guest = self.asgi(
            " await start(send)\n pause = int(path[1:]) / 10_000\n"
            " await body(send, b'a', True)\n await asyncio.sleep(pause)\n"
            " message = await receive()\n await body(send, message.get('body', b''))\n"
        )
        ended = {}
        for number in range(300):
            stream = guest.next_stream()
            guest.send(request(stream, f"/{number % 7}", "POST", body=b"b", end=bool(number % 2)))
            if number % 3:
                time.sleep((number % 5) / 10_000)
            guest.send(reset(stream, (CANCELLED, DEADLINE)[number % 4 < 2]))
        guest.send(pack(PING, 0, 0, (), b"p"))
        pinged = False
        while len(ended) < 300 or not pinged:
            frame = guest.receive()
            pinged = pinged or frame.kind == PING
            if frame.kind != PING and (frame.flags or frame.kind == RESET):
                self.assertNotIn(frame.stream, ended)
                ended[frame.stream] = frame.kind
            elif frame.kind != PING:
                self.assertNotIn(frame.stream, ended)
        self.assertEqual(guest.stderr(), "")


if __name__ == "__main__":
    unittest.main()
