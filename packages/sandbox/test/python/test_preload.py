"""The standard library that the root zygote imports in advance."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

from guest import PYTHON_PATH

BEFORE = """
    import json, os, signal, sys, threading
    from ol_guest import preload
    def state():
        handlers = [str(signal.getsignal(number)) for number in signal.valid_signals()]
        return {
            "descriptors": sorted(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")),
            "environment": dict(os.environ),
            "handlers": handlers,
            "path": sys.path,
            "directory": os.getcwd(),
        }
"""


def run(code):
    program = textwrap.dedent(BEFORE) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(PYTHON_PATH), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    return json.loads(done.stdout)


class Preload(unittest.TestCase):
    def test_leaves_nothing_behind_that_a_fork_shares(self):
        before, after = run(
            """
            before = state()
            preload.load(preload.STANDARD_LIBRARY)
            assert "asyncio" in sys.modules
            print(json.dumps([before, state()]))
            """
        )
        self.assertEqual(after, before)

    def test_a_module_that_this_python_lacks_is_left_out(self):
        loaded = run('preload.load(["no_such_module", "colorsys"]); print(json.dumps("colorsys" in sys.modules))')
        self.assertTrue(loaded)

    def test_a_lambda_s_own_module_comes_before_a_preloaded_one_of_its_name(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("colorsys", "json"):
                with open(os.path.join(directory, f"{name}.py"), "w", encoding="utf-8") as file:
                    file.write("OWN = True\n")
            found = run(
                f"""
                preload.load(["colorsys"])
                preload.make_way_for({directory!r})
                sys.path.insert(0, {directory!r})
                import colorsys
                print(json.dumps([hasattr(colorsys, "OWN"), hasattr(json, "OWN")]))
                """
            )
        # What the runtime itself works with stays.
        self.assertEqual(found, [True, False])


if __name__ == "__main__":
    unittest.main()
