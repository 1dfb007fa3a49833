#!/usr/bin/python3 -B
"""feed: how fast the live feed is on this machine, with everything on it.

    ops/bench/feed [--only NAME,…] [--seconds S] [--repeat N] [--build FOLDER] [--json FILE]

Starts a stack of its own in .state-bench-feed, empty; `listen` (listen.c) holds the WebSockets, posts at a rate, and
measures from a post to each who hears it. Of each figure the median of all runs is told; gaps, repeats and resyncs, of
which there must be none, are added up. "Connecting" has all connect by turns with nobody there, while people post; the
p99 of posting is held against that of the other turns. In the storm a second gateway takes the posts, since the one
that is killed cannot. What posting pays for the feed is measured with wrk, by turns without and with listeners."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "chaos"))

from client import register_people
from processes import cpu_seconds
from stack import RAISED_LIMITS, REPOSITORY, Stack, http_get, parse_metrics, wait_until

HERE = os.path.dirname(os.path.realpath(__file__))
STATE = os.path.join(REPOSITORY, ".state-bench-feed")
PEOPLE = 100
SETTINGS = {"auth.access_ttl_s": 86400, "live.max_connections": 12000, "live.linger_s": 1, **RAISED_LIMITS}

# name: (what, rooms, listeners, posts a second, threads that post, targets)
ROWS = {
    "idle": ("10,000 idle connections", 1, 10000, 0, 0, {"kb_each": 12}),
    "small": ("one room, 50 posts/s, 50 listeners", 1, 50, 50, 4, {"p50_ms": 2.5, "p99_ms": 6}),
    "rooms": ("1,000 posts/s, 1,000 listeners in 100 rooms", 100, 1000, 1000, 64, {"p50_ms": 6, "p99_ms": 60}),
    "large": ("one room, 5,000 listeners", 1, 5000, 34, 4, {"deliveries_rate": 150000, "p99_ms": 500, "connect_s": 2.5}),
    "connecting": ("5,000 connect while 50 posts/s run", 100, 5000, 50, 4, {"connect_s": 2.5, "connecting_p99_times": 2}),
    "storm": ("5,000 come back after the gateway's kill -9", 100, 5000, 50, 4, {"back_s": 10, "storm_p99_times": 2}),
    "elsewhere": ("posting with 1,000 listeners in other rooms against without", 0, 1000, 0, 0, {"rate_ratio": 0.8}),
    "inside": ("posting with 50 listeners in one of the rooms against without", 0, 50, 0, 0, {"rate_ratio": 0.8}),
}
AT_LEAST = ("deliveries_rate", "rate_ratio")
POSTED_TO = 32  # rooms that wrk posts to
TURNS = 3
WARM_UP_S = 40  # of posting: so long Kafka's compiler gains
CONNECTING_TURNS = 8  # so that there are enough posts for a p99
PACED_S = 30  # of the row "small", uncounted: what sleeps between two posts runs other code than what never rests
COUNTED = ("gaps", "repeats", "resyncs", "failed")


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(stack, path, seconds):
    """Posts a second, and the gateway's CPU seconds for 1,000 of them."""
    report, pid = os.path.join(STATE, "wrk.json"), stack.pid("gateway")
    cpu = cpu_seconds(pid)
    subprocess.run(["wrk", "-t", "1", "-c", "64", "-d", f"{seconds:g}s", "--latency", "-s", "post.lua", stack.urls()[0], "--", path], check=True,
                   cwd=HERE, env={**os.environ, "BENCH_REPORT": report}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(report) as file:
        found = json.load(file)
    return found["requests"] / found["seconds"], (cpu_seconds(pid) - cpu) / found["requests"] * 1000, found["p99_ms"]


def write_pairs(lonely, rooms):
    """Whom wrk posts as, and where to."""
    path = os.path.join(STATE, "pairs")
    with open(path, "w") as file:
        file.writelines(f"{lonely[i].token} {rooms[i]}\n" for i in range(POSTED_TO))
    return path


def attached(stack, program, lonely, rooms, name, seconds):
    """By turns without listeners (the feed rests) and with them."""
    path, url = write_pairs(lonely, rooms), stack.urls()[0]
    listeners = [lonely[0]] if name == "inside" else lonely[POSTED_TO:]
    each = ROWS[name][2] // len(listeners)
    silent, heard = [], []
    for _ in range(TURNS):
        wait_until(lambda: parse_metrics(http_get(url + "/metrics")[1].decode())["aether_gateway_live_following"] == 0, 30, "the feed rests")
        silent.append(wrk(stack, path, seconds))
        process = subprocess.Popen([program, url.rpartition(":")[2], str(seconds + 1), "0", "1", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        process.stdin.write("".join(f"listen {person.token} {each}\n" for person in listeners))
        process.stdin.close()
        process.stderr.readline()  # connected
        heard.append(wrk(stack, path, seconds))
        told = json.loads(process.stdout.read())
        process.wait()

    def median(runs, at):
        return statistics.median(run[at] for run in runs)
    return {"rate_ratio": round(median(heard, 0) / median(silent, 0), 3), "rate": round(median(heard, 0)), "rate_without": round(median(silent, 0)),
            "cpu_per_1000": round(median(heard, 1), 4), "cpu_per_1000_without": round(median(silent, 1), 4), "post_p99_ms": median(heard, 2),
            "post_p99_ms_without": median(silent, 2), **{key: told[key] for key in ("listeners", "deliveries", "gaps", "repeats", "resyncs")}}


def measure(stack, program, people, rooms, name, seconds):
    _, room_count, listeners, rate, threads, _ = ROWS[name]
    if name == "storm":
        seconds *= 2  # all are to be back before it ends
    if name == "connecting":
        seconds /= 2  # nobody is there; as often as all connect
    members = {i: people[i % PEOPLE] for i in range(room_count)}
    lines = []
    if room_count == 1:  # everybody of the people is in the last room
        lines += [f"listen {person.token} {listeners // PEOPLE or 1}" for person in people[:min(listeners, PEOPLE)]]
        lines.append(f"post {people[0].token} {rooms['all']}")
    else:
        lines += [f"listen {members[i].lone_token} {listeners // room_count}" for i in range(room_count)]
        lines += [f"post {members[i].lone_token} {rooms[i]}" for i in range(room_count)]
    stack.up("--gateways", "2" if name == "storm" else "1")
    stack.wait_ready()
    pid = stack.pid("gateway")
    before = resident_kb(pid)
    ports = [url.rpartition(":")[2] for url in stack.urls()]
    turns = [str(CONNECTING_TURNS)] if name == "connecting" else []
    process = subprocess.Popen([program, ports[0], str(seconds), str(rate), str(threads), ports[-1], *turns], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write("\n".join(lines) + "\n")
    process.stdin.close()
    process.stderr.readline()  # connected
    extra = {}
    if name == "idle":
        cpu = cpu_s(pid)
        time.sleep(seconds - 1)
        extra = {"kb_each": round((resident_kb(pid) - before) / listeners, 2), "cpu": round((cpu_s(pid) - cpu) / (seconds - 1), 3)}
    if name == "storm":
        threading.Timer(seconds / 4, lambda: stack.kill("gateway")).start()
    result = json.loads(process.stdout.read())
    process.wait()
    if name == "storm":
        extra = {"storm_p99_times": round(result["storm_p99_ms"] / max(result["before_p99_ms"], 0.01), 2)}
        if result["listeners"] < listeners:
            extra["back_s"] = math.inf
    return {**result, **extra}


def median(name, runs):
    """Of each figure; what must not happen is added up."""
    if len(runs) == 1:
        return runs[0]
    told = {key: (sum if key in COUNTED else statistics.median)(run[key] for run in runs) for key in runs[0]}
    return {**told, **{key + "_all": [run[key] for run in runs] for key in ROWS[name][5]}}


def main():
    parser = argparse.ArgumentParser(prog="ops/bench/feed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeat", type=int, default=5, help="of each row that has a pace; idle, connecting and the rows of wrk are measured once")
    parser.add_argument("--build", metavar="FOLDER")
    parser.add_argument("--json", default=os.path.join(STATE, "feed.json"), metavar="FILE")
    parser.add_argument("--no-install", action="store_true", help="installs no packages; says which are missing")
    options = parser.parse_args()
    words = ["--port-base", "auto", "--gateways", "1"] + [w for item in SETTINGS.items() for w in ("--set", "{}={}".format(*item))]
    stack = Stack(STATE, words + (["--build", options.build] if options.build else []))
    stack.wipe()
    stack.up()
    try:
        stack.wait_ready()
        program = os.path.join(STATE, "listen")
        subprocess.run(["cc", "-O2", "-pthread", "-D_GNU_SOURCE", "-o", program, os.path.join(HERE, "listen.c")], check=True)
        people = register_people(stack.urls(), PEOPLE)
        lonely = register_people(stack.urls(), PEOPLE)
        rooms = {"all": people[0].room()}
        for person in people[1:]:
            person.join(rooms["all"])
        for i, person in enumerate(lonely):
            rooms[i] = person.room()
            people[i].lone_token = person.token
        wrk(stack, write_pairs(lonely, rooms), WARM_UP_S)
        measure(stack, program, people, rooms, "small", PACED_S)
        results = {}
        for name in options.only.split(","):
            if name in ("elsewhere", "inside"):
                result = attached(stack, program, lonely, rooms, name, options.seconds)
            else:
                runs = 1 if name in ("idle", "connecting") else options.repeat
                result = median(name, [measure(stack, program, people, rooms, name, options.seconds) for _ in range(runs)])
            results[name] = result
            targets = ROWS[name][5]
            reached = [f"{key} {result[key]:g} (to reach {'≥' if key in AT_LEAST else '≤'} {value:g})" for key, value in targets.items()]
            others = {key: value for key, value in result.items() if key not in targets}
            print(f"{ROWS[name][0]}: {', '.join(reached)}\n    {others}", flush=True)
            stack.wait_ready()
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)
    finally:
        stack.down()


if __name__ == "__main__":
    main()
