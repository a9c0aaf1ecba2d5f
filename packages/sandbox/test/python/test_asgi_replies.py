import socket
import unittest

from apps import CANCELLED, AsgiCase, Response, request, reset, window
from guest import DATA, PING, REPLY, pack


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


if __name__ == "__main__":
    unittest.main()
