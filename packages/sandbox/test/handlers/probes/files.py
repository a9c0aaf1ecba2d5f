"""Files of the host, and read-only places."""

import os
import shutil
import stat
import subprocess
import time

_DEVICES = {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
_ROOT = {"bin", "dev", "etc", "handler", "host", "lib", "lib32", "lib64", "libx32", "packages", "proc", "runtime", "sbin", "tmp", "usr"}


def write_into(event):
    path = os.path.join(event["path"], "probe")
    with open(path, "w", encoding="ascii") as file:
        file.write("x")
    os.unlink(path)
    return True, f"wrote {path}"


def open_for_writing(event):
    os.close(os.open(event["path"], os.O_WRONLY))
    return True, f"opened {event['path']}"


def change_mode(event):
    mode = stat.S_IMODE(os.stat(event["path"]).st_mode)
    os.chmod(event["path"], mode)
    return True, f"changed the mode of {event['path']}"


def writable_in_proc(_event):
    """Everything below /proc that is not a process's own directory."""
    opened = []
    for directory, directories, names in os.walk("/proc"):
        if directory == "/proc":
            directories[:] = [name for name in directories if not name.isdigit() and name not in ("self", "thread-self")]
        for name in names:
            path = os.path.join(directory, name)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                opened.append(path)
            except OSError:
                continue
    return opened != [], f"could open {len(opened)}: {opened[:8]}"


def read_file(event):
    with open(event["path"], "rb") as file:
        return file.read(1) != b"", f"read {event['path']}"


def reach_host_file(event):
    """A file that everybody on the host may read, by every way to its root that has ever worked somewhere."""
    path = event["path"]
    ways = [path, "/.." * 20 + path]
    for pid in ["self", *[name for name in os.listdir("/proc") if name.isdigit()]]:
        ways += [f"/proc/{pid}/root{path}", f"/proc/{pid}/cwd" + "/.." * 20 + path]
        try:
            ways += [f"/proc/{pid}/fd/{name}" + "/.." * 20 + path for name in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
    for start in ("/handler", "/host", "/tmp", "/dev/shm", "/packages", "/runtime", "/usr"):
        ways.append(start + "/.." * 20 + path)
    hits = []
    for way in ways:
        try:
            with open(way, encoding="utf-8") as file:
                if file.read() == event["content"]:
                    hits.append(way)
        except OSError:
            continue
    return hits != [], f"read by {hits[:3]}, of {len(ways)} ways"


def follow_link_to_host(event):
    link = "/host/link"
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(event["path"], link)
    try:
        with open(link, encoding="utf-8") as file:
            return file.read() == event["content"], "read through a symbolic link"
    finally:
        os.unlink(link)


def leave_by_moved_directory(_event):
    """A directory moved out of a mount's root while somebody stands in it leads to the outside by `..`: needs an
    accomplice on the host, so only what the sandbox can do alone is tried: out of its scratch, by rename."""
    os.makedirs("/host/inner/deep", exist_ok=True)
    descriptor = os.open("/host/inner/deep", os.O_RDONLY)
    os.rename("/host/inner/deep", "/host/outer")
    names = os.listdir(f"/proc/self/fd/{descriptor}/../..")
    os.rmdir("/host/outer")
    os.rmdir("/host/inner")
    return set(names) != set(os.listdir("/")), f"saw {names}"


def root_listing(_event):
    extra = set(os.listdir("/")) - _ROOT - {"root", "opt", "home", "work", "nix"}
    return extra != set(), f"beside what belongs there: {sorted(extra)}"


def devices(_event):
    extra = set(os.listdir("/dev")) - _DEVICES
    return extra != set(), f"beside the harmless ones: {sorted(extra)}"


def sys_is_there(_event):
    return os.path.exists("/sys/kernel") or os.path.exists("/sys/fs/cgroup"), "/sys is mounted"


def gain_by_setuid(event):
    """Runs a program that belongs to another user and has the setuid bit; looks whose it is while it runs."""
    with open("/proc/self/status", encoding="ascii") as file:
        before = next(line.split()[1:] for line in file if line.startswith("Uid"))
    program = subprocess.Popen([event["path"], "30"], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with open(f"/proc/{program.pid}/status", encoding="ascii") as file:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            if fields["Name"] == os.path.basename(event["path"])[:15]:
                return fields["Uid"].split() != before, f"{before} became {fields['Uid'].split()}"
            time.sleep(0.005)
        return False, "the program did not start"
    finally:
        program.kill()
        program.wait()


def overwrite_program(event):
    """The way out of runC: hold the program by /proc/PID/exe, wait until it ends, and open it for writing then."""
    program = event["path"]
    if event.get("copy"):
        shutil.copy2(program, event["copy"])
        program = event["copy"]
    child = subprocess.Popen([program, "0.1"])
    held = os.open(f"/proc/{child.pid}/exe", os.O_PATH)
    child.wait()
    os.close(os.open(f"/proc/self/fd/{held}", os.O_WRONLY))
    return True, f"{program} could be overwritten"


def overwrite_interpreter(event):
    os.close(os.open("/proc/self/exe", os.O_WRONLY))
    return True, "the interpreter could be overwritten"


PROBES = {
    "write-into": write_into,
    "open-for-writing": open_for_writing,
    "change-mode": change_mode,
    "writable-proc": writable_in_proc,
    "read-file": read_file,
    "host-file": reach_host_file,
    "host-file-by-link": follow_link_to_host,
    "moved-directory": leave_by_moved_directory,
    "root-listing": root_listing,
    "devices": devices,
    "sys": sys_is_there,
    "setuid-program": gain_by_setuid,
    "overwrite-program": overwrite_program,
    "overwrite-interpreter": overwrite_interpreter,
}
