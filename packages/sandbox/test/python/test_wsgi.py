import json
import socket
import time
import unittest

from apps import CANCELLED, DEADLINE, FAILED, REFUSED, WINDOW_BYTES, AppCase, data, request, reset, window
from guest import DATA, PING, REPLY, WINDOW, call_frame, pack

MEGABYTE = 1024 * 1024

# Every app here is held against wsgiref's validator, but for those that break the rules on purpose.
VALID = """
import json, os, sys, time
from wsgiref.validate import validator
def mark(name, text=""):
    with open(name + ".part", "w") as file: file.write(text)
    os.rename(name + ".part", name)
def ok(start, *headers):
    return start("200 OK", [("Content-Type", "text/plain"), *headers])
"""


class WsgiCase(AppCase):
    kind = "wsgi"

    def valid(self, body, **options):
        """An app with this body, in the validator."""
        return self.app(f"{VALID}\n@validator\ndef app(environ, start):\n{body}", **options)

    def raw(self, body, **options):
        return self.app(f"{VALID}\ndef app(environ, start):\n{body}", **options)


class Environ(WsgiCase):
    def environ(self, *arguments, **options):
        guest = self.valid(
            " ok(start)\n"
            " shown = {k: v if isinstance(v, (str, int, tuple, float)) else str(type(v)) for k, v in environ.items()}\n"
            " return [json.dumps(shown)"
            ".encode()]"
        )
        return json.loads(self.get(guest, *arguments, **options).body)

    def test_it_has_all_that_the_pep_wants(self):
        before = time.time()
        environ = self.environ(
            "/a/b", query="c=d%20e", headers=("Host", "example.com:8080", "X-Two", "2"), invocation="01J"
        )
        deadline = environ.pop("ol.deadline")
        self.assertTrue(before + 30 <= deadline <= time.time() + 30)
        # The validator puts its own around these two.
        self.assertIn("InputWrapper", environ.pop("wsgi.input"))
        self.assertIn("ErrorWrapper", environ.pop("wsgi.errors"))
        self.assertIn("type", environ.pop("wsgi.file_wrapper"))
        self.assertEqual(
            environ,
            {
                "REQUEST_METHOD": "GET",
                "SCRIPT_NAME": "/run/app",
                "PATH_INFO": "/a/b",
                "QUERY_STRING": "c=d%20e",
                "SERVER_NAME": "example.com",
                "SERVER_PORT": "8080",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "192.0.2.7",
                "HTTP_HOST": "example.com:8080",
                "HTTP_X_TWO": "2",
                "wsgi.version": [1, 0],
                "wsgi.url_scheme": "http",
                "wsgi.input_terminated": True,
                "wsgi.multithread": False,
                "wsgi.multiprocess": True,
                "wsgi.run_once": False,
                "ol.invocation_id": "01J",
            },
        )

    def test_the_path_is_decoded_into_the_characters_of_its_bytes(self):
        guest = self.raw(" ok(start)\n return [environ['PATH_INFO'].encode('latin-1')]")
        for path, expected in {
            "": b"",
            "/": b"/",
            "/%C3%A9/%e2%82%AC": "/é/€".encode(),
            "/%ff%00": b"/\xff\0",
            "/a%2Fb%": b"/a/b%",
            "/%zz%4": b"/%zz%4",
            "/%2541": b"/%41",
            "/\xe9": b"/\xe9",
            "/a+b": b"/a+b",
        }.items():
            with self.subTest(path):
                self.assertEqual(self.get(guest, path).body, expected)

    def test_fields_of_one_name_are_joined_and_those_that_could_pass_for_another_are_dropped(self):
        environ = self.environ(
            headers=(
                *("Accept", "a", "accept", "b", "Cookie", "c=1", "cookie", "d=2", "X_Real", "evil", "X-Real", "true"),
                *("content-type", "text/plain", "Content_Length", "7", "traceparent", "00-ab-cd-01"),
            )
        )
        found = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
        self.assertEqual(
            found,
            {
                "HTTP_ACCEPT": "a,b",
                "HTTP_COOKIE": "c=1; d=2",
                "HTTP_X_REAL": "true",
                "HTTP_TRACEPARENT": "00-ab-cd-01",
                "CONTENT_TYPE": "text/plain",
            },
        )

    def test_the_server_is_the_one_that_the_client_named(self):
        guest = self.raw(" ok(start)\n return [(environ['SERVER_NAME'] + ' ' + environ['SERVER_PORT']).encode()]")
        for host, expected in {
            None: b"localhost 80",
            "": b"localhost 80",
            "a.b": b"a.b 80",
            "a.b:1": b"a.b 1",
            "[::1]": b"[::1] 80",
            "[::1]:5000": b"[::1] 5000",
            "a:": b"a 80",
            "a:\xb2": "a:\xb2 80".encode(),
        }.items():
            with self.subTest(host):
                headers = () if host is None else ("hOST", host)
                self.assertEqual(self.get(guest, headers=headers).body, expected)

    def test_the_length_of_a_body_that_came_whole_is_known(self):
        guest = self.raw(" ok(start)\n return [repr(environ.get('CONTENT_LENGTH')).encode()]")
        self.assertEqual(self.get(guest).body, b"None")
        self.assertEqual(self.post(guest, b"12345").body, b"'5'")
        self.assertEqual(self.post(guest, b"12345", headers=("Content-Length", "5")).body, b"'5'")

    def test_a_call_that_says_nothing_of_http_is_a_post_of_its_event(self):
        guest = self.raw(" ok(start)\n return [environ['REQUEST_METHOD'].encode(), environ['wsgi.input'].read()]")
        guest.send(call_frame(1, {"a": 1}))
        self.assertEqual(self.reply(guest, 1).body, b'POST{"a": 1}')


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


class Failures(WsgiCase):
    cases = {
        "raises at once": (" raise ValueError('no')", "ValueError", "ValueError: no"),
        "raises before its first piece": (
            " ok(start)\n yield b''\n raise ValueError('no')",
            "ValueError",
            "ValueError: no",
        ),
        "raises when it is closed": (
            " class Body(list):\n  def close(self): raise ValueError('no')\n ok(start)\n return Body([b'x'])",
            "ValueError",
            "ValueError: no",
        ),
        "returns None": (" ok(start)", "TypeError", "the app returned None; WSGI wants an iterable of bytes"),
        "returns text": (" ok(start)\n return 'text'", "TypeError", "a piece of the app's reply is of type str"),
        "returns bytes": (" ok(start)\n return b'text'", "TypeError", "a piece of the app's reply is of type int"),
        "does not start": (" return [b'x']", "AssertionError", "did not call start_response before its body"),
        "does not start and has no body": (" return []", "AssertionError", "did not call start_response"),
        "starts twice": (" ok(start); ok(start)\n return []", "AssertionError", "start_response was called again"),
        "gives a number as status": (" start(200, [])\n return []", "TypeError", "a status is a str"),
        "gives a word as status": (
            " start('OK', [])\n return []",
            "ValueError",
            "begins with a number of three digits: 'OK'",
        ),
        "gives a status that is none": (
            " start('101 Switch', [])\n return []",
            "ValueError",
            "from 200 to 599, not 101",
        ),
        "breaks a line": (" ok(start, ('A', 'b\\r\\nC: d'))\n return []", "ValueError", "field A has a line break"),
        "names a protocol field": (
            " ok(start, (':error', 'x'))\n return []",
            "ValueError",
            "b':error' is not the name",
        ),
        "gives bytes in fields": (" ok(start, ('A', b'b'))\n return []", "TypeError", "a tuple of two str"),
        "leaves latin-1": (" ok(start, ('A', '\\u20ac'))\n return []", "ValueError", "latin-1"),
        "gives many fields": (" ok(start, *[('A', 'b')] * 300)\n return []", "ValueError", "at most 255 header fields"),
        "gives long fields": (" ok(start, ('A', 'b' * 70000))\n return []", "ValueError", "64 KiB together"),
        "is longer than it promised": (
            " ok(start, ('Content-Length', '1'))\n yield b'a'\n yield b'b'",
            "ValueError",
            "longer than its Content-Length",
        ),
    }

    def test_an_app_that_fails_before_its_reply_has_begun_is_answered_with_its_exception_and_lives_on(self):
        for name, (body, kind, text) in self.cases.items():
            with self.subTest(name):
                guest = self.app(
                    f"{VALID}\ndef bad(environ, start):\n{body}\n"
                    "def app(environ, start):\n"
                    " if environ['PATH_INFO'] == '/bad': return bad(environ, start)\n"
                    " ok(start)\n return [b'fine']"
                )
                error = self.error(guest, "/bad")
                self.assertEqual(error["type"], kind)
                self.assertIn(text, error["message"])
                self.assertNotIn("ol_guest", error["message"])
                self.assertEqual(self.get(guest).body, b"fine")

    def test_one_that_fails_later_is_broken_off_and_its_traceback_is_in_the_log(self):
        guest = self.raw(" ok(start)\n yield b'begin'\n raise ValueError('no')")
        guest.send(request(1))
        self.assertEqual(guest.receive().body, b"begin")
        self.assert_reset(guest, 1, FAILED)
        lines = guest.stderr().splitlines()
        self.assertEqual((lines[0], lines[-1]), ("i Traceback (most recent call last):", "i ValueError: no"))
        self.assertNotIn("ol_guest", guest.stderr())
        guest.send(request(3))
        self.assertEqual(guest.receive()[::4], (REPLY, b"begin"))

    def test_the_iterable_is_closed_whatever_happens(self):
        guest = self.app(VALID + """
class Body:
    def __init__(self, kind): self.kind = kind
    def __iter__(self): return self
    def __next__(self):
        if self.kind == "/end": raise StopIteration
        raise ValueError
    def close(self): mark(self.kind[1:])
def app(environ, start):
    ok(start)
    return Body(environ["PATH_INFO"])
""")
        self.get(guest, "/end")
        self.error(guest, "/raise")
        self.assertTrue((guest.handler / "end").exists() and (guest.handler / "raise").exists())

    def test_sys_exit_ends_the_process_with_its_code(self):
        guest = self.raw(" sys.exit(7)")
        guest.send(request(1))
        self.assert_exits(guest, 7)

    def test_a_forked_child_that_comes_back_never_speaks(self):
        guest = self.raw(
            " parent = os.getpid()\n pid = os.fork()\n"
            " if pid: os.waitpid(pid, 0)\n"
            " ok(start)\n yield b'parent' if os.getpid() == parent else b'child'\n"
        )
        self.assertEqual(self.get(guest).body, b"parent")
        self.assertEqual(guest.stderr(), "")
        guest = self.raw(
            " pid = os.fork()\n if not pid: raise ValueError('in the child')\n"
            " ok(start)\n return [repr(os.waitpid(pid, 0)[1] >> 8).encode()]"
        )
        self.assertEqual(self.get(guest).body, b"1")
        self.assertIn("i ValueError: in the child\n", guest.stderr())

    def test_the_worker_s_going_ends_the_process_in_the_middle_of_a_request(self):
        for body in ("while True: pass", "environ['wsgi.input'].read()", "yield b'x' * 10_000_000"):
            with self.subTest(body):
                guest = self.raw(f" ok(start)\n mark('on')\n {body}", window=1000)
                guest.send(request(1, method="POST", end=False))
                guest.wait_for("on")
                guest.socket.close()
                self.assertEqual(guest.exit_code(), 0)

    def test_a_ping_is_answered_in_the_middle_of_a_request_and_a_violation_ends_it(self):
        guest = self.raw(" mark('on')\n while True: pass")
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(pack(PING, 0, 0, (), b"p"))
        self.assertEqual(guest.receive()[::4], (PING, b"p"))
        guest.send(pack(WINDOW, 0, 1, (), bytes(4)))
        self.assert_exits(guest, 76)

    def test_more_body_than_there_was_credit_for_is_a_violation(self):
        guest = self.raw(" mark('on')\n while True: pass")
        guest.send(request(1, method="POST", end=False))
        guest.wait_for("on")
        guest.send(data(1, bytes(WINDOW_BYTES)), data(1, b"x"))
        self.assert_exits(guest, 76)


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
            " mark('on')\n until = time.monotonic() + 0.3\n while time.monotonic() < until: pass\n"
            " mark('end')\n ok(start)\n return [b'x']"
        )
        guest.send(request(1))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED))
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
