import unittest

from apps import AsgiCase, data, request, window
from guest import REPLY, WINDOW


class Concurrency(AsgiCase):
    def test_requests_run_at_the_same_time(self):
        guest = self.asgi(
            " seen.add(path)\n"
            " while len(seen) < 50: await asyncio.sleep(0.002)\n"
            " await start(send)\n await body(send, path.encode())",
            prelude="seen = set()",
        )
        guest.send(*(request(1 + 2 * n, f"/{n}") for n in range(50)))
        replies = [guest.receive() for _ in range(50)]
        self.assertEqual({frame.stream: frame.body for frame in replies}, {1 + 2 * n: b"/%d" % n for n in range(50)})
        self.assertTrue(all(frame.flags for frame in replies))

    def test_each_one_s_lines_begin_with_its_own_id(self):
        guest = self.asgi(
            " for n in range(3):\n"
            "  print('line', path, end='')\n  await asyncio.sleep(0.001)\n  print(' goes on')\n"
            "  await asyncio.get_running_loop().create_task(later(path))\n"
            " sys.stderr.write('unfinished ' + path)\n"
            " await start(send)\n await body(send)",
            prelude="print('loading')\nasync def later(path): await asyncio.sleep(0); print('in a task', path)",
        )
        guest.send(*(request(1 + 2 * n, f"/{n}", invocation=f"id{n}") for n in range(20)))
        for _ in range(20):
            self.assertEqual(guest.receive().kind, REPLY)
        lines = guest.stdout().splitlines()
        self.assertEqual(lines[0], "loading")
        expected = [f"id{n} {text}" for n in range(20) for text in (f"line /{n} goes on", f"in a task /{n}")]
        self.assertEqual(sorted(lines[1:]), sorted(expected * 3))
        self.assertEqual(sorted(guest.stderr().splitlines()), sorted(f"id{n} unfinished /{n}" for n in range(20)))

    def test_the_output_of_a_request_is_written_before_its_reply_ends(self):
        guest = self.asgi(
            " print(path, end='')\n await start(send)\n await body(send)\n print('after', end='')\n"
            " mark('end' + path[1:])"
        )
        for number in range(50):
            self.get(guest, f"/{number}")
            self.assertIn(f"i /{number}\n", guest.stdout())
        guest.wait_for("end49")
        guest.socket.close()
        self.assertEqual(guest.exit_code(), 0)
        self.assertEqual(guest.stdout().count("i after\n"), 50)

    def test_uploads_and_downloads_at_the_same_time_stay_apart(self):
        guest = self.asgi(
            " await start(send)\n"
            " while True:\n  message = await receive()\n  await body(send, message['body'], message['more_body'])\n"
            "  if not message['more_body']: return",
            window=10_000,
        )
        streams = {1 + 2 * n: bytes([n]) * 100_000 for n in range(8)}
        guest.send(*(request(stream, method="POST", end=False) for stream in streams))
        for start in range(0, 100_000, 20_000):
            guest.send(
                *(data(stream, body[start : start + 20_000], start == 80_000) for stream, body in streams.items())
            )
        got, ended = dict.fromkeys(streams, b""), 0
        while ended < len(streams):
            frame = guest.receive()
            if frame.kind != WINDOW:
                got[frame.stream] += frame.body
                ended += frame.flags
                if frame.body and not frame.flags:
                    guest.send(window(frame.stream, len(frame.body)))
        self.assertTrue(got == streams)


if __name__ == "__main__":
    unittest.main()
