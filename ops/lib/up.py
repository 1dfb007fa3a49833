"""up: ops/up."""

import argparse
import os
import re
import subprocess
import sys
import time

import console
import conversation
import kafka
import ports
import postgres
import programs
import redis_server
import rest
import service
from console import Failure, say, step
from stack import SERVERS, Stack
from state import DEFAULT_FOLDER, JARS, REPOSITORY, SWAGGER_UI, State

LEAST_ROOM_MB = 2048
KNOWN_WITHIN_S = 1.5  # a gateway asks who decides once a second (PROBE_EVERY_MS in gateway/http/health.c)

USAGE = """\
Installs, builds and starts Aether on this machine: Kafka, PostgreSQL, Redis, the workers and the gateway, on loopback.
What is asked for is remembered: a plain ops/up brings the same stack up again, keeps the data and starts what is missing.
"""


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/up", description=USAGE, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--gateways", type=int, metavar="N", help="how many gateways (on ports after another)")
    add("--workers", action="append", default=[], metavar="NAME=N", help=f"how many processes of a worker: {', '.join(programs.WORKERS)}")
    add("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="a setting of gateway or workers, as in their --help; also kafka.<property>")
    add("--unset", action="append", default=[], metavar="NAME", help="forgets a --set or --env")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="an environment variable of gateway and workers")
    add("--port", action="append", default=[], metavar="NAME=N", help=f"a port: {', '.join(ports.DEFAULT)}")
    add("--port-base", metavar="N|auto", help=f"all ports within {ports.BLOCK} from N; auto looks for a free block once")
    add("--state", metavar="FOLDER", help="another state folder: a stack of its own, beside the one in .state/")
    add("--build", metavar="FOLDER", help="programs from another build folder")
    add("--only", action="append", default=[], metavar="NAME", help="starts only what NAME means (kafka, messages, gateway-2, …), as "
        "it was asked for before: no installing, no building, no conversation")
    add("--servers", action="store_true", help="only Kafka, PostgreSQL and Redis, empty: for tests of parts")
    add("--no-install", action="store_true", help="lists missing packages instead of installing them")
    add("--no-build", action="store_true", help="takes the programs as they are")
    add("--no-demo", action="store_true", help="without the conversation")
    add("--quiet", action="store_true", help="says only what went wrong")
    return parser.parse_args(argv)


def pair(text, option):
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(f"{option} {text}: it must read NAME=VALUE")
    return name, value


def number(text, option, least, most):
    if not text.isdigit() or not least <= int(text) <= most:
        raise Failure(f"{option}: {text!r} is not a number from {least} to {most}")
    return int(text)


def take_options(stack, options):
    """Brings the command line into what is asked for."""
    asked = stack.asked
    if options.gateways is not None:
        asked["gateways"] = number(str(options.gateways), "--gateways", 0, 16)
    for text in options.workers:
        name, value = pair(text, "--workers")
        if name not in programs.WORKERS:
            raise Failure(f"--workers {text}: there is no worker {name}; there are {', '.join(programs.WORKERS)}")
        asked["workers"][name] = number(value, f"--workers {name}", 0, ports.PER_WORKER)
    for text in options.settings:
        name, value = pair(text, "--set")
        asked["settings"][name] = value
    for text in options.env:
        name, value = pair(text, "--env")
        asked["environment"][name] = value
    for name in options.unset:
        asked["settings"].pop(name, None)
        asked["environment"].pop(name, None)
    if options.port_base == "auto":
        # Once: a stack stays where it is.
        if asked["ports"] == ports.DEFAULT:
            asked["ports"] = ports.from_base(ports.free_base())
    elif options.port_base:
        asked["ports"] = ports.from_base(number(options.port_base, "--port-base", 1024, 65535 - ports.BLOCK))
    for text in options.port:
        name, value = pair(text, "--port")
        if name not in ports.DEFAULT:
            raise Failure(f"--port {text}: there is no port {name}; there are {', '.join(ports.DEFAULT)}")
        asked["ports"][name] = number(value, f"--port {name}", 1024, 65535)
    if options.build:
        asked["build"] = os.path.abspath(options.build)
        if not os.path.exists(os.path.join(asked["build"], "build.ninja")):
            raise Failure(f"--build {options.build} is no build folder; make one with: meson setup {options.build}")


def install(options):
    command = [os.path.join(REPOSITORY, "ops/install"), "--quiet", *(["--no-install"] if options.no_install else [])]
    if subprocess.run(command).returncode:
        sys.exit(1)  # it has said why


def fetch(what, command, log):
    with step(what) as this:
        if console.run_logged(command, log, env={**os.environ, "PATH": programs.PATH},
                              progress=lambda line: "fetching from Maven Central") != 0:
            raise Failure(console.last_line(console.tail(log)))
        this.note = "verified"


def make(stack, options):
    """What must be there before anything starts: jars and programs."""
    os.makedirs(JARS, exist_ok=True)
    log = stack.state.path("logs", "fetch.log")
    with stack.state.lock(os.path.join(DEFAULT_FOLDER, "build.lock")):
        fetch("kafka jars", kafka.fetch_command(), log)
        if not options.servers:
            fetch("swagger ui", [os.path.join(REPOSITORY, "ops", "swagger-ui", "fetch"), SWAGGER_UI], log)
        if not options.no_build and not options.servers:
            with step("build") as this:
                this.note = programs.build(stack.build_folder(), stack.state.path("logs", "build.log"))


def wait_ready(one, probe, seconds):
    """Until probe() is true. A process that keeps ending is told at once, with its last words."""
    deadline = time.monotonic() + seconds
    before = one.running().restarts()
    while not probe():
        running = one.running()
        if running.restarts() >= before + 3:
            raise Failure(f"{one.name} keeps ending; the last line of {running.log()}: "
                          f"{last_words(running.log())}")
        if time.monotonic() > deadline:
            raise Failure(f"{one.name} is not ready after {seconds} s; the last line of {running.log()}: "
                          f"{last_words(running.log())}")
        time.sleep(0.05)


def last_words(log):
    lines = [line for line in console.tail(log, 30).splitlines() if '"supervise"' not in line]
    return lines[-1] if lines else "(nothing)"


def require_ports(stack, names):
    """Before anything is installed, built or stopped: the ports of what will be started are free, or ours."""
    running = [one for one in service.started(stack.state) if one.supervised() or one.pid()]
    ours = {one.spec["port"] for one in running}
    if any(one.name == "kafka" for one in running):
        ours.add(stack.port("controller"))
    for name in names:
        kind, _, number = name.rpartition("-") if name not in SERVERS else (name, "", "1")
        wanted = [(name, kind if kind in ports.DEFAULT else "workers", stack.port(kind, int(number)))]
        if name == "kafka":
            wanted.append(("kafka's controller", "controller", stack.port("controller")))
        for who, option, port in wanted:
            if port not in ours:
                ports.require_free(who, option, port)


def replace(services):
    """Stops what runs otherwise than asked for. Returns what is to be started."""
    stale = [one for one in services if not one.is_current()]
    for warning in service.stop([one.running() for one in stale if one.running().exists()]):
        console.warn(warning)
    return stale


def start_servers(stack, names):
    probes = {"kafka": kafka.answers, "postgres": postgres.answers, "redis": redis_server.answers}
    services = {name: stack.server(name) for name in SERVERS if name in names}
    stale = replace(list(services.values()))
    for one in stale:
        one.start()
    for name in sorted(services, key=["redis", "postgres", "kafka"].index):  # the quick ones speak first
        one = services[name]
        with step(name) as this:
            wait_ready(one, lambda: probes[name](one.port), 180)
            if name == "postgres":
                postgres.make_database(one.port, stack.state.secrets()["POSTGRES_PASSWORD"])
            this.note = f"127.0.0.1:{one.port}, pid {one.running().pid()}{'' if one in stale else ', was running'}"


def apply_topics(stack):
    with step("topics") as this:
        argv, environment = stack.run_topics(["apply"])
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        if done.returncode not in (0, 1):
            raise Failure(f"aether-topics apply: {console.last_line(done.stderr or done.stdout)}")
        created = sum(": created" in line for line in done.stdout.splitlines())
        this.note = f"{created} created" if created else "all there"
    if done.returncode == 1:  # it never changes what is there; that is for a person to decide
        console.warn(f"topics differ from the table:\n{done.stdout.rstrip()}")


def start_programs(stack, names, any_stopped):
    built = stack.programs()
    workers = [stack.program_service(name, built[name.rpartition("-")[0]]) for name in stack.worker_names() if name in names]
    replaced = replace(workers)
    for one in replaced:
        one.start()
    # What a gateway says of workers may be from before they changed.
    known_at = time.monotonic() + (KNOWN_WITHIN_S if replaced or any_stopped else 0)
    gateways = [stack.program_service(name, built["gateway"]) for name in stack.gateway_names() if name in names]
    # The workers make the tables that the gateway reads.
    for one in workers:
        with step(one.name) as this:
            wait_ready(one, lambda: rest.status(f"http://127.0.0.1:{one.port}/health") == 200, 60)
            this.note = f"http://127.0.0.1:{one.port}/metrics, pid {one.running().pid()}"
    # One gateway after another, so that with several of them one always answers.
    for one in gateways:
        with step(one.name) as this:
            fresh = replace([one])
            for stale in fresh:
                stale.start()
            wait_ready(one, lambda: set(lacking(one)) <= {"workers"}, 60)
            missing = wait_for_workers(stack, one, 0 if fresh else known_at, 60)
            this.note = f"http://127.0.0.1:{one.port}, pid {one.running().pid()}"
        if missing:
            console.warn(f"{one.name} has nobody yet who decides all commands: {missing}")


def lacking(gateway):
    """{what it lacks: why}; {"gateway": …} while it does not answer."""
    told = rest.json_of(f"http://127.0.0.1:{gateway.port}/api/v1/health/ready")
    return {part["name"]: part["reason"] for part in told["missing"]} if told else {"gateway": "it does not answer"}


def wait_for_workers(stack, gateway, known_at, seconds):
    """Until commands are decided at once, as far as there are workers for them: there may be none of a kind, and one that makes
    its projection anew takes its time. What is still missing then. Before `known_at` the gateway's answer counts for nothing."""
    deadline = time.monotonic() + seconds
    time.sleep(max(0, known_at - time.monotonic()))
    while True:
        missing = lacking(gateway).get("workers")
        there = {one.name.rpartition("-")[0] for one in service.started(stack.state) if one.pid()}
        if not missing or not there & set(re.findall(r"(\w+) worker\b", missing)) or time.monotonic() > deadline:
            return missing
        time.sleep(0.05)


def stop_surplus(stack):
    """What was started once and is not asked for any more. Whether there was any."""
    surplus = [running for running in service.started(stack.state) if running.name not in stack.names()]
    for warning in service.stop(surplus):
        console.warn(warning)
    return bool(surplus)


def main(argv):
    options = parse(argv)
    console.quiet = options.quiet
    state = State(options.state)
    if options.only and not state.exists():
        raise Failure(f"nothing was started in {state.folder} yet; run ops/up first")
    state.create()
    with state.lock():
        stack = Stack(state)
        take_options(stack, options)
        names = stack.select(options.only or (SERVERS if options.servers else ()))
        require_ports(stack, names)
        if not options.only:
            install(options)
            state.require_room(LEAST_ROOM_MB)
            make(stack, options)
        if set(names) - set(SERVERS):
            stack.check_settings()
        stack.save()
        any_stopped = stop_surplus(stack)
        start_servers(stack, names)
        if not options.only and not options.servers:
            apply_topics(stack)
        if set(names) - set(SERVERS):
            start_programs(stack, names, any_stopped)
    if options.only or options.servers:
        return 0
    if not options.no_demo and stack.gateway_names():
        conversation.play(stack)
    farewell(stack)
    return 0


def farewell(stack):
    state = "" if stack.state.folder == DEFAULT_FOLDER else f" --state {stack.state.folder}"
    say()
    say(f"Aether runs at {stack.gateway_url()}/api/v1. ops/status{state} shows what runs, ops/down{state} stops it; the data stays.")
