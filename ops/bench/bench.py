#!/usr/bin/python3 -B
"""bench: how fast Aether is on this machine, with everything (load generator, Kafka, PostgreSQL, Redis) on it.

    ops/bench/bench [--quick] [--only NAME,…] [--soak SECONDS] [--json FILE] [--set NAME=VALUE] [--keep]

Starts a stack of its own in .state-bench, empty; makes 64 people and 32 rooms; warms up; measures each row three times with wrk and
reports the median of each figure; prints a table of what is to be reached and what was, and writes everything as JSON. CPU seconds are those
of each process over the measured time, per 1,000 requests; memory is the most that was seen."""

import argparse
import contextlib
import ctypes
import datetime
import json
import os
import platform
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "chaos"))

import history
from client import PASSWORD, Person, in_threads, register_people
from processes import Watch
from stack import RAISED_LIMITS, REPOSITORY, Stack, http_get, parse_metrics, wait_until

HERE = os.path.dirname(os.path.realpath(__file__))
STATE = os.path.join(REPOSITORY, ".state-bench")
PEOPLE, ROOMS, ROOMS_EACH = 64, 32, 8
LISTED_ROOMS = 500  # of one person: rooms-unread
SETTINGS = {"auth.access_ttl_s": 86400, **RAISED_LIMITS}  # tokens are made once
MEMORY_KIB, PASSES = 19456, 2  # hashing.memory_kib, hashing.iterations

# name: (what, connections, threads of wrk, script, its argument, targets, beyond)
ROWS = {
    "post-1": ("post a message, 1 connection", 1, 1, "post.lua", "", {"p50_ms": 2.0}, {"p50_ms": 1.2}),
    "post-64": ("post a message, 64 connections", 64, 1, "post.lua", "", {"rate": 6000, "p99_ms": 30}, {"rate": 10000}),
    "post-512": ("post a message, 512 connections", 512, 1, "post.lua", "", {"rate": 12000, "p99_ms": 80}, {"rate": 18000}),
    "page-cached": ("page of 50, cached, 64 connections", 64, 1, "page.lua", "newest", {"rate": 20000, "p99_ms": 10}, {"rate": 60000}),
    "page-postgres": ("page of 50 from PostgreSQL, 64 connections", 64, 1, "page.lua", "old", {"rate": 5000}, {"rate": 10000}),
    "rooms-unread": ("50 of one's 500 rooms with unread counts, 64 connections", 64, 1, "rooms.lua", "", {"rate": 3000, "p99_ms": 30}, {"rate": 6000}),
    "me": ("GET /users/me, 64 connections", 64, 1, "me.lua", "", {"rate": 30000}, {"rate": 60000}),
    "page-no-redis": ("newest page of 50, Redis stopped, 64 connections", 64, 1, "page.lua", "newest", {"rate": 5000}, {"rate": 10000}),
    "refresh-64": ("refresh a session, 64 connections", 64, 1, "refresh.lua", "", {"rate": 3000}, {"rate": 5000}),
    "login-64": ("log in, 64 connections", 64, 1, "login.lua", "", {}, {}),  # target: 90 % of what argon2id allows
    "post-64-storm": ("post a message, 64 connections, while 64 log in", 64, 1, "post.lua", "", {}, {}),  # p99: twice that of post-64
}
REBUILD_TARGET, REBUILD_BEYOND = 80000, 150000
MEMORY_TARGET = {"gateway": (64, ("post-1", "post-64", "post-512")), "messages": (96, (*ROWS, "rebuild"))}  # MB, in which rows


def parse():
    parser = argparse.ArgumentParser(prog="ops/bench/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*ROWS, "rebuild", "allocations"]
    parser.add_argument("--quick", action="store_true", help="each row once and for 3 s: a look, not a result")
    parser.add_argument("--only", default=",".join(names), metavar="NAME,…", help="of: " + ", ".join(names))
    parser.add_argument("--seconds", type=float, help="of one measurement; 10, quick 3")
    parser.add_argument("--repeat", type=int, help="of each row; 3, quick 1")
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS", help="then posts at 512 connections for so long and watches the memory")
    parser.add_argument("--build", metavar="FOLDER", help="programs from another build folder")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of gateway or workers")
    parser.add_argument("--json", default=os.path.join(STATE, "bench.json"), metavar="FILE")
    parser.add_argument("--keep", action="store_true", help="leaves the stack running")
    parser.add_argument("--no-install", action="store_true", help="installs no packages; says which are missing")
    options = parser.parse_args()
    options.only = options.only.split(",")
    for name in options.only:
        if name not in names:
            parser.error(f"--only {name}: there are {', '.join(names)}")
    options.seconds = options.seconds or (3 if options.quick else 10)
    options.repeat = options.repeat or (1 if options.quick else 3)
    return options


def say(text=""):
    print(text, flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        words = [word for pair in [*(f"{k}={v}" for k, v in SETTINGS.items()), *options.set] for word in ("--set", pair)]
        words += ["--build", options.build] if options.build else []
        self.stack = Stack(STATE, ["--port-base", "auto", "--gateways", "1", "--workers", "users=1", "--workers", "messages=1", *words])
        self.results = {"at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "quick": options.quick,
                        "machine": machine(), "commit": commit(), "rows": {}}

    # --- people and rooms ---

    def prepare(self):
        self.url = self.stack.urls()[0]
        people = register_people([self.url], PEOPLE)
        rooms = [people[i % PEOPLE].room(f"Room {i}") for i in range(ROOMS)]
        self.pairs = []

        def join(i, person):
            mine = [rooms[(i + k * ROOMS // ROOMS_EACH) % ROOMS] for k in range(ROOMS_EACH)]
            for room in mine:
                person.insist("POST", f"/rooms/{room}/join")  # 409 for one's own
            return [(person.token, room) for room in mine]

        self.people, self.reader = people, people[0]
        self.pairs = [pair for pairs in in_threads([lambda i=i, p=p: join(i, p) for i, p in enumerate(people)]) for pair in pairs]
        self.write_pairs()

    def write_pairs(self):
        last = dict(self.stack.sql("SELECT room_id::text, last_seq FROM messages.rooms"))
        # A stride that shares no factor with their number: neighbours are of different rooms and people.
        order = [self.pairs[i * 37 % len(self.pairs)] for i in range(len(self.pairs))]
        self.path = os.path.join(STATE, "pairs")
        with open(self.path, "w") as file:
            file.writelines(f"{token} {room} {last.get(room, 0)}\n" for token, room in order)

    def messages(self):
        return self.stack.sql("SELECT sum(last_seq) FROM messages.rooms")[0][0]

    def pids(self):
        status = self.stack.status()
        return {"gateway": status["gateway"][0]["pid"], **{w["name"]: w["pid"] for w in status["workers"]},
                **{name: status[name]["pid"] for name in ("kafka", "postgres", "redis")}}

    # --- what the scripts read ---

    def login_bodies(self):
        path = os.path.join(STATE, "logins")
        with open(path, "w") as file:
            file.writelines(json.dumps({"username": person.username, "password": PASSWORD}) + "\n" for person in self.people)
        return path

    def refresh_tokens(self):
        """A session for each connection and some more: what is under way when wrk stops is lost."""
        path = os.path.join(STATE, "tokens")

        def log_in(people):
            twins = [Person([self.url], person.username) for person in people]
            return [twin.login().json["refreshToken"] for twin in twins]
        people = (self.people * 2)[:96]
        tokens = sum(in_threads([lambda mine=people[i::16]: log_in(mine) for i in range(16)]), [])
        with open(path, "w") as file:
            file.writelines(token + "\n" for token in tokens)
        return path

    def room_lists(self):
        """The pages of a person's rooms. In each somebody has said three things; in every third the person has answered, one thing has been
        said since, and in every other one the person has read one."""
        path = os.path.join(STATE, "lists")
        if os.path.exists(path):
            return path
        people = register_people([self.url], 2)

        def twin(person):  # a connection of a thread's own
            found = Person([self.url], person.username)
            found.user, found.token = person.user, person.token
            return found

        def furnish(person, other, i):
            room = person.room(f"Room {i}")
            other.join(room)
            for k in range(3):
                other.say(room, f"Message {k}, long enough to be something that a person might say in a room.")
            if i % 3 == 0:
                person.say(room, "Yes.")
                other.say(room, "Well then.")
            if i % 2 == 0:
                person.insist("PUT", f"/rooms/{room}/read", {"seq": 1})
        def furnish_some(at):
            person, other = map(twin, people)
            for i in range(at, LISTED_ROOMS, 16):
                furnish(person, other, i)
        in_threads([lambda at=at: furnish_some(at) for at in range(16)], 300)
        history.settle(self.stack)
        person, page, pages = people[0], "/rooms?scope=mine", []
        while page:
            pages.append(page)
            cursor = person.get(page).json["nextCursor"]
            page = cursor and f"/rooms?scope=mine&cursor={cursor}"
        with open(path, "w") as file:
            file.writelines(f"{person.token} {page}\n" for page in pages)
        return path

    def input_of(self, script):
        made = {"login.lua": self.login_bodies, "refresh.lua": self.refresh_tokens, "rooms.lua": self.room_lists}
        return made.get(script, lambda: self.path)()

    @contextlib.contextmanager
    def storm(self, seconds):
        """64 connections that log in without a pause."""
        argv = ["wrk", "-t", "1", "-c", "64", "-d", f"{seconds + 2:g}s", "--timeout", "10s", "-s", "login.lua", self.url, "--", self.login_bodies()]
        with subprocess.Popen(argv, cwd=HERE, env={**os.environ, "BENCH_REPORT": os.path.join(STATE, "storm.json")}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                time.sleep(1)  # until its queue is full
                yield
            finally:
                process.wait(seconds + 15)

    def targets(self, name):
        if name == "login-64":
            threads = max(1, os.cpu_count() // 2) if os.cpu_count() > 3 else 1  # hashing.threads
            return {"rate": 0.9 * threads / seconds_of_a_hash()}
        if name == "post-64-storm" and "post-64" in self.results["rows"]:
            return {"p99_ms": 2 * self.results["rows"]["post-64"]["p99_ms"]}
        return ROWS[name][5]

    # --- one measurement ---

    def wrk(self, connections, threads, script, argument, seconds):
        report = os.path.join(STATE, "wrk.json")
        path = self.input_of(script)
        if os.path.exists(report):
            os.unlink(report)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", "10s", "--latency", "-s", script,
                              self.url, "--", path, argument], cwd=HERE, env={**os.environ, "BENCH_REPORT": report},
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if ran.returncode or not os.path.exists(report):
            raise RuntimeError(f"wrk: {ran.stdout}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(report) as file:
            found = json.load(file)
        found["rate"] = found["requests"] / found["seconds"]
        found["wrk_cpu"] = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        return found

    def hashing(self):
        """Passwords that wait to be hashed: wrk has gone at its deadline, what it asked for has not."""
        return parse_metrics(http_get(self.url + "/metrics")[1].decode())['aether_gateway_queued{pool="hashing"}']

    def measure(self, name, seconds=None):
        """One run: wrk's numbers, CPU and memory. Posts are counted again in PostgreSQL."""
        wait_until(lambda: self.hashing() == 0, 60, "no password waits to be hashed")
        what, connections, threads, script, argument, *_ = ROWS[name]
        before = self.messages()
        seconds = seconds or self.options.seconds
        with self.storm(seconds) if name.endswith("-storm") else contextlib.nullcontext(), Watch(self.pids()) as watch:
            found = self.wrk(connections, threads, script, argument, seconds)
        found["cpu_per_1000"] = {process: cpu / found["requests"] * 1000 for process, cpu in {**watch.cpu, "wrk": found.pop("wrk_cpu")}.items()}
        found["memory_mb"] = watch.most
        if script == "post.lua":
            history.settle(self.stack)
            found["stored"] = int(self.messages() - before)
            # wrk stops reading at its deadline: what was under way then is stored and not counted.
            if not found["requests"] - found["errors"]["status"] <= found["stored"] <= found["requests"] + connections:
                found["wrong"] = f"{found['stored']} messages stored of {found['requests']} answered"
        if any(found["errors"].values()):
            found["wrong"] = f"errors: {found['errors']}"
        return found

    def row(self, name):
        if ROWS[name][3] == "rooms.lua":
            self.room_lists()  # takes long, and is no part of what is measured
        runs = [self.measure(name) for _ in range(self.options.repeat)]
        median = statistics.median_low([run["rate"] for run in runs])
        row = next(run for run in runs if run["rate"] == median)
        for key in ("p50_ms", "p99_ms"):
            row[key + "_all"] = [run[key] for run in runs]
            row[key] = statistics.median_low(row[key + "_all"])
        row.update(what=ROWS[name][0], target=self.targets(name), beyond=ROWS[name][6], rates=[round(run["rate"]) for run in runs])
        for run in runs:
            if "wrong" in run:
                row["wrong"] = run["wrong"]
        self.results["rows"][name] = row
        say(f"  {row['what']:<52} {row['rate']:>9,.0f}/s  p50 {row['p50_ms']:>8.2f} ms  p99 {row['p99_ms']:>8.2f} ms  "
            f"of {row['rates']}{'  ' + row['wrong'] if 'wrong' in row else ''}")

    def warm_up(self):
        # Kafka's compiler gains on the rows with much to do for more than half a minute.
        for name, seconds in (("post-1", 5), ("post-64", 30), ("post-512", 20)):
            self.measure(name, 2 if self.options.quick else seconds)
        self.write_pairs()
        for name in ("page-cached", "page-postgres"):
            self.measure(name, 2)
        # A database that runs writes its log into the segments that its last checkpoint left; a new one makes each first.
        self.stack.sql("CHECKPOINT")

    def rebuild(self):
        """The messages projection dropped, one worker process started: facts a second as it logs them, and by the clock."""
        runs = []
        for _ in range(self.options.repeat):
            history.settle(self.stack)
            facts = self.stack.sql("SELECT sum(next_offset) FROM messages.checkpoint")[0][0]
            with self.stack.without("messages"):
                self.stack.sql("DROP SCHEMA messages CASCADE")
                self.stack.sql("CHECKPOINT")
            began = time.monotonic()
            pid = self.pids()["messages"]
            with Watch({"messages": pid}, 0.2) as watch:
                wait_until(lambda: self.folded() >= facts, 600, f"{facts} facts folded", pause=0.05)
                seconds = time.monotonic() - began
            recovered = [line for line in self.log_lines("messages-1") if line.get("event") == "recovered" and line.get("rebuilt", 0) > 0][-1]
            runs.append({"facts": int(facts), "rate": recovered["rebuilt"] / recovered["ms"] * 1000, "seconds": recovered["ms"] / 1000,
                         "seconds_by_clock": seconds, "memory_mb": watch.most, "cpu": watch.cpu})
        median = statistics.median_low([run["rate"] for run in runs])
        row = next(run for run in runs if run["rate"] == median)
        row.update(what="rebuild of the messages projection, one worker", target={"rate": REBUILD_TARGET}, beyond={"rate": REBUILD_BEYOND},
                   rates=[round(run["rate"]) for run in runs])
        self.results["rows"]["rebuild"] = row
        say(f"  {row['what']:<52} {row['rate']:>9,.0f}/s  {row['facts']:,} facts in {row['seconds']:.1f} s  of {row['rates']}")

    def folded(self):
        try:
            return self.stack.sql("SELECT sum(next_offset) FROM messages.checkpoint")[0][0] or 0
        except Exception:  # the table comes with the worker's migration
            return 0

    def log_lines(self, name):
        with open(os.path.join(STATE, "logs", f"{name}.log")) as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def allocations(self):
        """Allocations a request, by the program's own code and in all, while it is warm. The programs run under a counter (allocations.c)."""
        library, folder = os.path.join(STATE, "allocations.so"), os.path.join(STATE, "allocations")
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, os.path.join(HERE, "allocations.c")], check=True)
        self.stack.up("--env", f"LD_PRELOAD={library}", "--env", f"BENCH_ALLOCATIONS={folder}")
        found = {}
        try:
            for name, processes in (("post-64", ("gateway", "messages")), ("post-512", ("gateway", "messages")), ("page-cached", ("gateway",)),
                                    ("page-postgres", ("gateway",))):
                self.measure(name, 5)
                pids = self.pids()
                before = {process: allocations(folder, pids[process]) for process in processes}
                requests = self.measure(name, 5)["requests"]
                after = {process: allocations(folder, pids[process]) for process in processes}
                found[name] = {process: {"own": (after[process][0] - before[process][0]) / requests, "all": (after[process][1] - before[process][1]) / requests}
                               for process in processes}
                say(f"  {ROWS[name][0]:<52} " + ", ".join(f"{process}: {n['own']:.3f} own, {n['all']:.1f} with libraries" for process, n in found[name].items()))
        finally:
            self.stack.up("--unset", "LD_PRELOAD", "--unset", "BENCH_ALLOCATIONS")
        self.results["allocations_per_request"] = found

    def soak(self):
        with Watch(self.pids(), 10) as watch:
            found = self.wrk(512, 1, "post.lua", "", self.options.soak)
        self.results["soak"] = {"seconds": self.options.soak, "rate": found["rate"], "p99_ms": found["p99_ms"], "errors": found["errors"],
                                "memory_mb": [{"at": round(at), **{k: round(v, 1) for k, v in mb.items()}} for at, mb in watch.samples]}
        say(f"\nMemory over {self.options.soak:g} s at 512 connections ({found['rate']:,.0f} posts/s), MB:")
        step = max(1, len(watch.samples) // 10)
        for at, mb in watch.samples[::step]:
            say(f"  {at:6.0f} s  " + "  ".join(f"{name} {mb[name]:.1f}" for name in ("gateway", "messages", "users")))

    def run(self):
        chosen = self.options.only
        say("Starting a stack of its own …")
        self.stack.wipe()
        shutil.rmtree(STATE, ignore_errors=True)  # what an earlier run asked for, with tokens that mean nothing now
        self.stack.up()
        try:
            self.prepare()
            say("Warming up …")
            self.warm_up()
            say(f"Measuring: {self.options.repeat} times {self.options.seconds:g} s a row, the median")
            for name in ROWS:
                if name not in chosen:
                    continue
                if name.startswith("page"):
                    history.settle(self.stack)
                    self.write_pairs()
                with self.stack.without("redis") if name == "page-no-redis" else contextlib.nullcontext():
                    self.row(name)
            if "rebuild" in chosen:
                self.rebuild()
            if "allocations" in chosen:
                say("Counting allocations a request …")
                self.allocations()
            if self.options.soak:
                self.soak()
        finally:
            if not self.options.keep:
                self.stack.down()
        self.table()
        with open(self.options.json, "w") as file:
            json.dump(self.results, file, indent=1)
        say(f"\nAll of it: {self.options.json}")
        return 1 if any("wrong" in row for row in self.results["rows"].values()) else 0

    # --- the table ---

    def table(self):
        rows = self.results["rows"]
        say(f"\n{'':<52} {'to reach':>22} {'reached':>26}  {'beyond it':>10}")
        for row in rows.values():
            wanted, reached, verdict = [], [], "wrong" not in row
            for key, bound in row["target"].items():
                value = row[key]
                verdict &= value >= bound if key == "rate" else value <= bound
                wanted.append(f"{bound:,.0f}/s" if key == "rate" else f"{key[:3]} {bound:g} ms")
                reached.append(f"{value:,.0f}/s" if key == "rate" else f"{key[:3]} {value:.2f} ms")
            beyond = ", ".join(f"{bound:,.0f}/s" if key == "rate" else f"{bound:g} ms" for key, bound in row["beyond"].items())
            row["reached"] = verdict
            say(f"{row['what']:<52} {', '.join(wanted):>22} {', '.join(reached):>26}  {beyond:>10}  {'yes' if verdict else 'NO'}")
        most = {name: max((rows[row]["memory_mb"].get(name, 0) for row in where if row in rows), default=0) for name, (_, where) in MEMORY_TARGET.items()}
        for name, (bound, _) in MEMORY_TARGET.items():
            if most[name]:
                said = "most memory of " + name + (" while posting" if name == "gateway" else "")
                say(f"{said:<52} {f'{bound} MB':>22} {f'{most[name]:.1f} MB':>26}  {'':>10}  {'yes' if most[name] <= bound else 'NO'}")
        self.results["most_memory_mb"] = most
        processes = ["gateway", "messages", "users", "kafka", "postgres", "redis", "wrk"]
        say(f"\n{'CPU seconds per 1,000 requests':<52} " + " ".join(f"{name:>9}" for name in processes))
        for row in rows.values():
            if "cpu_per_1000" in row:
                say(f"{row['what']:<52} " + " ".join(f"{row['cpu_per_1000'].get(name, 0):>9.3f}" for name in processes))
        say(f"\n{'most memory, MB':<52} " + " ".join(f"{name:>9}" for name in processes[:-1]))
        for row in rows.values():
            say(f"{row['what']:<52} " + " ".join(f"{row['memory_mb'].get(name, 0):>9.1f}" for name in processes[:-1]))


def seconds_of_a_hash():
    """argon2id with the gateway's parameters on one core that has nothing else to do: the library alone."""
    argon2, out = ctypes.CDLL("libargon2.so.1"), ctypes.create_string_buffer(32)

    size, number = ctypes.c_size_t, ctypes.c_uint32
    argon2.argon2id_hash_raw.argtypes = [number, number, number, ctypes.c_char_p, size, ctypes.c_char_p, size, ctypes.c_char_p, size]

    def once():
        began = time.perf_counter()
        if argon2.argon2id_hash_raw(PASSES, MEMORY_KIB, 1, PASSWORD.encode(), len(PASSWORD), b"0123456789abcdef", 16, out, 32):
            raise RuntimeError("libargon2 does not hash")
        return time.perf_counter() - began
    return statistics.median(once() for _ in range(30))


def allocations(folder, pid):
    """(own, all) so far; see allocations.c."""
    with open(os.path.join(folder, str(pid)), "rb") as file:
        return struct.unpack("QQ", file.read(16))


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            "kernel": platform.release()}


def commit():
    found = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return found.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(Bench(parse()).run())
