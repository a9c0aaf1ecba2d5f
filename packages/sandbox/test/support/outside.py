"""Servers for tests: `outside.py GREETING PORT [dns ADDRESS]` answers on every address, TCP and UDP, and with "dns" is
a name server too, for which every name has that address. Prints "ready" when everything listens."""

import socket
import sys
import threading

GREETING = sys.argv[1].encode()
PORT = int(sys.argv[2])


def bound(kind, port):
    made = socket.socket(socket.AF_INET6, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::", port))
    return made


def tcp(server, answer):
    server.listen(50)
    while True:
        client, _address = server.accept()
        try:
            answer(client)
        except OSError:
            # The client has gone already.
            pass
        client.close()


def udp(server, answer):
    while True:
        data, address = server.recvfrom(2000)
        server.sendto(answer(data), address)


def dns_answer(query):
    """One A record for whatever was asked, nothing for other types (RFC 1035)."""
    end = query.index(b"\0", 12) + 5
    is_a = query[end - 4 : end - 2] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(sys.argv[4])
    header = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    return header + query[12:end] + (record if is_a else b"")


def dns_over_tcp(client):
    length = int.from_bytes(client.recv(2), "big")
    answer = dns_answer(client.recv(length))
    client.sendall(len(answer).to_bytes(2, "big") + answer)


jobs = [
    (tcp, bound(socket.SOCK_STREAM, PORT), lambda client: client.sendall(GREETING)),
    (udp, bound(socket.SOCK_DGRAM, PORT), lambda data: GREETING),
]
if len(sys.argv) > 3:
    jobs.append((tcp, bound(socket.SOCK_STREAM, 53), dns_over_tcp))
    jobs.append((udp, bound(socket.SOCK_DGRAM, 53), dns_answer))
for work, server, answer in jobs:
    threading.Thread(target=work, args=(server, answer), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
