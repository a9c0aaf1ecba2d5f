"""Cannot be imported."""

import no_such_module_anywhere


def f(event):
    return no_such_module_anywhere.f(event)
