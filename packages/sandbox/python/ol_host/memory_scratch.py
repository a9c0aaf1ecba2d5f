"""Scratch in memory: a sandbox's /host is a file system of its own with an exact size.

The broker makes it, so that the sandbox has no right over it, and keeps nothing of it: it is gone with the sandbox's
mount namespace, however that ends. What is written to it counts to the memory of whoever writes, which is the sandbox.
"""

import ol_kernel as kernel

from ol_host.meter import most_files


def detached(scratch_mb: int, owner: int) -> int:
    """An empty one, to be attached; the caller's to close. `owner` is an id as we see them."""
    options = {
        "source": "scratch",
        "mode": "0700",
        "uid": str(owner),
        "gid": str(owner),
        "size": f"{scratch_mb}m",
        # Its root directory is one, and not the sandbox's.
        "nr_inodes": str(most_files(scratch_mb) + 1),
    }
    return kernel.new_mount("tmpfs", options, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV)
