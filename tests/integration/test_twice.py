"""Nothing is decided twice: a record delivered twice, a worker that dies between append and COMMIT, or while a scheduled message
is due."""

import contextlib
import signal
import threading
import uuid

import pytest

import feed
import history
import log
from client import Person, in_threads, later
from stack import send, total, wait_until


def decided(stack, partition):
    rows = stack.sql("SELECT command_offset FROM messages.checkpoint WHERE stream = 'rooms' AND partition = %s", (partition,))
    return rows[0][0] if rows else -1


def looked_up(stack):
    return sum(total(m, "aether_worker_lookups_total") for m in stack.metrics("messages"))


def test_a_command_delivered_twice_gives_one_fact(stack, ada, room, tmp_path):
    """The same bytes, key, headers and partition again, as a retry inside Kafka would leave them: also where the worker has owned its
    partitions for so long that it looks for no outcome of an id that was drawn just now."""
    bootstrap = stack.bootstrap()
    others = ada.room()

    def is_taken_for_new():
        before = looked_up(stack)
        answer = ada.post(f"/rooms/{others}/messages", {"body": "under an id of the gateway"})
        assert answer.status == 201, answer
        return looked_up(stack) == before

    wait_until(is_taken_for_new, 30, "a new id is not looked up")
    message = ada.post(f"/rooms/{room}/messages", {"body": "only once"}).json
    commands = [r for r in log.read(bootstrap, "rooms.commands") if r.key == room.encode()]
    for record in (commands[-1], commands[0], commands[-1]):  # the post, the making of the room, the post again
        ends = log.end_offsets(bootstrap)
        log.produce(bootstrap, record.topic, record.partition, record.value, record.key, record.headers, tmp_path)
        wait_until(lambda: decided(stack, record.partition) >= ends["rooms.commands", record.partition], 20, "the copy decided")
        assert log.end_offsets(bootstrap)["rooms.events", record.partition] == ends["rooms.events", record.partition], "one fact"
    assert ada.history(room) == [message]
    assert ada.say(room, "next")["seq"] == 2


def test_facts_of_another_owner_between_ours_are_what_counts(stack, mended, ada, room, tmp_path):
    """An owner that has lost its partition has taken three posts out of the commands and decided them; its facts arrive before
    and after the first one of the present owner, who knows nothing of it. A fact that gets another offset than the next one is
    how it learns: it must read what came between, else its checkpoint goes past facts that it never saw."""
    bootstrap, schemas = stack.bootstrap(), log.Schemas()
    first = ada.say(room, "first")
    command, = [r for r in log.read(bootstrap, "rooms.commands") if r.key == room.encode()][-1:]
    fact, = [r for r in log.read(bootstrap, "rooms.events") if r.key == room.encode()][-1:]
    ends = log.end_offsets(bootstrap)
    commands, facts = ends["rooms.commands", command.partition], ends["rooms.events", fact.partition]
    posts = [(str(uuid.uuid4()), str(uuid.uuid4())) for _ in range(3)]

    def post(number):
        def change(fields):
            fields["message_id"] = typed(fields["message_id"], posts[number][1])
            fields["meta"]["id"] = fields["meta"]["command_id"] = typed(fields["meta"]["id"], posts[number][0])
        log.produce(bootstrap, "rooms.commands", command.partition, schemas.edited(command.value, change), room, scratch=tmp_path)

    def decided_by_the_other(number):
        def change(fields):
            fields["message_id"], fields["seq"] = typed(fields["message_id"], posts[number][1]), 2 + number
            meta = fields["meta"]
            meta["id"] = typed(meta["id"], str(uuid.uuid5(uuid.UUID(posts[number][0]), "fact")))
            meta["command_id"], meta["command_offset"] = typed(meta["command_id"], posts[number][0]), commands + number
        log.produce(bootstrap, "rooms.events", fact.partition, schemas.edited(fact.value, change), room, scratch=tmp_path)

    decided_by_the_other(0)
    decided_by_the_other(1)
    post(0)
    wait_until(lambda: decided(stack, command.partition) >= commands, 30, "the first post decided")
    decided_by_the_other(2)
    for pid in stack.pids("messages"):
        send(pid, signal.SIGKILL)
    post(1)
    post(2)
    wait_until(lambda: decided(stack, command.partition) >= commands + 2, 60, "all posts decided")
    assert [(m["seq"], m["id"]) for m in ada.history(room)] == [(1, first["id"]), *((2 + i, post[1]) for i, post in enumerate(posts))]
    for i, (operation, _) in enumerate(posts):
        answer = ada.get(f"/operations/{operation}")
        assert answer.json["status"] == "succeeded", answer
        offset = facts + (i if i < 2 else 3)  # between them the one that we appended ourselves
        assert answer.json["position"] == f"rooms/{fact.partition}@{offset}", answer
    assert history.duplicates(stack) == [], "both decided the same"
    assert ada.say(room, "next")["seq"] == 5


def test_an_outcome_that_somebody_else_writes_meanwhile_costs_no_fact(stack, mended, ada, room, tmp_path):
    """The same command in two partitions at once (one key for two rooms): its outcome is not there when it is looked up, and is when
    it is to be written. The first one stays; what was posted is folded, not parked."""
    schemas, ours, message = log.Schemas(), str(uuid.uuid4()), str(uuid.uuid4())
    ada.say(room, "first")
    command, = [r for r in log.read(stack.bootstrap(), "rooms.commands") if r.key == room.encode()][-1:]
    fields = schemas.decode(command.value)[1]
    copied = "command_id, actor, rejection, stream, partition, fact_offset, request_hash, fact, at"

    def change(fields):
        fields["message_id"] = typed(fields["message_id"], message)
        fields["meta"]["id"] = fields["meta"]["command_id"] = typed(fields["meta"]["id"], ours)

    with contextlib.closing(stack.connect()) as other:
        other.cursor().execute(f"INSERT INTO messages.operations ({copied}) SELECT %s, {copied.partition(', ')[2]} FROM messages.operations"
                               " WHERE command_id = %s", (ours, str(fields["meta"]["command_id"])))
        log.produce(stack.bootstrap(), "rooms.commands", command.partition, schemas.edited(command.value, change), room, scratch=tmp_path)
        wait_until(lambda: stack.sql(f"SELECT count(*) {WAITING}")[0][0] == 1, 20, "the worker waits for the other one's row")
        other.commit()
    wait_until(lambda: len(ada.history(room)) == 2, 30, "the second message folded")
    assert ada.history(room)[1]["id"] == message
    assert ada.say(room, "third")["seq"] == 3
    assert stack.sql("SELECT count(*) FROM messages.parked WHERE key = %s", (room,))[0][0] == 0
    assert history.duplicates(stack) == []
    # What the test has written is no outcome that a rebuild would find in the log.
    stack.sql("DELETE FROM messages.operations WHERE command_id = %s", (ours,))


def typed(like, text):
    """A UUID as this Avro reader gives it: an object or text."""
    return type(like)(text)


def count(bootstrap, topic):
    return sum(log.offsets(bootstrap, topic, log.topics(bootstrap)[topic]))


class Crowd:
    """Requests that are under way while the worker dies: (person, path, body, expected outcome). Each has its own key."""

    def __init__(self, urls, people, ada, ben, eve, rooms):
        nowhere = "01890000-0000-7000-8000-000000000000"
        wishes = []
        for i, room in enumerate(rooms):
            wishes += [(ada, f"/rooms/{room}/messages", {"body": f"accepted {i}"}, 201), (eve, f"/rooms/{room}/messages", {"body": f"rejected {i}"}, 403),
                       (ben, f"/rooms/{room}/join", {}, 409), (people[5 + i % 11], f"/rooms/{room}/join", {}, 200),
                       (ben, f"/rooms/{room}/messages", {"body": f"accepted too {i}"}, 201), (ada, f"/rooms/{nowhere}/join", {}, 404)]
        self.jobs = [(self.twin(urls, person), path, body, status, str(uuid.uuid4())) for person, path, body, status in wishes]

    def twin(self, urls, person):
        twin = Person(urls, patience=90)
        twin.username, twin.user, twin.token = person.username, person.user, person.token
        return twin

    def ask(self):
        """Everybody insists; [answer]."""
        return in_threads([lambda job=job: job[0].insist("POST", job[1], job[2] or None, key=job[4]) for job in self.jobs], 150)

    def check(self, answers):
        wrong = [(job[1], job[3], answer) for job, answer in zip(self.jobs, answers) if answer.status != job[3]]
        assert not wrong, wrong
        for person, *_ in self.jobs:
            assert history.pending(person) == []


MODES = {
    # Nobody reads or moves the checkpoint: the next owner waits as well.
    "nobody reads the checkpoint": "LOCK TABLE messages.checkpoint IN ACCESS EXCLUSIVE MODE",
    # The next owner reads the old checkpoint while the dead one's transaction may still be open.
    "nobody moves the checkpoint": "LOCK TABLE messages.checkpoint IN SHARE MODE",
    # The checkpoint has moved and its row is locked; the rows of the projection wait.
    "nobody writes rooms": "LOCK TABLE messages.rooms IN SHARE MODE",
}


def new_facts(stack, before):
    """[(partition, command offset)] of the facts appended since `before`, the end offsets of then."""
    schemas, found = log.Schemas(), []
    for partition, (first, end) in enumerate(zip(before, log.offsets(stack.bootstrap(), "rooms.events", len(before)))):
        if end > first:
            for record in log.read(stack.bootstrap(), "rooms.events", partition, first, end - first):
                found.append((partition, schemas.decode(record.value)[1]["meta"]["command_offset"]))
    return found


def is_mixed(facts):
    """Between two facts of a partition there is a command without one: it was rejected, in the batch that hangs."""
    by_partition = {}
    for partition, command_offset in facts:
        by_partition.setdefault(partition, []).append(command_offset)
    return any(max(offsets) - min(offsets) >= len(offsets) for offsets in by_partition.values())


WAITING = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active' AND application_name LIKE 'aether-messages%%'"


@contextlib.contextmanager
def hanging_batch(stack, ada, rooms, mode, ask):
    """While the body runs, every worker hangs before COMMIT, with its facts appended, in a batch that has all that `ask` sent.

    A first message to each room meets a row that is locked. Behind it everything that `ask` sends is fetched. Then the lock of
    `mode` is asked for, which those first transactions hold up, and the rows are let go: the first batch ends, the lock is ours,
    and the next batch runs into it."""
    bootstrap = stack.bootstrap()
    rows, table = stack.connect(), stack.connect()
    try:
        rows.cursor().execute("SELECT 1 FROM messages.rooms WHERE room_id = ANY(%s::uuid[]) FOR UPDATE", (rooms,))
        for room in rooms:
            ada.request("POST", f"/rooms/{room}/messages", {"body": "first"}, headers={"Prefer": "respond-async"})
        wait_until(lambda: stack.sql(f"SELECT count(*) {WAITING}")[0][0] == 2, 20, "both workers wait for a row")
        commands, sent = count(bootstrap, "rooms.commands"), ask()
        wait_until(lambda: count(bootstrap, "rooms.commands") >= commands + sent, 20, "the commands in the log")
        facts = log.offsets(bootstrap, "rooms.events", log.topics(bootstrap)["rooms.events"])
        locking = threading.Thread(target=lambda: table.cursor().execute(mode), daemon=True)
        locking.start()
        wait_until(lambda: stack.sql("SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s", (table.info.backend_pid,)), 20, "the lock is asked for")
        rows.rollback()
        locking.join()
        wait_until(lambda: stack.sql(f"SELECT count(*) {WAITING}")[0][0] == 2, 20, "both workers wait before COMMIT")
        assert is_mixed(new_facts(stack, facts)), "accepted and rejected commands are in the batch"
        yield
    finally:
        rows.close()
        table.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["killed", "killed and its session ended", "session ended only"])
def test_a_worker_dies_between_append_and_commit(stack, mended, urls, people, ada, ben, eve, mode, end):
    """Accepted and rejected commands are in the batch: each client gets its own outcome, each operation ends."""
    rooms = [ada.room(f"Room {i}") for i in range(16)]  # so that each worker surely has some
    for room in rooms:
        ben.join(room)
    crowd, answers = Crowd(urls, people, ada, ben, eve, rooms), []

    def ask():
        asking.start()
        return len(crowd.jobs)

    asking = threading.Thread(target=lambda: answers.append(crowd.ask()), daemon=True)
    with hanging_batch(stack, ada, rooms, MODES[mode], ask):
        if end != "session ended only":
            for pid in stack.pids("messages"):
                send(pid, signal.SIGKILL)
        if end != "killed":
            stack.sql(f"SELECT pg_terminate_backend(pid) {WAITING}")
    asking.join(160)
    assert answers, "somebody still waits"
    crowd.check(answers[0])
    for room in rooms:
        messages = ada.history(room)
        assert [m["seq"] for m in messages] == [1, 2, 3], messages
        assert messages[0]["body"] == "first"
    again = crowd.ask()
    assert [(a.status, a.body) for a in again if a.status == 201] == [(a.status, a.body) for a in answers[0] if a.status == 201]
    history.settle(stack)
    assert history.duplicates(stack) == []


# What the worker waits for, so that it dies there: (a lock on the projection, commands and facts in the log by then).
MOMENTS = {
    "before the command is sent": ("LOCK TABLE messages.operations IN ACCESS EXCLUSIVE MODE", 0, 0),
    "before it is decided": ("LOCK TABLE messages.messages IN ACCESS EXCLUSIVE MODE", 1, 0),  # a reply: it asks for the first
    "between append and COMMIT": ("LOCK TABLE messages.messages IN SHARE MODE", 1, 1),
    "after COMMIT": (None, 1, 1),
}


def waiting_workers(stack):
    """The pids of the messages workers that wait for a lock."""
    numbers = {int(name.rpartition("-")[2]) for name, in stack.sql(f"SELECT application_name {WAITING}")}
    return [worker["pid"] for number, worker in enumerate(stack.workers("messages")) if number in numbers]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_scheduled_message_is_sent_once_also_when_the_worker_dies_at_that_moment(stack, mended, urls, ada, ben, room, moment):
    lock, commands, facts = MOMENTS[moment]
    bootstrap = stack.bootstrap()
    ada.say(room, "Who is for tea at five?")
    heard = feed.WebSocket(urls[0], ada.token)
    answer = ben.insist("POST", f"/rooms/{room}/messages", {"body": "Five!", "replyTo": 1, "sendAt": later(3600)})
    assert answer.status == 201, answer
    message = answer.json["id"]
    sent, before = count(bootstrap, "rooms.commands"), log.offsets(bootstrap, "rooms.events", log.topics(bootstrap)["rooms.events"])
    with contextlib.closing(stack.connect()) as table:
        victims = stack.pids("messages")
        table.cursor().execute(lock or "SELECT 1")
        stack.sql("UPDATE messages.scheduled SET send_at = now() WHERE message_id = %s", (message,))
        if lock:
            victims = wait_until(lambda: len(new_facts(stack, before)) >= facts and waiting_workers(stack), 20, "a worker waits " + moment)
        else:
            wait_until(lambda: stack.sql("SELECT 1 FROM messages.messages WHERE message_id = %s", (message,)), 20, "sent", pause=0)
        for pid in victims:
            send(pid, signal.SIGKILL)
        assert count(bootstrap, "rooms.commands") == sent + commands
        assert len(new_facts(stack, before)) == facts
    heard.event("message.posted", 60, roomId=room, number=2)
    assert ada.say(room, "Five it is.")["seq"] == 3
    history.settle(stack)
    assert [m["body"] for m in ada.history(room)] == ["Who is for tea at five?", "Five!", "Five it is."]
    assert ada.page(room)["items"][1]["id"] == message
    assert [s for s in ben.get("/scheduled?limit=100").json["items"] if s["id"] == message] == []
    heard.event("message.posted", roomId=room, number=3)
    assert heard.numbers(room) == [2, 3], "once in the feed"
    assert history.duplicates(stack) == []
    heard.close()
