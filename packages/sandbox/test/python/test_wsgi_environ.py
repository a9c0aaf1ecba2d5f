import json
import time
import unittest

from apps import WsgiCase
from guest import call_frame


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


if __name__ == "__main__":
    unittest.main()
