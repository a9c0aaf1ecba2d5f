"""A root zygote that is asked for processes without a pause from its first moment on."""

import subprocess
import sys
import unittest

from guest import PYTHON_PATH

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ol_guest import messages, zygote
from ol_guest.settings import Settings

ours, theirs = messages.pair()

class Asked(zygote.Zygote):
    answered = 0

    def _watch_children(self):
        pass

    def _prepare(self, message, descriptors):
        # Nothing is forked; but the next request is there before this one is answered.
        self.answered += 1
        if self.answered > 10_000:
            print(json.dumps({"ready": False, "answered": self.answered}))
            sys.exit()
        messages.send(ours, {"op": "prepare", "leaf": self.answered})

    def serve(self):
        print(json.dumps({"ready": True, "answered": self.answered, "loaded": "wave" in sys.modules}))
        sys.exit()

settings = Settings(True, False, frozenset(["capabilities"]), ("json", "csv", "wave"))
messages.send(ours, {"op": "prepare", "leaf": 0})
Asked(theirs, settings).run()
"""


class Start(unittest.TestCase):
    def test_imports_between_the_requests(self):
        command = [sys.executable, "-c", SCRIPT, str(PYTHON_PATH)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.stdout, '{"ready": true, "answered": 12, "loaded": true}\n')


if __name__ == "__main__":
    unittest.main()
