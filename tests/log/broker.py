"""broker: a Kafka node of the test's own, by ops/kafka/start, on free ports, in a folder that goes away with it."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPS = os.path.join(REPOSITORY, "ops", "kafka")
SKIPPED = 77  # meson's exit status for it


def jars():
    """The folder of Kafka's jars: AETHER_TEST_KAFKA_JARS, or where ops/up keeps them. None when they are not there."""
    folder = os.environ.get("AETHER_TEST_KAFKA_JARS") or os.path.join(REPOSITORY, ".state", "jars")
    return folder if os.path.isdir(folder) and any(name.startswith("kafka_2.13-") for name in os.listdir(folder)) else None


def program(variable, path):
    return os.environ.get(variable) or os.path.join(REPOSITORY, "build", path)


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def free_ports(count):
    """Below the ephemeral range: a client that tries to reconnect to a dead broker's port there may meet itself, and keep it."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


class Broker:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="aether-kafka-")
        self.port, self.controller_port = free_ports(2)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *more):
        self.process = subprocess.Popen([os.path.join(OPS, "start"), "--jars", jars(), "--data", self.folder, "--port", str(self.port),
                                         "--controller-port", str(self.controller_port), "--heap", "256", *more], stdin=subprocess.DEVNULL)

    def wait_ready(self):
        subprocess.run([os.path.join(OPS, "ready"), self.bootstrap, "60"], check=True)

    def kill(self):
        """kill -9; the pid is java's own, since ops/kafka/start becomes java."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        self.process = None
        return status

    def read(self, topic):
        """Every record of the topic: {(partition, offset): payload}."""
        lines = subprocess.run(["kcat", "-b", self.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\n"],
                               check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=120).stdout
        records = {}
        for line in lines.splitlines():
            partition, offset, payload = line.split(" ", 2)
            records[int(partition), int(offset)] = payload
        return records


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
