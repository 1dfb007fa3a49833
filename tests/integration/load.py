"""load: people who go on posting while something is broken, and keep a ledger of what they were told."""

import itertools
import threading

import history
from client import Person


class Load:
    """`writers` copies of members post into the rooms until the `with` ends, each message under its own Idempotency-Key and
    retried until it has an outcome; then everything is verified."""

    def __init__(self, stack, members, rooms, writers=8):
        self.stack, self.rooms, self.ledger = stack, rooms, history.Ledger()
        self.reader = members[0]
        self.people = [self.twin(members[i % len(members)]) for i in range(writers)]
        self.stopping, self.failures, self.threads = threading.Event(), [], []

    def twin(self, member):
        """The same person on another device."""
        person = Person(self.stack.urls(), patience=90)
        person.username, person.user, person.token = member.username, member.user, member.token
        return person

    def write(self, number, person):
        try:
            for i in itertools.count():
                if self.stopping.is_set():
                    return
                room = self.rooms[(number + i) % len(self.rooms)]
                body = f"{number}-{i} of {id(self)}"
                answer = person.insist("POST", f"/rooms/{room}/messages", {"body": body})
                if answer.status == 201:
                    self.ledger.acknowledge(answer.json)
                else:
                    assert answer.code == "outcome_lost", answer
                    self.ledger.refuse(room, body)
        except BaseException as failure:  # told by the test's own thread
            self.failures.append(failure)

    def __enter__(self):
        for number, person in enumerate(self.people):
            thread = threading.Thread(target=self.write, args=(number, person), daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
        if kind is None:
            assert not self.failures, self.failures

    def verify(self):
        history.settle(self.stack)
        assert len(self.ledger) > 0, "nothing was acknowledged"
        wrong = {what: findings[:10] for what, findings in history.verify(self.stack, self.ledger, self.reader, self.people) if findings}
        assert not wrong, wrong
