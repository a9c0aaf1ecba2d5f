"""hygiene.fresh_process and the reaper, in processes of their own."""

import json
import signal
import subprocess
import sys
import textwrap
import time
import unittest

from guest import DEADLINE_SECONDS, PYTHON_PATH, GuestCase


def in_siblings(zygote, expression, count=2):
    """Runs `zygote`, forks children from it that call fresh_process; what the expression is in each of them."""
    code = textwrap.dedent(
        f"""
        import json, os, signal, sys, time, warnings
        from ol_guest import hygiene
        {{}}
        for _ in range({count}):
            sys.stdout.flush()
            if os.fork() == 0:
                hygiene.fresh_process()
                print(json.dumps({expression}), flush=True)
                os._exit(0)
            os.wait() if signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL else time.sleep(0.1)
        """
    ).replace("{}", textwrap.dedent(zygote).strip())
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PYTHON_PATH), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=20,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


class FreshProcess(unittest.TestCase):
    def assert_differ(self, zygote, expression):
        values = in_siblings(zygote, expression, 3)
        self.assertEqual(len({json.dumps(value) for value in values}), 3, values)

    def test_random_numbers_differ(self):
        self.assert_differ("import random; random.seed(1); random.random()", "random.random()")

    def test_ssl_s_random_bytes_differ(self):
        self.assert_differ("import ssl; ssl.RAND_bytes(8)", "ssl.RAND_bytes(8).hex()")

    def test_they_differ_too_when_the_zygote_was_warmed(self):
        self.assert_differ("import ssl; hygiene.warm()", "ssl.RAND_bytes(8).hex()")

    def test_temporary_names_differ(self):
        self.assert_differ(
            "import tempfile; next(tempfile._get_candidate_names())", "next(tempfile._get_candidate_names())"
        )

    def test_uuids_differ(self):
        self.assert_differ("import uuid; uuid.uuid1(); uuid.uuid4()", "[str(uuid.uuid1()), str(uuid.uuid4())]")

    def test_uuids_of_the_same_microsecond_differ(self):
        self.assert_differ("import uuid; uuid.uuid1()", "uuid.uuid1().node")
        self.assert_differ("import uuid; uuid.getnode()", "uuid.getnode()")

    def test_a_uuid_has_the_node_that_python_names(self):
        values = in_siblings("import uuid; uuid.uuid1()", "[uuid.uuid1().node == uuid.getnode(), uuid.uuid1().version]", 1)
        self.assertEqual(values, [[True, 1]])

    def test_multiprocessing_s_keys_differ(self):
        self.assert_differ(
            "import multiprocessing.process as p", "(p.current_process()._config['authkey'] or b'').hex()"
        )

    def test_a_loaded_numpy_is_reseeded(self):
        zygote = """
            import types
            sys.modules["numpy.random"] = fake = types.ModuleType("numpy.random")
            fake.seeds = 0
            def seed(): fake.seeds += 1
            fake.seed = seed
            """
        self.assertEqual(in_siblings(zygote, "fake.seeds", 1), [1])

    def test_nothing_is_imported_for_it(self):
        values = in_siblings("before = set(sys.modules)", "sorted(set(sys.modules) - before)", 1)
        self.assertEqual(values, [[]])

    def test_signals_are_as_python_starts_with_them(self):
        zygote = """
            for n in (signal.SIGCHLD, signal.SIGINT): signal.signal(n, signal.SIG_IGN)
            for n in (signal.SIGPIPE, signal.SIGALRM): signal.signal(n, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, lambda *a: None)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO, signal.SIGUSR1])
            """
        default, ignore = int(signal.SIG_DFL), int(signal.SIG_IGN)
        expression = """[
            *(signal.getsignal(n) for n in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE)),
            signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            len(signal.pthread_sigmask(0, [])),
        ]"""
        self.assertEqual(in_siblings(zygote, expression, 1), [[default, default, ignore, True, 0]])

    def test_warnings_and_arguments_are_as_at_the_start(self):
        zygote = "before = list(warnings.filters); warnings.simplefilter('error'); sys.argv[:] = ['zygote', 'x']"
        self.assertEqual(in_siblings(zygote, "[warnings.filters == before, sys.argv]", 1), [[True, [""]]])

    def test_the_host_name_is_asked_for_again(self):
        zygote = "import platform; platform.node(); platform._uname_cache = platform._uname_cache._replace(node='zygote')"
        ((name,),) = in_siblings(zygote, "[platform.node()]", 1)
        self.assertNotEqual(name, "zygote")

    def test_an_event_loop_of_the_zygote_s_is_not_shared(self):
        zygote = "import asyncio; loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)"
        self.assertEqual(in_siblings(zygote, "asyncio.get_event_loop_policy()._local._loop is loop", 1), [False])

    def test_the_time_zone_is_that_of_the_new_environment(self):
        zygote = "time.localtime(0); os.environ['TZ'] = 'UTC-5'"
        self.assertEqual(in_siblings(zygote, "time.localtime(0).tm_hour", 1), [5])


# As pid 1 is: orphans become its children.
SUBREAPER = """
import ctypes, os, subprocess, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)

def zombies():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            found.append(int(pid))
    return found

def until(condition):
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)

def orphan():
    subprocess.run(["sh", "-c", "sleep 0.05 &"])
"""


class Reaping(GuestCase):
    def test_orphans_that_ended_are_reaped_before_the_next_call(self):
        guest = self.guest(
            SUBREAPER
            + """
def f(event):
    if event:
        for _ in range(event): orphan()
        until(lambda: len(zombies()) == event)
    return len(zombies())
"""
        ).ready()
        self.assertEqual(guest.call(3).json, 3)
        self.assertEqual(guest.call(0).json, 0)
        self.assertEqual(guest.call(2).json, 2)
        self.assertEqual(guest.call(0).json, 0)

    def test_what_popen_waits_for_is_left_to_it_and_does_not_hide_orphans(self):
        guest = self.guest(
            SUBREAPER
            + """
def f(event):
    global kept
    if event == "start":
        kept = subprocess.Popen(["sh", "-c", "exit 7"])
        until(lambda: len(zombies()) == 1)
        orphan()
        until(lambda: len(zombies()) == 2)
    if event == "look":
        return zombies() == [kept.pid]
    if event == "wait":
        return kept.wait()
"""
        ).ready()
        guest.call("start")
        self.assertIs(guest.call("look").json, True)
        self.assertEqual(guest.call("wait").json, 7)

    def test_what_multiprocessing_waits_for_is_left_to_it(self):
        guest = self.guest(
            SUBREAPER
            + """
import multiprocessing
def f(event):
    global kept
    if event == "start":
        kept = multiprocessing.get_context("fork").Process(target=os._exit, args=(5,))
        kept.start()
        until(lambda: len(zombies()) == 1)
        return None
    if event == "look":
        return len(zombies())
    kept.join()
    return kept.exitcode
"""
        ).ready()
        guest.call("start")
        self.assertEqual(guest.call("look").json, 1)
        self.assertEqual(guest.call("join").json, 5)

    def test_with_other_threads_only_what_nobody_takes_is_reaped(self):
        guest = self.guest(
            SUBREAPER
            + """
import threading
results = []
def work():
    for _ in range(40): results.append(os.system("exit 3"))
def f(event):
    global thread
    if event == "start":
        orphan()
        until(zombies)
        thread = threading.Thread(target=work)
        thread.start()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if event == "join":
        thread.join()
        return [len(results), set(results) == {3 << 8}]
    if event == "zombies":
        return len(zombies())
"""
        ).ready()
        guest.call("start")
        for _ in range(300):
            guest.call("look")
        self.assertEqual(guest.call("join").json, [40, True])
        until = time.monotonic() + DEADLINE_SECONDS
        while guest.call("zombies").json:
            self.assertLess(time.monotonic(), until, "the orphan was not reaped")
            time.sleep(0.05)

    def test_subprocess_run_works_in_every_call(self):
        guest = self.guest(
            "import subprocess\ndef f(event): return subprocess.run(['sh', '-c', 'exit %d' % event]).returncode"
        ).ready()
        self.assertEqual([guest.call(n).json for n in range(20)], list(range(20)))


if __name__ == "__main__":
    unittest.main()
