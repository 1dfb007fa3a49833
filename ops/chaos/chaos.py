#!/usr/bin/python3 -B
"""chaos: people post and read while everything is killed, paused and emptied at random; then it is checked that nothing was lost,
doubled or left open.

    ops/chaos/chaos [--seconds 60] [--state FOLDER] [--seed N] [--writers 12] [--readers 2] [--rooms 12]

With --state the running stack of that folder is used; without, one of its own is started in .state-chaos, empty, with two
gateways and two messages workers, and stopped afterwards (--keep leaves it). The seed decides which faults happen in which
order; what they meet is the machine's own timing. Exit status: 0 when every check passed, 1 when one failed."""

import argparse
import itertools
import os
import random
import sys
import threading
import time

import faults
import history
from client import Person, register_people
from stack import RAISED_LIMITS, REPOSITORY, Stack, as_options

OWN_STATE = os.path.join(REPOSITORY, ".state-chaos")


def parse():
    parser = argparse.ArgumentParser(prog="ops/chaos/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long faults happen")
    parser.add_argument("--state", metavar="FOLDER", help="a stack that runs already")
    parser.add_argument("--build", metavar="FOLDER", help="a build folder for the stack of its own")
    parser.add_argument("--seed", type=int, help="of the faults; drawn and printed when not given")
    parser.add_argument("--writers", type=int, default=12)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--rooms", type=int, default=12)
    parser.add_argument("--keep", action="store_true", help="leaves the stack of its own running")
    parser.add_argument("--no-install", action="store_true", help="installs no packages; says which are missing")
    return parser.parse_args()


class Run:
    def __init__(self, stack, options, seed):
        self.stack, self.options, self.rng = stack, options, faults.draw(seed)
        self.ledger = history.Ledger()
        self.stopping = threading.Event()
        self.broken = []  # what writers and readers saw that must not be
        self.pages, self.seen = 0, {}  # (room, number): message
        self.happened = {}

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def prepare(self):
        urls = self.stack.urls()
        self.writers = register_people(urls, self.options.writers)
        owner = self.writers[0]
        self.rooms = [owner.room(f"Room {i}") for i in range(self.options.rooms)]
        for person in self.writers[1:]:
            for room in self.rooms:
                person.join(room)
        self.readers = []
        for i in range(self.options.readers):
            reader = Person(urls, patience=300)
            reader.username, reader.user, reader.token = owner.username, owner.user, owner.token
            self.readers.append(reader)
        for i, person in enumerate(self.writers):
            person.patience = 300
            person.urls = person.urls[i % len(urls):] + person.urls[:i % len(urls)]

    def write(self, number, person):
        """Retries each message until it has an outcome, also after the faults have ended."""
        choice = random.Random(number)
        try:
            for i in itertools.count():
                if self.stopping.is_set():
                    return
                room, body = choice.choice(self.rooms), f"message {i} of writer {number}"
                answer = person.insist("POST", f"/rooms/{room}/messages", {"body": body})
                if answer.status == 201 and answer.json["body"] == body:
                    self.ledger.acknowledge(answer.json)
                elif answer.code == "outcome_lost":
                    self.ledger.refuse(room, body)
                else:
                    self.broken.append(f"writer {number}: {answer}")
        except BaseException as failure:
            self.broken.append(f"writer {number}: {failure!r}")

    def read(self, reader, choice):
        """What is read while everything breaks may be old, never wrong: no gap in a page, and no number means two messages."""
        try:
            while not self.stopping.is_set():
                room = choice.choice(self.rooms)
                page = reader.page(room, limit=choice.choice([5, 50, 100]))["items"]
                seqs = [message["seq"] for message in page]
                if seqs and seqs != list(range(seqs[0], seqs[0] + len(seqs))):
                    self.broken.append(f"a page of {room} has a gap: {seqs}")
                for message in page:
                    if self.seen.setdefault((room, message["seq"]), message) != message:
                        self.broken.append(f"room {room}: {message}, and earlier {self.seen[room, message['seq']]}")
                self.pages += 1
                self.stopping.wait(0.02)
        except BaseException as failure:
            self.broken.append(f"reader: {failure!r}")

    def unfounded(self, reader):
        """What somebody has read and is not in the history."""
        served = {(room, m["seq"]): m for room in self.rooms for m in reader.history(room)}
        return [f"room {place[0]}: read {message}, in the end {served.get(place)}" for place, message in self.seen.items()
                if served.get(place) != message]

    def break_things(self):
        until = time.monotonic() + self.options.seconds
        while time.monotonic() < until:
            self.stopping.wait(self.rng.uniform(0.2, 2.5))
            name, fault = faults.choose(self.rng)
            before = len(self.ledger)
            try:
                fault(self.stack, self.rng)
                self.happened[name] = self.happened.get(name, 0) + 1
                self.say(f"{name} ({before} acknowledged)")
            except Exception as failure:  # what it wanted to break was broken already
                self.say(f"{name}: {str(failure).strip().splitlines()[-1][:120] if str(failure).strip() else failure!r}")

    def run(self):
        self.began = time.monotonic()
        threads = [threading.Thread(target=self.write, args=(i, person), daemon=True) for i, person in enumerate(self.writers)]
        threads += [threading.Thread(target=self.read, args=(r, random.Random(i)), daemon=True) for i, r in enumerate(self.readers)]
        for thread in threads:
            thread.start()
        self.break_things()
        self.say("no more faults; waiting until everything is quiet")
        self.stack.up() if self.stack.up_options else None
        self.stack.wait_ready(180)
        self.stopping.set()
        for thread in threads:
            thread.join(320)
        still = sum(thread.is_alive() for thread in threads)
        history.settle(self.stack, 180)
        reader = Person(self.stack.urls(), patience=60)
        reader.username, reader.user, reader.token = self.writers[0].username, self.writers[0].user, self.writers[0].token
        return [("writers and readers saw nothing that must not be", self.broken),
                ("every writer was answered in the end", [f"{still} still wait"] if still else []),
                ("what was read along the way is in the history", self.unfounded(reader)),
                *history.verify(self.stack, self.ledger, reader, self.writers)]


def main():
    options = parse()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}: ops/chaos/chaos --seconds {options.seconds:g} --seed {seed}", flush=True)
    if options.state:
        stack = Stack(options.state)
        stack.wait_ready()
    else:
        build = ["--build", options.build] if options.build else []
        stack = Stack(OWN_STATE, ["--port-base", "auto", "--gateways", "2", "--workers", "messages=2", "--set", "gateway.deadline_ms=3000",
                                 *as_options(RAISED_LIMITS), *build])
        stack.wipe()
        stack.up()
    try:
        run = Run(stack, options, seed)
        run.prepare()
        checks = run.run()
    finally:
        if not options.state and not options.keep:
            stack.down()
    retries = sum(person.retries for person in run.writers)
    print(f"\n{len(run.ledger)} messages acknowledged in {len(run.rooms)} rooms, {retries} retries, {run.pages} pages read, "
          f"{sum(run.happened.values())} faults, {len(run.ledger.refused)} lost outcomes told as such")
    failed = 0
    for what, wrong in checks:
        print(f"{'FAILED' if wrong else 'passed'}  {what}")
        for line in wrong[:10]:
            print(f"        {line}")
        failed += bool(wrong)
    print(f"{len(checks) - failed} passed, {failed} failed (seed {seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
