"""kin.py, with processes of its own."""

import os
import subprocess
import sys
import time
import unittest

from guest import DEADLINE_SECONDS, PYTHON_PATH

sys.path.insert(0, str(PYTHON_PATH))

from ol_guest import kin  # noqa: E402 - the path comes first

_SLEEP = [sys.executable, "-I", "-S", "-c", "import time; print('here', flush=True); time.sleep(1000)"]
_PARENT = [
    sys.executable,
    "-I",
    "-S",
    "-c",
    f"import subprocess, time; p = subprocess.Popen({_SLEEP!r}, start_new_session=True); print(p.pid, flush=True); p.wait()",
]


def pids_said(process):
    """Its own, and that of the child that it has told of."""
    lines = sorted(process.stdout.readline().strip() for _ in range(2))
    return process.pid, int(lines[0])


class Kinship(unittest.TestCase):
    def setUp(self):
        self.processes = []
        self.addCleanup(self.end_all)

    def start(self):
        process = subprocess.Popen(_PARENT, stdout=subprocess.PIPE, encoding="ascii")
        self.processes.append(process)
        pids = pids_said(process)
        self.addCleanup(self.end, pids[1])
        return pids

    @staticmethod
    def end(pid):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass

    def end_all(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()

    def test_a_family_is_a_process_and_all_below_it(self):
        head, child = self.start()
        found = kin.everybody()
        self.assertEqual(kin.family(head, found), {head, child})
        self.assertEqual(kin.family(child, found), {child})
        self.assertLess({head, child}, kin.family(os.getpid(), found))
        self.assertEqual(kin.family(2**30, found), set())

    def test_strays_are_those_of_no_family_that_is_known(self):
        one, other = self.start(), self.start()
        found = kin.everybody()
        self.assertEqual(kin.strays(os.getpid(), [one[0]], found), set(other))
        self.assertEqual(kin.strays(os.getpid(), [one[0], other[0]], found), set())
        self.assertEqual(kin.strays(os.getpid(), [], found), {*one, *other})

    def test_who_is_stopped_does_not_run(self):
        head, _child = self.start()
        self.assertTrue(kin.everybody()[head].runs)
        os.kill(head, 19)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while kin.everybody()[head].runs:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_memory_is_counted_once_and_of_nobody_there_is_none(self):
        head, child = self.start()
        both = kin.proportional_bytes([head, child])
        self.assertGreater(both, 1_000_000)
        self.assertLess(kin.proportional_bytes([head]), both)
        self.assertEqual(kin.proportional_bytes([2**30]), 0)


if __name__ == "__main__":
    unittest.main()
