"""The first program of a container that sandboxes of one lambda share, of the engine `docker`.

Each of them is a fork of this process, a leaf. On /ol/run/control, where the engine listens for one connection, come and
go messages, u32 length (big-endian) and JSON. The engine's first:

    {"rlimits": {NAME: number}, "seccomp": bool, "niceness": of each leaf}

Then its requests, each of which is answered by {"op", "leaf"} of it, in the end with an "error":

    {"op": "fork", "leaf": N, "output": prefix of its log files in /host}
    {"op": "kill", "leaf": N}      the leaf and all its descendants; what tells that they are gone is its `exit`
    {"op": "stop", "leaf": N}, {"op": "cont", "leaf": N}    the same, by signals
    {"op": "measure", "leaf": N}   answered with "bytes"

and, unasked, {"op": "exit", "leaf": N, "status": S} as waitpid gives it, when nothing of a leaf is left. A leaf connects to
/ol/run/N, and gets there what a container of its own gets (container.py).

As pid 1 of its container this process hears no signal of a lambda's that it has no handler for, not even SIGKILL; as one that may
not be dumped it lets no lambda into its memory, though they are of one user.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

import ol_kernel as kernel

from ol_guest import container, hygiene, kin, preload, rehearsal
from ol_guest.output import Output
from ol_guest.reaper import ended_children

_MEETING_PLACE = "/ol/run"
# Of the standard library: as in zygote.py, where it is explained.
_REQUESTS_PER_MODULE = 4
# Descendants fork while they are ended or stopped: it is looked again until there are none.
_AGAIN_MS = 2
_STOP_SECONDS = 1.0
# When memory runs out a leaf goes first. The container's own value, which no lambda can go below, is less.
_LEAF_OOM_SCORE = "600"
# What a leaf holds in files in memory cannot be told from what others hold there.
_IN_MEMORY = ("/tmp", "/dev/shm")


def main() -> NoReturn:
    try:
        container.take_streams()
        control = container.connect(f"{_MEETING_PLACE}/control")
        assignment = container.message(control)
        if assignment is None:
            # The engine ended, or did not need this one.
            os._exit(0)
        container.limit(assignment["rlimits"])
        if assignment["seccomp"]:
            container.filter_calls()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        Zygote(control, assignment["niceness"]).run()
        os._exit(0)
    except BaseException:  # noqa: B036 - whatever it is, the log is the only place where anybody finds it
        container.give_up()


class Zygote:
    def __init__(self, control: socket.socket, niceness: int) -> None:
        self._control = control
        self._niceness = niceness
        # Process id of each leaf that lives, to the engine's number.
        self._leaves: "dict[int, int]" = {}
        # Statuses of those that have ended, while something of theirs may be left.
        self._ended: "dict[int, int]" = {}
        # By number, what `stop` has stopped.
        self._stopped: "dict[int, set[int]]" = {}
        self._filling: "list[object]" = []
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.setblocking(False)
        self._news = select.poll()
        for end in (self._control, self._woken):
            self._news.register(end, select.POLLIN)

    def run(self) -> None:
        """Serves the engine until it is gone: from the start, and between two modules of the standard library."""
        self._listen_for_ends()
        for name in preload.STANDARD_LIBRARY:
            for _ in range(_REQUESTS_PER_MODULE):
                if not self._news.poll(0):
                    break
                if not self._step():
                    return
            preload.load([name])
        self._settle()
        while self._step():
            continue

    def _listen_for_ends(self) -> None:
        # Else Python raises in the middle of something, whoever sends it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)

    def _settle(self) -> None:
        """With everything imported: what the first call of each leaf would write to is written now."""
        hygiene.warm()
        importlib.import_module("ol_guest.asgi")
        rehearsal.warm()
        gc.collect()
        self._filling = rehearsal.fill_holes()
        gc.freeze()
        # The rehearsal has put others in their place; then nobody was told of what ended meanwhile.
        self._listen_for_ends()
        self._bury()

    def _step(self) -> bool:
        """Waits for something to happen, and does what is to be done. False when the engine is gone."""
        ready = {descriptor for descriptor, _event in self._news.poll(_AGAIN_MS if self._ended else None)}
        if self._woken.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                while self._woken.recv(1024):
                    continue
        if self._control.fileno() in ready:
            request = container.message(self._control)
            if request is None:
                return False
            self._answer(request)
        self._bury()
        return True

    def _answer(self, request: "dict[str, Any]") -> None:
        op, number = request["op"], request["leaf"]
        told: "dict[str, Any]" = {"op": op, "leaf": number}
        try:
            if op == "fork":
                self._fork(number, request["output"])
            elif op == "kill":
                self._kill(number)
            elif op == "stop":
                self._stop(number)
            elif op == "cont":
                self._continue(number)
            elif op == "measure":
                told["bytes"] = self._measure(number)
            else:
                raise ValueError(f"there is no {op!r}")
        except OSError as error:
            told["error"] = f"{op}: {error}"
        container.tell(self._control, told)

    # Requests

    def _fork(self, number: int, output: str) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                self._become_leaf(number, output)
            finally:
                # Whatever happens, a leaf never returns into the loop.
                container.give_up()
        self._leaves[pid] = number

    def _become_leaf(self, number: int, prefix: str) -> NoReturn:
        for mine in (self._control, self._woken, self._waking):
            mine.detach()
        kernel.close_range(3)
        os.setsid()
        # Who loses a parent stays below this process, where it is found.
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            # Where it may not be written, memory's end may also be the end of all.
            file.write(_LEAF_OOM_SCORE)
        os.nice(self._niceness)
        hygiene.fresh_process()
        container.take_streams(prefix)
        output = Output()
        output.install()
        engine = container.connect(f"{_MEETING_PLACE}/{number}")
        assignment = container.message(engine)
        if assignment is None:
            os._exit(0)
        # Of any network: it closes off the others' processes too.
        container.close_off(own_network=False)
        container.run(engine, output, assignment)

    def _kill(self, number: int) -> None:
        pid = self._pid_of(number)
        if pid:
            os.kill(pid, signal.SIGKILL)

    def _stop(self, number: int) -> None:
        pid = self._pid_of(number)
        told = self._stopped.setdefault(number, set())
        deadline = time.monotonic() + _STOP_SECONDS
        while pid:
            all_of_them = kin.everybody()
            running = {each for each in kin.family(pid, all_of_them) if all_of_them[each].runs}
            if not running:
                return
            if time.monotonic() > deadline:
                self._continue(number)
                raise OSError(f"{len(running)} processes went on for {_STOP_SECONDS} s")
            for each in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGSTOP)
                    told.add(each)
            time.sleep(_AGAIN_MS / 1000)

    def _continue(self, number: int) -> None:
        """Lets those run that were stopped here, and not what the lambda has stopped itself."""
        pid = self._pid_of(number)
        for each in self._stopped.pop(number, set()) & kin.family(pid, kin.everybody()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)

    def _measure(self, number: int) -> int:
        pid = self._pid_of(number)
        if not pid:
            return 0
        files = 0
        for directory in _IN_MEMORY:
            found = os.statvfs(directory)
            files += (found.f_blocks - found.f_bfree) * found.f_frsize
        return kin.proportional_bytes(kin.family(pid, kin.everybody())) + files // len(self._leaves)

    def _pid_of(self, number: int) -> int:
        """0 if it has ended."""
        return next((pid for pid, each in self._leaves.items() if each == number), 0)

    # The end

    def _bury(self) -> None:
        """Asks for the status of who has ended, and ends what a leaf has left behind."""
        for pid, status in ended_children():
            number = self._leaves.pop(pid, None)
            if number is not None:
                self._ended[number] = status
                self._stopped.pop(number, None)
        if not self._ended:
            return
        left = kin.strays(os.getpid(), self._leaves, kin.everybody())
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            for number, status in self._ended.items():
                container.tell(self._control, {"op": "exit", "leaf": number, "status": status})
            self._ended.clear()
