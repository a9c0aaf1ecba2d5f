"""Ends its process with the event as exit code."""

import os


def f(event):
    os._exit(event)
