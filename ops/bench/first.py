#!/usr/bin/env -S /usr/bin/python3 -B
"""first: how long the first requests after a start take, beside those that follow.

    ops/bench/first.py [--starts 10] [--state FOLDER] [--keep]

Starts a stack of its own again and again, each time with an empty log (--keep: with the log of the first start), and asks as soon
as ops/up is back: a person registers, and makes a room; then others do the same. Says how long the first of each took, and how
many times the median of those that follow."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "ops", "chaos")]

import client  # noqa: E402

FOLLOWING = 7
MOST = 3  # times as long as those that follow


def ops(command, state, *arguments):
    subprocess.run([os.path.join(ROOT, "ops", command), "--state", str(state), *arguments], stdin=subprocess.DEVNULL, check=True)


def start(state, *arguments):
    """Seconds until ops/up was back."""
    began = time.monotonic()
    ops("up", state, "--no-install", "--no-demo", "--quiet", *arguments)
    return time.monotonic() - began


def url(state):
    told = subprocess.run([os.path.join(ROOT, "ops", "status"), "--state", str(state), "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(told.stdout)["gateway"][0]["url"]


def readiness(address):
    """(status, JSON) of /health/ready."""
    answer = client.Client([address]).get("/health/ready")
    return answer.status, answer.json


def took_ms(person, path, body):
    """Of one request that is sent once, and answered with its outcome."""
    began = time.monotonic()
    answer = person.post(path, body)
    took = (time.monotonic() - began) * 1000
    assert answer.status == 201, f"{path}: {answer} after {took:.0f} ms"
    if path == "/auth/register":
        person.session(answer)
    return took


def measure(address):
    """{"registration": (the first, the median of those that follow), "room": …}, in ms."""
    took = {"registration": [], "room": []}
    for _ in range(1 + FOLLOWING):
        person = client.Person([address])
        took["registration"].append(took_ms(person, "/auth/register", person.registration()))
        took["room"].append(took_ms(person, "/rooms", {"name": "First", "kind": "public"}))
        person.close()
    return {what: (all_of_it[0], statistics.median(all_of_it[1:])) for what, all_of_it in took.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10, metavar="N")
    parser.add_argument("--state", default=os.path.join(ROOT, ".state-first"), metavar="FOLDER")
    parser.add_argument("--keep", action="store_true", help="the log of the first start stays")
    options = parser.parse_args()
    good = 0
    try:
        for number in range(1, options.starts + 1):
            up_s = start(options.state, "--port-base", "auto")
            found = measure(url(options.state))
            ratios = {what: first / median for what, (first, median) in found.items()}
            good += max(ratios.values()) <= MOST
            print(f"start {number}: up after {up_s:.1f} s; " +
                  "; ".join(f"{what} {first:.0f} ms, then {median:.0f} ms ({ratios[what]:.1f} times)" for what, (first, median) in found.items()),
                  flush=True)
            ops("down", options.state, "--quiet", *([] if options.keep else ["--wipe"]))
    finally:
        if os.path.exists(options.state):
            ops("down", options.state, "--quiet", "--wipe")
    print(f"{good} of {options.starts} within {MOST} times")
    return good != options.starts


if __name__ == "__main__":
    sys.exit(main())
