"""What a process is allowed to do, holds, and gets to know."""

import os
import resource

_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def _status(pid="self"):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def has_capabilities(_event):
    fields = _status()
    held = {name: fields[name] for name in _CAPABILITIES if int(fields[name], 16)}
    return held != {}, f"holds {held}"


def can_gain_privileges(_event):
    return _status()["NoNewPrivs"] != "1", "no_new_privs is not set"


def is_unfiltered(_event):
    fields = _status()
    return fields["Seccomp"] != "2", f"Seccomp {fields['Seccomp']}, {fields.get('Seccomp_filters')} filters"


def has_groups(_event):
    # 65534 stands for an ordinary user's other groups, which nobody can give up in a user namespace; docs/security.md
    # says so. The own one is among them for whoever has logged in.
    groups = [group for group in os.getgroups() if group not in (65534, os.getgid())]
    return groups != [], f"groups {groups}"


def descriptors(_event):
    """In the lambda's own process: standard streams and one socket to the worker, nothing else."""
    links = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            links[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            # The descriptor of this very listing.
            continue
    extra = {number: link for number, link in links.items() if number > 2}
    sockets = [number for number, link in extra.items() if link.startswith("socket:")]
    return len(extra) != 1 or len(sockets) != 1, links


def finds_text(event):
    """Whether some text (a host path, an environment variable of the worker) is to be found in a file."""
    hits = []
    for path in event["paths"]:
        try:
            with open(path, "rb") as file:
                content = file.read(4 << 20)
        except OSError:
            continue
        if event["text"].encode() in content:
            hits.append(path)
    return hits != [], f"found in {hits}"


def finds_text_in_links(event):
    hits = {}
    for directory in ("/proc/self/fd", "/proc/1/fd", "/proc/self/map_files", "/proc/1/map_files"):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names + ["../cwd", "../root", "../exe"]:
            try:
                link = os.readlink(f"{directory}/{name}")
            except OSError:
                continue
            if event["text"] in link:
                hits[f"{directory}/{name}"] = link
    return hits != {}, f"found in {hits}"


def environment(event):
    hits = [name for name, value in os.environ.items() if event["text"] in name + value]
    return hits != [], f"found in {hits}"


def own_group_path(_event):
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        paths = [line.rstrip("\n").split(":", 2)[2] for line in file]
    shown = [path for path in paths if path != "/"]
    return shown != [], f"{shown}"


def raise_limit(event):
    kind = getattr(resource, f"RLIMIT_{event['limit']}")
    _soft, hard = resource.getrlimit(kind)
    wanted = hard + 1 if hard != resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(kind, (wanted, wanted))
    except ValueError as error:
        return False, str(error)
    return resource.getrlimit(kind)[1] != hard or hard == resource.RLIM_INFINITY, f"{hard} is now {resource.getrlimit(kind)}"


def core_dumps(_event):
    """1 is the one value that keeps the kernel from handing a crashed process to a program of the host."""
    for wanted in ((0, 0), (1, 1)):
        try:
            resource.setrlimit(resource.RLIMIT_CORE, wanted)
        except (OSError, ValueError):
            continue
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    return limits != (1, 1), f"RLIMIT_CORE {limits}"


def avoid_the_oom_killer(event):
    if "first" in event:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(event["first"]))
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        before = int(file.read())
    for wanted in (-1000, -1, 0, before - 1):
        try:
            descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
            try:
                os.write(descriptor, str(wanted).encode())
            finally:
                os.close(descriptor)
        except OSError:
            continue
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        after = int(file.read())
    return after < before, f"{before} is now {after}"


def run_before_others(_event):
    achieved = []
    for name, attempt in (
        ("nice", lambda: os.nice(-5)),
        ("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    ):
        try:
            attempt()
            achieved.append(name)
        except OSError:
            continue
    return achieved != [], f"{achieved}"


def join_group(event):
    """Out of the cgroup, by any file that would take us."""
    taken = []
    for root in ("/sys/fs/cgroup", "/proc/1/root/sys/fs/cgroup"):
        for directory, _directories, names in os.walk(root):
            if "cgroup.procs" in names:
                try:
                    descriptor = os.open(os.path.join(directory, "cgroup.procs"), os.O_WRONLY)
                    os.close(descriptor)
                    taken.append(directory)
                except OSError:
                    continue
    return taken != [], f"{taken[:3]}"


PROBES = {
    "capabilities": has_capabilities,
    "new-privileges": can_gain_privileges,
    "unfiltered": is_unfiltered,
    "groups": has_groups,
    "descriptors": descriptors,
    "text-in-files": finds_text,
    "text-in-links": finds_text_in_links,
    "text-in-environment": environment,
    "cgroup-path": own_group_path,
    "raise-limit": raise_limit,
    "core-dumps": core_dumps,
    "oom-score": avoid_the_oom_killer,
    "priority": run_before_others,
    "cgroup-files": join_group,
}
INLINE = {"descriptors", "text-in-links"}
