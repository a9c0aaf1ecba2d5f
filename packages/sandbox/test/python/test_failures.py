import sys
import unittest

from guest import GuestCase, call_frame

GROUPS = sys.version_info >= (3, 11)


def without_markers(text):
    """Python 3.11 and later underline the failing part of a line."""
    return "\n".join(line for line in text.split("\n") if not line or line.strip(" ~^"))


class Tracebacks(GuestCase):
    def message(self, source, event=None, kind=None):
        guest = self.guest(source).ready()
        reply = guest.call(event)
        self.assertEqual(reply.meta, {":error": "exception"})
        if kind:
            self.assertEqual(reply.json["type"], kind)
        return without_markers(reply.json["message"].replace(str(guest.handler), "/handler"))

    def test_it_is_python_s_own_without_the_runtime_s_frames(self):
        self.assertEqual(
            self.message("def g():\n    return {}['x']\n\ndef f(event):\n    return g()\n", kind="KeyError"),
            "Traceback (most recent call last):\n"
            '  File "/handler/f.py", line 5, in f\n    return g()\n'
            '  File "/handler/f.py", line 2, in g\n    return {}[\'x\']\n'
            "KeyError: 'x'\n",
        )

    def test_chained_exceptions_are_kept(self):
        self.assertEqual(
            self.message(
                "def f(event):\n    try:\n        int('x')\n    except ValueError as e:\n        raise KeyError(1) from e\n"
            ),
            "Traceback (most recent call last):\n"
            '  File "/handler/f.py", line 3, in f\n    int(\'x\')\n'
            "ValueError: invalid literal for int() with base 10: 'x'\n\n"
            "The above exception was the direct cause of the following exception:\n\n"
            "Traceback (most recent call last):\n"
            '  File "/handler/f.py", line 5, in f\n    raise KeyError(1) from e\n'
            "KeyError: 1\n",
        )

    def test_an_async_function_s_has_no_frames_of_asyncio(self):
        self.assertEqual(
            self.message("async def f(event):\n    raise ValueError(event)\n", event=3),
            "Traceback (most recent call last):\n"
            '  File "/handler/f.py", line 2, in f\n    raise ValueError(event)\n'
            "ValueError: 3\n",
        )

    def test_print_that_fails_shows_no_frames_of_the_streams(self):
        text = self.message("import sys\ndef f(event):\n    sys.stdout.write(b'x')\n")
        self.assertEqual(text.count("File "), 1)
        self.assertTrue(text.endswith("TypeError: write() argument must be str, not bytes\n"))

    def test_an_exception_that_cannot_be_printed_is_named(self):
        text = self.message(
            "class Odd(Exception):\n    def __str__(self): raise RuntimeError\n\ndef f(event):\n    raise Odd()\n", kind="Odd"
        )
        self.assertIn("f.Odd: <", text)

    def test_a_huge_message_is_cut_in_its_middle(self):
        text = self.message("def f(event):\n    raise ValueError('é' * 1_000_000 + 'end')\n")
        self.assertLessEqual(len(text.encode()), 64 * 1024)
        self.assertTrue(text.startswith("Traceback"))
        self.assertIn("\n... cut here ...\n", text)
        self.assertTrue(text.endswith("éend\n"))

    def test_endless_recursion_is_an_exception(self):
        text = self.message("def f(event):\n    return f(event)\n", kind="RecursionError")
        self.assertIn("[Previous line repeated 9", text)

    def test_out_of_memory_is_an_exception(self):
        self.message("def f(event):\n    return 'x' * (1 << 62)\n", kind="MemoryError")

    def test_lone_surrogates_in_a_message_are_escaped(self):
        self.assertIn("ValueError: \\udc80", self.message("def f(event):\n    raise ValueError('\\udc80')\n"))

    def test_a_chain_that_is_a_loop_ends(self):
        self.message(
            "def f(event):\n    a, b = ValueError(1), ValueError(2)\n    a.__cause__, b.__cause__ = b, a\n    raise a\n",
            kind="ValueError",
        )

    @unittest.skipUnless(GROUPS, "exception groups came with Python 3.11")
    def test_groups_show_their_members(self):
        text = self.message("def f(event):\n    raise ExceptionGroup('two', [ValueError(1), KeyError(2)])\n", kind="ExceptionGroup")
        self.assertIn("ValueError: 1", text)
        self.assertIn("KeyError: 2", text)

    def test_other_base_exceptions_are_exceptions_too(self):
        self.message("def f(event): raise KeyboardInterrupt", kind="KeyboardInterrupt")
        self.message("def f(event): raise GeneratorExit", kind="GeneratorExit")
        self.message("import asyncio\nasync def f(event): raise asyncio.CancelledError", kind="CancelledError")

    def test_importing_a_broken_helper_shows_the_helper_s_line(self):
        guest = self.guest(files={"f.py": "def f(event):\n    import helper\n", "helper.py": "\n1/0\n"}).ready()
        text = without_markers(guest.call(0).json["message"].replace(str(guest.handler), "/handler"))
        self.assertEqual(
            text,
            "Traceback (most recent call last):\n"
            '  File "/handler/f.py", line 2, in f\n    import helper\n'
            '  File "/handler/helper.py", line 2, in <module>\n    1/0\n'
            "ZeroDivisionError: division by zero\n",
        )


class Exits(GuestCase):
    def exits(self, body):
        guest = self.guest(f"import os, sys\ndef f(event):\n    print('begun', end='')\n    {body}\n").ready()
        guest.send(call_frame(1, {}))
        with self.assertRaises(EOFError):
            guest.receive()
        self.assertEqual(guest.stdout(), "i begun\n")
        return guest.exit_code(), guest.stderr()

    def test_sys_exit_ends_the_process_with_its_code_and_loses_no_output(self):
        self.assertEqual(self.exits("sys.exit(3)"), (3, ""))
        self.assertEqual(self.exits("sys.exit()"), (0, ""))
        self.assertEqual(self.exits("sys.exit(True)"), (1, ""))
        self.assertEqual(self.exits("sys.exit('sorry')"), (1, "i sorry\n"))
        self.assertEqual(self.exits("raise SystemExit(258)"), (2, ""))

    def test_sys_exit_in_an_async_function_ends_the_process(self):
        guest = self.guest("import sys\nasync def f(event): sys.exit(4)").ready()
        guest.send(call_frame(1, {}))
        self.assert_exits(guest, 4)

    def test_a_signal_handler_that_raises_between_calls_ends_the_process_and_says_why(self):
        guest = self.guest(
            "import signal\ndef boom(*a): raise RuntimeError('late')\n"
            "def f(event):\n signal.signal(signal.SIGALRM, boom)\n signal.setitimer(signal.ITIMER_REAL, 1)\n"
        ).ready()
        guest.call({})
        self.assert_exits(guest, 70)
        self.assertIn("RuntimeError: late", guest.stderr())

    def test_a_lambda_that_closes_the_runtime_s_socket_ends_itself(self):
        guest = self.guest("import os\ndef f(event): os.closerange(3, 100)").ready()
        guest.send(call_frame(1, {}))
        self.assert_exits(guest, 70)

    def test_a_forked_child_that_returns_from_the_function_answers_nothing(self):
        guest = self.guest(
            """
            import os
            def f(event):
                pid = os.fork()
                if pid == 0:
                    if event == "raise": raise ValueError("in the child")
                    return "child"
                return os.WEXITSTATUS(os.waitpid(pid, 0)[1])
            """
        ).ready()
        self.assertEqual(guest.call({}).json, 0)
        self.assertEqual(guest.call("raise").json, 1)
        self.assertIn("ValueError: in the child", guest.stderr())
        self.assertEqual(guest.call({}).json, 0)


if __name__ == "__main__":
    unittest.main()
