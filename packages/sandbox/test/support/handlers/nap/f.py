"""Sleeps for as many seconds as the event says."""

import time


def f(event):
    time.sleep(event)
    return "slept"
