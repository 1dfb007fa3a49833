"""history: what must be true of rooms when the dust has settled, whoever was killed: every acknowledged message exactly once,
numbers without a gap from 1, and the same history over REST, in PostgreSQL and in the de-duplicated log."""

import collections
import contextlib

import log
from stack import wait_until


class Ledger:
    """What writers were told. One a run; `acknowledge` from any thread."""

    def __init__(self):
        self.rooms = collections.defaultdict(list)  # room: [message as acknowledged]
        self.refused = []                           # (room, body) that ended in a rejection: must never show up

    def acknowledge(self, message):
        self.rooms[message["roomId"]].append(message)

    def refuse(self, room, body):
        self.refused.append((room, body))

    def __len__(self):
        return sum(map(len, self.rooms.values()))


def settle(stack, timeout=120):
    """Waits until nothing moves: the stack is ready and every command in the log has its outcome."""
    stack.wait_ready(timeout)
    bootstrap, workers = stack.bootstrap(), {worker["name"] for worker in stack.status()["workers"]}

    def is_quiet():
        # Every command has its outcome, which is written in the transaction that folds its fact.
        decided = {}
        for worker in workers:
            for stream, partition, offset in stack.sql(f"SELECT stream, partition, command_offset FROM {worker}.checkpoint"):
                decided[f"{stream}.commands", partition] = offset
        return all(decided.get(place, -1) >= end - 1 for place, end in log.end_offsets(bootstrap).items() if place[0].endswith(".commands"))

    wait_until(is_quiet, timeout, "every command decided", pause=0.3)


def verify(stack, ledger, reader, people=()):
    """[(what was checked, [what is wrong])]; `reader` may read every room of the ledger, `people` made the operations."""
    served = {room: reader.history(room) for room in ledger.rooms}
    kept, dropped = log.facts(log.Schemas(), log.read(stack.bootstrap(), "rooms.events"))
    return [
        ("numbers run from 1 without a gap", gaps(served)),
        ("every acknowledged message is there exactly once, under its number", missing(ledger, served)),
        ("nothing is there that nobody was told of", unexpected(ledger, served)),
        ("PostgreSQL says the same", differences(served, rows(stack, served), "PostgreSQL")),
        ("the de-duplicated log says the same", differences(served, logged(kept, served), "the log")),
        ("a duplicate in the log says what the first one said", contradictions(kept, dropped)),
        ("every operation has ended", [wrong for person in people for wrong in pending(person)]),
    ]


def gaps(served):
    return [f"room {room}: {[m['seq'] for m in messages][:50]}" for room, messages in served.items()
            if [m["seq"] for m in messages] != list(range(1, len(messages) + 1))]


def missing(ledger, served):
    wrong = []
    for room, told in ledger.rooms.items():
        by_id = collections.defaultdict(list)
        for message in served[room]:
            by_id[message["id"]].append(message)
        bodies = collections.Counter(message["body"] for message in served[room])
        for message in told:
            found = by_id[message["id"]]
            if found != [message]:
                wrong.append(f"room {room}: acknowledged {message}, served {found}")
            elif bodies[message["body"]] != 1:
                wrong.append(f"room {room}: {bodies[message['body']]} times {message['body']!r}")
    return wrong


def unexpected(ledger, served):
    told = {message["id"] for messages in ledger.rooms.values() for message in messages}
    wrong = [f"room {room}: nobody was told of {message}" for room, messages in served.items() for message in messages
             if message["id"] not in told]
    bodies = {(room, message["body"]) for room, messages in served.items() for message in messages}
    return wrong + [f"room {room}: {body!r} was rejected" for room, body in ledger.refused if (room, body) in bodies]


def rows(stack, served):
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT room_id::text, seq, message_id::text, sender_id::text FROM messages.messages "
                       "WHERE room_id = ANY(%s::uuid[]) ORDER BY room_id, seq", (list(served),))
        return cursor.fetchall()


def differences(served, found, where):
    expected = sorted((room, m["seq"], m["id"], m["senderId"]) for room, messages in served.items() for m in messages)
    return [f"only over REST: {row}" for row in sorted(set(expected) - set(found))][:20] + \
        [f"only in {where}: {row}" for row in sorted(set(found) - set(expected))][:20] + \
        ([f"{len(found)} rows in {where}, {len(expected)} over REST"] if len(found) != len(expected) else [])


def logged(kept, served):
    return [(str(fact["room_id"]), fact["seq"], str(fact["message_id"]), str(fact["meta"]["actor"])) for _, name, fact in kept
            if name == "aether.rooms.MessagePosted" and str(fact["room_id"]) in served]


def duplicates(stack, topic="rooms.events"):
    return contradictions(*log.facts(log.Schemas(), log.read(stack.bootstrap(), topic)))


def contradictions(kept, dropped):
    """`decide` is deterministic: what a fenced writer left behind says nothing new."""
    values = {(record.partition, fact["meta"]["command_offset"]): record.value for record, _, fact in kept}
    return [f"{record}: command {fact['meta']['command_offset']} has another fact" for record, _, fact in dropped
            if values.get((record.partition, fact["meta"]["command_offset"])) != record.value]


def pending(person):
    answers = {operation: person.operation(operation) for operation in sorted(person.operations)}
    return [f"operation {operation}: {answer}" for operation, answer in answers.items()
            if answer.status != 200 or answer.json["status"] == "pending"]
