import os
import socket


def f(event):
    """Each step is [what, path, ...], below /host/out."""
    os.umask(0)
    for what, path, *rest in event:
        _STEPS[what](os.path.join("/host/out", path), *rest)
    return "made"


def _file(path, size=1, mode=0o666):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"x" * size)
    os.chmod(path, mode)


def _many(path, count):
    for number in range(count):
        _file(os.path.join(path, str(number % 100), f"{number}.py"))


def _deep(path, depth):
    os.makedirs(path)
    os.chdir(path)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


_STEPS = {
    "file": _file,
    "directory": lambda path, mode: (os.makedirs(path), os.chmod(path, mode)),
    "many": _many,
    "deep": _deep,
    "link": lambda path, target: os.symlink(target, path),
    "hard": lambda path, target: os.link(target, path),
    "fifo": os.mkfifo,
    "socket": _socket,
}
