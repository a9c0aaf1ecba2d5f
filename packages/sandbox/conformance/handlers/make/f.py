"""Returns a string of as many characters as the event says."""


def f(event):
    return "x" * event
