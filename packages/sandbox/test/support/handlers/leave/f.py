"""Ends its process with the event as its exit code."""

import os


def f(event):
    os._exit(event)
