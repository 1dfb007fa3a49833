"""status: ops/status."""

import argparse
import json

import service
from console import Failure
from stack import SERVERS, Stack
from state import State

USAGE = """\
What of the stack runs, where, since when, and how far each worker is behind the log.
Exit status: 0 when all that was asked for runs, 1 when something does not (--json: always 0 when there is a stack).
"""


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/status", description=USAGE, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", metavar="FOLDER", help="the stack of another state folder")
    parser.add_argument("--json", action="store_true", help="the same for programs; a pid is null while a process is down")
    return parser.parse_args(argv)


def as_json(stack, running):
    """The pids are those of the processes themselves, not of their supervisors. Gateways and workers are in the order of
    their numbers; those that ops/down stopped by name are left out."""
    def pid(name):
        return running[name].pid() if name in running else None

    return {
        "gateway": [{"url": stack.gateway_url(int(name.rpartition("-")[2])), "pid": pid(name)}
                    for name in stack.gateway_names() if name in running],
        "workers": [{"name": name.rpartition("-")[0], "pid": pid(name), "metrics": metrics_url(stack, name)}
                    for name in stack.worker_names() if name in running],
        "kafka": {"bootstrap": stack.bootstrap(), "pid": pid("kafka")},
        "postgres": {"dsn": stack.dsn(), "pid": pid("postgres")},
        "redis": {"url": stack.redis_url(), "pid": pid("redis")},
    }


def metrics_url(stack, name):
    worker, _, number = name.rpartition("-")
    return stack.metrics_url(worker, int(number))


def where(stack, name):
    if name in SERVERS:
        return f"127.0.0.1:{stack.port(name)}"
    kind, _, number = name.rpartition("-")
    return stack.gateway_url(int(number)) if kind == "gateway" else metrics_url(stack, name)


def lag(stack, name):
    """Facts and commands between the worker's checkpoint and the end of the log, over the partitions it owns."""
    import rest  # half the time of ops/status --json, which needs no HTTP and is asked again and again
    rows = rest.metrics(metrics_url(stack, name), "aether_worker_lag", timeout=1)
    return f"{sum(value for _, value in rows):.0f}" if rows else ""


def duration(seconds):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def table(stack, running):
    rows = [("NAME", "PID", "WHERE", "UP", "RESTARTS", "LAG")]
    whole = True
    for name in stack.names():
        one = running.get(name)
        pid = one.pid() if one else None
        if not pid:
            whole = False
            rows.append((name, "-", where(stack, name), "down" if not one else "restarting" if one.supervised() else "died",
                         str(one.restarts()) if one else "", ""))
            continue
        rows.append((name, str(pid), where(stack, name), duration(one.up_seconds()) + ("" if one.supervised() else ", unsupervised"),
                     str(one.restarts()), lag(stack, name) if name in stack.worker_names() else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return whole


def main(argv):
    options = parse(argv)
    state = State(options.state)
    if not state.exists():
        raise Failure(f"nothing was started in {state.folder}; run ops/up" + (f" --state {options.state}" if options.state else ""))
    stack = Stack(state)
    running = {one.name: one for one in service.started(state)}
    if options.json:
        print(json.dumps(as_json(stack, running)))
        return 0
    return 0 if table(stack, running) else 1
