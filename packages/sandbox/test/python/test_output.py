import unittest

from guest import GuestCase, call_frame


class Output(GuestCase):
    def printed(self, body, prelude="", invocations=("a",)):
        guest = self.guest(f"import os, subprocess, sys, threading, time\n{prelude}\ndef f(event):\n{body}").ready()
        for invocation in invocations:
            reply = guest.call({}, invocation=invocation)
            self.assertEqual(reply.meta, {}, reply.body)
        return guest

    def test_each_line_begins_with_the_invocation_s_id(self):
        guest = self.printed(" print('one'); print('two\\nthree')\n print('err', file=sys.stderr)", invocations=("a", "b"))
        self.assertEqual(guest.stdout(), "a one\na two\na three\nb one\nb two\nb three\n")
        self.assertEqual(guest.stderr(), "a err\nb err\n")

    def test_lines_printed_while_loading_have_no_id(self):
        guest = self.printed(" print('in f')", prelude="print('loading')")
        self.assertEqual(guest.stdout(), "loading\na in f\n")

    def test_an_unfinished_line_ends_with_the_call(self):
        guest = self.printed(" print('no newline', end='')\n sys.stderr.write('nor here')", invocations=("a", "b"))
        self.assertEqual(guest.stdout(), "a no newline\nb no newline\n")
        self.assertEqual(guest.stderr(), "a nor here\nb nor here\n")

    def test_a_line_put_together_from_pieces_is_one_line(self):
        guest = self.printed(" [print(c, end='', flush=True) for c in 'abc']; print()")
        self.assertEqual(guest.stdout(), "a abc\n")

    def test_an_empty_line_is_tagged(self):
        self.assertEqual(self.printed(" print()").stdout(), "a \n")

    def test_an_endless_line_is_cut_instead_of_collected(self):
        guest = self.printed(" sys.stdout.write('x' * 70_000); sys.stdout.write('y')")
        self.assertEqual(guest.stdout(), "a " + "x" * 70_000 + "\na y\n")

    def test_the_traceback_of_print_exc_goes_there_too(self):
        guest = self.printed(" import traceback\n try: 1/0\n except ZeroDivisionError: traceback.print_exc()")
        lines = guest.stderr().splitlines()
        self.assertEqual((lines[0], lines[-1]), ("a Traceback (most recent call last):", "a ZeroDivisionError: division by zero"))
        self.assertTrue(all(line.startswith("a ") for line in lines))

    def test_logging_set_up_while_loading_is_tagged(self):
        guest = self.printed(" logging.warning('careful')", prelude="import logging; logging.basicConfig()")
        self.assertEqual(guest.stderr(), "a WARNING:root:careful\n")

    def test_bytes_and_text_share_one_stream(self):
        guest = self.printed(" print('t', end=''); sys.stdout.buffer.write(b'b\\xff\\n'); print('é \\udc80 😀')")
        raw = (guest.directory / "stdout").read_bytes()
        self.assertEqual(raw, b"a tb\xff\n" + "a é \\udc80 😀\n".encode())

    def test_the_streams_look_like_python_s(self):
        guest = self.guest(
            """
            import io, sys
            def f(event):
                sys.stdout.reconfigure(encoding="utf-8")
                return [[s.fileno(), s.isatty(), s.encoding, s.errors, s.name, s.writable(), s.readable(), s.closed,
                         isinstance(s, io.TextIOBase), s.buffer.fileno(), s.buffer.isatty(), s.write("x")]
                        for s in (sys.stdout, sys.stderr)] + [sys.__stdout__ is sys.stdout]
            """
        ).ready()
        rest = ["utf-8", "backslashreplace"]
        self.assertEqual(
            guest.call({}).json,
            [
                [1, False, *rest, "<stdout>", True, False, False, True, 1, False, 1],
                [2, False, *rest, "<stderr>", True, False, False, True, 2, False, 1],
                True,
            ],
        )

    def test_closing_the_streams_changes_nothing(self):
        guest = self.printed(" sys.stdout.close(); sys.stdout.buffer.close(); print('still')", invocations=("a", "b"))
        self.assertEqual(guest.stdout(), "a still\nb still\n")

    def test_a_subprocess_writes_in_place_but_untagged(self):
        guest = self.printed(" print('before'); subprocess.run(['echo', 'from echo']); print('after')")
        self.assertEqual(guest.stdout(), "a before\nfrom echo\na after\n")

    def test_a_subprocess_can_be_given_the_stream(self):
        guest = self.printed(" subprocess.run(['echo', 'x'], stdout=sys.stderr, stderr=sys.stdout)")
        self.assertEqual(guest.stderr(), "x\n")

    def test_lines_of_many_threads_stay_whole(self):
        guest = self.printed(
            " def work(n):\n  for i in range(200): print(str(n) * 50)\n"
            " ts = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
            " [t.start() for t in ts]; [t.join() for t in ts]"
        )
        # print() writes the newline by itself, so a line of two threads can be joined; nothing may be lost.
        self.assertEqual(sum(map(guest.stdout().count, "01234567")), 8 * 200 * 50)
        self.assertTrue(all(line.startswith("a ") for line in guest.stdout().splitlines()))

    def test_a_forked_child_s_lines_are_tagged_and_the_parent_s_unfinished_line_is_not_doubled(self):
        guest = self.printed(
            " print('parent', end='')\n pid = os.fork()\n"
            " if pid == 0:\n  print('child'); print('end', end=''); sys.stdout.flush(); os._exit(0)\n"
            " os.waitpid(pid, 0)"
        )
        self.assertEqual(guest.stdout(), "a child\na end\na parent\n")

    def test_multiprocessing_s_children_are_tagged(self):
        guest = self.printed(
            " p = multiprocessing.get_context('fork').Process(target=print, args=('child',)); p.start(); p.join()",
            prelude="import multiprocessing",
        )
        self.assertEqual(guest.stdout(), "a child\n")

    def test_a_child_can_print_though_another_thread_had_the_lock_when_it_was_forked(self):
        guest = self.printed(
            " stop = []\n"
            " t = threading.Thread(target=lambda: [print('x') for _ in iter(lambda: bool(stop), True)]); t.start()\n"
            " for _ in range(30):\n  pid = os.fork()\n  if pid == 0:\n   print('child'); os._exit(0)\n  os.waitpid(pid, 0)\n"
            " stop.append(1); t.join()"
        )
        self.assertEqual(guest.stdout().count("child"), 30)

    def test_a_thread_that_prints_between_calls_has_no_id(self):
        guest = self.printed(
            " def late():\n  while not os.path.exists('go'): time.sleep(0.002)\n  print('late'); open('done', 'w').close()\n"
            " threading.Thread(target=late).start()"
        )
        (guest.handler / "go").touch()
        guest.wait_for("done")
        self.assertEqual(guest.stdout(), "late\n")

    def test_output_before_a_crash_is_there(self):
        guest = self.guest("import os\ndef f(event): print('last words'); os.abort()").ready()
        guest.send(call_frame(1, {}))
        with self.assertRaises(EOFError):
            guest.receive()
        self.assertEqual(guest.stdout(), "i last words\n")

    def test_a_full_log_loses_lines_and_fails_no_call(self):
        guest = self.printed(
            " resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
            " print('0123456'); print('0123456'); print('0123456')",
            prelude="import resource",
            invocations=("a", "b"),
        )
        self.assertEqual(guest.stdout(), "a 0123456\n")

    def test_the_output_of_a_call_is_written_before_its_reply(self):
        guest = self.guest("def f(event): print(event, end='')").ready()
        for number in range(50):
            guest.call(number)
            self.assertTrue(guest.stdout().endswith(f"i {number}\n"))


if __name__ == "__main__":
    unittest.main()
