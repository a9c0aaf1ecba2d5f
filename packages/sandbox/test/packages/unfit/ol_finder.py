"""Decides from now on what others find."""

import sys


class Finder:
    @staticmethod
    def find_spec(_name, _path=None, _target=None):
        return None


sys.meta_path.insert(0, Finder)
