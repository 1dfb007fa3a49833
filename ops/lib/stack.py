"""stack: what was asked for (stack.json) and the services it is made of."""

import json
import os
import signal

import kafka
import keys
import ports
import postgres
import programs
import redis_server
from console import Failure
from service import Service
from state import REPOSITORY, SWAGGER_UI, read_json, write_atomically

DEFAULTS = {
    "ports": ports.DEFAULT,
    "gateways": 1,
    "workers": {worker: 1 for worker in programs.WORKERS},
    "settings": {},     # --set NAME=VALUE
    "environment": {},  # --env NAME=VALUE
    "build": None,      # None: build/ in the repository
}
# The one part of the caller's environment that is passed on, so that tests of a sanitized build need no --env.
SANITIZER_OPTIONS = ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
SERVERS = ("kafka", "postgres", "redis")


class Stack:
    def __init__(self, state):
        self.state = state
        self.asked = {**json.loads(json.dumps(DEFAULTS)), **(read_json(state.path("stack.json")) or {})}
        # A worker that is newer than the stack has not been asked for, and is wanted.
        self.asked["workers"] = {**DEFAULTS["workers"], **self.asked["workers"]}

    def save(self):
        write_atomically(self.state.path("stack.json"), json.dumps(self.asked, indent=1) + "\n", 0o644)

    # --- where things are ---

    def port(self, kind, number=1):
        if kind in self.asked["workers"]:
            return self.asked["ports"]["workers"] + programs.WORKERS.index(kind) * ports.PER_WORKER + number - 1
        return self.asked["ports"][kind] + number - 1

    def bootstrap(self):
        return f"127.0.0.1:{self.port('kafka')}"

    def dsn(self):
        return postgres.dsn(self.port("postgres"), self.state.secrets()["POSTGRES_PASSWORD"])

    def redis_url(self):
        return f"redis://127.0.0.1:{self.port('redis')}/0"

    def gateway_url(self, number=1):
        return f"http://127.0.0.1:{self.port('gateway', number)}"

    def metrics_url(self, worker, number):
        return f"http://127.0.0.1:{self.port(worker, number)}/metrics"

    def build_folder(self):
        return self.asked["build"] or os.path.join(REPOSITORY, "build")

    def names(self):
        """Every service, in the order of starting."""
        return [*SERVERS, *self.worker_names(), *self.gateway_names()]

    def worker_names(self):
        return [f"{worker}-{n}" for worker in programs.WORKERS for n in range(1, self.asked["workers"][worker] + 1)]

    def gateway_names(self):
        return [f"gateway-{n}" for n in range(1, self.asked["gateways"] + 1)]

    def select(self, wanted):
        """The services that names like gateway, messages-2 or kafka mean; all of them when there are none."""
        names = self.names()
        chosen = []
        for want in wanted:
            meant = [name for name in names if name == want or name.rpartition("-")[0] == want]
            if not meant:
                raise Failure(f"there is no {want} here; there are {', '.join(names)}")
            chosen += meant
        return [name for name in names if name in chosen] if wanted else names

    # --- what runs ---

    def processors(self):
        """Of two processors our threads keep to the first and Kafka to the second (ops/adr/0016); with more or fewer, or with
        another runtime.processors, the kernel chooses. (how many are ours, Kafka's)"""
        there = sorted(os.sched_getaffinity(0))
        apart = len(there) == 2 and self.asked["settings"].get("runtime.processors", "1") == "1"
        return ("1", str(there[1])) if apart else ("0", None)

    def values(self):
        """What all of our programs are told; each takes what it knows."""
        secrets = self.state.secrets()
        return {
            "kafka.bootstrap.servers": self.bootstrap(),
            "postgres.dsn": self.dsn(),
            "redis.url": self.redis_url(),
            "vault.master_key": secrets["AETHER_VAULT_MASTER_KEY"],
            "vault.index_key": secrets["AETHER_VAULT_INDEX_KEY"],
            "auth.secret": secrets["AETHER_AUTH_SECRET"],
            "auth.keys_folder": keys.ensure(self.state),
            "docs.folder": SWAGGER_UI,
            "runtime.processors": self.processors()[0],
            **self.asked["settings"],
        }

    def environment(self):
        sanitizers = {name: os.environ[name] for name in SANITIZER_OPTIONS if name in os.environ}
        return {"PATH": programs.SYSTEM_PATH, "LANG": "C.UTF-8", "TZ": "UTC", **sanitizers, **self.asked["environment"]}

    def server(self, name):
        """Makes its folder and configuration when they are not there."""
        if name == "kafka":
            return Service(self.state, name, kafka.prepare(self.state, self.port("kafka"), self.port("controller"), self.processors()[1]), kind=name,
                           port=self.port(name), env=self.server_environment(), stop_seconds=60, files=kafka.FILES)
        if name == "postgres":
            argv = postgres.prepare(self.state, self.port(name), self.state.secrets()["POSTGRES_PASSWORD"])
            # SIGINT: fast shutdown. SIGTERM would wait until every client has left.
            return Service(self.state, name, argv, kind=name, port=self.port(name), env=self.server_environment(),
                           user=self.state.postgres_user(), cwd=self.state.postgres_data(), stop_signal=signal.SIGINT,
                           stop_seconds=120, sweep=self.state.postgres_data(), files=[postgres.CONFIGURATION])
        return Service(self.state, name, redis_server.prepare(self.state, self.port(name)), kind=name, port=self.port(name),
                       env=self.server_environment(), stop_seconds=20, files=[redis_server.CONFIGURATION])

    def server_environment(self):
        """The same whoever calls from which shell: another one would be a reason to restart."""
        return {"PATH": programs.SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    def programs(self):
        """{kind: Program} of what serves: gateway and workers."""
        folder = self.build_folder()
        return {"gateway": programs.Program(folder, programs.GATEWAY),
                **{worker: programs.Program(folder, programs.worker_target(worker)) for worker in programs.WORKERS}}

    def check_settings(self):
        """Every --set must mean something to somebody, and be right for everybody who knows it."""
        every = {"topics": programs.Program(self.build_folder(), programs.TOPICS),
                 "admin": programs.Program(self.build_folder(), programs.ADMIN), **self.programs()}
        known = set().union(*(program.settings() for program in every.values()))
        for name in self.asked["settings"]:
            if name not in known and not name.startswith("kafka."):
                raise Failure(f"no program has a setting {name}; the settings are listed by {every['gateway'].path} --help "
                              "and those of the workers")
        for program in every.values():
            program.check({**self.environment(), **program.environment(self.values())})

    def program_service(self, name, program):
        kind, _, number = name.rpartition("-")
        port = self.port(kind, int(number))
        own = ({"gateway.address": "127.0.0.1", "gateway.port": str(port)} if kind == "gateway" else
               {"worker.instance": str(int(number) - 1), "worker.metrics_port": str(port)})
        return Service(self.state, name, [program.path], kind=kind, port=port,
                       env={**self.environment(), **program.environment({**own, **self.values()})},
                       stop_seconds=45 if kind == "gateway" else 20)

    def run_topics(self, argv):
        program = programs.Program(self.build_folder(), programs.TOPICS)
        return [program.path, *argv], {**self.environment(), **program.environment(self.values())}

    def run_admin(self, argv, secrets):
        program = programs.Program(self.build_folder(), programs.ADMIN)
        return [program.path, *argv], {**self.environment(), **program.environment({**self.values(), **secrets})}
