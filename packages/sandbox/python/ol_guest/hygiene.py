"""What a process forked from a zygote resets before any of the lambda's code runs.

Siblings are copies of one process, so whatever the zygote had drawn at random, remembered about itself or set for
itself would be the same, or wrong, in each of them. A random.Random() that a package made at import cannot be
found; hash randomisation and the address layout are those of the zygote.
"""

from __future__ import annotations

import _locale
import _signal
import gc
import os
import signal
import sys
import time
import types
import warnings

# As Python starts; taken when the first zygote imports this module, before any package could change them.
_WARNING_FILTERS = list(warnings.filters)
_LOCALE = _locale.setlocale(_locale.LC_ALL)

_SIGCHLD = int(signal.SIGCHLD)

# CPython's own dispositions, for what a zygote or a package's import is known to change.
_DISPOSITIONS = (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGPIPE, _signal.SIG_IGN),
    (signal.SIGXFSZ, _signal.SIG_IGN),
    (signal.SIGHUP, _signal.SIG_DFL),
    (signal.SIGTERM, _signal.SIG_DFL),
    (signal.SIGQUIT, _signal.SIG_DFL),
    (signal.SIGUSR1, _signal.SIG_DFL),
    (signal.SIGUSR2, _signal.SIG_DFL),
    (signal.SIGALRM, _signal.SIG_DFL),
    (signal.SIGCHLD, _signal.SIG_DFL),
    (signal.SIGIO, _signal.SIG_DFL),
)

# Of the module uuid: the process's node, and what it remembers.
_node = b""
_last_timestamps: "list[str]" = []


def warm() -> None:
    """Call in a zygote after its imports and before gc.freeze(): makes what every leaf would make for itself."""
    if "_ssl" in sys.modules:
        # OpenSSL makes its generator at the first use, which takes 1 ms; adding to it takes a leaf 0.1 ms.
        sys.modules["_ssl"].RAND_bytes(1)


def fresh_process(of_packages: bool = True) -> None:
    """Call once, in the child, before the handler is loaded. A TZ that is set later needs another time.tzset().

    `of_packages`: packages were imported before the fork. Without any there is less to be reset, and all of it makes the child
    write to memory that it shares: see rehearsal.py.
    """
    if of_packages:
        _reset_signals()
        _forget()
    else:
        # By which a zygote hears that its children ended.
        _signal.signal(_SIGCHLD, _signal.SIG_DFL)
    sys.argv[:] = [""]
    reseed()
    gc.enable()


def _reset_signals() -> None:
    _signal.set_wakeup_fd(-1)
    # The C functions: signal's own look each handler up in an enum first, 13 us each.
    for number, disposition in _DISPOSITIONS:
        if _signal.getsignal(number) is not disposition:
            _signal.signal(number, disposition)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def reseed() -> None:
    """What was drawn before the fork is drawn by no sibling again. Call in child zygotes too: what their packages draw
    while they are imported, another's import code could otherwise draw for itself."""
    loaded = sys.modules
    # OpenSSL notices a fork by the pid alone, and two leaves can be pid 1 of two namespaces.
    if "_ssl" in loaded:
        loaded["_ssl"].RAND_add(os.urandom(32), 32.0)
    if "random" in loaded:
        loaded["random"].seed()
    if "numpy.random" in loaded:
        loaded["numpy.random"].seed()
    if "multiprocessing.process" in loaded:
        loaded["multiprocessing.process"].current_process().authkey = os.urandom(32)
    if "tempfile" in loaded:
        loaded["tempfile"]._name_sequence = None
        # It was looked for under the zygote's TMPDIR.
        loaded["tempfile"].tempdir = None
    if "uuid" in loaded:
        _renew_uuids(loaded["uuid"])


def _renew_uuids(uuid: types.ModuleType) -> None:
    """libuuid keeps its node and its clock sequence over a fork, so that siblings that ask it in the same microsecond get the
    same: each has a random node of its own, as RFC 4122 (4.5) lets who has no address."""
    global _node
    node = bytearray(os.urandom(6))
    # No network card has the bit for many.
    node[0] |= 1
    _node = bytes(node)
    uuid._node = int.from_bytes(node, "big")
    if not _last_timestamps:
        # Names end in _v6, _v7 in later versions. Looked for once: that writes to the reference count of each name.
        _last_timestamps.extend(name for name in vars(uuid) if name.startswith("_last_timestamp"))
    for name in _last_timestamps:
        setattr(uuid, name, None)
    generate = getattr(uuid, "_generate_time_safe", None)
    if generate is None or hasattr(generate, "__wrapped__"):
        return

    def generate_time_safe() -> "tuple[bytes, int | None]":
        value, safely_generated = generate()
        return value[:10] + _node, safely_generated

    generate_time_safe.__wrapped__ = generate
    uuid._generate_time_safe = generate_time_safe


def _forget() -> None:
    if "platform" in sys.modules:
        # The host name is another one here.
        sys.modules["platform"]._uname_cache = None
        sys.modules["platform"]._platform_cache.clear()
    if warnings.filters != _WARNING_FILTERS:
        warnings.filters[:] = _WARNING_FILTERS
        # Makes modules forget which warnings they have shown; the C implementation looks at a counter.
        warnings.filterwarnings("default", append=True)
        warnings.filters.pop()
    if _locale.setlocale(_locale.LC_ALL) != _LOCALE:
        _locale.setlocale(_locale.LC_ALL, _LOCALE)
    if "asyncio.events" in sys.modules:
        _forget_event_loop()
    # The zygote's TZ may have been another.
    time.tzset()


def _forget_event_loop() -> None:
    """A loop that a package made when it was imported would share its epoll with all siblings. Python 3.12 does this."""
    policy = sys.modules["asyncio.events"]._event_loop_policy
    if hasattr(policy, "_local"):
        policy._local = type(policy._local)()
