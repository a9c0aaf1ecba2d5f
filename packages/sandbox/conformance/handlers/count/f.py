"""Counts its calls; raises when asked to."""

calls = 0


def f(event):
    global calls
    calls += 1
    if event == "raise":
        raise ValueError("asked to raise")
    return calls
