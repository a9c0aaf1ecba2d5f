"""What the broker reads from processes that may not mean it well."""

import os
import socket
import sys
import unittest

from guest import PYTHON_PATH

sys.path.insert(0, str(PYTHON_PATH))

from ol_guest import kin, messages  # noqa: E402
from ol_host import zygotes  # noqa: E402


def received(data, descriptors=()):
    ours, theirs = messages.pair()
    with ours, theirs:
        socket.send_fds(theirs, [data], list(descriptors))
        return messages.receive(ours)


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


class Receive(unittest.TestCase):
    def test_a_message_comes_with_its_descriptors(self):
        message, descriptors = received(b'{"op": "forked", "leaf": 3}', [0])
        self.assertEqual(message, {"op": "forked", "leaf": 3})
        self.assertEqual(len(descriptors), 1)
        os.close(descriptors[0])

    def test_what_is_no_message_is_refused_and_its_descriptors_are_closed(self):
        before = open_descriptors()
        for data in (b"junk", b"[]", b"7", b"[" * 100_000, b"9" * 100_000, b'{"leaf": ' + b"9" * 20 + b"}", b"\xff"):
            with self.assertRaises(ValueError):
                received(data, [0, 0])
        self.assertEqual(open_descriptors(), before)


class Numbers(unittest.TestCase):
    def test_only_a_number_is_one(self):
        self.assertEqual(zygotes.number_of({"leaf": 7}, "leaf"), 7)
        for value in (None, "7", 7.0, [], {}, True):
            with self.assertRaises(zygotes.Violation):
                zygotes.number_of({"leaf": value}, "leaf")

    def test_a_text_is_cut(self):
        self.assertEqual(len(zygotes.text_of({"error": "x" * 100_000}, "error")), 8 * 1024)
        self.assertEqual(zygotes.text_of({"error": ["x"]}, "error"), "no reason was given")


class Strays(unittest.TestCase):
    def test_they_are_all_but_the_known_and_what_is_below_those(self):
        parents = {1: 0, 2: 1, 3: 1, 4: 1, 5: 2, 6: 3, 7: 6}
        everybody = {pid: kin.Kin(parent, "S") for pid, parent in parents.items()}
        self.assertEqual(sorted(kin.strays(1, {3}, everybody)), [2, 4, 5])


if __name__ == "__main__":
    unittest.main()
