"""Who left behind what a fork cannot share, and what was looked for in vain: ol_guest.leftovers, ol_guest.sought."""

import unittest
from textwrap import dedent

from test_imports import ImportCase

WATCHED = """
    from ol_guest.leftovers import Leftovers, describe
    leftovers = Leftovers()
    recorder.stop()
    recorder = imports.Recorder(directories, root, look=leftovers.new)
    recorder.start()
    def own(found):
        # Out here there are everybody's processes. What was open in the middle of an import may be closed since.
        still = {one[:2] for one in leftovers.all() if one.kind != "process"}
        return [one for one in found if one[:2] in still]
    def left():
        found = {name: [one.kind for one in own(left)] for name, left in recorder.left.items()}
        return {name: kinds for name, kinds in found.items() if kinds}
    """
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
SEEKER = "from ol_guest.sought import Seeker\nseeker = Seeker()\nsys.meta_path.append(seeker)\n"


class Blame(ImportCase):
    def left(self, files, code="import a"):
        return self.run_with(files, f"{dedent(WATCHED)}{code}\nprint(json.dumps(left()), flush=True)\nos._exit(0)")

    def test_falls_on_whoever_did_it_also_in_the_middle_of_others(self):
        files = {"a-1/a.py": "import b\nimport d\n", "b-1/b.py": "import c\n", "c-1/c.py": THREAD, "d-1/d.py": ""}
        self.assertEqual(self.left(files), {"c-1": ["thread"]})

    def test_does_not_fall_on_what_was_imported_after_it(self):
        files = {"a-1/a.py": THREAD + "import b\n", "b-1/b.py": ""}
        self.assertEqual(self.left(files), {"a-1": ["thread"]})

    def test_does_not_fall_on_what_was_imported_before_it(self):
        files = {"a-1/a.py": "import b\nKEPT = open('/dev/null')\n", "b-1/b.py": ""}
        self.assertEqual(self.left(files), {"a-1": ["descriptor"]})

    def test_falls_on_each_for_its_own(self):
        files = {
            "a-1/a.py": "import b\nimport sys\nsys.path.append('/nowhere')\n",
            "b-1/b.py": "import signal\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)\n",
        }
        self.assertEqual(self.left(files), {"a-1": ["path"], "b-1": ["signals"]})

    def test_falls_on_a_package_for_a_module_of_nobody_that_it_imports(self):
        files = {"a-1/a.py": "import helper\n", "helper.py": "import os\nLEFT = os.open('/', os.O_RDONLY)\n"}
        code = "sys.path.append(root); leftovers._path = list(sys.path)\nimport a"
        self.assertEqual(self.left(files, code), {"a-1": ["descriptor"]})

    def test_falls_on_nobody_for_what_has_ended_or_was_only_added(self):
        files = {
            "a-1/a.py": "import b\n",
            "b-1/b.py": "import builtins, sys\nopen('/dev/null').close()\nsys.meta_path.append(type('F', (), {'find_spec': None}))\n"
            "sys.meta_path.pop()\nbuiltins._ = str\n",
        }
        self.assertEqual(self.left(files), {})

    def test_threads_are_counted_and_named_once(self):
        code = """
            threads = [threading.Thread(target=time.sleep, args=(30,), name="one", daemon=True) for _ in range(3)]
            for thread in threads: thread.start()
            print(json.dumps(describe(own(leftovers.all()))), flush=True)
            os._exit(0)
            """
        self.assertEqual(self.run_with({}, dedent(WATCHED) + dedent(code)), "3 more threads (one, one, one)")


class Sought(ImportCase):
    def sought(self, files, code):
        return self.run_with(files, f"{SEEKER}{dedent(code)}\nprint(json.dumps(seeker.in_vain()))")

    def test_modules_that_are_not_there_each_once_in_order(self):
        code = """
            for name in ("absent_b", "absent_a", "absent_b", "a"):
                try: __import__(name)
                except ImportError: pass
            importlib.util.find_spec("absent_c")
            """
        self.assertEqual(self.sought({"a-1/a.py": ""}, code), ["absent_b", "absent_a", "absent_c"])

    def test_parts_of_a_namespace_package_which_another_package_could_have(self):
        code = """
            import space.a, plain
            for name in ("space.b", "plain.part"):
                try: __import__(name)
                except ImportError: pass
            """
        self.assertEqual(self.sought({"s-1/space/a.py": "", "p-1/plain/__init__.py": ""}, code), ["space"])

    def test_not_what_a_finder_found_that_was_added_later(self):
        code = """
            import types
            class Late:
                def find_spec(self, name, path=None, target=None):
                    return importlib.machinery.ModuleSpec(name, self) if name == "late" else None
                def create_module(self, spec): return None
                def exec_module(self, module): pass
            sys.meta_path.append(Late())
            import late
            """
        self.assertEqual(self.sought({}, code), [])

    def test_no_more_than_somebody_would_look_for(self):
        code = """
            for number in range(1000): importlib.util.find_spec(f"absent_{number}")
            importlib.util.find_spec("x" * 101)
            """
        self.assertEqual(len(self.sought({}, code)), 256)


if __name__ == "__main__":
    unittest.main()
