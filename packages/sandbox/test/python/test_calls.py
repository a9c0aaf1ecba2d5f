import sys
import unittest

from guest import CALL, DATA, EVENT, HEADER, HELLO, HTTP, PING, REPLY, RESET, WINDOW, Frame, GuestCase, call_frame, pack


class Calls(GuestCase):
    def test_hello_says_what_the_guest_is(self):
        guest = self.guest("def f(event): return event").ready()
        self.assertEqual(guest.hello.kind, HELLO)
        self.assertEqual(
            guest.hello.meta,
            {
                ":v": "1",
                ":window": "262144",
                ":streams": "16",
                ":kinds": "call http",
                ":runtime": f"python{sys.version_info[0]}.{sys.version_info[1]}",
            },
        )

    def test_a_call_returns_the_function_s_result_as_compact_json(self):
        guest = self.guest("def f(event): return {'got': event, 'é': [1, None]}").ready()
        reply = guest.call({"name": "Alice"})
        self.assertEqual(reply.flags, 1)
        self.assertEqual(reply.meta, {})
        self.assertEqual(reply.body.decode(), '{"got":{"name":"Alice"},"é":[1,null]}')

    def test_no_body_is_an_empty_event(self):
        guest = self.guest("def f(event): return event").ready()
        self.assertEqual(guest.call(b"").body, b"{}")

    def test_calls_sent_before_the_function_is_loaded_are_run_in_order(self):
        first = b"".join(call_frame(1 + 2 * i, i) for i in range(50))
        guest = self.guest("def f(event): return event + 1", first=first).ready()
        replies = [guest.receive() for _ in range(50)]
        self.assertEqual([(r.stream, r.json) for r in replies], [(1 + 2 * i, i + 1) for i in range(50)])

    def test_frames_may_arrive_byte_by_byte(self):
        guest = self.guest("def f(event): return event", greet=False)
        for byte in pack(HELLO, 0, 0, (":v", "1")) + call_frame(1, {"a": 1}) + call_frame(3, [2]):
            guest.send(bytes([byte]))
        kinds = [guest.receive() for _ in range(4)]
        self.assertEqual([f.kind for f in kinds], [HELLO, EVENT, REPLY, REPLY])
        self.assertEqual([f.json for f in kinds[2:]], [{"a": 1}, [2]])

    def test_an_exception_leaves_the_guest_ready_for_the_next_call(self):
        guest = self.guest("def f(event): return 1 / event").ready()
        self.assertEqual(guest.call(0).meta, {":error": "exception"})
        self.assertEqual(guest.call(2).json, 0.5)

    def test_the_process_ends_with_the_connection(self):
        guest = self.guest("def f(event): return event").ready()
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)

    def test_the_process_ends_with_the_connection_while_the_function_runs(self):
        guest = self.guest("def f(event):\n open('on', 'w').close()\n while True: pass").ready()
        guest.send(call_frame(1, {}))
        guest.wait_for("on")
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)

    def test_ping_is_echoed_between_and_during_calls(self):
        guest = self.guest("import time\ndef f(event):\n open('on', 'w').close()\n time.sleep(60)").ready()
        guest.send(pack(PING, 0, 0, (), b"one"))
        self.assertEqual(guest.receive(), Frame(PING, 1, 0, {}, b"one"))
        guest.send(call_frame(1, {}))
        guest.wait_for("on")
        guest.send(pack(PING, 0, 0, (), b"two"))
        self.assertEqual(guest.receive(), Frame(PING, 1, 0, {}, b"two"))

    def test_unknown_events_and_extension_types_are_skipped(self):
        guest = self.guest("def f(event): return event").ready()
        guest.send(pack(EVENT, 0, 0, (":event", "news"), b"x"), pack(0x40, 0, 0, (), b"y"), pack(0x7F, 0, 9))
        self.assertEqual(guest.call(1).json, 1)

    def test_a_request_over_http_is_a_call_of_its_body(self):
        guest = self.guest("def f(event, context): return [event, context.invocation_id, dict(context.headers)]").ready()
        meta = (":id", "x", ":method", "GET", ":mount", "/run/a", ":path", "/b", ":query", "c", ":client", "::1", "A", "b")
        guest.send(pack(HTTP, 1, 1, meta))
        self.assertEqual(guest.receive().json, [{}, "x", {"a": "b"}])
        guest.send(pack(HTTP, 0, 3, meta, b"[1"), pack(DATA, 0, 3, (), b",2"), pack(DATA, 1, 3, (), b"]"))
        reply = guest.receive()
        self.assertEqual((reply.stream, reply.meta, reply.json), (3, {}, [[1, 2], "x", {"a": "b"}]))


class Violations(GuestCase):
    cases = {
        "an unknown type": pack(0x30, 0, 0),
        "a second HELLO": pack(HELLO, 0, 0, (":v", "1")),
        "a REPLY": pack(REPLY, 1, 1),
        "an even stream": call_frame(2, {}),
        "a stream twice": call_frame(1, 1) + call_frame(1, 1),
        "a falling stream": call_frame(3, 1) + call_frame(1, 1),
        "a frame that is too long": HEADER.pack(1 << 20 | 1, CALL, 1, 0, 1),
        "a meta longer than its frame": HEADER.pack(3, CALL, 1, 4, 1) + b"xxx",
        "a WINDOW of 0": call_frame(1, 1) + pack(WINDOW, 0, 1, (), bytes(4)),
        "a RESET of a stream never opened": pack(RESET, 0, 1, (), bytes(4)),
        "a RESET without a code": call_frame(1, 1) + pack(RESET, 0, 1, (), b"xx"),
        "a PING too long": pack(PING, 0, 0, (), bytes(17)),
        "DATA beyond the credit": call_frame(1, b"", flags=0) + pack(DATA, 0, 1, (), bytes(131071)) + pack(DATA, 0, 1, (), bytes(1 << 20)),
    }

    def test_a_worker_that_breaks_the_protocol_ends_the_guest(self):
        for name, frames in self.cases.items():
            with self.subTest(name):
                guest = self.guest("def f(event): return event").ready()
                try:
                    guest.send(frames)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assert_exits(guest, 76)
                self.assertIn("the worker broke the frames protocol", guest.stderr())

    def test_a_first_frame_that_is_no_hello_ends_the_guest(self):
        guest = self.guest("def f(event): return event", greet=False)
        guest.send(call_frame(1, {}))
        self.assert_exits(guest, 76)

    def test_a_violation_while_the_function_runs_ends_the_guest(self):
        guest = self.guest("def f(event):\n open('on', 'w').close()\n while True: pass").ready()
        guest.send(call_frame(1, {}))
        guest.wait_for("on")
        guest.send(pack(0x30, 0, 0))
        self.assert_exits(guest, 76)


if __name__ == "__main__":
    unittest.main()
