"""What the installer makes of what uv, pip and the machine's settings say, fed as text."""

import os
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "python", "installer"))

import pip_tool  # noqa: E402
import reasons  # noqa: E402
import secrets_of  # noqa: E402
import settings  # noqa: E402
import uv_tool  # noqa: E402

COMPILED = """\
idna==3.10 \\
    --hash=sha256:{0} \\
    --hash=sha256:{1}
    # via requests
requests[socks]==2.32.3 \\
    --hash=sha256:{0}
    # via -r /tmp/requirements.txt
urllib3==2.2.3 \\
    --hash=sha256:{1}
    # via
    #   -r /tmp/requirements.txt
    #   Requests
""".format("a" * 64, "b" * 64)


class Reasons(unittest.TestCase):
    def test_what_the_tools_say_is_told_apart(self):
        told = {
            "Because foo==9 was not found in the package registry": reasons.UNSATISFIABLE,
            "ERROR: No matching distribution found for foo==1.502": reasons.UNSATISFIABLE,
            "Because timeout-decorator was not found in the package registry": reasons.UNSATISFIABLE,
            "Because connection-pool has no usable wheels": reasons.UNSATISFIABLE,
            "error sending request for url (http://127.0.0.1:9/simple/foo/)": reasons.UNREACHABLE,
            "HTTP status server error (503 Service Unavailable) for url": reasons.UNREACHABLE,
            "Could not fetch URL http://x/simple/foo/: 500 Server Error: broken - skipping": reasons.UNREACHABLE,
            "Could not fetch URL http://x/simple/foo/: timed out - skipping": reasons.UNREACHABLE,
            "valid authentication credentials (401 Unauthorized)": reasons.UNREACHABLE,
            "Hash mismatch for `foo==1.0`": reasons.MISMATCH,
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE": reasons.MISMATCH,
            "failed to write: No space left on device (os error 28)": reasons.NO_SPACE,
            "something else": reasons.FAILED,
        }
        self.assertEqual({text: reasons.kind_of(text) for text in told}, told)

    def test_tracebacks_and_attempts_are_left_out_and_the_end_of_what_is_long_is_kept(self):
        text = "WARNING: Retrying (Retry(total=4))\nERROR: Exception:\nTraceback (most recent call last):\n"
        text += '  File "/usr/lib/pip/x.py", line 1, in f\n    return g()\n\nDuring handling of the above\n\n'
        text += "Traceback (most recent call last):\n  File \"/usr/lib/y.py\", line 2\nProtocolError: broken\n"
        self.assertEqual(reasons.readable(text), "ProtocolError: broken")
        long = reasons.readable("x" * 10_000 + "\nthe end")
        self.assertLess(len(long), 5_000)
        self.assertTrue(long.endswith("the end"))


class Pins(unittest.TestCase):
    def test_what_uv_compiled_is_read_with_who_needs_whom(self):
        self.assertEqual(
            uv_tool.parse_compiled(COMPILED),
            [
                {"name": "idna", "version": "3.10", "hashes": ["a" * 64, "b" * 64], "requires": []},
                {"name": "requests", "version": "2.32.3", "hashes": ["a" * 64], "requires": ["idna", "urllib3"]},
                {"name": "urllib3", "version": "2.2.3", "hashes": ["b" * 64], "requires": []},
            ],
        )

    def test_only_a_pip_that_reports_is_new_enough(self):
        versions = ["pip 22.2", "pip 23.2.1", "pip 100.0", "pip 20.3.4", "pip 22.1.9", "nothing"]
        new_enough = [version for version in versions if pip_tool.is_new_enough(version)]
        self.assertEqual(new_enough, ["pip 22.2", "pip 23.2.1", "pip 100.0"])


class Secrets(unittest.TestCase):
    def test_passwords_are_hidden_however_they_are_spelled(self):
        hidden = secrets_of.Secrets(["x http://ann:p%40ss@host/simple", "https://t0ken@host/"]).hidden
        for text in ("http://ann:p%40ss@host/", "ann:p@ss", "p@ss", "p%40ss", "t0ken", "http://other:word@h/"):
            for secret in ("p@ss", "p%40ss", "t0ken", "word"):
                self.assertNotIn(secret, hidden(f"before {text} after"))
        self.assertEqual(hidden("numpy==2.0 at host"), "numpy==2.0 at host")

    def test_those_of_a_netrc_file_are_too(self):
        with tempfile.NamedTemporaryFile("w", suffix="netrc") as file:
            file.write("machine host login ann password s3cr3t\n")
            file.flush()
            self.assertEqual(secrets_of.Secrets([], file.name).hidden("a s3cr3t b"), "a *** b")


class SettingsOfTheMachine(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        patched = unittest.mock.patch.object(settings, "_DIRECTORY", directory.name)
        patched.start()
        self.addCleanup(patched.stop)

    def _made(self, environment, files, only_index=None):
        with unittest.mock.patch.dict(os.environ, environment, clear=True):
            return settings.Settings(files, only_index).environment

    def test_uv_goes_by_what_pip_has_been_told(self):
        conf = "[global]\nindex-url = http://a/\nextra-index-url =\n  http://b/\n  http://c/\n[install]\ntimeout = 3\n"
        made = self._made({"PIP_TRUSTED_HOST": "a"}, {"pip.conf": conf})
        self.assertEqual(made["UV_DEFAULT_INDEX"], "http://a/")
        self.assertEqual(made["UV_INDEX"], "http://b/ http://c/")
        self.assertEqual(made["UV_INSECURE_HOST"], "a")
        self.assertEqual(os.stat(made["PIP_CONFIG_FILE"]).st_mode & 0o777, 0o600)

    def test_directories_of_the_host_are_left_out(self):
        made = self._made({"PIP_FIND_LINKS": "/opt/wheels http://links/", "UV_FIND_LINKS": "/opt/wheels"}, {})
        self.assertEqual((made.get("PIP_FIND_LINKS"), made.get("UV_FIND_LINKS")), ("http://links/", None))

    def test_the_only_index_is_the_only_one(self):
        conf = "[global]\nindex-url = http://a/\nfind-links = http://b/\ntimeout = 3\n[install]\nno-index = true\n"
        files = {"pip.conf": conf, "uv.toml": '[[index]]\nurl = "http://a/"\n', "netrc": "machine m\n"}
        made = self._made({"UV_INDEX": "http://a/", "PIP_EXTRA_INDEX_URL": "http://a/"}, files, "http://only/")
        self.assertEqual({value for value in made.values() if "://" in value}, {"http://only/"})
        self.assertNotIn("UV_CONFIG_FILE", made)
        with open(made["PIP_CONFIG_FILE"], encoding="utf-8") as file:
            kept = file.read()
        self.assertIn("timeout", kept)
        self.assertNotIn("://", kept)
        self.assertNotIn("no-index", kept)


if __name__ == "__main__":
    unittest.main()
