"""kafka: the stack's own broker; ops/kafka/ has the how."""

import os
import subprocess

import programs
from state import JARS

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "kafka")
FILES = [os.path.join(FOLDER, name) for name in ("server.properties", "log4j2.properties", "SHA256SUMS")]


def fetch_command():
    return [os.path.join(FOLDER, "fetch"), JARS]


def prepare(state, port, controller_port, processors=None):
    os.makedirs(state.path("kafka"), mode=0o700, exist_ok=True)
    return [os.path.join(FOLDER, "start"), "--jars", JARS, "--data", state.path("kafka"), "--port", str(port),
            "--controller-port", str(controller_port), *(["--processors", processors] if processors else [])]


def answers(port):
    return subprocess.run(["kcat", "-b", f"127.0.0.1:{port}", "-L", "-m", "2", "-X", "log_level=0"], env={"PATH": programs.PATH},
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
