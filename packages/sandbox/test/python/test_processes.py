"""What the broker does to the processes of a sandbox where no control group tells which they are."""

import os
import socket
import subprocess
import sys
import time
import unittest

from guest import DEADLINE_SECONDS, PYTHON_PATH

sys.path.insert(0, str(PYTHON_PATH))

from ol_host.leaves import Leaf  # noqa: E402
from ol_host.processes import Stop  # noqa: E402

# A process that was told to stop has, as a rule, stopped long before.
_PATIENCE_SECONDS = 0.5


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def is_stopped(process, patience_seconds):
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
        if pid:
            return os.WIFSTOPPED(status)
        time.sleep(0.01)
    return False


class Stopping(unittest.TestCase):
    def setUp(self):
        self.processes = [sleeper(), sleeper()]
        self.pidfds = [os.pidfd_open(process.pid) for process in self.processes]
        with socket.socket() as channel:
            self.leaf = Leaf(1, None, "none", 0, None, channel)
        self.leaf.pidfd = self.pidfds[0]

    def tearDown(self):
        for process, pidfd in zip(self.processes, self.pidfds):
            process.kill()
            process.wait()
            os.close(pidfd)

    def test_a_sandbox_is_stopped(self):
        self.leaf.pid = self.processes[0].pid
        self.assertFalse(Stop(self.leaf).step())
        self.assertTrue(is_stopped(self.processes[0], DEADLINE_SECONDS))

    def test_a_stranger_who_got_the_number_of_one_that_ended_is_not(self):
        own, stranger = self.processes
        own.kill()
        own.wait()
        self.leaf.pid = stranger.pid
        Stop(self.leaf).step()
        self.assertFalse(is_stopped(stranger, _PATIENCE_SECONDS))


if __name__ == "__main__":
    unittest.main()
