"""ports: who listens where. Everything of ours is on loopback."""

import os
import socket

import process
from console import Failure

# A program's port is the base of its kind plus its number in the kind (gateway-2: gateway + 1).
DEFAULT = {"gateway": 8080, "kafka": 19092, "controller": 19093, "postgres": 15432, "redis": 16379, "workers": 19100}
# With --port-base N.
OFFSET = {"gateway": 0, "kafka": 20, "controller": 21, "postgres": 22, "redis": 23, "workers": 30}
BLOCK = 100
PER_WORKER = 10  # ports a kind of worker has for its processes


def from_base(base):
    return {kind: base + offset for kind, offset in OFFSET.items()}


def is_free(port):
    """Free to listen on: nobody listens there, on any address of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_base():
    """A base whose whole block of ports is free: for stacks beside the default one (tests, benchmarks)."""
    start = 20000 + os.getpid() % 80 * BLOCK  # two that look at once start at different places
    for step in range(80):
        base = 20000 + (start - 20000 + step * BLOCK) % 8000
        if all(is_free(base + offset) for offset in range(BLOCK)):
            return base
    raise Failure("no 100 free ports in a row between 20000 and 28000; choose a place with --port-base N")


def listener(port):
    """(pid, program) of who listens on the port; (None, None) when that cannot be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                rows = file.read().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for pid in process.all_pids():
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    return pid, process.name(pid)
        except OSError:
            continue  # gone, or another user's
    return None, None


def require_free(name, kind, port):
    """`name` is about to listen on the port; `kind` is what --port calls it."""
    if is_free(port):
        return
    pid, program = listener(port)
    who = f"{program} (pid {pid})" if pid else "a program of another user"
    raise Failure(f"port {port}, wanted for {name}, is in use by {who}; stop that, or choose another port with "
                  f"ops/up --port {kind}=NUMBER (or move all ports with --port-base NUMBER)")


def answers(port):
    """Somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
