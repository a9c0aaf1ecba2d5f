"""How many leaves wait for the next requests."""

import sys
import unittest

from guest import PYTHON_PATH

sys.path.insert(0, str(PYTHON_PATH))

from ol_host import demand  # noqa: E402

NOW = 1000.0


def wanted(takes, at_rest=1, most=8):
    return demand.wanted(takes, NOW, at_rest, most)


class Wanted(unittest.TestCase):
    def test_at_rest_it_is_what_was_asked_for(self):
        self.assertEqual(wanted([]), 1)
        self.assertEqual(wanted([], at_rest=3), 3)

    def test_requests_that_come_one_by_one_need_no_more(self):
        self.assertEqual(wanted([NOW - 3, NOW - 2, NOW - 1, NOW]), 1)

    def test_it_is_as_many_as_the_largest_burst_took(self):
        burst = [NOW - 3 + index * 0.02 for index in range(4)]
        self.assertEqual(wanted([NOW - 4.5, *burst, NOW - 1]), 4)

    def test_a_burst_is_counted_wherever_it_begins(self):
        # Five within a tenth of a second, though none of them is the first of a round tenth.
        self.assertEqual(wanted([NOW - 1.13, NOW - 1.05, NOW - 1.04, NOW - 1.0, NOW - 0.98, NOW - 0.96]), 5)

    def test_there_are_never_more_than_the_most(self):
        self.assertEqual(wanted([NOW] * 50), 8)
        self.assertEqual(wanted([NOW] * 50, most=2), 2)

    def test_a_burst_is_forgotten(self):
        self.assertEqual(wanted([NOW - demand.MEMORY_SEC - 0.01] * 8), 1)
        self.assertEqual(wanted([NOW - demand.MEMORY_SEC + 0.01] * 8), 8)


if __name__ == "__main__":
    unittest.main()
