"""Returns the length of the string it gets."""


def f(event):
    return len(event)
