"""Nothing is decided twice: a record delivered twice, a worker that dies between append and COMMIT."""

import signal
import threading
import uuid

import pytest

import history
import log
from client import Person, in_threads
from stack import send, wait_until


def decided(stack, partition):
    rows = stack.sql("SELECT command_offset FROM messages.checkpoint WHERE stream = 'rooms' AND partition = %s", (partition,))
    return rows[0][0] if rows else -1


def test_a_command_delivered_twice_gives_one_fact(stack, ada, room, tmp_path):
    """The same bytes, key, headers and partition again, as a retry inside Kafka would leave them."""
    bootstrap = stack.bootstrap()
    message = ada.say(room, "only once")
    commands = [r for r in log.read(bootstrap, "rooms.commands") if r.key == room.encode()]
    for record in (commands[-1], commands[0], commands[-1]):  # the post, the making of the room, the post again
        ends = log.end_offsets(bootstrap)
        log.produce(bootstrap, record.topic, record.partition, record.value, record.key, record.headers, tmp_path)
        wait_until(lambda: decided(stack, record.partition) >= ends["rooms.commands", record.partition], 20, "the copy decided")
        assert log.end_offsets(bootstrap)["rooms.events", record.partition] == ends["rooms.events", record.partition], "one fact"
    assert ada.history(room) == [message]
    assert ada.say(room, "next")["seq"] == 2


def count(bootstrap, topic):
    return sum(log.offsets(bootstrap, topic, log.topics(bootstrap)[topic]))


class Crowd:
    """Requests that are under way while the worker dies: (person, path, body, expected outcome). Each has its own key."""

    def __init__(self, urls, people, ada, ben, eve, rooms):
        nowhere = "01890000-0000-7000-8000-000000000000"
        wishes = []
        for i, room in enumerate(rooms):
            wishes += [(ada, f"/rooms/{room}/messages", {"body": f"accepted {i}"}, 201), (eve, f"/rooms/{room}/messages", {"body": f"rejected {i}"}, 403),
                       (ben, f"/rooms/{room}/join", {}, 409), (people[5 + i], f"/rooms/{room}/join", {}, 200),
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
    "ACCESS EXCLUSIVE": "LOCK TABLE messages.checkpoint IN ACCESS EXCLUSIVE MODE",
    # The next owner reads the old checkpoint while the dead one's transaction may still be open.
    "SHARE": "LOCK TABLE messages.checkpoint IN SHARE MODE",
    # The checkpoint has moved and its row is locked; the operations wait.
    "operations": "LOCK TABLE messages.operations IN SHARE MODE",
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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["killed", "killed and its session ended", "session ended only"])
def test_a_worker_dies_between_append_and_commit(stack, mended, urls, people, ada, ben, eve, mode, end):
    """Accepted and rejected commands are in the batch: each client gets its own outcome, each operation ends."""
    for _ in range(8):  # until a batch hangs that has both kinds in it
        rooms = [ada.room(f"Room {i}") for i in range(3)]
        for room in rooms:
            ben.join(room)
        crowd = Crowd(urls, people, ada, ben, eve, rooms)
        answers, was_mixed = interrupt(stack, crowd, mode, end)
        crowd.check(answers)
        for room in rooms:
            messages = ada.history(room)
            assert [m["seq"] for m in messages] == [1, 2], messages
        again = crowd.ask()
        assert [(a.status, a.body) for a in again if a.status == 201] == [(a.status, a.body) for a in answers if a.status == 201]
        if was_mixed:
            break
    else:
        pytest.fail("no batch had accepted and rejected commands in it")
    history.settle(stack)
    assert history.duplicates(stack) == []


def interrupt(stack, crowd, mode, end):
    """The crowd asks; its batches hang before COMMIT, and then what `end` says happens. (answers, both kinds were in a batch)"""
    bootstrap = stack.bootstrap()
    before = log.offsets(bootstrap, "rooms.events", log.topics(bootstrap)["rooms.events"])
    commands = count(bootstrap, "rooms.commands")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(crowd.ask()), daemon=True)
    connection = stack.connect()
    waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active' AND application_name LIKE '%%messages%%'"
    try:
        with connection, connection.cursor() as cursor:
            with stack.paused(*stack.pids("messages")):  # so that one batch gets many of them
                asking.start()
                wait_until(lambda: count(bootstrap, "rooms.commands") >= commands + len(crowd.jobs), 20, "the commands in the log")
                cursor.execute(MODES[mode])
            wait_until(lambda: stack.sql(f"SELECT 1 {waiting}"), 20, "a commit waits")
            was_mixed = is_mixed(new_facts(stack, before))
            if end != "session ended only":
                for pid in stack.pids("messages"):
                    send(pid, signal.SIGKILL)
            if end != "killed":
                stack.sql(f"SELECT pg_terminate_backend(pid) {waiting}")
    finally:
        connection.close()
    asking.join(160)
    assert answers, "somebody still waits"
    return answers[0], was_mixed
