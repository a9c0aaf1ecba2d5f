"""When what is kept of a sandbox gets the name under which others believe it."""

import os
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "python"))

import ol_kernel as kernel  # noqa: E402

from ol_host import keeping  # noqa: E402


class OnDisk(unittest.TestCase):
    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        for name in ("scratch/out/one", "scratch/out/two", "packages"):
            os.makedirs(os.path.join(self._directory.name, name))
        for name in ("one", "two"):
            with open(self._path("scratch/out", name, "a.py"), "w", encoding="ascii") as file:
                file.write("A = 1\n")

    def _path(self, *parts):
        return os.path.join(self._directory.name, *parts)

    def _keep(self, syncfs):
        orders = [keeping.Order(f"out/{name}", f"py/{name}", False) for name in ("one", "two")]
        descriptors = [os.open(self._path(name), os.O_RDONLY) for name in ("packages", "scratch")]
        try:
            with unittest.mock.patch.object(kernel, "syncfs", syncfs):
                return keeping.keep_all(*descriptors, None, orders)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _kept(self):
        place = self._path("packages/py")
        return sorted(os.listdir(place)) if os.path.exists(place) else []

    def test_what_is_kept_is_on_the_disk_before_it_has_its_name(self):
        seen = []
        syncfs = kernel.syncfs

        def watched(descriptor):
            seen.append(self._kept())
            syncfs(descriptor)

        self.assertEqual(self._keep(watched), [{"kind": "kept"}, {"kind": "kept"}])
        # Once for both, and neither had its name.
        self.assertEqual(seen, [[]])
        self.assertEqual(self._kept(), ["one", "two"])

    def test_nothing_is_kept_that_cannot_be_brought_to_the_disk(self):
        def failing(_descriptor):
            raise OSError(5, "Input/output error")

        failed = {"kind": "failed", "reason": "Input/output error"}
        self.assertEqual(self._keep(failing), [failed, failed])
        self.assertEqual(self._kept(), [])


if __name__ == "__main__":
    unittest.main()
