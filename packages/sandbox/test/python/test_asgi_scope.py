import unittest

from apps import ASGI, AsgiCase, Response
from guest import call_frame


class Scope(AsgiCase):
    def test_an_app_finds_all_that_the_specification_wants(self):
        guest = self.app(ASGI + """
expected = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "PUT",
    "scheme": "http",
    "path": "/run/app/a b/\\u00e9",
    "raw_path": b"/run/app/a%20b/%C3%A9",
    "query_string": b"q=%20&r",
    "root_path": "/run/app",
    "headers": [(b"host", b"[::1]:5000"), (b"x-two", b"1"), (b"x-two", b"\\xe9"),
                (b"x_y", b"z"), (b"traceparent", b"00-a")],
    "client": ("192.0.2.7", 0),
    "server": ("[::1]", 5000),
    "state": {"made": "at the start"},
}
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}, scope
        scope["state"]["made"] = "at the start"
        assert await receive() == {"type": "lifespan.startup"}
        await send({"type": "lifespan.startup.complete"})
        return
    extensions = scope.pop("extensions")
    assert list(extensions) == ["ol"] and extensions["ol"]["invocation_id"] == "01J", extensions
    assert time.time() + 25 < extensions["ol"]["deadline"] <= time.time() + 30
    assert scope == expected, scope
    assert type(scope["path"]) is str and type(scope["root_path"]) is str
    # A copy: the next request does not see it.
    scope["state"]["mine"] = 1
    assert await receive() == {"type": "http.request", "body": b"x", "more_body": False}
    await start(send, 201, (b"A", b"b"), [b"A", b"\\xe9"])
    await body(send, b"fine")
""")
        headers = ("Host", "[::1]:5000", "X-Two", "1", "x-two", "\xe9", "X_Y", "z", "traceparent", "00-a")
        for _ in range(2):
            reply = self.get(
                guest, "/a%20b/%C3%A9", method="PUT", headers=headers, body=b"x", query="q=%20&r", invocation="01J"
            )
            self.assertEqual(reply, Response(201, [("A", "b"), ("A", "é")], b"fine", [b"fine"]))

    def test_a_path_that_is_no_utf8_is_mended_and_odd_hosts_do_no_harm(self):
        guest = self.asgi(
            " await start(send)\n await body(send, ascii([path, scope['raw_path'], scope['server']]).encode())"
        )
        for path, headers, expected in (
            ("", (), ["", b"/run/app", ("localhost", 80)]),
            ("/%ff", ("Host", "a:b"), ["/\ufffd", b"/run/app/%ff", ("a:b", 80)]),
            ("/%2F", ("Host", "a:" + "9" * 9000), ["//", b"/run/app/%2F", ("a:" + "9" * 9000, 80)]),
        ):
            with self.subTest(path):
                self.assertEqual(self.get(guest, path, headers=headers).body, ascii(expected).encode())

    def test_a_call_that_says_nothing_of_http_is_a_post_of_its_event(self):
        guest = self.asgi(" await start(send)\n await body(send, scope['method'].encode() + await whole(receive))")
        guest.send(call_frame(1, {"a": 1}))
        self.assertEqual(self.reply(guest, 1).body, b'POST{"a": 1}')


if __name__ == "__main__":
    unittest.main()
