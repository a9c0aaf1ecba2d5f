"""What sandboxes that share a container can see and do: one answer for each question."""

import ctypes
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

_SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)"]
_CLONE, _CLONE_PARENT = 56, 0x8000


def f(event):
    name, *arguments = event
    return globals()[name](*arguments)


def leave(code):
    os._exit(code)


def me():
    return {"pid": os.getpid(), "session": os.getsid(0), "parent": os.getppid()}


def chance():
    names = next(tempfile._get_candidate_names())
    return [random.random(), str(uuid.uuid4()), str(uuid.uuid1()), os.urandom(8).hex(), names]


def say(text):
    print(text, flush=True)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read()


def sleep(seconds):
    time.sleep(seconds)


def alive(pids):
    """Those that run or sleep; who has ended and was not asked for is as good as gone."""
    found = []
    for pid in pids:
        try:
            state = read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append([pid, state])
    return found


def breed():
    """A child, one in a session of its own whose parent has ended, and one that claims this process's parent as its own."""
    child = subprocess.Popen(_SLEEPER)
    script = f"import subprocess; p = subprocess.Popen({_SLEEPER}, start_new_session=True, stdout=-3); print(p.pid)"
    orphan = int(subprocess.check_output([sys.executable, "-I", "-S", "-c", script]))
    sibling = ctypes.CDLL(None).syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if sibling == 0:
        os.execv(_SLEEPER[0], _SLEEPER)
    return [child.pid, orphan, sibling]


def bomb():
    """Processes that fork as long as they can, and are nobody's; returns once there are none to be had."""
    if os.fork() == 0:
        os.setsid()
        while True:
            try:
                os.fork()
            except OSError:
                continue
    while True:
        try:
            probe = os.fork()
        except OSError:
            return
        if probe == 0:
            os._exit(0)
        os.waitpid(probe, 0)


def priorities():
    """Of the first process, and of this one; and what comes of asking for more."""
    of_both = [os.getpriority(os.PRIO_PROCESS, pid) for pid in (1, 0)]
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError as error:
        return [*of_both, errno.errorcode[error.errno]]
    return [*of_both, "taken"]


def fill(megabytes):
    return len(bytearray(megabytes << 20))


def send(pid, number):
    try:
        os.kill(pid, number)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "sent"


def peek(pid):
    """At another's memory."""
    try:
        open(f"/proc/{pid}/mem", "rb").close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "open"


def kill_all_but_me():
    """By number: one signal to all would be to this process too where it reaches no other."""
    told = {send(int(name), 9) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())}
    return ", ".join(sorted(told))


def attack():
    """All that might reach the zygote, with what came of it."""
    outcomes = {}

    def attempt(name, act):
        try:
            outcomes[name] = repr(act())
        except OSError as error:
            outcomes[name] = errno.errorcode[error.errno]

    attempt("write to its memory", lambda: open("/proc/1/mem", "r+b"))
    attempt("read its environment", lambda: open("/proc/1/environ", "rb"))
    attempt("list its descriptors", lambda: os.listdir("/proc/1/fd"))
    attempt("take a descriptor", lambda: open("/proc/1/fd/3", "rb"))
    for name in ("control", "1"):
        attempt(f"connect to {name}", lambda: socket.socket(socket.AF_UNIX).connect(f"/ol/run/{name}"))
    attempt("make a socket there", lambda: socket.socket(socket.AF_UNIX).bind("/ol/run/mine"))
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
        send(1, number)
    return outcomes


def sockets():
    """Where this process's open sockets come from: descriptors that lead to one."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if not target.startswith(("/dev/null", "/host/", "/proc/")):
            found.append(target.partition(":")[0])
    return found
