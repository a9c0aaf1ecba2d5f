"""What the broker reads from /proc about its host, fed as text."""

import errno
import os
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "python"))

from ol_host import hierarchies, obstacles, tree, trial  # noqa: E402

ALL = "CapEff:\t000001ffffffffff\nSeccomp:\t0\n"


def host(**files):
    """A reader of /proc with these files (`/` written as `__`)."""
    return lambda name: files.get(name.replace("/", "__"), ALL if name == "self/status" else "")


class Starts(unittest.TestCase):
    def test_a_python_that_is_too_old_says_so_before_it_imports_anything(self):
        with unittest.mock.patch.object(sys, "version_info", (3, 8, 18)):
            with self.assertRaises(SystemExit) as ended:
                exec(tree.START, {})
        self.assertEqual(ended.exception.code, "sandboxes need Python 3.9 or newer, and this one is 3.8")

    def test_of_what_a_python_prints_that_cannot_start_the_telling_line_is_kept(self):
        words = "Fatal Python error: init\nModuleNotFoundError: No module named 'encodings'\n\n  <no Python frame>\n"
        self.assertEqual(trial.reason(words), "ModuleNotFoundError: No module named 'encodings'")
        self.assertEqual(trial.reason("nothing telling\nbut this\n"), "but this")
        self.assertIn("did not start within", trial.reason("\n"))


class Obstacles(unittest.TestCase):
    def test_nothing_is_blamed_without_a_reason(self):
        self.assertEqual(obstacles.obstacles(errno.EPERM, True, host(sys__user__max_user_namespaces="7000")), [])
        self.assertEqual(obstacles.obstacles(errno.EPERM, False, host()), [])

    def test_a_limit_of_user_namespaces_is_named(self):
        for value, number in (("0", errno.EPERM), ("1", errno.ENOSPC)):
            (line,) = obstacles.obstacles(number, True, host(sys__user__max_user_namespaces=value))
            self.assertIn(f"user.max_user_namespaces is {value}", line)
            self.assertIn("sysctl -w user.max_user_namespaces=", line)

    def test_apparmor_and_debian_switches_are_an_ordinary_user_s_only(self):
        files = host(sys__kernel__apparmor_restrict_unprivileged_userns="1", sys__kernel__unprivileged_userns_clone="0")
        lines = obstacles.obstacles(errno.EPERM, True, files)
        self.assertEqual(len(lines), 2)
        for line, setting in zip(lines, ("unprivileged_userns_clone=1", "apparmor_restrict_unprivileged_userns=0")):
            self.assertIn(f"sysctl -w kernel.{setting}, or start the worker as root", line)
        self.assertEqual(obstacles.obstacles(errno.EPERM, False, files), [])

    def test_a_container_s_root_is_told_what_it_lacks(self):
        files = host(self__status="CapEff:\t00000000a80425fb\nSeccomp:\t2\n")
        lines = obstacles.obstacles(errno.EPERM, False, files)
        self.assertIn("no CAP_SYS_ADMIN", lines[0])
        self.assertIn("seccomp=unconfined", lines[1])

    def test_a_missing_device_is_named_and_other_errors_stay_as_they_are(self):
        missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "/dev/full")
        self.assertIn("make the device /dev/full", obstacles.explain(missing, True))
        full = OSError(errno.EMFILE, "Too many open files")
        self.assertEqual(obstacles.explain(full, True), str(full))


class Hierarchies(unittest.TestCase):
    def test_mounts_are_told_apart_by_version(self):
        text = (
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
            "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            "32 23 0:28 / /tmp rw - tmpfs tmpfs rw\n"
        )
        found = hierarchies.parse_mounts(text)
        self.assertEqual([(version, point) for version, point, _ in found], [(2, "/sys/fs/cgroup"), (1, "/sys/fs/cgroup/cpu,cpuacct")])
        self.assertIn("cpu", found[1][2])

    def test_one_s_own_group_is_found_in_each(self):
        own = hierarchies.parse_own_group("4:memory:/a\n1:cpu,cpuacct:/b:c\n0::/user.slice/x.scope\n")
        self.assertEqual(own, {"memory": "/a", "cpu": "/b:c", "cpuacct": "/b:c", "": "/user.slice/x.scope"})

    def test_the_group_that_was_given_to_us_is_not_the_one_that_an_earlier_worker_moved_us_to(self):
        given = "/sys/fs/cgroup/user.slice/a.scope"
        self.assertEqual(hierarchies.delegated_group("/sys/fs/cgroup", "/user.slice/a.scope"), given)
        self.assertEqual(hierarchies.delegated_group("/sys/fs/cgroup", "/user.slice/a.scope/ol-x-worker-0-host"), given)
        self.assertEqual(hierarchies.delegated_group("/sys/fs/cgroup", "/"), "/sys/fs/cgroup")

    def test_controllers_are_enabled_once(self):
        with tempfile.TemporaryDirectory() as parent:
            control = os.path.join(parent, "cgroup.subtree_control")
            with open(control, "w", encoding="ascii") as file:
                file.write("cpu")
            hierarchy = hierarchies.Hierarchy(2, parent, ("cpu", "memory", hierarchies.FREEZE))
            hierarchies.enable_controllers(hierarchy, "ol-x-worker-0")
            with open(control, encoding="ascii") as file:
                self.assertEqual(file.read(), "+memory")


if __name__ == "__main__":
    unittest.main()
