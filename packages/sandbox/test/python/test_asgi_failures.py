import unittest

from apps import DEADLINE, FAILED, AsgiCase, data, request, reset
from guest import RESET, WINDOW, pack


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


if __name__ == "__main__":
    unittest.main()
