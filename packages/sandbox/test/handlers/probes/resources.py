"""Bombs, and a scratch directory that bites."""

import ctypes
import mmap
import os
import shutil
import signal
import socket
import threading
import time

_MIB = 1024 * 1024


def fork_bomb(event):
    """Forks until it is refused; the children stay until the end. Counts the processes of the sandbox."""
    holding, letting_go = os.pipe()
    children = []
    try:
        while len(children) < event["most"]:
            pid = os.fork()
            if pid == 0:
                os.close(letting_go)
                os.read(holding, 1)
                os._exit(0)
            children.append(pid)
    except OSError:
        pass
    finally:
        os.close(letting_go)
        for pid in children:
            os.waitpid(pid, 0)
        os.close(holding)
    return len(children) >= event["most"], len(children)


def thread_bomb(event):
    done = threading.Event()
    threads = []
    try:
        while len(threads) < event["most"]:
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return len(threads) >= event["most"], len(threads)


def memory_bomb(event):
    """Touches memory of its own until refused, killed or `most` is reached."""
    blocks = []
    try:
        while len(blocks) < event["most"]:
            blocks.append(bytearray(_MIB))
    except MemoryError:
        return False, f"MemoryError after {len(blocks)} MiB"
    return True, f"{len(blocks)} MiB"


def shared_memory_bomb(event):
    """Memory that no limit of private memory counts."""
    blocks = []
    try:
        while len(blocks) < event["most"]:
            block = mmap.mmap(-1, _MIB)
            block.write(b"x" * _MIB)
            blocks.append(block)
    except (OSError, MemoryError) as error:
        return False, f"{error} after {len(blocks)} MiB"
    # Long enough for whoever looks once in a while.
    time.sleep(event.get("holdSec", 0))
    return True, f"{len(blocks)} MiB"


def memfd_bomb(event):
    """Files in memory that have no name and that nobody has mapped."""
    blocks = []
    while len(blocks) < event["most"]:
        blocks.append(os.memfd_create("bomb"))
        os.write(blocks[-1], b"x" * _MIB)
    time.sleep(event.get("holdSec", 0))
    for descriptor in blocks:
        os.close(descriptor)
    return True, f"{len(blocks)} MiB"


def temporary_file_bomb(event):
    """The temporary directories live in memory."""
    written = 0
    try:
        with open(os.path.join(event["directory"], "bomb"), "wb") as file:
            while written < event["most"]:
                file.write(b"x" * _MIB)
                file.flush()
                written += 1
    except OSError as error:
        return False, f"{error} after {written} MiB"
    return True, f"{written} MiB"


def socket_memory_bomb(event):
    """Fills connections to itself that nobody reads: memory that no process has mapped."""
    server = socket.create_server(("127.0.0.1", 0))
    kept, written = [], 0
    block = b"x" * _MIB
    try:
        for _ in range(event["connections"]):
            client = socket.create_connection(server.getsockname(), 3)
            kept += [client, server.accept()[0]]
            client.setblocking(False)
            while True:
                try:
                    written += client.send(block)
                except BlockingIOError:
                    break
    except OSError as error:
        return False, f"{error} after {written // _MIB} MiB"
    return written > event["limitMib"] * _MIB, f"{written // _MIB} MiB"


def busy_family(event):
    """Leaves processes behind that never rest: each forks children, and each child adds a byte to /host/busy. They end
    by themselves some time after a test that failed."""
    until = time.monotonic() + event.get("seconds", 30)
    for _ in range(event.get("families", 2)):
        if os.fork() == 0:
            try:
                _fork_until(until)
            finally:
                os._exit(0)
    return True, "busy"


def _fork_until(until):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while time.monotonic() < until:
        pid = os.fork()
        if pid == 0:
            with open("/host/busy", "ab") as file:
                file.write(b"x")
            os._exit(0)
        os.waitpid(pid, 0)


def cpu_bomb(event):
    """Counts the CPU time it gets in a while of trying to use it all."""
    began, until = time.process_time(), time.perf_counter() + event["seconds"]
    while time.perf_counter() < until:
        pass
    share = (time.process_time() - began) / event["seconds"]
    return share > event["share"], round(share, 2)


def large_file(event):
    written = 0
    try:
        with open("/host/large", "wb", buffering=0) as file:
            while written < event["most"]:
                file.write(b"x" * _MIB)
                written += 1
    except OSError as error:
        return False, f"{error} after {written} MiB"
    finally:
        os.unlink("/host/large")
    return True, f"{written} MiB"


def many_files(event):
    """Each below the limit of one file, together above it."""
    kept, total = [], 0
    for number in range(event["files"]):
        with open(f"/host/file-{number}", "w+b", buffering=0) as file:
            file.write(b"x" * (event["mib"] * _MIB))
            total += os.fstat(file.fileno()).st_size
            if event.get("unlinked"):
                kept.append(os.dup(file.fileno()))
            if event.get("mapped"):
                kept.append(_map_without_descriptor(file.fileno()))
            if kept:
                os.unlink(f"/host/file-{number}")
    time.sleep(event.get("holdSec", 0))
    return total > event["limitMib"] * _MIB, f"{total // _MIB} MiB"


def _map_without_descriptor(descriptor):
    """One page; Python's own module keeps a descriptor."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    address = library.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return address


def output_bomb(event):
    written = 0
    try:
        while written < event["mib"] * _MIB:
            written += os.write(1, b"x" * 65536)
    except OSError as error:
        return False, f"{error} after {written} bytes"
    return True, written


def bite(event):
    """Leaves a scratch directory that harms whoever follows, reads or simply removes it."""
    for kind in event["kinds"]:
        _BITES[kind](event)
    return True, "ready"


def _server_pipe_link(event):
    os.unlink("/host/server_pipe")
    os.symlink(event["target"], "/host/server_pipe")


def _server_pipe_socket(_event):
    os.unlink("/host/server_pipe")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind("/host/server_pipe")
    server.listen(1)
    server.detach()


def _stdout_link(event):
    os.unlink("/host/stdout")
    os.symlink(event["target"], "/host/stdout")


def _stderr_fifo(_event):
    os.unlink("/host/stderr")
    os.mkfifo("/host/stderr")


def _stdout_directory(_event):
    os.unlink("/host/stdout")
    os.makedirs("/host/stdout/inside")


def _links_everywhere(event):
    for number in range(20):
        os.symlink(event["target"], f"/host/link-{number}")
        os.symlink(os.path.dirname(event["target"]), f"/host/directory-link-{number}")
    os.symlink("/", "/host/root")
    os.symlink("..", "/host/up")
    os.symlink("loop", "/host/loop")


def _nested(event):
    os.chdir("/host")
    for _ in range(event.get("depth", 5000)):
        os.mkdir("d")
        os.chdir("d")
    os.chdir("/handler")


def _mode_zero(_event):
    os.makedirs("/host/closed/closed", exist_ok=True)
    with open("/host/closed/closed/file", "w", encoding="ascii") as file:
        file.write("x")
    os.chmod("/host/closed/closed/file", 0)
    os.chmod("/host/closed/closed", 0)
    os.chmod("/host/closed", 0)


def _many(event):
    os.makedirs("/host/many", exist_ok=True)
    for number in range(event.get("files", 20_000)):
        os.close(os.open(f"/host/many/{number}", os.O_WRONLY | os.O_CREAT, 0o600))


def _names(_event):
    for name in (b"-rf", b"--", b"a\nb", b"\xff\xfe", b"*", b" ", b"$(reboot)", b"`id`", b"'\"", b"\x1b[2J", b"x" * 255):
        os.close(os.open(b"/host/" + name, os.O_WRONLY | os.O_CREAT, 0o600))


def _scratch_itself(_event):
    """The directory's own mode is the sandbox's to change."""
    os.chmod("/host", 0)


def _setuid_file(_event):
    shutil.copy("/usr/bin/sleep", "/host/gift")
    os.chmod("/host/gift", 0o6755)
    os.chmod("/host", 0o777)


_BITES = {
    "server-pipe-link": _server_pipe_link,
    "server-pipe-socket": _server_pipe_socket,
    "stdout-link": _stdout_link,
    "stdout-directory": _stdout_directory,
    "stderr-fifo": _stderr_fifo,
    "links": _links_everywhere,
    "nested": _nested,
    "mode-zero": _mode_zero,
    "many": _many,
    "names": _names,
    "scratch-mode": _scratch_itself,
    "setuid-file": _setuid_file,
}

PROBES = {
    "busy-family": busy_family,
    "cpu-bomb": cpu_bomb,
    "fork-bomb": fork_bomb,
    "thread-bomb": thread_bomb,
    "memory-bomb": memory_bomb,
    "memfd-bomb": memfd_bomb,
    "shared-memory-bomb": shared_memory_bomb,
    "temporary-file-bomb": temporary_file_bomb,
    "socket-memory-bomb": socket_memory_bomb,
    "large-file": large_file,
    "many-files": many_files,
    "output-bomb": output_bomb,
    "bite": bite,
}
INLINE = {"busy-family", "cpu-bomb", "fork-bomb", "thread-bomb", "memory-bomb", "memfd-bomb", "many-files", "shared-memory-bomb", "output-bomb", "bite"}
