"""How long the broker has patience with a zygote that owes processes: a played one, and a played clock."""

import os
import selectors
import signal
import subprocess
import sys
import types
import unittest
import unittest.mock

from guest import PYTHON_PATH

sys.path.insert(0, str(PYTHON_PATH))

from ol_guest import messages  # noqa: E402
from ol_host import forest as forests  # noqa: E402
from ol_host import nursery  # noqa: E402

MARGIN_SEC = 0.5


class Worker:
    """What the forest tells."""

    def __init__(self):
        self.errors = []
        self.ended = []

    def leaf_waits(self, leaf):
        pass

    def leaf_ended(self, leaf):
        self.ended.append(leaf.setup_error)

    def zygote_ready(self, zygote):
        pass

    def zygote_ended(self, zygote):
        pass

    def log(self, level, message):
        if level == "error":
            self.errors.append(message)


class Patience(unittest.TestCase):
    def setUp(self):
        self.now = 1000.0
        clock = unittest.mock.patch("time.monotonic", lambda: self.now)
        clock.start()
        self.addCleanup(clock.stop)
        self.process = subprocess.Popen(["sleep", "60"])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.selector = selectors.DefaultSelector()
        self.addCleanup(self.close_all)
        self.worker = Worker()
        ours, self.control = messages.pair()
        self.addCleanup(self.control.close)
        log_fd, log_end = os.pipe()
        self.addCleanup(os.close, log_end)
        tree = types.SimpleNamespace(pid=self.process.pid, pidfd=self.pidfd(), control=ours, log_fd=log_fd)
        spawn = unittest.mock.patch.object(nursery.trees, "spawn", lambda *_arguments: tree)
        spawn.start()
        self.addCleanup(spawn.stop)
        soil = types.SimpleNamespace(
            base=None,
            groups=types.SimpleNamespace(controllers=()),
            rootless=True,
            first_uid=0,
            weaken=[],
            preload="none",
            steps=False,
            prepared=0,
            most_prepared=0,
            most_leaves=100,
        )
        self.forest = forests.Forest(soil, self.selector, self.worker)

    def close_all(self):
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
            else:
                key.fileobj.close()
        self.selector.close()

    def pidfd(self):
        return os.pidfd_open(self.process.pid)

    def say(self, message, with_process=False):
        """The zygote's words, and what the broker makes of them."""
        descriptors = [self.pidfd()] if with_process else []
        messages.send(self.control, message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        for key, _events in self.selector.select(0):
            key.data()

    def pass_time(self, seconds):
        self.now += seconds
        self.forest.on_time(self.now)

    def ready_zygote(self):
        first = self.forest.take("none", None, 50)
        self.say({"op": "here"}, with_process=True)
        self.say({"op": "ready"})
        return first

    def test_ends_with_one_that_says_nothing(self):
        self.ready_zygote()
        self.assertIn(self.now + forests._FORK_SEC, self.forest.moments())
        self.pass_time(forests._FORK_SEC - MARGIN_SEC)
        self.assertEqual(self.worker.errors, [])
        self.pass_time(2 * MARGIN_SEC)
        self.assertEqual(len(self.worker.errors), 1)
        self.assertIn("has not answered for 8 s", self.worker.errors[0])
        self.assertIn("its zygote died", self.worker.ended[0])
        self.assertEqual(self.process.wait(), -signal.SIGKILL)

    def test_begins_anew_with_each_process_that_it_forks(self):
        leaves = [self.ready_zygote(), *(self.forest.take("none", None, 50) for _ in range(4))]
        for leaf in leaves:
            self.pass_time(forests._FORK_SEC - MARGIN_SEC)
            self.assertEqual(self.worker.errors, [])
            self.say({"op": "forked", "leaf": leaf.number}, with_process=True)
        # One that owes nothing may be silent.
        self.pass_time(10 * forests._FORK_SEC)
        self.assertEqual(self.worker.errors, [])
        # Its silence counts from the next time that it is asked.
        self.forest.take("none", None, 50)
        self.pass_time(forests._FORK_SEC - MARGIN_SEC)
        self.assertEqual(self.worker.errors, [])
        self.pass_time(2 * MARGIN_SEC)
        self.assertEqual(len(self.worker.errors), 1)

    def test_is_as_long_as_an_import_may_take_while_it_starts(self):
        self.forest.take("none", None, 50)
        self.say({"op": "here"}, with_process=True)
        self.pass_time(nursery._IMPORT_SEC - MARGIN_SEC)
        self.assertEqual(self.worker.errors, [])
        self.say({"op": "ready"})
        self.pass_time(forests._FORK_SEC - MARGIN_SEC)
        self.assertEqual(self.worker.errors, [])
        self.pass_time(2 * MARGIN_SEC)
        self.assertEqual(len(self.worker.errors), 1)

    def test_ends_with_one_that_never_starts(self):
        self.forest.take("none", None, 50)
        self.assertIn(self.now + nursery._IMPORT_SEC, self.forest.moments())
        self.pass_time(nursery._IMPORT_SEC + MARGIN_SEC)
        self.assertEqual(len(self.worker.errors), 1)
        self.assertIn("did not import its modules within 30 s", self.worker.errors[0])
        self.assertEqual(self.process.wait(), -signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
