import unittest

from apps import MEGABYTE, WINDOW_BYTES, AsgiCase, data, request
from guest import DATA, PING, REPLY, pack


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


if __name__ == "__main__":
    unittest.main()
