import time
import unittest

from apps import CANCELLED, DEADLINE, REFUSED, WsgiCase, data, request, reset
from guest import DATA, PING, REPLY, pack


class Cancelling(WsgiCase):
    def test_the_iterable_is_closed_at_the_next_piece_when_the_client_is_gone(self):
        guest = self.raw(
            " ok(start)\n"
            " try:\n  while True:\n   yield b'x'\n   time.sleep(0.005)\n"
            " except GeneratorExit:\n  mark('closed')\n  raise\n"
        )
        guest.send(request(1))
        self.assertEqual(guest.receive().kind, REPLY)
        guest.send(reset(1, CANCELLED))
        frame = guest.receive()
        while frame.kind == DATA:
            frame = guest.receive()
        self.assertEqual(frame.code, CANCELLED)
        self.assertTrue((guest.handler / "closed").exists())
        self.assertEqual(guest.stderr(), "")

    def test_so_it_is_when_it_yields_nothing_yet(self):
        guest = self.raw(
            " ok(start)\n mark('on')\n try:\n  while True:\n   yield b''\n   time.sleep(0.005)\n"
            " finally: mark('closed')\n"
        )
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED))
        self.assert_reset(guest, 1, CANCELLED)
        self.assertTrue((guest.handler / "closed").exists())

    def test_an_app_that_computes_is_not_interrupted_by_its_client_s_going(self):
        guest = self.raw(
            " mark('on')\n while not os.path.exists('go'): pass\n"
            " mark('end')\n ok(start)\n return [b'x']"
        )
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED), pack(PING, 0, 0, (), b"p"))
        # It has heard of it, and runs.
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        self.assert_reset(guest, 1, CANCELLED)
        self.assertTrue((guest.handler / "end").exists())
        guest.send(request(3))
        self.assertEqual(self.reply(guest, 3).body, b"x")

    def test_reading_and_writing_raise_when_the_client_is_gone(self):
        for code in ("environ['wsgi.input'].read()", "[write(b'x') for _ in iter(int, 1)]"):
            with self.subTest(code):
                guest = self.raw(
                    f" write = ok(start)\n mark('on')\n try: {code}\n"
                    " except OSError as error: mark('error', str(error)); raise\n return []",
                    window=1000,
                )
                guest.send(request(1, method="POST", end=False))
                guest.wait_for("on")
                guest.send(reset(1, CANCELLED))
                frame = guest.receive()
                while frame.kind in (REPLY, DATA):
                    frame = guest.receive()
                self.assertEqual(frame.code, CANCELLED)
                self.assertEqual((guest.handler / "error").read_text(), "the client is gone")
                self.assertEqual(guest.stderr(), "")

    def assert_deadline(self, body):
        guest = self.raw(
            f" if environ['PATH_INFO']: ok(start); return [b'next']\n return bad(environ, start)\n"
            f"def bad(environ, start):\n{body}",
            window=1000,
        )
        guest.send(request(1, method="POST", end=False))
        guest.wait_for("on")
        guest.send(reset(1, DEADLINE))
        frame = guest.receive()
        while frame.kind in (REPLY, DATA):
            frame = guest.receive()
        self.assertEqual((frame.stream, frame.code), (1, DEADLINE))
        guest.send(request(3, "/next"))
        self.assertEqual(self.reply(guest, 3).body, b"next")
        return guest

    def test_the_deadline_interrupts_the_app_wherever_it_is(self):
        self.assert_deadline(" mark('on')\n while True: pass")
        self.assert_deadline(" mark('on')\n time.sleep(60)")
        self.assert_deadline(" ok(start)\n mark('on')\n environ['wsgi.input'].read()")
        self.assert_deadline(" ok(start)\n mark('on')\n yield b'x' * 5000")
        self.assert_deadline(" write = ok(start)\n mark('on')\n write(b'x' * 5000)\n return []")
        self.assert_deadline(
            " mark('on')\n try: time.sleep(60)\n except BaseException: pass\n ok(start)\n return [b'x']"
        )

    def test_the_deadline_runs_finally_blocks_and_closes_the_iterable(self):
        guest = self.assert_deadline(
            " class Body:\n"
            "  def __iter__(self): return self\n"
            "  def __next__(self): mark('on'); time.sleep(60)\n"
            "  def close(self): mark('closed')\n"
            " ok(start)\n return Body()"
        )
        self.assertTrue((guest.handler / "closed").exists())
        guest = self.assert_deadline(
            " ok(start)\n try:\n  yield b'x'\n  mark('on')\n  while True: pass\n"
            " except Exception: mark('caught')\n finally: mark('finally')\n"
        )
        self.assertEqual([(guest.handler / name).exists() for name in ("finally", "caught")], [True, False])

    def test_the_deadline_after_the_client_has_gone_still_interrupts(self):
        guest = self.raw(" mark('on')\n while True: pass")
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        guest.send(reset(1, DEADLINE))
        self.assert_reset(guest, 1, DEADLINE)

    def test_a_request_that_waits_is_given_back_or_dropped_and_one_that_runs_is_not(self):
        guest = self.raw(
            " mark('on' + environ['PATH_INFO'][1:])\n ok(start)\n"
            " while not os.path.exists('go'): time.sleep(0.002)\n return [b'x']"
        )
        guest.send(request(1, "/1"), request(3, "/3"), request(5, "/5", "POST", end=False), request(7, "/7"))
        guest.wait_for("on1")
        guest.send(reset(7, CANCELLED), reset(5, REFUSED), reset(3, REFUSED), reset(1, REFUSED))
        for stream, code in ((7, CANCELLED), (5, REFUSED), (3, REFUSED)):
            self.assert_reset(guest, stream, code)
        guest.send(data(5, b"late", True))
        (guest.handler / "go").touch()
        self.assertEqual(self.reply(guest, 1).body, b"x")
        guest.send(request(9, "/9"))
        self.assertEqual(self.reply(guest, 9).body, b"x")
        self.assertEqual(
            [(guest.handler / f"on{n}").exists() for n in (1, 3, 5, 7, 9)], [True, False, False, False, True]
        )

    def test_resets_at_any_moment_end_every_request_exactly_once(self):
        guest = self.raw(
            " ok(start)\n pause = int(environ['PATH_INFO'][1:]) / 10_000\n"
            " yield b'a'\n if pause: time.sleep(pause)\n yield environ['wsgi.input'].read()\n"
        )
        for number in range(200):
            stream = guest.next_stream()
            guest.send(request(stream, f"/{number % 7}", "POST", body=b"b", end=bool(number % 2)))
            if number % 3:
                time.sleep((number % 5) / 10_000)
            guest.send(reset(stream, (CANCELLED, DEADLINE)[number % 4 < 2]))
            frame = guest.receive()
            while frame.kind in (REPLY, DATA) and not frame.flags:
                self.assertEqual(frame.stream, stream)
                frame = guest.receive()
            self.assertEqual(frame.stream, stream)
            self.assertIn((frame.kind, frame.flags), [(DATA, 1), (7, 0)])
        guest.send(data(1, b"late"), data(399, b"late", True))
        self.assertEqual(self.post(guest, b"b", "/0").body, b"ab")


if __name__ == "__main__":
    unittest.main()
