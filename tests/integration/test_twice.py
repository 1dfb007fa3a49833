"""Nothing is decided twice: a record delivered twice, a worker that dies between append and COMMIT."""

import signal
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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["killed", "killed and its session ended", "session ended only"])
def test_a_worker_dies_between_append_and_commit(stack, mended, urls, people, ada, ben, eve, mode, end):
    """Accepted and rejected commands are in the batch: each client gets its own outcome, each operation ends."""
    bootstrap = stack.bootstrap()
    rooms = [ada.room(f"Room {i}") for i in range(6)]
    for room in rooms:
        ben.join(room)
    crowd = Crowd(urls, people, ada, ben, eve, rooms)
    ends = {topic: sum(log.offsets(bootstrap, topic, n)) for topic, n in log.topics(bootstrap).items() if topic == "rooms.events"}
    connection = stack.connect()
    import threading
    answers = []
    asking = threading.Thread(target=lambda: answers.append(crowd.ask()), daemon=True)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(MODES[mode])
            asking.start()
            wait_until(lambda: sum(log.offsets(bootstrap, "rooms.events", log.topics(bootstrap)["rooms.events"])) > ends["rooms.events"], 20,
                       "facts appended")
            wait_until(lambda: stack.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active'"), 20, "a commit waits")
            if end != "session ended only":
                for pid in stack.pids("messages"):
                    send(pid, signal.SIGKILL)
            if end != "killed":
                stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active'")
    finally:
        connection.close()
    asking.join(160)
    assert answers, "somebody still waits"
    crowd.check(answers[0])
    for room in rooms:
        messages = ada.history(room)
        assert [m["seq"] for m in messages] == list(range(1, len(messages) + 1)) and len(messages) == 2, messages
    again = crowd.ask()
    assert [(a.status, a.body) for a in again if a.status == 201] == [(a.status, a.body) for a in answers[0] if a.status == 201]
    history.settle(stack)
    assert history.duplicates(stack) == []
