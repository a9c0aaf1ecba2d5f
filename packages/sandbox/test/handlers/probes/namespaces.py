"""Mounts, namespaces, other roots."""

import ctypes
import os
import struct

from calls import mount, syscall

_FLAGS = {
    "time": 0x80,
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_UNSHARE, _CLONE, _CLONE3, _SETNS, _PIVOT_ROOT, _UMOUNT2 = 272, 56, 435, 308, 155, 166
_SIGCHLD = 17
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096


def unshare_one(event):
    """Each kind together with a user namespace, which is how an unprivileged process gets it."""
    kind = event["kind"]
    syscall(_UNSHARE, _FLAGS[kind] | _FLAGS["user"])
    return True, f"a new {kind} namespace"


def unshare_plain(event):
    syscall(_UNSHARE, _FLAGS[event["kind"]])
    return True, f"a new {event['kind']} namespace"


def user_namespace_gives_capabilities(_event):
    syscall(_UNSHARE, _FLAGS["user"] | _FLAGS["mount"])
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(line.split()[1] for line in file if line.startswith("CapEff"))
    return int(effective, 16) != 0, f"CapEff {effective}"


def clone_one(event):
    pid = syscall(_CLONE, _FLAGS[event["kind"]] | _FLAGS["user"] | _SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True, f"a process in a new {event['kind']} namespace"


def clone3(_event):
    arguments = struct.pack("QQQQQQQQ", _FLAGS["user"], 0, 0, 0, _SIGCHLD, 0, 0, 0)
    pid = syscall(_CLONE3, arguments, len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True, "a process in a new user namespace"


def setns_of_pid_1(event):
    descriptor = os.open(f"/proc/1/ns/{event['kind']}", os.O_RDONLY)
    syscall(_SETNS, descriptor, 0)
    return True, f"entered the {event['kind']} namespace of pid 1"


def mount_tmpfs(_event):
    os.makedirs("/tmp/mounted", exist_ok=True)
    mount("tmpfs", "/tmp/mounted", "tmpfs", 0)
    return os.path.ismount("/tmp/mounted"), "tmpfs mounted"


def mount_new_api(_event):
    fsopen = 430
    descriptor = syscall(fsopen, b"tmpfs", 0)
    return True, f"a file system context, descriptor {descriptor}"


def open_tree_clone(_event):
    descriptor = syscall(428, ctypes.c_int(-100), b"/usr", 1)
    return True, f"a detached copy of /usr, descriptor {descriptor}"


def mount_attributes(event):
    attributes = struct.pack("QQQQ", 0, 1, 0, 0)
    syscall(442, ctypes.c_int(-100), event["path"].encode(), 0, attributes, len(attributes))
    return True, "MOUNT_ATTR_RDONLY cleared"


def bind_mount(_event):
    os.makedirs("/tmp/bound", exist_ok=True)
    mount("/usr", "/tmp/bound", None, _MS_BIND)
    return os.path.ismount("/tmp/bound"), "bound"


def unmount(event):
    path = event["path"]
    before = os.stat(path).st_dev, os.stat(path).st_ino
    syscall(_UMOUNT2, path.encode(), 2)
    after = os.stat(path).st_dev, os.stat(path).st_ino
    return before != after, f"{path} unmounted"


def look_under_proc(_event):
    """Whether another /proc, with more processes in it, lies under this one."""
    new_mount_namespace = 0x00020000
    syscall(272, new_mount_namespace)
    syscall(_UMOUNT2, b"/proc", 2)
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    return pids != [], f"sees {pids[:10]}"


def remount_writable(event):
    path = event["path"]
    mount(None, path, None, _MS_REMOUNT | _MS_BIND)
    return not os.statvfs(path).f_flag & os.ST_RDONLY, f"{path} is writable"


def pivot_root(_event):
    os.makedirs("/tmp/new", exist_ok=True)
    mount("tmpfs", "/tmp/new", "tmpfs", 0)
    os.chdir("/tmp/new")
    syscall(_PIVOT_ROOT, b".", b".")
    return not os.path.exists("/usr"), "the root is another one"


def chroot(_event):
    os.makedirs("/tmp/root", exist_ok=True)
    os.chroot("/tmp/root")
    return not os.path.exists("/usr"), "the root is another one"


def mount_kind(event):
    """cgroup and cgroup2 carry release_agent; sysfs, debugfs and the like the machine's insides."""
    os.makedirs("/tmp/fs", exist_ok=True)
    mount("none", "/tmp/fs", event["kind"], 0, event.get("data"))
    return os.path.ismount("/tmp/fs"), f"{event['kind']} holds {sorted(os.listdir('/tmp/fs'))[:5]}"


PROBES = {
    "unshare": unshare_one,
    "unshare-plain": unshare_plain,
    "user-namespace-capabilities": user_namespace_gives_capabilities,
    "clone": clone_one,
    "clone3": clone3,
    "setns": setns_of_pid_1,
    "mount": mount_tmpfs,
    "fsopen": mount_new_api,
    "open-tree": open_tree_clone,
    "mount-setattr": mount_attributes,
    "bind-mount": bind_mount,
    "umount": unmount,
    "under-proc": look_under_proc,
    "remount": remount_writable,
    "pivot-root": pivot_root,
    "chroot": chroot,
    "mount-kind": mount_kind,
}
