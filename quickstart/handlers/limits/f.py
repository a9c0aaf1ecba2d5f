# Runs into the limits that its ol.yaml sets.
#
#   npx ol-admin invoke limits -d '{"use": "time"}'          504 after 2 seconds
#   npx ol-admin invoke limits -d '{"use": "memory"}'        502: killed at 40 MiB (500 without cgroups)
#   npx ol-admin invoke limits -d '{"use": "processes"}'     how many processes it could start
#   npx ol-admin invoke limits -d '{"use": "network"}'       why it cannot reach the network
import os
import socket
import time


def f(event):
    use = event.get("use")
    if use == "time":
        time.sleep(60)
    if use == "memory":
        kept = []
        while True:
            kept.append(bytearray(1024 * 1024))
    if use == "processes":
        return start_processes()
    if use == "network":
        return reach_out()
    return 'name what to use: "time", "memory", "processes" or "network"'


def start_processes():
    children = []
    try:
        for _ in range(100):
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    except OSError as error:
        reason = str(error)
    else:
        reason = "there was no limit"
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return {"started": len(children), "then": reason}


def reach_out():
    try:
        # An address that is reserved for documentation: nobody answers there.
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    except OSError as error:
        return str(error)
    return "connected"
