import socket
import unittest

from apps import MEGABYTE, WINDOW_BYTES, WsgiCase, data, request, window
from guest import DATA, PING, REPLY, WINDOW, pack

READ = {
    "/read": "i.read()",
    "/read5": "i.read(5)",
    "/readline": "i.readline()",
    "/readline3": "i.readline(3)",
    "/readlines": "b'|'.join(i.readlines())",
    "/readlines3": "b'|'.join(i.readlines(3))",
    "/iterate": "b'|'.join(i)",
    "/none": "i.read(None) + i.read() + i.read(3) + i.readline()",
    "/zero": "i.read(0) + i.readline(0) + i.read(1)",
    "/each": "b'|'.join(iter(lambda: i.read(2), b''))",
    "/text": "io.TextIOWrapper(i).read().encode()",
    "/buffered": "b'|'.join(iter(lambda: i.read1(3), b''))",
}


class Bodies(WsgiCase):
    body = b"one\ntwo\n\nthree"
    expected = {
        "/read": body,
        "/read5": b"one\nt",
        "/readline": b"one\n",
        "/readline3": b"one",
        "/readlines": b"one\n|two\n|\n|three",
        "/readlines3": b"one\n",
        "/iterate": b"one\n|two\n|\n|three",
        "/none": body,
        "/zero": b"o",
        "/each": b"on|e\n|tw|o\n|\nt|hr|ee",
        "/text": body,
    }

    def reader(self):
        cases = "\n".join(f" if environ['PATH_INFO'] == {path!r}: result = {code}" for path, code in READ.items())
        return self.raw(f" import io\n i = environ['wsgi.input']\n ok(start)\n{cases}\n return [result]")

    def test_a_body_is_read_in_all_ways_that_the_pep_knows(self):
        guest = self.reader()
        for path, expected in self.expected.items():
            with self.subTest(path):
                self.assertEqual(self.post(guest, self.body, path).body, expected)
                # And one that comes byte by byte.
                stream = guest.next_stream()
                guest.send(request(stream, path, "POST", body=self.body[:1], end=False))
                for index in range(1, len(self.body)):
                    guest.send(data(stream, self.body[index : index + 1]))
                guest.send(data(stream, b"", True))
                self.assertEqual(self.reply(guest, stream).body, expected)

    def test_what_is_there_can_be_read_without_waiting_for_more(self):
        guest = self.raw(" ok(start)\n yield from iter(lambda: environ['wsgi.input'].read1(100), b'')")
        guest.send(request(1, method="POST", end=False, body=b"first"))
        self.assertEqual(guest.receive().body, b"first")
        for piece in (b"second", b"third"):
            guest.send(data(1, piece))
            self.assertEqual(guest.receive()[::4], (DATA, piece))
        guest.send(data(1, b"", True))
        self.assertEqual(guest.receive()[:2], (DATA, 1))

    def test_a_body_larger_than_the_window_is_taken_as_it_is_read(self):
        guest = self.valid(
            " count = 0\n"
            " while True:\n  piece = environ['wsgi.input'].read(100_000)\n  if not piece: break\n"
            "  count += len(piece)\n"
            " ok(start)\n return [b'%d' % count]"
        )
        for _ in range(2):
            stream = guest.next_stream()
            guest.send(request(stream, method="POST", end=False))
            self.assertEqual(self.upload(guest, stream, bytes(3 * MEGABYTE)), [])
            self.assertEqual(self.reply(guest, stream).body, b"%d" % (3 * MEGABYTE))

    def test_a_body_that_nobody_reads_gets_no_credit(self):
        guest = self.raw(
            " ok(start)\n mark('on')\n while not os.path.exists('go'): time.sleep(0.002)\n"
            " yield b'%d' % len(environ['wsgi.input'].read(WINDOW))".replace("WINDOW", str(WINDOW_BYTES))
        )
        guest.send(request(1, method="POST", end=False))
        guest.wait_for("on")
        guest.send(data(1, bytes(WINDOW_BYTES // 2)), data(1, bytes(WINDOW_BYTES // 2)), pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        kinds = [guest.receive() for _ in range(3)]
        self.assertEqual([frame.kind for frame in kinds], [WINDOW, REPLY, DATA])
        self.assertEqual((kinds[0].code, kinds[1].body), (WINDOW_BYTES, b"%d" % WINDOW_BYTES))

    def test_a_body_that_was_not_read_to_its_end_does_not_disturb_the_next_request(self):
        guest = self.valid(" ok(start)\n return [environ['wsgi.input'].read(1)]")
        guest.send(request(1, method="POST", body=b"a", end=False), request(3, method="POST", body=b"b", end=False))
        guest.send(data(3, b"c"), data(1, b"rest" * 1000))
        self.assertEqual([self.reply(guest, stream).body for stream in (1, 3)], [b"a", b"b"])
        guest.send(data(1, b"still", True), data(3, bytes(WINDOW_BYTES)))
        guest.send(request(5, method="POST", body=b"x"))
        self.assertEqual(self.reply(guest, 5).body, b"x")

    def test_an_echo_streams_both_ways_with_back_pressure(self):
        guest = self.raw(
            " ok(start)\n"
            " while True:\n  piece = environ['wsgi.input'].read1(50_000)\n  if not piece: return\n  yield piece",
            window=20_000,
        )
        guest.send(request(1, method="POST", end=False))
        body = bytes(range(256)) * 8192
        sent, credit, echoed = 0, WINDOW_BYTES, b""
        while True:
            while credit and sent < len(body):
                part = body[sent : sent + min(credit, 60_000)]
                guest.send(data(1, part, sent + len(part) == len(body)))
                sent, credit = sent + len(part), credit - len(part)
            frame = guest.receive()
            if frame.kind == WINDOW:
                credit += frame.code
                continue
            self.assertLessEqual(len(frame.body), 20_000)
            echoed += frame.body
            if frame.flags:
                break
            guest.send(window(1, len(frame.body)))
        self.assertTrue(echoed == body)

    def test_a_reply_waits_for_the_worker_s_credit(self):
        guest = self.valid(" ok(start)\n return [b'x' * 3_000_000, b'y' * 10]", window=100_000)
        guest.send(request(1))
        self.assertEqual(len(guest.receive().body), 100_000)
        guest.send(pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive().kind, PING)
        guest.send(window(1, 100_000))
        rest = guest.receive()
        self.assertEqual((rest.kind, len(rest.body)), (DATA, 100_000))
        guest.send(window(1, 10_000_000))
        left = 2_800_010
        while not rest.flags:
            rest = guest.receive()
            left -= len(rest.body)
        self.assertEqual(left, 0)

    def test_a_worker_that_stops_reading_stops_the_app(self):
        guest = self.raw(
            " ok(start)\n for n in range(400):\n  mark('at', str(n))\n  yield bytes(50_000)",
            window=1 << 30,
            send_buffer=4096,
        )
        guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        guest.send(request(1))
        self.assertLess(int(self.settled(guest, "at")), 300)
        body = 0
        while True:
            frame = guest.receive()
            body += len(frame.body)
            if frame.flags:
                break
        self.assertEqual(body, 20_000_000)


if __name__ == "__main__":
    unittest.main()
