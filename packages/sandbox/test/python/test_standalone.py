import socket
import subprocess
import sys

from guest import DEADLINE_SECONDS, PYTHON_PATH, REPLY, Guest, GuestCase


class Standalone(Guest):
    """A guest that an engine of anybody's has started, over a socket that it was given."""

    packages = ()

    def _start(self, environment):
        self.socket, far = socket.socketpair()
        self.socket.settimeout(DEADLINE_SECONDS)
        script = str(PYTHON_PATH / "ol_guest" / "standalone.py")
        arguments = [str(far.fileno()), str(self.handler), *self.packages]
        with far, open(self.directory / "stdout", "ab") as out, open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", script, *arguments],
                env=environment,
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def _connect(self, send_buffer):
        """It is connected."""


class AStandaloneGuest(GuestCase):
    def start(self, source, **options):
        guest = Standalone(source, **options)
        self.addCleanup(guest.close)
        return guest

    def test_answers_calls_and_ends_with_its_connection(self):
        guest = self.start("def f(event): return event + 1").ready()
        self.assertEqual(guest.call(1).json, 2)
        guest.socket.close()
        self.assertEqual(guest.process.wait(DEADLINE_SECONDS), 0)

    def test_has_the_environment_that_it_was_started_with_and_no_more(self):
        source = "import os\ndef f(event): return sorted(os.environ)"
        guest = self.start(source, environment={"GREETING": "hello"}).ready()
        self.assertEqual(set(guest.call(0).json) - {"LC_CTYPE"}, {"GREETING"})

    def test_does_not_hand_its_connection_to_what_the_lambda_starts(self):
        source = """
            import os, subprocess, sys
            def f(event):
                program = "import os; print(sorted(os.listdir('/proc/self/fd')))"
                return subprocess.run([sys.executable, "-c", program], capture_output=True, close_fds=False).stdout.decode()
        """
        guest = self.start(source).ready()
        # Three standard streams, and the directory that it lists.
        self.assertEqual(guest.call(0).json.strip(), "['0', '1', '2', '3']")

    def test_finds_packages_behind_the_standard_library_and_the_lambda_s_own_modules_first(self):
        with Guest(files={"f.py": "", "json.py": "", "extra.py": "WHOSE = 'package'"}) as shelf:
            Standalone.packages = (str(shelf.handler),)
            self.addCleanup(setattr, Standalone, "packages", ())
            source = "import json, extra\ndef f(event): return [extra.WHOSE, hasattr(json, 'dumps')]"
            guest = self.start(source).ready()
            self.assertEqual(guest.call(0).json, ["package", True])

    def test_reports_code_that_cannot_be_loaded(self):
        guest = self.start("import no_such_module")
        frame = guest.receive()
        self.assertNotEqual(frame.kind, REPLY)
        self.assertIn(b"no_such_module", frame.body)
