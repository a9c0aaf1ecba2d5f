import builtins

_open = builtins.open


def _opened(*arguments, **options):
    return _open(*arguments, **options)


builtins.open = _opened
