"""redis_server: the stack's own Redis."""

import os
import socket

CONFIGURATION = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "servers", "redis.conf")


def prepare(state, port):
    os.makedirs(state.path("redis"), mode=0o700, exist_ok=True)
    return ["/usr/bin/redis-server", CONFIGURATION, "--port", str(port), "--dir", state.path("redis")]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
