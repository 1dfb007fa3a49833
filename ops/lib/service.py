"""service: one supervised process, from its name to its pid. What ops/up writes, ops/supervise keeps alive and ops/down ends.

A spec is {name, argv, env, cwd, user, stop_signal, stop_seconds, log, sweep}; the state that the supervisor writes is
{supervisor, child, started, restarts, status}, where supervisor and child are identities (see process)."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import process
from console import Failure
from state import read_json, write_atomically

SUPERVISE = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "supervise")


class Service:
    """A service as asked for: `spec` is all that decides how it runs, the contents of the program and of `files` too."""

    def __init__(self, state, name, argv, *, kind, port, env=None, cwd="/", user=None, stop_signal=signal.SIGTERM,
                 stop_seconds=30, sweep=None, files=()):
        self.state, self.name, self.kind, self.port = state, name, kind, port
        self.spec = {
            "name": name, "argv": argv, "env": env or {}, "cwd": cwd, "user": user, "stop_signal": int(stop_signal),
            "stop_seconds": stop_seconds, "log": state.path("logs", f"{name}.log"), "state": state.path("run", f"{name}.state"),
            "port": port, "kind": kind, "sweep": sweep, "fingerprint": fingerprint([argv[0], *files]),
        }

    def spec_path(self):
        return self.state.path("run", f"{self.name}.spec")

    def running(self):
        return Running(self.state, self.name)

    def is_current(self):
        """Runs, supervised, exactly as asked for now."""
        return self.running().supervised() and read_json(self.spec_path()) == json.loads(json.dumps(self.spec))

    def start(self):
        """Starts the supervisor, which starts the process. It outlives this program and holds none of its files."""
        write_atomically(self.spec_path(), json.dumps(self.spec, indent=1))
        self.running().forget_state()
        supervisor = subprocess.Popen([sys.executable, "-I", "-B", SUPERVISE, self.spec_path()], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)
        while not self.running().known:  # from here on ops/down finds it
            if supervisor.poll() is not None:
                raise Failure(f"ops/supervise {self.spec_path()} ended with status {supervisor.returncode}; run it by hand to see why")
            time.sleep(0.01)


class Running:
    """A service as it is: what its supervisor last wrote, held against /proc."""

    def __init__(self, state, name):
        self.name = name
        self._spec_path, self._state_path = state.path("run", f"{name}.spec"), state.path("run", f"{name}.state")
        self.spec = read_json(self._spec_path)
        self.refresh()

    def refresh(self):
        self.known = read_json(self._state_path) or {}
        return self

    def supervised(self):
        return process.alive(self.known.get("supervisor"))

    def exists(self):
        """Something of it may run: it was started and not stopped."""
        return self.spec is not None

    def pid(self):
        """Of the process itself; None while it is down."""
        child = self.known.get("child")
        return child[0] if process.alive(child) else None

    def restarts(self):
        return self.known.get("restarts", 0)

    def up_seconds(self):
        return time.time() - self.known["started"] if self.pid() else None

    def log(self):
        return self.spec["log"]

    def forget_state(self):
        if os.path.exists(self._state_path):
            os.unlink(self._state_path)

    # Stopping is asked for and waited for apart, so that several stop at once.
    def ask_to_stop(self):
        supervisor, child = self.known.get("supervisor"), self.known.get("child")
        if supervisor and process.send(supervisor, signal.SIGTERM):
            return
        if child and process.send(child, self.spec["stop_signal"]):  # its supervisor was killed; it goes on alone
            process.send(child, signal.SIGCONT)

    def wait_stopped(self):
        """Waits; ends by force what does not end. Returns what there is to warn of, or None."""
        patience = self.spec["stop_seconds"]
        supervisor, child = self.known.get("supervisor"), self.known.get("child")
        warning = None
        # The supervisor kills at stop_seconds itself; give it time to say so.
        if process.wait_gone([who for who in (supervisor, child) if who], patience + 3):
            warning = f"{self.name} did not stop within {patience} s and was killed; see {self.log()}"
            for who in (supervisor, self.refresh().known.get("child"), child):
                if who:
                    process.send(who, signal.SIGKILL)
            process.wait_gone([who for who in (supervisor, child) if who], 5)
        elif self.refresh().known.get("killed"):
            warning = f"{self.name} did not stop within {patience} s and was killed; see {self.log()}"
        for path in (self._spec_path, self._state_path):
            if os.path.exists(path):
                os.unlink(path)
        return warning


def started(state):
    """What was started in this folder and not stopped since, in no order."""
    run = state.path("run")
    names = sorted(entry[:-5] for entry in os.listdir(run) if entry.endswith(".spec")) if os.path.isdir(run) else []
    return [Running(state, name) for name in names]


def stop(runnings):
    """Stops them at once; returns warnings."""
    for running in runnings:
        running.ask_to_stop()
    return [warning for warning in (running.wait_stopped() for running in runnings) if warning]


def fingerprint(paths):
    """Changes when a program is built anew or a configuration file is edited."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                digest.update(file.read())
        except OSError:
            digest.update(b"-")
    return digest.hexdigest()
