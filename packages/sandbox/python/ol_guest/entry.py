"""Finds and loads what a lambda's code is: a function, or a web app.

In this order: the file that OL_ENTRY_FILE names, f.py, lambda_func.py; in it what OL_WSGI_ENTRY or OL_ASGI_ENTRY names,
else the function `f`, else the function `handler`, else the web app `app`.
"""

from __future__ import annotations

import os
import sys
import types
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import Any, Callable, Mapping, NamedTuple

_FILES = ("f.py", "lambda_func.py")
_FUNCTIONS = ("f", "handler")
_APP = "app"
_CO_COROUTINE = 0x80


class EntryError(Exception):
    """There is nothing to run; the text says what was looked for."""


class Entry(NamedTuple):
    # "function", "wsgi" or "asgi".
    kind: str
    # A function is called with the event, an app as WSGI and ASGI say.
    function: Callable[..., Any]
    # Whether a function is called with the context as its second argument.
    takes_context: bool


def load(handler_dir: str, environment: Mapping[str, str]) -> Entry:
    """Runs the entry file and returns what is in it. Raises EntryError, or whatever the lambda's code raises."""
    kind, named = _named_app(environment)
    path = _find(handler_dir, environment.get("OL_ENTRY_FILE", ""))
    sys.path.insert(0, handler_dir)
    module = _run(path)
    if named:
        return Entry(kind, _app(module, path, kind, named), False)
    for name in _FUNCTIONS:
        function = getattr(module, name, None)
        if callable(function):
            return _entry(function)
    app = getattr(module, _APP, None)
    if callable(app):
        return Entry("asgi" if _is_async(app) else "wsgi", app, False)
    raise EntryError(f"{path} defines no function f(event) or handler(event), and no web app named {_APP} either")


def _named_app(environment: Mapping[str, str]) -> tuple[str, str]:
    """The kind and the name of the app that the environment names; two empty texts if it names none."""
    wsgi, asgi = environment.get("OL_WSGI_ENTRY", ""), environment.get("OL_ASGI_ENTRY", "")
    if wsgi and asgi:
        raise EntryError(f"OL_WSGI_ENTRY ({wsgi}) and OL_ASGI_ENTRY ({asgi}) are both set: a lambda is one app")
    return ("wsgi", wsgi) if wsgi else ("asgi", asgi) if asgi else ("", "")


def _app(module: types.ModuleType, path: str, kind: str, name: str) -> Callable[..., Any]:
    variable = f"OL_{kind.upper()}_ENTRY"
    if not hasattr(module, name):
        raise EntryError(f"{variable} names {name}, but {path} defines no {name}")
    app = getattr(module, name)
    if not callable(app):
        raise EntryError(f"{variable} names {name}, which is of type {type(app).__name__} in {path} and no app")
    return app


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
        return Entry("function", function, takes_context)
    # 30 ms and 9 MB, so only for those who need it, and now rather than in the first call.
    import asyncio

    def run(*arguments: Any) -> Any:
        return asyncio.run(function(*arguments))

    return Entry("function", run, takes_context)


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
