"""Ways to the host's network and sockets."""

import array
import errno
import os
import socket
import struct

_TIMEOUT_SEC = 2.0


def _greeting(family, address, wanted):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_SEC)
        client.connect(address)
        text = client.recv(100).decode()
    return text == wanted, f"read {text!r}"


def loopback_port(event):
    family = socket.AF_INET6 if ":" in event["address"] else socket.AF_INET
    address = socket.getaddrinfo(event["address"], event["port"], family)[0][4]
    return _greeting(family, address, event["greeting"])


def datagram(event):
    """Sends one, also to addresses that stand for many machines, and looks for the answer."""
    family = socket.AF_INET6 if ":" in event["address"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(_TIMEOUT_SEC)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.sendto(b"hello", socket.getaddrinfo(event["address"], event["port"], family)[0][4])
        heard = {client.recv(100).decode()}
        # Several may answer.
        while event["greeting"] not in heard:
            heard.add(client.recv(100).decode())
    return True, f"read {heard}"


def resolve(event):
    found = {entry[4][0] for entry in socket.getaddrinfo(event["name"], 80, socket.AF_INET)}
    return found == {event["address"]}, f"found {sorted(found)}"


def serve_everywhere(event):
    """Answers on every address of the machine, TCP and UDP."""
    import threading

    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    _kept.extend((server, datagrams))
    for made in _kept:
        made.bind(("::", event["port"]))
    server.listen(5)

    def answer():
        while True:
            client, _address = server.accept()
            client.sendall(event["greeting"].encode())
            client.close()

    def answer_datagrams():
        while True:
            _data, address = datagrams.recvfrom(100)
            try:
                datagrams.sendto(event["greeting"].encode(), address)
            except PermissionError:
                # What is tried here.
                continue

    for work in (answer, answer_datagrams):
        threading.Thread(target=work, daemon=True).start()
    return True, "listening"


def abstract_socket(event):
    return _greeting(socket.AF_UNIX, "\0" + event["name"], event["greeting"])


def path_socket(event):
    return _greeting(socket.AF_UNIX, event["path"], event["greeting"])


def takes_host_port(event):
    """Whether a port that somebody on the host listens on is taken for us too."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        try:
            server.bind(("127.0.0.1", event["port"]))
        except OSError as error:
            return error.errno == errno.EADDRINUSE, "the port is taken: the ports are the host's"
    return False, "the port is free: the ports are our own"


def interfaces(_event):
    with open("/proc/self/net/dev", encoding="ascii") as file:
        names = [line.split(":")[0].strip() for line in file if ":" in line]
    return [name for name in names if name != "lo"] != [], f"interfaces {names}"


def family(event):
    kind = event.get("type", socket.SOCK_STREAM)
    with socket.socket(event["family"], kind, event.get("protocol", 0)) as made:
        return True, f"descriptor {made.fileno()}"


def pair(event):
    numbers = array.array("i", [0, 0])
    from calls import syscall

    address, _length = numbers.buffer_info()
    syscall(53, event["family"], socket.SOCK_STREAM, 0, address)
    return True, "a pair of sockets"


def serve(event):
    """Listens on loopback and in the abstract namespace, for another sandbox to find."""
    for family_, address in ((socket.AF_INET, ("127.0.0.1", event["port"])), (socket.AF_UNIX, "\0" + event["name"])):
        server = socket.socket(family_, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(5)
        _kept.append(server)
    import threading

    def answer(server):
        while True:
            client, _address = server.accept()
            client.sendall(event["greeting"].encode())
            client.close()

    for server in _kept:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
    return True, "listening"


_kept = []


def serve_descriptor(event):
    """Gives a descriptor to whoever connects: the way to share memory past the limits, or a directory."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind("\0" + event["name"])
    server.listen(5)
    import threading

    def answer():
        while True:
            client, _address = server.accept()
            socket.send_fds(client, [b"x"], [os.open("/host", os.O_RDONLY)])

    threading.Thread(target=answer, daemon=True).start()
    return True, "listening"


def receive_descriptor(event):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_SEC)
        client.connect("\0" + event["name"])
        _data, descriptors, _flags, _address = socket.recv_fds(client, 1, 4)
    listing = os.listdir(descriptors[0])
    return "server_pipe" in listing, f"another sandbox's scratch: {listing}"


def flood_worker_with_descriptors(_event):
    """Descriptors beside an ignorable frame: a worker that kept them would run out."""
    connection = _connection()
    null = os.open("/dev/null", os.O_RDONLY)
    frame = struct.pack(">IBBHI", 0, 0x40, 1, 0, 0)
    for _ in range(10):
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 100))
        connection.sendmsg([frame], [rights])
    connection.detach()
    os.close(null)
    return True, "1,000 descriptors sent; the host counts what arrived"


def worker_by_pidfd(_event):
    """The connection tells who its peer is, as a pidfd; what it is good for is another question."""
    from calls import syscall

    so_peerpidfd = 77
    connection = _connection()
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, so_peerpidfd)
    finally:
        connection.detach()
    achieved = []
    attempts = {
        "signal": lambda: syscall(424, pidfd, 0, None, 0),
        "descriptor": lambda: syscall(438, pidfd, 0, 0),
        **{f"namespace {number:#x}": (lambda number=number: syscall(16, pidfd, 0xFF00 + number, 0)) for number in range(1, 11)},
        "setns": lambda: syscall(308, pidfd, 0x00020000),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            achieved.append(name)
        except OSError:
            continue
    os.close(pidfd)
    return achieved != [], f"with the worker's pidfd: {achieved}"


def _connection():
    """The lambda's one connection to the worker: the only socket among its descriptors."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                made = socket.socket(fileno=int(name))
                if made.family == socket.AF_UNIX and made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0:
                    return made
                made.detach()
        except OSError:
            continue
    raise OSError(errno.ENOENT, "no connection")


PROBES = {
    "loopback-port": loopback_port,
    "abstract-socket": abstract_socket,
    "datagram": datagram,
    "resolve": resolve,
    "serve-everywhere": serve_everywhere,
    "path-socket": path_socket,
    "host-ports": takes_host_port,
    "interfaces": interfaces,
    "socket-family": family,
    "socketpair-family": pair,
    "serve": serve,
    "serve-descriptor": serve_descriptor,
    "receive-descriptor": receive_descriptor,
    "flood-descriptors": flood_worker_with_descriptors,
    "worker-pidfd": worker_by_pidfd,
}
INLINE = {"serve", "serve-everywhere", "serve-descriptor", "flood-descriptors", "worker-pidfd"}
