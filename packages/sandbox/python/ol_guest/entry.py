"""Finds and loads the lambda's function.

In this order: the file that OL_ENTRY_FILE names, f.py, lambda_func.py; in it `f`, else `handler`.
"""

from __future__ import annotations

import os
import sys
import types
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import Any, Callable, Mapping, NamedTuple

_FILES = ("f.py", "lambda_func.py")
_FUNCTIONS = ("f", "handler")
_CO_VARARGS, _CO_COROUTINE = 0x04, 0x80
_NO_WEB_APPS = "web apps (WSGI, ASGI) are not supported by this version yet; a function f(event) is"


class EntryError(Exception):
    """There is nothing to run; the text says what was looked for."""


class Entry(NamedTuple):
    function: Callable[..., Any]
    # Whether the function is called with the context as its second argument.
    takes_context: bool


def load(handler_dir: str, environment: Mapping[str, str]) -> Entry:
    """Runs the entry file and returns its function. Raises EntryError, or whatever the lambda's code raises."""
    for variable in ("OL_WSGI_ENTRY", "OL_ASGI_ENTRY"):
        if environment.get(variable):
            raise EntryError(f"{variable} is set, but {_NO_WEB_APPS}")
    path = _find(handler_dir, environment.get("OL_ENTRY_FILE", ""))
    sys.path.insert(0, handler_dir)
    module = _run(path)
    for name in _FUNCTIONS:
        function = getattr(module, name, None)
        if callable(function):
            return _entry(function)
    if callable(getattr(module, "app", None)):
        raise EntryError(f"{path} has an app and no function, but {_NO_WEB_APPS}")
    raise EntryError(f"{path} defines no function f(event), and no handler(event) either")


def _find(handler_dir: str, named: str) -> str:
    if named:
        path = os.path.join(handler_dir, named)
        if not os.path.isfile(path):
            raise EntryError(f"OL_ENTRY_FILE names {named}, but there is no file {path}")
        return path
    for name in _FILES:
        path = os.path.join(handler_dir, name)
        if os.path.isfile(path):
            return path
    raise EntryError(f"no entry file: looked for {' and '.join(_FILES)} in {handler_dir}, and OL_ENTRY_FILE is not set")


def _run(path: str) -> types.ModuleType:
    """compile and exec, since importlib takes 1.4 ms for the same: it looks for a cached .pyc, and writes one."""
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules:
        # A module of the standard library, loaded already by the zygote, which others must still find.
        name = f"lambda_{name}"
    module = types.ModuleType(name)
    module.__file__ = path
    module.__loader__ = SourceFileLoader(name, path)
    module.__spec__ = ModuleSpec(name, module.__loader__, origin=path)
    module.__spec__.has_location = True
    # Registered, so that pickle, dataclasses and an import of the file by its own helpers find this very module.
    sys.modules[name] = module
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    return module


def _entry(function: Callable[..., Any]) -> Entry:
    takes_context = _takes_context(function)
    if not _is_async(function):
        return Entry(function, takes_context)
    # 30 ms and 9 MB, so only for those who need it, and now rather than in the first call.
    import asyncio

    def run(*arguments: Any) -> Any:
        return asyncio.run(function(*arguments))

    return Entry(run, takes_context)


def _takes_context(function: Callable[..., Any]) -> bool:
    """Whether there is a second positional parameter; *args is none, since a decorator's says nothing."""
    if type(function) is types.FunctionType and not function.__dict__:
        return function.__code__.co_argcount >= 2
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Some callables written in C have no signature.
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters) >= 2


def _is_async(function: Callable[..., Any]) -> bool:
    inner: Any = function
    while hasattr(inner, "func") and "functools" in sys.modules and isinstance(inner, sys.modules["functools"].partial):
        inner = inner.func
    if not isinstance(inner, (types.FunctionType, types.MethodType)):
        inner = getattr(type(inner), "__call__", None)
    code = getattr(inner, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)
