"""What imports cost, and who asked for them: ol_guest.imports and import_report."""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import unittest

from guest import PYTHON_PATH

BEFORE = """
    import importlib, importlib.machinery, importlib.util, json, os, sys, threading, time, traceback
    from ol_guest import import_report, imports
    root = sys.argv[1]
    directories = sorted(name for name in os.listdir(root) if "-" in name)
    sys.path.extend(os.path.join(root, directory) for directory in directories)
    recorder = imports.Recorder(directories, root)
    asked = lambda: {name: recorder.asked(name) for name in directories if recorder.costs[name].ns}
    ms = lambda: {name: cost.ns / 1e6 for name, cost in recorder.costs.items() if cost.ns}
    recorder.start()
"""

SLEEP = "import time; time.sleep(0.05)\n"
# So much longer that no stall of the machine makes up for it.
LONG_SLEEP = "import time; time.sleep(1)\n"


class ImportCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="ol-imports-")
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)

    def write(self, files):
        """{"distribution/module.py": source}."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def run_with(self, files, code):
        """What `code` prints as JSON, after the recorder has begun."""
        self.write(files)
        program = textwrap.dedent(BEFORE) + textwrap.dedent(code)
        done = subprocess.run(
            [sys.executable, "-S", "-c", program, str(self.root)],
            env={"PYTHONPATH": str(PYTHON_PATH), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def asked(self, files, code):
        return self.run_with(files, f"{textwrap.dedent(code)}\nprint(json.dumps(asked()))")


class Asked(ImportCase):
    def test_of_a_package_that_imports_itself_only_what_the_lambda_asked_for(self):
        files = {"a-1/a/__init__.py": "from a import b\n", "a-1/a/b.py": "import a.c\n", "a-1/a/c.py": "", "a-1/a/d.py": ""}
        self.assertEqual(self.asked(files, "import a; import a.d; import a.b"), {"a-1": ["a", "a.d"]})

    def test_a_module_below_asks_for_what_is_above_it_itself(self):
        files = {"a-1/a/__init__.py": "", "a-1/a/b.py": ""}
        self.assertEqual(self.asked(files, "import a.b"), {"a-1": ["a.b"]})
        self.assertEqual(self.asked(files, "from a import b"), {"a-1": ["a", "a.b"]})

    def test_what_other_packages_asked_for(self):
        files = {
            "a-1/a.py": "import b.x, b.y\n",
            "b-1/b/__init__.py": "",
            "b-1/b/x.py": "import b.z\n",
            "b-1/b/y.py": "",
            "b-1/b/z.py": "",
        }
        self.assertEqual(self.asked(files, "import a"), {"a-1": ["a"], "b-1": ["b.x", "b.y"]})

    def test_through_a_module_that_is_no_package_s(self):
        helper = "open(os.path.join(root, 'helper.py'), 'w').write('import b\\n'); sys.path.append(root); import helper"
        self.assertEqual(self.asked({"b-1/b.py": "import c", "b-1/c.py": ""}, helper), {"b-1": ["b"]})

    def test_two_packages_that_import_each_other(self):
        files = {
            "a-1/a/__init__.py": "import b\n",
            "a-1/a/late.py": "",
            "b-1/b.py": "import a\nimport a.late\n",
        }
        self.assertEqual(self.asked(files, "import a"), {"a-1": ["a", "a.late"], "b-1": ["b"]})

    def test_several_top_level_modules_of_one_package(self):
        files = {"a-1/a.py": "import _a_speedups\n", "a-1/_a_speedups.py": ""}
        self.assertEqual(self.asked(files, "import a"), {"a-1": ["a"]})

    def test_a_namespace_package_s_parts_are_each_their_package_s(self):
        files = {
            "core-1/space/core/__init__.py": "",
            "store-1/space/store/__init__.py": "import space.core.auth\nfrom space.store import more\n",
            "core-1/space/core/auth.py": "",
            "store-1/space/store/more.py": "",
        }
        found = self.asked(files, "import space.store")
        self.assertEqual(found, {"core-1": ["space.core.auth"], "store-1": ["space.store"]})

    def test_a_namespace_package_made_with_pkgutil(self):
        extend = "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
        files = {
            "one-1/space/__init__.py": extend,
            "one-1/space/a.py": "import space.b\n",
            "two-1/space/__init__.py": extend,
            "two-1/space/b.py": "",
        }
        self.assertEqual(self.asked(files, "import space.a"), {"one-1": ["space.a"], "two-1": ["space.b"]})

    def test_nothing_that_failed_but_what_is_loaded_all_the_same(self):
        files = {
            "a-1/a/__init__.py": "import a.b\nimport c\nraise ValueError('no')\n",
            "a-1/a/b.py": "",
            "c-1/c.py": "",
            "d-1/d.py": "try:\n    import a\nexcept ValueError:\n    pass\n",
        }
        self.assertEqual(self.asked(files, "import d"), {"c-1": ["c"], "d-1": ["d"]})

    def test_what_is_loaded_already_was_not_imported(self):
        files = {"a-1/a.py": ""}
        code = """
            recorder.stop(); import a; recorder.start()
            import a
            importlib.import_module("a")
            """
        self.assertEqual(self.asked(files, code), {})

    def test_a_reload_counts_nothing_and_what_it_imports_anew_does(self):
        files = {"a-1/a.py": "import sys\nif 'again' in sys.argv: import b\n", "b-1/b.py": ""}
        code = 'import a; sys.argv.append("again"); importlib.reload(a)'
        self.assertEqual(self.asked(files, code), {"a-1": ["a"], "b-1": ["b"]})

    def test_a_lazy_module_stays_lazy(self):
        files = {"a-1/a.py": "import sys\nsys.argv.append('loaded')\n", "b-1/b.py": "import a\n"}
        code = """
            class LazyFinder:
                def find_spec(self, name, path=None, target=None):
                    if name != "a": return None
                    spec = importlib.machinery.PathFinder.find_spec(name)
                    spec.loader = importlib.util.LazyLoader(spec.loader)
                    return spec
            sys.meta_path.insert(0, LazyFinder())
            import b
            found = asked()
            before = "loaded" in sys.argv
            b.a.__doc__
            print(json.dumps([found, before, "loaded" in sys.argv]))
            """
        self.assertEqual(self.run_with(files, code), [{"a-1": ["a"], "b-1": ["b"]}, False, True])

    def test_a_module_that_puts_something_else_in_its_place(self):
        files = {
            "a-1/a.py": "import sys, b\nclass Other:\n    __slots__ = ()\nsys.modules[__name__] = Other()\n",
            "b-1/b/__init__.py": "from b import c\n",
            "b-1/b/c.py": "import sys\nsys.modules[__name__] = 7\n",
        }
        self.assertEqual(self.asked(files, "import a, b.c"), {"b-1": ["b"]})

    def test_c_extensions(self):
        source = next(pathlib.Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("_json.*"), None)
        if source is None:
            # Built into the interpreter.
            return
        os.makedirs(self.root / "a-1")
        os.symlink(source, self.root / "a-1" / source.name)
        code = """
            sys.modules.pop("_json", None)
            sys.path[:] = [entry for entry in sys.path if "dynload" not in entry]
            import _json
            """
        self.assertEqual(self.asked({}, code), {"a-1": ["_json"]})

    def test_names_that_cannot_be_imported_in_a_zygote_are_left_out_of_the_report(self):
        code = """
            importlib.import_module("odd-name")
            print(import_report.frame(recorder)[26:].decode())
            """
        report = self.run_with({"a-1/odd-name.py": SLEEP}, code)
        self.assertEqual([package["modules"] for package in report["packages"]], [[]])


class Costs(ImportCase):
    def test_each_package_s_own_time_and_the_standard_library_s_for_whoever_needed_it(self):
        files = {
            "a-1/a.py": SLEEP + "import b\n",
            "b-1/b.py": "import own\n",
            # Nobody's.
            "own.py": LONG_SLEEP,
        }
        found = self.run_with(files, "sys.path.append(root); import a; print(json.dumps(ms()))")
        self.assertEqual(list(found), ["a-1", "b-1"])
        self.assertGreater(found["a-1"], 49)
        self.assertGreater(found["b-1"], 999)
        self.assertLess(found["a-1"], found["b-1"])

    def test_private_memory(self):
        files = {
            "a-1/a.py": "import b\nKEPT = [bytearray(1 << 20) for _ in range(24)]\n",
            "b-1/b.py": "KEPT = [bytearray(1 << 20) for _ in range(8)]\n",
        }
        code = "import a; print(json.dumps({name: cost.kb for name, cost in recorder.costs.items()}))"
        found = self.run_with(files, code)
        self.assertAlmostEqual(found["a-1"] / 1024, 24, delta=2)
        self.assertAlmostEqual(found["b-1"] / 1024, 8, delta=2)

    def test_what_fails_is_a_cost_of_whoever_tried(self):
        files = {
            "a-1/a.py": "try:\n    import b\nexcept ImportError:\n    pass\n",
            "b-1/b.py": SLEEP + "import no_such_module\n",
        }
        self.assertGreater(self.run_with(files, "import a; print(json.dumps(ms()))")["a-1"], 49)

    def test_threads_that_import_at_once(self):
        files = {f"p{number}-1/p{number}.py": SLEEP + "import common\n" for number in range(6)}
        files["common-1/common.py"] = LONG_SLEEP
        code = """
            threads = [threading.Thread(target=importlib.import_module, args=(f"p{number}",)) for number in range(6)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(json.dumps([asked(), ms()]))
            """
        found, times = self.run_with(files, code)
        names = {f"p{number}-1": [f"p{number}"] for number in range(6)}
        self.assertEqual(found, {"common-1": ["common"], **names})
        # Five only waited for it.
        self.assertGreater(times["common-1"], 999)
        self.assertLess(times["common-1"], 3_000)

    def test_an_import_in_the_middle_of_its_own_work_as_a_finaliser_s(self):
        code = """
            directory_of = recorder._directory_of
            def interrupted(*arguments):
                import b
                return directory_of(*arguments)
            recorder._directory_of = interrupted
            import a
            print(json.dumps(asked()))
            """
        files = {"a-1/a.py": "", "b-1/b.py": ""}
        self.assertEqual(self.run_with(files, code), {"a-1": ["a"], "b-1": ["b"]})

    def test_nothing_is_recorded_after_the_end_or_seen_of_it(self):
        files = {
            "a-1/a.py": "import b\n",
            "b-1/b.py": "raise ValueError('no')\n",
            "c-1/c.py": "import no_such_module\n",
            "d-1/d.py": "",
        }
        code = """
            finders = list(map(str, sys.meta_path))
            texts = []
            for name in ("a", "c"):
                try: __import__(name)
                except Exception: texts.append(traceback.format_exc())
            recorder.stop()
            import d
            print(json.dumps([texts, finders == list(map(str, sys.meta_path)), d.__loader__.__class__.__name__, asked()]))
            """
        texts, same, loader, found = self.run_with(files, code)
        for text in texts:
            lines = [line.split(", line")[0] for line in text.splitlines() if line.strip().startswith("File")]
            names = [line.split('"')[1].replace(str(self.root), "") for line in lines]
            self.assertIn(names, (["<string>", "/a-1/a.py", "/b-1/b.py"], ["<string>", "/c-1/c.py"]))
        self.assertEqual((same, loader, found), (True, "SourceFileLoader", {}))


class Report(ImportCase):
    def test_leaves_the_cheapest_and_the_later_modules_out_if_there_is_too_much(self):
        code = """
            for number in range(600):
                cost = recorder.costs[f"package-{number}"] = imports.Cost()
                cost.ns = number * 1_000_000
                for part in range(number % 40):
                    name = f"package{number}.part{part}"
                    sys.modules[f"package{number}"] = sys.modules[name] = sys
                    cost.asked[name] = part
            frame = import_report.frame(recorder)
            print(json.dumps([len(frame), json.loads(frame[26:])]))
            """
        size, report = self.run_with({"a-1/a.py": ""}, code)
        self.assertLessEqual(size, 16 * 1024 + 12)
        names = [package["directory"] for package in report["packages"]]
        self.assertGreater(len(names), 100)
        self.assertEqual(names, [f"package-{599 - place}" for place in range(len(names))])
        first = report["packages"][0]
        self.assertEqual(first["modules"][:1], ["package599.part0"])
        self.assertEqual(first["ms"], 599.0)


if __name__ == "__main__":
    unittest.main()
