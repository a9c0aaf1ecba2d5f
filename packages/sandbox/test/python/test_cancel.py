import struct
import time
import unittest

from guest import DATA, PING, REPLY, RESET, WINDOW, GuestCase, call_frame, pack

CANCELLED, DEADLINE, REFUSED = 1, 2, 5


def reset(stream, code):
    return pack(RESET, 0, stream, (), struct.pack(">I", code))


class Cancelling(GuestCase):
    def assert_reset(self, guest, stream, code):
        frame = guest.receive()
        self.assertEqual((frame.kind, frame.flags, frame.stream), (RESET, 0, stream))
        self.assertEqual(frame.code, code)

    def cancel(self, body, code=DEADLINE):
        """Cancels a function with this body once it has made the file `on`; returns its guest."""
        source = "import os, subprocess, sys, threading, time\ndef mark(name): open(name, 'w').close()\n" + body
        guest = self.guest(source).ready()
        guest.send(call_frame(1, {}))
        guest.wait_for("on")
        started = time.monotonic()
        guest.send(reset(1, code))
        self.assert_reset(guest, 1, code)
        self.assertLess(time.monotonic() - started, 5)
        guest.send(call_frame(3, "stop"))
        self.assertEqual(guest.receive().json, "stopped")
        return guest

    def test_an_endless_loop_is_interrupted(self):
        self.cancel("def f(event):\n if event == 'stop': return 'stopped'\n mark('on')\n while True: pass\n")

    def test_a_sleep_is_interrupted(self):
        self.cancel("def f(event):\n if event == 'stop': return 'stopped'\n mark('on')\n time.sleep(60)\n")

    def test_waiting_for_a_subprocess_is_interrupted(self):
        self.cancel(
            "def f(event):\n if event == 'stop': return 'stopped'\n"
            " p = subprocess.Popen(['sleep', '60']); mark('on')\n"
            " try: p.wait()\n finally: p.kill(); p.wait()\n"
        )

    def test_waiting_for_a_lock_is_interrupted(self):
        self.cancel(
            "def f(event):\n if event == 'stop': return 'stopped'\n"
            " lock = threading.Lock(); lock.acquire(); mark('on'); lock.acquire()\n"
        )

    def test_an_interrupted_function_runs_its_finally_blocks_but_no_except_exception(self):
        guest = self.cancel(
            "def f(event):\n if event == 'stop': return 'stopped'\n"
            " try:\n  mark('on')\n  while True: pass\n"
            " except Exception: mark('caught')\n finally: mark('finally')\n"
        )
        self.assertTrue((guest.handler / "finally").exists())
        self.assertFalse((guest.handler / "caught").exists())

    def test_a_function_that_swallows_the_interruption_is_answered_with_reset_when_it_returns(self):
        self.cancel(
            "def f(event):\n if event == 'stop': return 'stopped'\n"
            " try:\n  mark('on')\n  while True: pass\n except BaseException: return 'a result'\n"
        )

    def test_a_function_that_raises_something_else_instead_is_answered_with_reset(self):
        self.cancel(
            "def f(event):\n if event == 'stop': return 'stopped'\n"
            " try:\n  mark('on')\n  while True: pass\n except BaseException: raise ValueError\n"
        )

    def test_it_is_interrupted_in_the_main_thread_while_other_threads_run(self):
        self.cancel(
            "def f(event):\n if event == 'stop': return 'stopped'\n"
            " [threading.Thread(target=time.sleep, args=(60,), daemon=True).start() for _ in range(3)]\n"
            " mark('on'); time.sleep(60)\n"
        )

    def test_an_async_function_is_interrupted_and_its_finally_blocks_run(self):
        guest = self.cancel(
            "import asyncio\nasync def f(event):\n if event == 'stop': return 'stopped'\n"
            " try:\n  mark('on')\n  await asyncio.sleep(60)\n finally: mark('finally')\n"
        )
        self.assertTrue((guest.handler / "finally").exists())

    def test_a_function_whose_client_is_gone_runs_on_and_its_result_is_dropped(self):
        guest = self.guest(
            "import os, time\ndef f(event):\n open('on', 'w').close()\n"
            " while not os.path.exists('go'): time.sleep(0.002)\n open('end', 'w').close()\n return 1\n"
        ).ready()
        guest.send(call_frame(1, {}))
        guest.wait_for("on")
        guest.send(reset(1, CANCELLED), pack(PING, 0, 0, (), b"p"))
        # It has heard of it, and runs.
        self.assertEqual(guest.receive().kind, PING)
        (guest.handler / "go").touch()
        self.assert_reset(guest, 1, CANCELLED)
        self.assertTrue((guest.handler / "end").exists())

    def test_a_call_that_waits_behind_a_running_one_is_answered_at_once_and_never_runs(self):
        guest = self.guest(
            "import os, time\ndef f(event):\n open('on%d' % event, 'w').close()\n"
            " while not os.path.exists('go'): time.sleep(0.002)\n return event\n"
        ).ready()
        guest.send(call_frame(1, 0))
        guest.wait_for("on0")
        guest.send(call_frame(3, 1), reset(3, CANCELLED))
        self.assert_reset(guest, 3, CANCELLED)
        (guest.handler / "go").touch()
        self.assertEqual(guest.receive().stream, 1)
        self.assertFalse((guest.handler / "on1").exists())

    def test_calls_that_are_asked_back_are_given_back_unless_they_have_begun(self):
        guest = self.guest(
            "import os, time\ndef f(event):\n open('on%d' % event, 'w').close()\n"
            " while not os.path.exists('go'): time.sleep(0.002)\n return event\n"
        ).ready()
        guest.send(call_frame(1, 0), call_frame(3, 1), call_frame(5, 2))
        guest.wait_for("on0")
        guest.send(reset(5, REFUSED), reset(3, REFUSED), reset(1, REFUSED))
        self.assert_reset(guest, 5, REFUSED)
        self.assert_reset(guest, 3, REFUSED)
        (guest.handler / "go").touch()
        self.assertEqual(guest.receive().json, 0)
        guest.send(call_frame(7, 3))
        self.assertEqual(guest.receive().json, 3)
        self.assertEqual([(guest.handler / f"on{name}").exists() for name in range(4)], [True, False, False, True])

    def test_a_call_cancelled_in_the_same_write_never_runs(self):
        guest = self.guest("def f(event):\n open('on', 'w').close()\n return 1").ready()
        guest.send(call_frame(1, {}), reset(1, CANCELLED))
        self.assert_reset(guest, 1, CANCELLED)
        self.assertFalse((guest.handler / "on").exists())

    def test_a_call_whose_body_is_still_arriving_is_answered(self):
        guest = self.guest("def f(event): return 1").ready()
        guest.send(call_frame(1, b"[1,", flags=0), reset(1, CANCELLED))
        self.assert_reset(guest, 1, CANCELLED)
        guest.send(pack(DATA, 1, 1, (), b"2]"), call_frame(3, {}))
        self.assertEqual(guest.receive().json, 1)

    def test_a_reset_that_crosses_the_reply_is_ignored(self):
        guest = self.guest("def f(event): return 1").ready()
        guest.send(call_frame(1, {}))
        self.assertEqual(guest.receive().kind, REPLY)
        guest.send(reset(1, CANCELLED), call_frame(3, {}))
        self.assertEqual(guest.receive().stream, 3)

    def test_a_reply_that_waits_for_credit_is_cancelled(self):
        guest = self.guest("def f(event): return 'x' * 100 if event else 1", window=10).ready()
        guest.send(call_frame(1, True))
        self.assertEqual(len(guest.receive().body), 10)
        guest.send(reset(1, CANCELLED))
        self.assert_reset(guest, 1, CANCELLED)
        guest.send(pack(WINDOW, 0, 1, (), struct.pack(">I", 5)), call_frame(3, False))
        self.assertEqual(guest.receive().json, 1)

    def test_resets_at_any_moment_end_every_call_exactly_once(self):
        guest = self.guest("import time\ndef f(event):\n if event: time.sleep(event)\n return event\n").ready()
        for round_number in range(300):
            stream = guest.next_stream()
            guest.send(call_frame(stream, (round_number % 7) / 10_000))
            if round_number % 3:
                time.sleep((round_number % 5) / 10_000)
            guest.send(reset(stream, CANCELLED))
            last = guest.receive()
            self.assertEqual(last.stream, stream)
            self.assertIn((last.kind, last.flags), [(REPLY, 1), (RESET, 0)])


if __name__ == "__main__":
    unittest.main()
