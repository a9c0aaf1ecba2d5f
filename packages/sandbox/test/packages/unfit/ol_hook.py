import sys


def hook(path):
    raise ImportError(path)


sys.path_hooks.insert(0, hook)
