"""load: people who go on posting while something is broken, and keep a ledger of what they were told."""

import contextlib
import http.client
import itertools
import threading
import uuid

import history
from client import Person

NOT_WAITED_FOR = 8  # one message in so many


class Load:
    """`writers` copies of members post into the rooms until the `with` ends, each message under its own Idempotency-Key and
    retried until it has an outcome; then everything is verified."""

    def __init__(self, stack, members, rooms, writers=8):
        self.stack, self.rooms, self.ledger = stack, rooms, history.Ledger()
        self.reader, self.urls = members[0], stack.urls()
        self.people = [self.twin(members[i % len(members)]) for i in range(writers)]
        self.stopping, self.failures, self.threads = threading.Event(), [], []

    def twin(self, member):
        """The same person on another device."""
        person = Person(self.urls, patience=90)
        person.username, person.user, person.token = member.username, member.user, member.token
        return person

    def leave(self, person, path, body, key):
        """Asks, and does not stay for the outcome."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = person.request("POST", path, {"body": body}, headers={"Idempotency-Key": key, "Prefer": "respond-async"})
            if answer.status == 202:
                person.operations.add(answer.headers["Location"].rpartition("/")[2])

    def write(self, number, person):
        try:
            for i in itertools.count():
                if self.stopping.is_set():
                    return
                room = self.rooms[(number + i) % len(self.rooms)]
                path, body, key = f"/rooms/{room}/messages", f"{number}-{i} of {id(self)}", str(uuid.uuid4())
                if i % NOT_WAITED_FOR == 0:
                    self.leave(person, path, body, key)
                answer = person.insist("POST", path, {"body": body}, key=key)
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
