"""What of a host commonly stands in the way of sandboxes: which it is, and what to do, in one line."""

import errno
import typing

import ol_kernel as kernel

# What the kernel answers where something is forbidden, used up, or not compiled in.
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENOSYS)


def _read_proc(name: str) -> str:
    try:
        with open(f"/proc/{name}", encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        # A setting that this kernel does not have stands in nobody's way.
        return ""


def _status_field(status: str, field: str) -> str:
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return ""


def obstacles(number: int, rootless: bool, read: "typing.Callable[[str], str]" = _read_proc) -> "list[str]":
    """A sentence for each setting that explains the kernel's refusal `number`; `read` gives a file of /proc."""
    found = []
    most = read("sys/user/max_user_namespaces")
    if most == "0" or (most != "" and number == errno.ENOSPC):
        found.append(f"user.max_user_namespaces is {most}, all in use: sysctl -w user.max_user_namespaces=15000")
    if rootless and read("sys/kernel/unprivileged_userns_clone") == "0":
        remedy = "sysctl -w kernel.unprivileged_userns_clone=1, or start the worker as root"
        found.append(f"kernel.unprivileged_userns_clone is 0, so only root may make user namespaces: {remedy}")
    if rootless and read("sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        remedy = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or start the worker as root"
        found.append(f"AppArmor leaves ordinary users no rights in their user namespaces (Ubuntu 23.10 and newer): {remedy}")
    status = read("self/status")
    if not rootless and not int(_status_field(status, "CapEff") or "0", 16) >> kernel.CAP_SYS_ADMIN & 1:
        remedy = "start the container with --privileged, or the worker outside of it"
        found.append(f"root has no CAP_SYS_ADMIN here, as in a container: {remedy}")
    if number == errno.EPERM and _status_field(status, "Seccomp") == "2":
        remedy = "start the container with --security-opt seccomp=unconfined, or the worker outside of it"
        found.append(f"a filter of system calls is in force here, as in a container: {remedy}")
    return found


def explain(error: OSError, rootless: bool) -> str:
    """The error's own words, and what is behind them where that can be told."""
    reasons = obstacles(error.errno, rootless) if error.errno in _REFUSALS else []
    if error.errno == errno.ENOENT and str(error.filename).startswith("/dev/"):
        reasons = [f"make the device {error.filename}, or start the container with its usual /dev"]
    return "; ".join([str(error), *reasons])


def require_seccomp() -> None:
    """OSError if the kernel cannot filter system calls: without that a lambda gets out of its sandbox."""
    try:
        kernel.prctl(kernel.PR_GET_SECCOMP)
    except OSError as error:
        reason = "this kernel has no seccomp (CONFIG_SECCOMP_FILTER), and sandboxes are not safe without it"
        raise OSError(error.errno, reason) from error
