"""Returns the event."""


def f(event):
    return event
