"""A zygote: a Python process with everything loaded, which forks leaves when the broker asks.

Protocol (messages.py), broker to zygote: {"op": "prepare", "leaf": N, "uid": U} with the leaf's channel and the
open cgroup.procs files. Zygote to broker: {"op": "ready"} once; {"op": "forked", "leaf": N} with a pidfd; {"op": "failed", "leaf": N, "error": text}; {"op": "exit", "leaf": N, "status": S} as waitpid gives it.
"""

import dataclasses
import gc
import json
import os
import signal
import socket
import typing

import ol_kernel as kernel

from ol_guest import hygiene, leaf, messages, seccomp


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for every leaf of a tree."""

    # Whether leaves get a network namespace of their own.
    own_network: bool
    # An ordinary user's tree has one id only: each leaf then takes a user namespace of its own.
    rootless: bool
    # Defences left out, by name. Only tests name any: they show that each probe succeeds without its defence.
    weaken: "frozenset[str]"

    @staticmethod
    def parse(text: str) -> "Settings":
        fields = json.loads(text)
        return Settings(fields["ownNetwork"], fields["rootless"], frozenset(fields["weaken"]))


class Zygote:
    def __init__(self, control: socket.socket, settings: Settings) -> None:
        self._control = control
        self._settings = settings
        self._filter = seccomp.leaf_filter()
        # pid to leaf number.
        self._leaves: "dict[int, int]" = {}
        # While a leaf is being forked and not yet announced, its exit must wait to be reported.
        self._forking = False
        # Leaves' own are read-only, and rootless ones have ids to write.
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def run(self) -> None:
        """Serves the broker until it is gone."""
        _keep_only_what_forking_needs(self._settings)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self._report_exits())
        hygiene.warm()
        # Without this each leaf's first collection would touch, and so copy, the whole inherited heap.
        gc.collect()
        gc.freeze()
        messages.send(self._control, {"op": "ready"})
        while True:
            received = messages.receive(self._control)
            if received is None:
                return
            message, descriptors = received
            self._forking = True
            self._prepare(message, descriptors)
            self._forking = False
            self._report_exits()

    def _prepare(self, message: "dict[str, typing.Any]", descriptors: "list[int]") -> None:
        number = message["leaf"]
        try:
            pid = self._fork(message["uid"], descriptors)
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            messages.send(self._control, {"op": "failed", "leaf": number, "error": f"fork: {error}"})
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._leaves[pid] = number
        messages.send(self._control, {"op": "forked", "leaf": number}, [pidfd])
        os.close(pidfd)

    def _fork(self, uid: int, descriptors: "list[int]") -> int:
        """Forks the process that becomes the leaf, pid 1 of a pid namespace of its own."""
        own_pid_namespace = "pid-namespace" not in self._settings.weaken
        if own_pid_namespace:
            kernel.unshare(kernel.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_leaf(uid, descriptors)
            return pid
        finally:
            # The next child of this process must not land in that leaf's namespace; and if no process could be made,
            # the kernel would refuse the next unshare.
            if own_pid_namespace:
                kernel.setns(self._own_pid_namespace, kernel.CLONE_NEWPID)

    def _become_leaf(self, uid: int, descriptors: "list[int]") -> typing.NoReturn:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel = socket.socket(fileno=descriptors[0])
            os.close(self._own_pid_namespace)
            self._control.close()
            leaf.run(channel, descriptors[1:], uid, self._proc, self._settings, self._filter)
        finally:
            # Whatever happens, a leaf's process never returns into the zygote's loop.
            os._exit(leaf.EXIT_SETUP_FAILED)

    def _report_exits(self) -> None:
        if self._forking:
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._leaves.pop(pid, None)
            if number is not None:
                messages.send(self._control, {"op": "exit", "leaf": number, "status": status})


def _keep_only_what_forking_needs(settings: Settings) -> None:
    """Namespaces and mounts (SYS_ADMIN), a leaf's ids, its loopback interface; nothing else, and nothing by exec."""
    if "capabilities" in settings.weaken:
        return
    kernel.drop_bounding_set()
    needed = [kernel.CAP_SYS_ADMIN, kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_NET_ADMIN]
    # An ordinary user's one id is 0 here, and mapping a 0 into a leaf's namespace takes this one.
    if settings.rootless:
        needed.append(kernel.CAP_SETFCAP)
    kernel.set_capabilities(tuple(needed))
