import json
import socket
import struct
import threading
import time
import unittest

from guest import CALL, DATA, PING, REPLY, WINDOW, GuestCase, call_frame, pack

MEGABYTE = 1024 * 1024


def window(stream, credit):
    return pack(WINDOW, 0, stream, (), struct.pack(">I", credit))


def send_with_credit(guest, stream, body):
    """As a worker must: the guest's window in CALL and DATA together, more only against WINDOW frames."""
    credit, kind, meta = 262144, CALL, (":id", "i")
    while True:
        while credit == 0:
            frame = guest.receive()
            assert (frame.kind, frame.stream) == (WINDOW, stream), frame
            credit += frame.code
        part, body = body[: min(credit, 60_000)], body[min(credit, 60_000) :]
        credit -= len(part)
        guest.send(pack(kind, 0 if body else 1, stream, meta, part))
        kind, meta = DATA, ()
        if not body:
            return


def receive_with_credit(guest, stream):
    """The whole reply, giving back each byte's credit; checks the order of frames."""
    body, sizes = b"", []
    while True:
        frame = guest.receive()
        if frame.kind == WINDOW:
            continue
        assert frame.stream == stream and frame.kind == (DATA if sizes else REPLY), frame[:3]
        body += frame.body
        sizes.append(len(frame.body))
        if frame.flags:
            return body, sizes
        guest.send(window(stream, len(frame.body)))


class LargeBodies(GuestCase):
    def test_five_megabytes_go_in_and_out_with_a_small_window(self):
        guest = self.guest("def f(event): return event", window=10_000).ready()
        text = json.dumps("é" * (5 * MEGABYTE // 2), ensure_ascii=False).encode()
        send_with_credit(guest, 1, text)
        body, sizes = receive_with_credit(guest, 1)
        self.assertTrue(body == text)
        self.assertLessEqual(max(sizes), 10_000)
        self.assertEqual(guest_next_call(guest), 7)

    def test_without_a_window_in_hello_it_is_256_kib(self):
        guest = self.guest("def f(event): return 'x' * 300_000").ready()
        guest.send(call_frame(1, {}))
        self.assertEqual(len(guest.receive().body), 262_144)
        guest.send(window(1, 50_000))
        last = guest.receive()
        self.assertEqual((last.kind, last.flags, len(last.body)), (DATA, 1, 300_002 - 262_144))

    def test_a_reply_that_just_fits_the_window_needs_no_credit(self):
        guest = self.guest("def f(event): return 'x' * event", window=100).ready()
        self.assertEqual(guest.call(98).flags, 1)

    def test_a_small_reply_also_respects_a_smaller_window(self):
        guest = self.guest("def f(event): return 'x' * event", window=100).ready()
        reply = guest.call(99)
        self.assertEqual((reply.flags, len(reply.body)), (0, 100))

    def test_while_a_reply_waits_for_credit_other_frames_are_read(self):
        guest = self.guest("def f(event): return 'x' * event", window=100).ready()
        guest.send(call_frame(1, 200), call_frame(3, 1), pack(PING, 0, 0, (), b"p"))
        kinds = [guest.receive() for _ in range(2)]
        self.assertEqual({(f.kind, f.stream, len(f.body)) for f in kinds}, {(REPLY, 1, 100), (PING, 0, 1)})
        guest.send(window(1, 102))
        self.assertEqual((guest.receive().stream, guest.receive().stream), (1, 3))

    def test_credit_is_given_while_a_function_runs(self):
        guest = self.guest(
            "import time\ndef f(event):\n if event == 'wait':\n  open('on', 'w').close(); time.sleep(60)\n return len(event)"
        ).ready()
        guest.send(call_frame(1, "wait"))
        guest.wait_for("on")
        # More than a window: the last byte can go only if the guest reads in the middle of its function. Often, since
        # what is sent on at the moment of a handler's return must not be missed.
        for stream in range(3, 43, 2):
            send_with_credit(guest, stream, b'"' + b"x" * 600_000 + b'"')

    def test_while_a_body_arrives_in_a_function_the_rest_is_looked_for_once_more_a_little_later(self):
        guest = self.guest(
            """
            import signal
            import time

            def f(event):
                look = signal.getsignal(signal.SIGIO)
                looks = []

                def counted(*arguments):
                    looks.append(arguments)
                    look(*arguments)

                signal.signal(signal.SIGIO, counted)
                open("on", "w").close()
                until = time.monotonic() + 10
                while len(looks) < 2 and time.monotonic() < until:
                    time.sleep(0.01)
                # For a third.
                time.sleep(0.5)
                return len(looks)
            """
        ).ready()
        guest.send(call_frame(1, {}))
        guest.wait_for("on")
        guest.send(call_frame(3, b'"a part', flags=0))
        # The first at what arrived, the second for more, which finds nothing and is the last.
        self.assertEqual(guest.receive().json, 2)

    def test_a_frame_of_the_largest_size_arrives_whole_with_those_behind_it(self):
        guest = self.guest("def f(event): return len(event)").ready()
        meta = len(":id\0i\0:timeout\0" + "30000")
        body = b'"' + b"x" * (MEGABYTE - meta - 2) + b'"'
        guest.send(call_frame(1, body), call_frame(3, "ab"), call_frame(5, body[:-1], flags=0), pack(DATA, 1, 5, (), b'y"'))
        sizes = []
        while len(sizes) < 3:
            frame = guest.receive()
            if frame.kind == REPLY:
                sizes.append(frame.json)
        self.assertEqual(sizes, [len(body) - 2, 2, len(body) - 1])

    def test_two_bodies_may_arrive_mixed(self):
        guest = self.guest("def f(event): return event").ready()
        guest.send(
            call_frame(1, b"[1", flags=0),
            call_frame(3, b"[3", flags=0),
            pack(DATA, 0, 1, (), b""),
            pack(DATA, 1, 3, (), b",3]"),
            pack(DATA, 1, 1, (), b",1]"),
        )
        self.assertEqual([guest.receive()[2::2] for _ in range(2)], [(3, b"[3,3]"), (1, b"[1,1]")])

    def test_a_worker_that_stops_reading_stops_the_guest_and_then_gets_everything(self):
        guest = self.guest("def f(event): return 'x' * event", window=1 << 30).ready()
        guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        guest.send(call_frame(1, 5 * MEGABYTE))
        # The guest fills the socket's buffer and blocks in its write; calls sent meanwhile wait.
        time.sleep(0.2)
        writer = threading.Thread(target=lambda: guest.send(call_frame(3, 1)))
        writer.start()
        body = b""
        while True:
            frame = guest.receive()
            body += frame.body
            if frame.flags:
                break
        writer.join()
        self.assertEqual(len(body), 5 * MEGABYTE + 2)
        self.assertEqual(guest.receive().json, "x")

    def test_a_worker_that_goes_while_a_reply_waits_for_credit_ends_the_guest(self):
        guest = self.guest("def f(event): return 'x' * 1000", window=10).ready()
        guest.send(call_frame(1, {}))
        guest.receive()
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)


def guest_next_call(guest):
    guest.send(call_frame(3, 7))
    return receive_with_credit(guest, 3) and 7


class Json(GuestCase):
    def setUp(self):
        self.echo = self.guest("def f(event): return event").ready()

    def assert_bad_input(self, body, kind, text):
        reply = self.echo.call(body)
        self.assertEqual(reply.meta, {":error": "bad-input"})
        self.assertEqual(reply.json["type"], kind)
        self.assertIn(text, reply.json["message"])
        self.assertEqual(self.echo.call(1).json, 1)

    def test_text_that_is_not_json_is_bad_input(self):
        self.assert_bad_input(b'{"name": "Al', "JSONDecodeError", "the event is not JSON in UTF-8: Unterminated string")
        self.assert_bad_input(b"name=Alice", "JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
        self.assert_bad_input(b"{} {}", "JSONDecodeError", "Extra data")
        self.assert_bad_input(b" ", "JSONDecodeError", "Expecting value")

    def test_text_that_is_not_utf8_is_bad_input(self):
        self.assert_bad_input(b'"\xff"', "UnicodeDecodeError", "can't decode byte 0xff")
        self.assert_bad_input('"é"'.encode("utf-16"), "UnicodeDecodeError", "invalid start byte")
        self.assert_bad_input(b'"\xed\xa0\x80"', "UnicodeDecodeError", "can't decode")

    def test_nan_and_infinity_are_bad_input(self):
        for name in ("NaN", "Infinity", "-Infinity"):
            self.assert_bad_input(f"[{name}]".encode(), "ValueError", f"{name} is not JSON")

    def test_json_nested_too_deeply_is_bad_input(self):
        self.assert_bad_input(b"[" * 200_000, "RecursionError", "nested too deeply")

    def assert_bad_output(self, expression, kind, text):
        guest = self.guest(f"def f(event):\n    return 1 if event else {expression}").ready()
        reply = guest.call(0)
        self.assertEqual(reply.meta, {":error": "bad-output"})
        self.assertEqual(reply.json["type"], kind)
        self.assertIn(text, reply.json["message"])
        self.assertEqual(guest.call(1).json, 1)

    def test_a_result_that_json_cannot_hold_is_bad_output(self):
        self.assert_bad_output("{1, 2}", "TypeError", "the result is not JSON-able: Object of type set is not JSON")
        self.assert_bad_output("b'x'", "TypeError", "Object of type bytes is not JSON serializable")
        self.assert_bad_output("{(1, 2): 3}", "TypeError", "keys must be str, int, float, bool or None")

    def test_nan_as_a_result_is_bad_output(self):
        self.assert_bad_output("[float('nan')]", "ValueError", "Out of range float values are not JSON compliant")

    def test_a_result_that_contains_itself_is_bad_output(self):
        self.assert_bad_output("(lambda l: l.append(l) or l)([])", "ValueError", "Circular reference detected")

    def test_a_result_nested_too_deeply_is_bad_output(self):
        self.assert_bad_output(
            "__import__('functools').reduce(lambda a, _: [a], range(200_000), [])", "RecursionError", "nested too deeply"
        )

    def test_a_lone_surrogate_goes_in_and_out_as_an_escape(self):
        self.assertEqual(self.echo.call(b'"\\ud800"').body, b'"\\ud800"')

    def test_text_is_not_escaped_needlessly(self):
        self.assertEqual(self.echo.call('"\\u00e9😀"'.encode()).body, '"é😀"'.encode())


if __name__ == "__main__":
    unittest.main()
