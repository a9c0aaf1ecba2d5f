"""Returns the environment variable that the event names."""

import os


def f(event):
    return os.environ.get(event)
