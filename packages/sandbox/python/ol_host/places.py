"""Places: what of the file system belongs to a sandbox. Made while nobody waits for it, and removed when it has ended.

A place is made for each leaf that waits, under a name of ours, and renamed when the leaf gets its work: of all that
making a sandbox takes, creating directories and files is what a disk, or others who write to it, can make slow.
"""

import os
import selectors
import typing

from ol_host import memory_scratch
from ol_host.files import Scratch, Workspace
from ol_host.leaves import Leaf

# No lambda can have that name.
_WAITING = ".waiting"


class Places:
    """`first_uid` is the host's id of what is 0 for leaves; None where all are our own. `in_memory`: what a sandbox
    writes to /host never comes to its directory."""

    def __init__(
        self,
        files: Workspace,
        first_uid: "int | None",
        in_memory: bool,
        selector: selectors.BaseSelector,
        log: "typing.Callable[[str, str], None]",
    ) -> None:
        self._files = files
        self._first_uid = first_uid
        self._in_memory = in_memory
        self._selector = selector
        self._log = log

    def prepare(self, leaf: Leaf) -> None:
        """For a leaf that waits. If it fails, whoever takes the leaf tries again, and is told."""
        try:
            leaf.place = self._make(leaf, _WAITING, f".{leaf.number}", self._in_memory)
        except OSError as error:
            self._log("warn", f"no directory could be made in advance: {error}")

    def forget(self, leaf: Leaf) -> None:
        """What was made in advance is of no use: `take` makes another."""
        place, leaf.place = leaf.place, None
        if place is not None:
            self.remove(place)

    def take(self, leaf: Leaf, name: str, sandbox: str, on_disk: bool) -> "list[int]":
        """Gives the leaf, whose limits are known, its scratch, which may still need its name. Returns the mount that
        becomes /host and the listening socket, which are the caller's from now on, and the two output files. `on_disk`:
        wherever others have theirs."""
        in_memory = self._in_memory and not on_disk
        if in_memory != self._in_memory:
            self.forget(leaf)
        scratch, leaf.place = leaf.place, None
        if scratch is None:
            scratch = self._make(leaf, name, sandbox, in_memory)
        leaf.scratch = scratch
        if in_memory:
            # Only now is it known how large it is to be.
            scratch.tree_fd = memory_scratch.detached(leaf.scratch_mb, self._owner(leaf) or 0)
            leaf.scratch_in_memory = True
        return [*scratch.hand_over(), *scratch.output_fds]

    def name(self, scratch: Scratch, name: str, sandbox: str) -> bool:
        """Gives it the name by which people find it. False if it is of no use: somebody may have removed what was made in
        advance."""
        if scratch.sandbox == sandbox:
            return True
        try:
            self._files.rename_scratch(scratch, name, sandbox)
        except OSError as error:
            self._log("warn", f"a directory made in advance cannot be used: {error}")
            return False
        return True

    def leave(self, leaf: Leaf) -> None:
        """The leaf has ended, or never got what it was to have."""
        for scratch in (leaf.place, leaf.scratch):
            if scratch is not None:
                self.remove(scratch)
        leaf.place = leaf.scratch = None

    def remove(self, scratch: Scratch) -> None:
        try:
            self._files.remove_scratch(scratch)
        except OSError as error:
            # One full disk must not end all other sandboxes; the next start tries again.
            self._log("error", f"what sandbox {scratch.sandbox} left behind could not be removed: {error}")
        self.empty_trash()

    def empty_trash(self) -> bool:
        trash = self._files.trash
        before = trash.process_id
        empty = trash.empty()
        now = trash.process_id
        if now is not None and now != before:
            self._watch_trash(now)
        return empty

    def _make(self, leaf: Leaf, name: str, sandbox: str, in_memory: bool) -> Scratch:
        return self._files.make_scratch(name, sandbox, self._owner(leaf), in_memory)

    def _owner(self, leaf: Leaf) -> "int | None":
        return None if self._first_uid is None else self._first_uid + leaf.uid

    def _watch_trash(self, pid: int) -> None:
        """What is put into the trash while rm is at work waits for its end."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            # No descriptor is left: it goes on when the next sandbox ends.
            return

        def ended() -> None:
            self._selector.unregister(pidfd)
            os.close(pidfd)
            self.empty_trash()

        self._selector.register(pidfd, selectors.EVENT_READ, ended)
