"""Other processes: seeing, signalling, tracing them; outliving the sandbox."""

import ctypes
import os
import time

from calls import syscall


def _strangers():
    """Every process in sight but ourselves and the lambda's own (our parent, and pid 1 where that is it)."""
    own = {os.getpid(), os.getppid()}
    if not os.environ.get("OL_PROBE_ON_HOST") and _is_lambda(1):
        own.add(1)
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in own)


def _is_lambda(pid):
    """The lambda's process is our ancestor: the same session."""
    try:
        return os.getsid(pid) == os.getsid(0)
    except OSError:
        return False


def other_pids(_event):
    pids = _strangers()
    return pids != [], f"sees {pids[:10]}"


def signal_others(_event):
    hit = []
    for pid in _strangers():
        try:
            os.kill(pid, 0)
            hit.append(pid)
        except OSError:
            continue
    return hit != [], f"could signal {hit}"


def signal_by_guess(_event):
    """Pids need not be seen to be signalled."""
    own = {os.getpid(), os.getppid(), 1}
    hit = []
    for pid in range(1, 5000):
        try:
            if pid not in own:
                os.kill(pid, 0)
                hit.append(pid)
        except OSError:
            continue
    return hit != [], f"could signal {hit[:10]}"


def trace_others(_event):
    seize, detach = 0x4206, 17
    traced = []
    for pid in _strangers():
        try:
            syscall(101, seize, pid, 0, 0)
            traced.append(pid)
            syscall(101, detach, pid, 0, 0)
        except OSError:
            continue
    return traced != [], f"could trace {traced}"


def read_memory_of_others(_event):
    opened = []
    for pid in _strangers():
        try:
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
            opened.append(pid)
        except OSError:
            continue
    return opened != [], f"could open the memory of {opened}"


def descriptors_of_others(_event):
    opened = []
    for pid in _strangers():
        try:
            opened.extend(f"{pid}/{name}" for name in os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
    return opened != [], f"sees descriptors {opened[:10]}"


def daemon(event):
    """Leaves a process behind that has left its session and parent, and holds a name to be found by."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, event["name"].encode(), 0, 0, 0)
            for descriptor in range(3, 64):
                try:
                    os.close(descriptor)
                except OSError:
                    continue
            while True:
                time.sleep(60)
        os._exit(0)
    os.wait()
    return True, "a daemon runs"


PROBES = {
    "other-pids": other_pids,
    "signal": signal_others,
    "signal-by-guess": signal_by_guess,
    "trace": trace_others,
    "memory-of-others": read_memory_of_others,
    "descriptors-of-others": descriptors_of_others,
    "daemon": daemon,
}
INLINE = {"daemon"}
