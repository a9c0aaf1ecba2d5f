import time
import unittest

from apps import CANCELLED, DEADLINE, REFUSED, AsgiCase, data, request, reset
from guest import DATA, PING, REPLY, RESET, pack


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
