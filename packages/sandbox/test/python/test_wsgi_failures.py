import unittest

from apps import FAILED, WINDOW_BYTES, WSGI, WsgiCase, data, request
from guest import PING, REPLY, WINDOW, pack


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
                    f"{WSGI}\ndef bad(environ, start):\n{body}\n"
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
        guest = self.app(WSGI + """
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


if __name__ == "__main__":
    unittest.main()
