"""stack: a running Aether, seen from outside: who runs with which pid, and the signals that hurt. Everything is asked of
ops/status --json and told to ops/up and ops/down, so what is tested is what an operator has.

The supervisor of a stack starts again what ends, so a killed process comes back by itself; who wants it to stay away asks
`down`."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import time
import urllib.request

import psycopg2

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

# Everybody in a test comes from one address. Counted all the same, only never too many.
RAISED_LIMITS = {**{f"limits.{limit}_requests": 1_000_000_000 for limit in ("auth", "address", "user")}, "login.address_failures": 1_000_000_000,
                 "gateway.max_connections_address": 0, "live.max_connections_person": 0, "live.max_connections_address": 0}


def as_options(settings):
    """--set NAME=VALUE for each."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


PATIENCE = 3  # a machine has days on which everything takes so many times longer


def wait_until(condition, timeout=30.0, what=None, pause=0.05):
    """Returns the first true value of condition(). AssertionError after `timeout` seconds of a good day. What takes long to be asked
    is asked less often: it takes time from what is waited for."""
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or getattr(condition, '__doc__', None) or condition}")
        time.sleep(max(pause, min(now - asked, 0.5)) if pause else 0)


class Stack:
    """A stack by its state folder. `up_options` are those it is started with, and started with again."""

    def __init__(self, state, up_options=()):
        self.state = os.path.abspath(state)
        self.up_options = list(up_options)

    # --- ops commands ---

    def command(self, name, *arguments, timeout=300, check=True):
        result = subprocess.run([os.path.join(REPOSITORY, "ops", name), "--state", self.state, *arguments], timeout=timeout,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if check and result.returncode:
            raise RuntimeError(f"ops/{name} {' '.join(arguments)}: status {result.returncode}\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
        return result

    def up(self, *more, timeout=900):
        """Starts everything, as asked for when the stack was made."""
        self.command("up", "--no-install", "--no-demo", "--quiet", *self.up_options, *more, timeout=timeout)

    def start(self, *names, timeout=120):
        """Starts again what was stopped or killed for good."""
        self.command("up", "--quiet", *(word for name in names for word in ("--only", name)), timeout=timeout)

    def down(self, *names, timeout=120):
        self.command("down", "--quiet", *names, timeout=timeout)

    def wipe(self):
        """Stops what runs there and forgets everything; nothing when there is nothing."""
        if os.path.exists(os.path.join(self.state, "stack.json")):
            self.down("--wipe")

    def status(self):
        return json.loads(self.command("status", "--json").stdout)

    # --- who runs ---

    def gateways(self):
        return self.status()["gateway"]

    def urls(self):
        return [gateway["url"].rstrip("/") for gateway in self.gateways()]

    def workers(self, name):
        """The processes of one kind of worker: [{"name", "pid", "metrics"}]."""
        return [worker for worker in self.status()["workers"] if worker["name"] == name]

    def pids(self, kind):
        """Of "gateway", "messages", "users", "kafka", "postgres", "redis": those that live."""
        status = self.status()
        if kind == "gateway":
            found = [entry["pid"] for entry in status["gateway"]]
        elif kind in ("kafka", "postgres", "redis"):
            found = [status[kind]["pid"]]
        else:
            found = [entry["pid"] for entry in self.workers(kind)]
        return [pid for pid in found if pid and is_alive(pid)]

    def pid(self, kind):
        return wait_until(lambda: self.pids(kind), 30, f"a {kind} that lives")[0]

    # --- faults ---

    def kill(self, kind, number=signal.SIGKILL, pid=None):
        """Ends one process of the kind at once. Returns its pid; the supervisor starts another."""
        pid = pid or self.pid(kind)
        if kind == "postgres":  # the postmaster alone would leave its children to finish their work
            children = children_of(pid)
            send(pid, number)
            for child in children:
                send(child, number)
        else:
            send(pid, number)
        return pid

    def kill_for_good(self, kind, pid=None):
        """Ends one process of the kind and its supervisor, as when a machine is lost; `up` brings it back."""
        pid = pid or self.pid(kind)
        send(parent_of(pid), signal.SIGKILL)
        return self.kill(kind, pid=pid)

    @contextlib.contextmanager
    def paused(self, *pids):
        """SIGSTOP while the body runs."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                send(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def without(self, name):
        """Stopped while the body runs, and up again after it."""
        self.down(name)
        try:
            yield
        finally:
            self.start(name)

    def wait_replaced(self, kind, pid, timeout=60):
        """Until the process is gone and another of its kind lives; returns the new one's pid."""
        return wait_until(lambda: next((p for p in self.pids(kind) if p != pid), None) if not is_alive(pid) else None,
                          timeout, f"{kind} {pid} replaced")

    # --- health ---

    def is_ready(self):
        """Every gateway says ready and every process lives."""
        try:
            status = self.status()
            pids = [entry["pid"] for entry in status["gateway"] + status["workers"]]
            pids += [status[name]["pid"] for name in ("kafka", "postgres", "redis")]
            if not status["gateway"] or not all(pid and is_alive(pid) for pid in pids):
                return False
            return all(http_get(gateway["url"].rstrip("/") + "/api/v1/health/ready")[0] == 200 for gateway in status["gateway"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def wait_ready(self, timeout=120):
        wait_until(self.is_ready, timeout, f"the stack in {self.state} ready", pause=0.2)

    def metrics(self, kind):
        """One dictionary {sample: value} a process of "gateway" or a kind of worker."""
        urls = [g["url"].rstrip("/") + "/metrics" for g in self.gateways()] if kind == "gateway" else \
            [w["metrics"] for w in self.workers(kind)]
        return [parse_metrics(http_get(url)[1].decode()) for url in urls]

    # --- the servers themselves ---

    @functools.cached_property
    def addresses(self):
        """A stack stays where it is, so where its servers are is asked once."""
        return self.status()

    def bootstrap(self):
        return self.addresses["kafka"]["bootstrap"]

    def connect(self):
        return psycopg2.connect(self.addresses["postgres"]["dsn"])

    def sql(self, query, parameters=None):
        """Runs one statement, committed; returns its rows."""
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, parameters)
                return cursor.fetchall() if cursor.description else []

    def redis(self):
        import redis
        return redis.Redis.from_url(self.addresses["redis"]["url"], socket_timeout=5)


def send(pid, number):
    """A signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def parent_of(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def http_get(url, timeout=5):
    """(status, body) of a plain GET."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*",?)*\})?) '
                    r'([-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|Inf|NaN))(?: [0-9]+)?')


def parse_metrics(text):
    """{sample with its labels: value} of the Prometheus text format 0.0.4; ValueError for a line that is none."""
    samples = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            raise ValueError(f"no Prometheus sample: {line!r}")
        if match[1] in samples:
            raise ValueError(f"twice: {match[1]}")
        samples[match[1]] = float(match[2])
    return samples


def total(samples, name):
    """The sum of a metric over its labels."""
    return sum(value for sample, value in samples.items() if sample == name or sample.startswith(name + "{"))
