import unittest

from apps import FAILED, WsgiCase, request
from guest import DATA, REPLY


class Replies(WsgiCase):
    def test_a_reply_of_one_piece_is_one_frame(self):
        guest = self.raw(
            " start('418 Teapot', [('Content-Type', 'text/plain'), ('A', 'B'), ('Set-Cookie', 'c'), ('set-cookie', '\\xe9')])\n"
            " return [b'hi\\n']"
        )
        reply = self.get(guest)
        self.assertEqual((reply.status, reply.body, reply.pieces), (418, b"hi\n", [b"hi\n"]))
        self.assertEqual(
            reply.headers, [("Content-Type", "text/plain"), ("A", "B"), ("Set-Cookie", "c"), ("set-cookie", "é")]
        )

    def test_so_is_an_iterator_s_that_fulfils_its_content_length(self):
        guest = self.valid(" ok(start, ('Content-Length', '4'))\n yield b'ab'\n yield b'cd'\n mark('end')")
        self.assertEqual(self.get(guest).pieces, [b"ab", b"cd"])
        self.assertTrue((guest.handler / "end").exists())
        guest = self.valid(" ok(start, ('Content-Length', '2'))\n yield b''\n yield b'ab'\n yield b''")
        self.assertEqual(self.get(guest).pieces, [b"ab"])

    def test_an_empty_reply_is_one_frame(self):
        for body in ("return []", "return [b'']", "return iter(())", "yield b''"):
            with self.subTest(body):
                reply = self.get(self.valid(f" ok(start, ('Content-Length', '0'))\n {body}"))
                self.assertEqual((reply.status, reply.pieces), (200, [b""]))

    def test_pieces_are_sent_as_they_come_and_a_missing_content_length_delays_nothing(self):
        guest = self.raw(
            " ok(start)\n yield b''\n"
            " for n in (1, 2):\n"
            "  yield b'%d' % n\n"
            "  while not os.path.exists('go%d' % n): time.sleep(0.002)\n"
        )
        guest.send(request(1))
        for number, kind in ((1, REPLY), (2, DATA)):
            frame = guest.receive()
            self.assertEqual((frame.kind, frame.flags, frame.body), (kind, 0, b"%d" % number))
            (guest.handler / f"go{number}").touch()
        end = guest.receive()
        self.assertEqual((end.kind, end.flags, end.body), (DATA, 1, b""))

    def test_the_status_waits_for_the_first_piece_that_is_not_empty(self):
        guest = self.raw(
            " ok(start)\n"
            " yield b''\n"
            " try: 1 / 0\n"
            " except ZeroDivisionError: start('503 Later', [('Content-Type', 'text/plain')], sys.exc_info())\n"
            " yield b'sorry'\n"
        )
        reply = self.get(guest)
        self.assertEqual((reply.status, reply.body), (503, b"sorry"))

    def test_start_response_with_exc_info_raises_it_when_the_status_is_sent(self):
        guest = self.raw(
            " ok(start)\n"
            " yield b'begin'\n"
            " try: 1 / 0\n"
            " except ZeroDivisionError: start('500 No', [], sys.exc_info())\n"
        )
        guest.send(request(1))
        self.assertEqual(guest.receive().body, b"begin")
        self.assert_reset(guest, 1, FAILED)
        self.assertIn("i ZeroDivisionError: division by zero\n", guest.stderr())

    def test_write_sends_at_once_and_before_the_iterable(self):
        guest = self.valid(
            " write = ok(start)\n write(b'one')\n write(b'')\n"
            " while not os.path.exists('go'): time.sleep(0.002)\n"
            " write(b'two')\n return [b'three']"
        )
        guest.send(request(1))
        self.assertEqual(guest.receive()[::4], (REPLY, b"one"))
        (guest.handler / "go").touch()
        self.assertEqual([guest.receive()[::4] for _ in range(2)], [(DATA, b"two"), (DATA, b"three")])

    def test_every_byte_comes_through_in_both_directions(self):
        guest = self.valid(" ok(start)\n return [environ['wsgi.input'].read(int(environ['CONTENT_LENGTH']))]")
        body = bytes(range(256)) * 700
        self.assertTrue(self.post(guest, body).body == body)

    def test_a_reply_to_head_has_the_fields_and_no_body(self):
        guest = self.valid(" ok(start, ('Content-Length', '5'))\n return [b'12345']")
        reply = self.get(guest, method="HEAD")
        self.assertEqual((reply.headers[1], reply.pieces), (("Content-Length", "5"), [b""]))
        guest = self.raw(" ok(start)\n yield b'1'\n yield b'2'\n mark('end')")
        self.assertEqual(self.get(guest, method="HEAD").body, b"")
        self.assertTrue((guest.handler / "end").exists())

    def test_a_file_is_sent_in_blocks_and_closed(self):
        guest = self.valid(
            " global file\n file = open('f.py', 'rb')\n ok(start)\n" " return environ['wsgi.file_wrapper'](file, 100)"
        )
        reply = self.get(guest)
        self.assertEqual(reply.body, (guest.handler / "f.py").read_bytes())
        self.assertEqual({len(piece) for piece in reply.pieces[:-2]}, {100})
        guest = self.raw(
            " global file\n if environ['PATH_INFO']: ok(start); return [repr(file.closed).encode()]\n"
            " file = open('f.py', 'rb')\n ok(start)\n return environ['wsgi.file_wrapper'](file)"
        )
        self.get(guest)
        self.assertEqual(self.get(guest, "/closed").body, b"True")

    def test_lines_printed_are_tagged_and_wsgi_errors_is_stderr(self):
        guest = self.valid(" print('out', end='')\n environ['wsgi.errors'].write('err\\n')\n ok(start)\n return [b'x']")
        self.get(guest, invocation="a")
        self.get(guest, invocation="b")
        self.assertEqual((guest.stdout(), guest.stderr()), ("a out\nb out\n", "a err\nb err\n"))


if __name__ == "__main__":
    unittest.main()
