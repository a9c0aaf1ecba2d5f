"""Tenants: sandboxes in a container that is another room's, the landlord's, and whose scratch is that one's.

Only the output files are a tenant's own. They lie in a directory of its own too, which is named as that of any other sandbox, so
that whoever looks for a sandbox's output finds it, and which its container does not see.
"""

import contextlib
import os

from ol_host.files import Scratch, Workspace
from ol_host.rooms import Room

_STREAMS = ("stdout", "stderr")


class Tenant(Room):
    def __init__(self, number: int, scratch: Scratch, path: str, landlord: Room, scratch_fd: int) -> None:
        super().__init__(number, scratch, path, "")
        self._landlord = landlord
        # The landlord's directory, open for as long as there is something of ours in it.
        self._scratch_fd = scratch_fd

    @property
    def prefix(self) -> str:
        """What its files' names in the landlord's directory begin with."""
        return f"{self.scratch.sandbox}."

    def move_in(self) -> None:
        """Raises OSError if somebody in there has made files of these names."""
        own = self.scratch.directory_fd
        for name in _STREAMS:
            target = f"{self.prefix}{name}"
            os.link(name, target, src_dir_fd=own, dst_dir_fd=self._scratch_fd, follow_symlinks=False)
        self._landlord.scratch.further_output_fds += self.scratch.output_fds

    def move_out(self, files: Workspace) -> None:
        """Its processes must be gone; the landlord may be."""
        further = self._landlord.scratch.further_output_fds
        for descriptor in self.scratch.output_fds:
            if descriptor in further:
                further.remove(descriptor)
        for name in _STREAMS:
            # The lambda may have removed it, or put a directory there, which stays as whatever else it has made.
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(f"{self.prefix}{name}", dir_fd=self._scratch_fd)
        os.close(self._scratch_fd)
        files.remove_scratch(self.scratch)


def join(files: Workspace, work: str, number: int, landlord: Room, sandbox: str, name: str) -> Tenant:
    """Raises OSError; nothing is left of it then."""
    with contextlib.ExitStack() as undo:
        scratch = files.make_bound_scratch(name, sandbox, landlord.host_uid)
        undo.callback(files.remove_scratch, scratch)
        scratch_fd = os.dup(landlord.scratch.directory_fd)
        undo.pop_all()
        path = os.path.join(work, "handlers", name, sandbox)
        tenant = Tenant(number, scratch, path, landlord, scratch_fd)
        undo.callback(tenant.move_out, files)
        tenant.move_in()
        undo.pop_all()
    return tenant
