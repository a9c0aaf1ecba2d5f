"""Tells what a sandbox sees at paths, and on which Python it runs."""

import os
import sys


def f(event):
    return {
        "version": "%d.%d.%d" % sys.version_info[:3],
        "seen": {path: look(path) for path in event},
    }


def look(path):
    """What is in a file, or the names in a directory; the error's name if there is none to be had."""
    try:
        if os.path.isdir(path):
            return sorted(os.listdir(path))
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__
