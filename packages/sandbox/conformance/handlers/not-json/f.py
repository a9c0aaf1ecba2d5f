"""Returns what JSON cannot hold."""


def f(event):
    return {1, 2}
