"""down: ops/down."""

import argparse

import console
import service
from console import Failure, say, step
from stack import Stack
from state import State

USAGE = """\
Stops what ops/up started: the gateways first (they answer what they have accepted), then the workers, then the servers.
The data stays. With names (gateway, gateway-1, messages, messages-2, users, kafka, postgres, redis) only these.
"""


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/down", description=USAGE, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--state", metavar="FOLDER", help="the stack of another state folder")
    parser.add_argument("--wipe", action="store_true", help="also deletes the data, the secrets and the logs")
    parser.add_argument("--quiet", action="store_true", help="says only what went wrong")
    return parser.parse_args(argv)


def stop(state, wanted):
    """Stops what runs of the names, group after group; returns how many there were."""
    running = [one for one in service.started(state) if not wanted or one.name in wanted]
    groups = {"gateways": [], "workers": [], "servers": []}
    for one in running:
        kind = one.spec["kind"]
        groups["gateways" if kind == "gateway" else "servers" if kind in ("kafka", "postgres", "redis") else "workers"].append(one)
    for group, members in groups.items():
        if members:
            with step(group) as this:
                warnings = service.stop(members)
                this.note = "stopped " + ", ".join(one.name for one in members)
            for warning in warnings:
                console.warn(warning)
    return len(running)


def main(argv):
    options = parse(argv)
    console.quiet = options.quiet
    state = State(options.state)
    if options.wipe and options.names:
        raise Failure("--wipe is for the whole stack; leave the names out")
    if not state.exists():
        if options.state:
            raise Failure(f"{options.state} is no state folder of ops/up")
        say("nothing was ever started here")
        return 0
    with state.lock():
        # A name that is not asked for any more may still run.
        known = [one.name for one in service.started(state)]
        wanted = [name for name in known if any(name == want or name.rpartition("-")[0] == want for want in options.names)]
        if options.names:
            Stack(state).select([want for want in options.names if not any(name == want or name.rpartition("-")[0] == want for name in known)])
        stopped = stop(state, wanted) if wanted or not options.names else 0
        if not stopped:
            say("nothing runs" + (" of these" if options.names else ""))
        if options.wipe:
            state.wipe()
            say(f"{'data':<10} deleted from {state.folder}")
    return 0
