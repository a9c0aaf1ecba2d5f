"""A zygote: a Python process with everything loaded, which forks leaves when the broker asks.

Protocol (messages.py), broker to zygote: {"op": "prepare", "leaf": N, "uid": U, "tmpMb": M, "steps": B} with the leaf's channel
and the open cgroup.procs files; {"op": "beget", "zygote": N, ...} (see offspring.py); {"op": "look"}: who has ended? Zygote to broker: {"op": "here", "python": version} with a pidfd of itself,
and if it is a child zygote one of its init, before it imports anything; {"op": "ready"} when it has (a child zygote with "import":
{"ms": N, "sought": [name, ...]}), or {"op": "unfit", "error": text, "packages": [directory, ...]}; {"op": "forked", "leaf": N} with a pidfd; {"op": "failed", "leaf" or "zygote": N, "error":
text}; {"op": "exit", "leaf" or "zygote": N, "status": S} as waitpid gives it.
"""

import gc
import importlib
import os
import select
import signal
import socket
import sys
import typing

import ol_kernel as kernel

from ol_guest import hygiene, leaf, messages, offspring, packages, preload, rehearsal, seccomp
from ol_guest.marks import Marks
from ol_guest.output import Output
from ol_guest.reaper import ended_children
from ol_guest.settings import Settings

# Of the standard library some 150 are imported at the start, in a third of a second. Who asks for processes meanwhile need
# not wait for all of that; but were all of them served first, a worker that is busy from its first moment
# on would have a zygote that never gets to its imports.
_FORKS_PER_MODULE = 4


class Zygote:
    def __init__(
        self, control: socket.socket, settings: Settings, imported: "packages.Imported | None" = None
    ) -> None:
        self._control = control
        # How importing packages went; None for a root.
        self._imported = imported
        self._settings = settings
        # What every leaf would make for itself.
        self._filter = kernel.SeccompFilter(seccomp.leaf_filter())
        self._output = Output()
        self._filling: "list[object]" = []
        # pid to what the broker knows it by: {"leaf": N} or {"zygote": N}.
        self._children: "dict[int, dict[str, object]]" = {}
        # While a leaf is being forked and not yet announced, its exit must wait to be reported.
        self._forking = False
        # Leaves' own are read-only, and rootless ones have ids to write.
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def run(self) -> None:
        """Serves the broker until it is gone: from the start, and between two modules of the standard library."""
        self._settings.keep_only_what_forking_needs()
        # What its parent set, and what it remembers of itself: leaves without packages do not look after that.
        kernel.clear_environment()
        hygiene.fresh_process()
        offspring.announce(self._control, [os.getpid()])
        self._watch_children()
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        for name in self._settings.preload:
            for _ in range(_FORKS_PER_MODULE):
                if not waiting.poll(0):
                    break
                if not self._answer_one():
                    return
            preload.load([name])
        self.serve()

    def serve(self) -> None:
        """With everything imported."""
        hygiene.warm()
        if "asyncio" in sys.modules:
            # For ASGI apps, of whose start it would be 10 ms.
            importlib.import_module("ol_guest.asgi")
        if self._imported is None:
            rehearsal.warm()
        # Without this each leaf's first collection would touch, and so copy, the whole inherited heap.
        gc.collect()
        self._filling = rehearsal.fill_holes()
        gc.freeze()
        # Import code, and the rehearsal, may have put another in its place; then nobody was told of what ended meanwhile.
        self._watch_children()
        self._report_exits()
        told = {} if self._imported is None else {"import": self._imported._asdict()}
        messages.send(self._control, {"op": "ready", **told})
        while self._answer_one():
            continue

    def _watch_children(self) -> None:
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self._report_exits())

    def _answer_one(self) -> bool:
        received = messages.receive(self._control)
        if received is None:
            return False
        message, descriptors = received
        self._forking = True
        if message["op"] == "beget":
            self._beget(message, descriptors)
        elif message["op"] == "prepare":
            self._prepare(message, descriptors)
        self._forking = False
        self._report_exits()
        return True

    def _prepare(self, message: "dict[str, typing.Any]", descriptors: "list[int]") -> None:
        number = message["leaf"]
        try:
            pid = self._fork(message, descriptors)
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            messages.send(self._control, {"op": "failed", "leaf": number, "error": f"fork: {error}"})
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._children[pid] = {"leaf": number}
        messages.send(self._control, {"op": "forked", "leaf": number}, [pidfd])
        os.close(pidfd)

    def _beget(self, message: "dict[str, typing.Any]", descriptors: "list[int]") -> None:
        child = {"zygote": message["zygote"]}

        def serve(control: socket.socket, settings: Settings, imported: packages.Imported) -> None:
            self._control.detach()
            Zygote(control, settings, imported).serve()

        try:
            pid = offspring.beget(offspring.Request(message, descriptors), self._settings.of_child(), serve)
        except OSError as error:
            messages.send(self._control, {"op": "failed", **child, "error": f"fork: {error}"})
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._children[pid] = child

    def _fork(self, request: "dict[str, typing.Any]", descriptors: "list[int]") -> int:
        """Forks the process that becomes the leaf, pid 1 of a pid namespace of its own."""
        marks = Marks(request["steps"])
        marks.mark("asked")
        own_pid_namespace = "pid-namespace" not in self._settings.weaken
        if own_pid_namespace:
            kernel.unshare(kernel.CLONE_NEWPID)
        marks.mark("pid-namespace")
        try:
            pid = os.fork()
            if pid == 0:
                marks.mark("fork")
                self._become_leaf(request, descriptors, marks)
            return pid
        finally:
            # The next child of this process must not land in that leaf's namespace; and if no process could be made,
            # the kernel would refuse the next unshare.
            if own_pid_namespace:
                kernel.setns(self._own_pid_namespace, kernel.CLONE_NEWPID)

    def _become_leaf(
        self, request: "dict[str, typing.Any]", descriptors: "list[int]", marks: Marks
    ) -> typing.NoReturn:
        try:
            channel = socket.socket(fileno=descriptors[0])
            os.close(self._own_pid_namespace)
            self._control.close()
            leaf.run(channel, descriptors[1:], request, self._proc, self._settings, self._filter, self._output, marks)
        finally:
            # Whatever happens, a leaf's process never returns into the zygote's loop.
            os._exit(leaf.EXIT_SETUP_FAILED)

    def _report_exits(self) -> None:
        if self._forking:
            return
        for pid, status in ended_children():
            child = self._children.pop(pid, None)
            if child is not None:
                messages.send(self._control, {"op": "exit", **child, "status": status})
