import socket
import time
import unittest

from apps import ASGI, REFUSED, AsgiCase, request
from guest import DEADLINE_SECONDS, EVENT, PING, pack


class Lifespans(AsgiCase):
    app_source = ASGI + """
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
        guest = self.app(ASGI + """
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


if __name__ == "__main__":
    unittest.main()
