import socket
import unittest

from guest import EVENT, RESET, GuestCase, call_frame


class Entry(GuestCase):
    def test_f_py_comes_before_lambda_func_py(self):
        files = {"f.py": "def f(event): return 'f.py'", "lambda_func.py": "def f(event): return 'lambda_func.py'"}
        self.assertEqual(self.guest(files=files).ready().call({}).json, "f.py")
        del files["f.py"]
        self.assertEqual(self.guest(files=files).ready().call({}).json, "lambda_func.py")

    def test_ol_entry_file_comes_first_and_may_be_in_a_folder(self):
        files = {"f.py": "def f(event): return 1", "src/my-main.py": "import helper\ndef f(event): return helper.X"}
        files["helper.py"] = "X = 2"
        guest = self.guest(files=files, environment={"OL_ENTRY_FILE": "src/my-main.py"}).ready()
        self.assertEqual(guest.call({}).json, 2)

    def test_f_comes_before_handler(self):
        self.assertEqual(self.guest("def f(event): return 'f'\ndef handler(event): return 'h'").ready().call(0).json, "f")
        self.assertEqual(self.guest("def handler(event): return 'h'").ready().call(0).json, "h")

    def test_the_handler_directory_is_first_on_the_path_and_the_entry_is_importable(self):
        files = {
            "f.py": "import sys, colorsys, helper\ndef f(event): return [sys.path[0] == HERE, colorsys.MINE, helper.same(), __name__, __file__ == HERE + '/f.py', __spec__.name]\nimport os; HERE = os.path.dirname(__file__)",
            "colorsys.py": "MINE = True",
            "helper.py": "def same():\n    import f, sys\n    return f is sys.modules['f']",
        }
        self.assertEqual(self.guest(files=files).ready().call({}).json, [True, True, True, "f", True, "f"])

    def test_an_entry_file_named_like_a_loaded_module_does_not_replace_it(self):
        files = {"json.py": "import json\ndef f(event): return [json.loads('1'), __name__]"}
        guest = self.guest(files=files, environment={"OL_ENTRY_FILE": "json.py"}).ready()
        self.assertEqual(guest.call({}).json, [1, "lambda_json"])

    def test_dataclasses_and_pickle_of_the_entry_s_own_classes_work(self):
        guest = self.guest(
            """
            from __future__ import annotations
            import dataclasses, pickle
            @dataclasses.dataclass
            class Point:
                x: int
            def f(event): return pickle.loads(pickle.dumps(Point(event))).x
            """
        ).ready()
        self.assertEqual(guest.call(3).json, 3)


class Signatures(GuestCase):
    """What is called with the context, and what without."""

    cases = {
        "one parameter": ("def f(event): return [event]", [7]),
        "two parameters": ("def f(event, context): return [event, context.invocation_id]", [7, "i"]),
        "a second with a default": ("def f(event, context=None): return [event, context.invocation_id]", [7, "i"]),
        "three, one optional": ("def f(event, context, x=1): return [event, context.invocation_id, x]", [7, "i", 1]),
        "positional only": ("def f(event, context, /): return [event, context.invocation_id]", [7, "i"]),
        "any number": ("def f(*args): return args", [7]),
        "keyword only": ("def f(event, *, context=None): return [event, context]", [7, None]),
        "a lambda": ("f = lambda event: [event]", [7]),
        "partial": (
            "import functools\ndef g(x, event, context): return [x, event, context.invocation_id]\nf = functools.partial(g, 1)",
            [1, 7, "i"],
        ),
        "partial that leaves one": (
            "import functools\ndef g(x, event): return [x, event]\nf = functools.partial(g, 1)",
            [1, 7],
        ),
        "a callable object": (
            "class C:\n def __call__(self, event, context): return [event, context.invocation_id]\nf = C()",
            [7, "i"],
        ),
        "a bound method": ("class C:\n def m(self, event): return [event]\nf = C().m", [7]),
        "a class": ("class f(list):\n def __init__(self, event): super().__init__([event])", [7]),
        "a builtin": ("f = abs", 7),
        "a type without a signature": ("f = int", 7),
        "a wrapped function": (
            "import functools\ndef d(g):\n @functools.wraps(g)\n def w(*a, **k): return g(*a, **k)\n return w\n"
            "@d\ndef f(event, context): return [event, context.invocation_id]",
            [7, "i"],
        ),
        "async": ("async def f(event): return [event]", [7]),
        "async with context": (
            "import asyncio\nasync def f(event, context):\n await asyncio.sleep(0)\n return [event, context.invocation_id]",
            [7, "i"],
        ),
        "an async callable object": ("class C:\n async def __call__(self, event): return [event]\nf = C()", [7]),
        "partial of async": (
            "import functools\nasync def g(x, event): return [x, event]\nf = functools.partial(g, 1)",
            [1, 7],
        ),
    }

    def test_the_context_goes_to_functions_that_have_a_second_positional_parameter(self):
        for name, (source, expected) in self.cases.items():
            with self.subTest(name):
                guest = self.guest(source).ready()
                self.assertEqual(guest.call(7).json, expected)
                self.assertEqual(guest.call(7).json, expected)

    def test_a_function_without_parameters_gets_python_s_own_error(self):
        reply = self.guest("def f(): return 1").ready().call({})
        self.assertEqual(reply.meta, {":error": "exception"})
        self.assertEqual(
            reply.json, {"type": "TypeError", "message": "TypeError: f() takes 0 positional arguments but 1 was given\n"}
        )

    def test_asyncio_is_loaded_only_for_async_functions(self):
        guest = self.guest("import sys\ndef f(event): return 'asyncio' in sys.modules").ready()
        self.assertIs(guest.call({}).json, False)


class Apps(GuestCase):
    """Which code is which kind of app."""

    functools = "import functools\n"
    cases = {
        "wsgi": ("def app(environ, start): pass", "wsgi"),
        "asgi": ("async def app(scope, receive, send): pass", "asgi"),
        "a wsgi object": ("class A:\n def __call__(self, environ, start): pass\napp = A()", "wsgi"),
        "an asgi object": ("class A:\n async def __call__(self, scope, receive, send): pass\napp = A()", "asgi"),
        "a wsgi class": ("class app:\n def __init__(self, environ, start): pass", "wsgi"),
        "an object that inherits": (
            "class A:\n async def __call__(self, scope, receive, send): pass\nclass B(A): pass\napp = B()",
            "asgi",
        ),
        "a bound method": ("class A:\n async def m(self, scope, receive, send): pass\napp = A().m", "asgi"),
        "a bound method of wsgi": ("class A:\n def m(self, environ, start): pass\napp = A().m", "wsgi"),
        "partial of asgi": (functools + "async def g(x, *a): pass\napp = functools.partial(functools.partial(g), 1)", "asgi"),
        "partial of wsgi": (functools + "def g(x, *a): pass\napp = functools.partial(g, 1)", "wsgi"),
        "partial of an asgi object": (
            functools + "class A:\n async def __call__(self, *a): pass\napp = functools.partial(A())",
            "asgi",
        ),
        "an app behind a function": ("async def app(*a): pass\ndef f(event): return 1", "function"),
        "an app behind a handler": ("def app(*a): pass\ndef handler(event): return 1", "function"),
    }

    def test_an_app_is_asgi_if_it_is_async_and_comes_after_functions(self):
        for name, (source, kind) in self.cases.items():
            with self.subTest(name):
                self.guest(source).ready(kind)

    def test_a_named_app_is_what_it_is_named_and_comes_before_functions(self):
        source = "def f(event): 1\ndef app(*a): 1\ndef main(*a): return other(*a)\nasync def other(*a): pass"
        self.guest(source, environment={"OL_WSGI_ENTRY": "main"}).ready("wsgi")
        self.guest(source, environment={"OL_ASGI_ENTRY": "main"}).ready("asgi")

    def test_an_app_may_be_in_a_file_of_any_name(self):
        files = {"main.py": "def app(environ, start): pass"}
        self.guest(files=files, environment={"OL_ENTRY_FILE": "main.py"}).ready("wsgi")


class Contexts(GuestCase):
    def test_it_knows_id_deadline_and_headers(self):
        guest = self.guest(
            """
            import time
            def f(event, context):
                left = context.deadline - time.time()
                return [context.invocation_id, 20 < left <= 30, 20_000 < context.remaining_ms() <= 30_000,
                        context.headers["CONTENT-type"], context.headers.get("x-none"), dict(context.headers),
                        "Accept" in context.headers, 3 in context.headers, context.traceparent, len(context.headers)]
            """
        ).ready()
        headers = ("traceparent", "00-ab-cd-01", "Content-Type", "text/\xe9", "accept", "a", "Accept", "b")
        self.assertEqual(
            guest.call({}, invocation="01J", timeout_ms=30_000, headers=headers).json,
            [
                *("01J", True, True, "text/é", None),
                {"traceparent": "00-ab-cd-01", "content-type": "text/é", "accept": "a, b"},
                *(True, False, "00-ab-cd-01", 3),
            ],
        )

    def test_without_a_trace_there_is_none(self):
        self.assertIsNone(self.guest("def f(event, context): return context.traceparent").ready().call(0).json)

    def test_the_headers_cannot_be_changed(self):
        reply = self.guest("def f(event, context): context.headers['a'] = 'b'").ready().call({})
        self.assertEqual(reply.json["type"], "TypeError")

    def test_remaining_time_never_falls_below_zero(self):
        guest = self.guest("import time\ndef f(event, context): time.sleep(0.02); return context.remaining_ms()").ready()
        self.assertEqual(guest.call({}, timeout_ms=1).json, 0)


class ImportErrors(GuestCase):
    def assert_import_error(self, expected, first=b"", **options):
        guest = self.guest(first=first or call_frame(1, {}), **options)
        event = guest.receive()
        self.assertEqual((event.kind, event.meta), (EVENT, {":event": "import-error"}))
        text = event.body.decode().replace(str(guest.handler), "/handler")
        if callable(expected):
            expected(text, event)
        else:
            self.assertEqual(text, expected)
        refused = guest.receive()
        self.assertEqual((refused.kind, refused.stream, refused.code), (RESET, 1, 5))
        guest.socket.shutdown(socket.SHUT_WR)
        self.assert_exits(guest, 1)
        return guest

    def test_a_syntax_error_is_shown_as_python_shows_it(self):
        expected = '  File "/handler/f.py", line 2\n    return return\n           ^'
        self.assert_import_error(
            lambda text, _event: self.assertEqual(
                text[: len(expected)] + text[-28:], expected + "SyntaxError: invalid syntax\n"[-28:]
            ),
            source="def f(event):\n    return return\n",
        )

    def test_an_import_that_fails_shows_the_line(self):
        def check(text, _event):
            lines = text.splitlines()
            self.assertEqual(lines[0], "Traceback (most recent call last):")
            self.assertEqual(lines[1], '  File "/handler/f.py", line 2, in <module>')
            self.assertEqual(lines[2], "    import no_such_module")
            self.assertEqual(lines[-1], "ModuleNotFoundError: No module named 'no_such_module'")

        self.assert_import_error(check, source="\nimport no_such_module\n")

    def test_sys_exit_while_loading_is_an_import_error(self):
        self.assert_import_error(
            lambda text, _event: self.assertTrue(text.endswith("SystemExit: 3\n"), text), source="import sys; sys.exit(3)"
        )

    def test_a_long_text_keeps_its_end_and_fits_an_event(self):
        def check(text, event):
            self.assertLessEqual(len(event.body) + len(":event\0import-error"), 16 * 1024)
            self.assertTrue(text.startswith("... cut here ...\n"))
            self.assertTrue(text.endswith("x the end\n"))

        self.assert_import_error(check, source="raise ValueError('x' * 100_000 + ' the end')")

    def test_no_entry_file_names_what_was_looked_for(self):
        self.assert_import_error(
            "no entry file: looked for f.py and lambda_func.py in /handler, and OL_ENTRY_FILE is not set\n",
            files={"g.py": ""},
        )

    def test_a_named_entry_file_that_is_missing_is_named(self):
        self.assert_import_error(
            "OL_ENTRY_FILE names main.py, but there is no file /handler/main.py\n",
            files={"f.py": ""},
            environment={"OL_ENTRY_FILE": "main.py"},
        )

    def test_no_function_names_what_was_looked_for(self):
        self.assert_import_error(
            "/handler/f.py defines no function f(event) or handler(event), and no web app named app either\n",
            source="f = 3; app = 4",
        )

    def test_a_named_app_that_is_missing_or_none_is_named(self):
        for name in ("OL_WSGI_ENTRY", "OL_ASGI_ENTRY"):
            with self.subTest(name):
                self.assert_import_error(
                    f"{name} names main, but /handler/f.py defines no main\n",
                    source="def app(*a): 1\ndef f(e): 1",
                    environment={name: "main"},
                )
                self.assert_import_error(
                    f"{name} names x, which is of type int in /handler/f.py and no app\n",
                    source="x = 3\ndef app(*a): 1",
                    environment={name: "x"},
                )

    def test_a_lambda_cannot_be_two_apps(self):
        self.assert_import_error(
            "OL_WSGI_ENTRY (w) and OL_ASGI_ENTRY (a) are both set: a lambda is one app\n",
            source="def w(*a): 1\nasync def a(*a): 1",
            environment={"OL_WSGI_ENTRY": "w", "OL_ASGI_ENTRY": "a"},
        )

    def test_the_log_has_the_text_too_after_what_the_code_printed(self):
        guest = self.assert_import_error(
            lambda text, _event: self.assertTrue(text.endswith("ZeroDivisionError: division by zero\n")),
            source="import sys\nsys.stderr.write('begun')\nsys.stderr = None\n1/0\n",
        )
        lines = guest.stderr().splitlines()
        self.assertEqual(lines[:2], ["begun", "Traceback (most recent call last):"])
        self.assertEqual(lines[-1], "ZeroDivisionError: division by zero")

    def test_the_worker_is_told_also_without_a_log(self):
        self.assert_import_error(
            lambda text, _event: self.assertTrue(text.endswith("ZeroDivisionError: division by zero\n")),
            source="import os\nos.close(2)\n1/0\n",
        )

    def test_every_open_call_is_refused(self):
        first = call_frame(1, {}) + call_frame(3, b"[", flags=0)
        guest = self.guest("1/0", first=first)
        self.assertEqual(guest.receive().meta, {":event": "import-error"})
        self.assertEqual([(f.kind, f.stream, f.code) for f in (guest.receive(), guest.receive())], [(RESET, 1, 5), (RESET, 3, 5)])
        guest.socket.shutdown(socket.SHUT_WR)
        self.assert_exits(guest, 1)

    def refused_late(self):
        guest = self.guest("1/0")
        self.assertEqual(guest.receive().meta, {":event": "import-error"})
        for stream in (1, 3):
            guest.send(call_frame(stream, {}))
            self.assertEqual(guest.receive()[:3], (RESET, 0, stream))
        return guest

    def test_a_call_that_comes_after_the_import_error_is_refused_too(self):
        for more in (3, 2, 1, 0):
            try:
                guest = self.refused_late()
                break
            except (BrokenPipeError, EOFError):
                # The guest stays for a second, in which a busy machine may do nothing.
                if not more:
                    raise
        # And it does not stay for ever.
        self.assert_exits(guest, 1)


if __name__ == "__main__":
    unittest.main()
