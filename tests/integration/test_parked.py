"""What an operator does with records that were put aside: ops/parked, as it is typed."""

import contextlib
import json
import re
import uuid

import pytest

import log
from client import PASSWORD, Person, later
from stack import wait_until

TRACE = uuid.uuid4().hex
GARBAGE = b"\xde\xad\xbe\xef garbage"


def listed(stack, key):
    """[(topic, partition, offset, cause)] of what ops/parked list shows under this key."""
    out = stack.command("parked", "list").stdout
    return [(topic, int(partition), int(offset), cause.strip()) for topic, partition, offset, cause in
            re.findall(rf"^messages +(\S+)/(\d+)@(\d+)  key {key}.*\n(.*)$", out, re.MULTILINE)]


def worker_log(stack):
    """Every line that the messages workers have logged."""
    for name in ("messages-1", "messages-2"):
        with open(f"{stack.state}/logs/{name}.log") as file:
            yield from (json.loads(line) for line in file if line.startswith("{"))


@contextlib.contextmanager
def a_room_that_does_not_fold(stack, room):
    """PostgreSQL refuses every message of the room."""
    stack.sql(f"ALTER TABLE messages.messages ADD CONSTRAINT no_room_for_it CHECK (room_id <> '{room}') NOT VALID")
    try:
        yield
    finally:
        stack.sql("ALTER TABLE messages.messages DROP CONSTRAINT IF EXISTS no_room_for_it")


def test_what_does_not_fold_is_shown_and_folds_when_it_is_retried_by_key_after_the_cause_is_gone(stack, ada, room):
    other = ada.room("Not held up")
    ada.history(room)  # the cache knows all of the room
    with a_room_that_does_not_fold(stack, room):
        held = ada.request("POST", f"/rooms/{room}/messages", {"body": "held up"}, headers={"Prefer": "respond-async", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        assert held.status == 202, held
        (topic, partition, offset, cause), = wait_until(lambda: listed(stack, room), 30, "the fact is parked")
        assert topic == "rooms.events" and "no_room_for_it" in cause
        assert ada.history(room) == [], "nor does the cache show what is not folded"
        record, = log.read(stack.bootstrap(), topic, partition, offset, 1)
        assert bytes.fromhex(stack.command("parked", "show", topic, str(partition), str(offset)).stdout) == record.value
        operation = held.headers["Location"].rpartition("/")[2]
        logged, = [line for line in worker_log(stack) if line.get("command_id") == operation]
        assert "no_room_for_it" in logged["error"] and logged["trace"].split("-")[1] == TRACE, "found by the command and by the trace"
        assert ada.say(other, "this room goes on")["seq"] == 1
        behind = ada.request("POST", f"/rooms/{room}/messages", {"body": "behind it"})
        assert behind.status == 503 and behind.code == "aggregate_parked", behind

        assert "1 record(s) marked: retry" in stack.command("parked", "retry", room).stdout
        wait_until(lambda: stack.sql("SELECT 1 FROM messages.parked WHERE key = %s AND action IS NULL", (room,)), 30, "the wish was refused")
        (*place, cause), = listed(stack, room)
        assert place == [topic, partition, offset] and "no_room_for_it" in cause, "it stays, with its cause"
        assert ada.history(room) == []

    stack.command("parked", "retry", room)
    wait_until(lambda: not listed(stack, room), 30, "folded")
    message, = ada.history(room)
    assert (message["seq"], message["body"]) == (1, "held up")
    operation = ada.get(held.headers["Location"].removeprefix("/api/v1"))
    assert operation.json["status"] == "succeeded" and operation.json["position"] == f"rooms/{partition}@{offset}", operation
    assert ada.say(room, "free again")["seq"] == 2


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_the_names_of_a_parked_registration_are_nobodys_until_it_is_settled(stack, mended, urls, action):
    """Or it would never fold: two accounts cannot have one name."""
    first, other = Person(urls), Person(urls)

    def registered(**names):
        return other.insist("POST", "/auth/register", {**other.registration(), **names})
    parked = "SELECT key::text FROM users.parked WHERE cause LIKE '%%no_account_for_it%%'"
    stack.sql(f"ALTER TABLE users.accounts ADD CONSTRAINT no_account_for_it CHECK (username <> '{first.username}') NOT VALID")
    try:
        assert first.post("/auth/register", first.registration(), headers={"Prefer": "respond-async"}).status == 202
        (key,), = wait_until(lambda: stack.sql(parked), 30, "the fact is parked")
        for killed in (False, True):
            if killed:  # who takes over knows it, too
                stack.wait_replaced("users", stack.kill("users"))
            assert registered(username=first.username).code == "username_taken"
            assert registered(email=first.email).code == "email_taken"
    finally:
        stack.sql("ALTER TABLE users.accounts DROP CONSTRAINT IF EXISTS no_account_for_it")
    stack.command("parked", action, key)
    wait_until(lambda: not stack.sql(parked), 30, "settled")
    if action == "retry":
        assert first.post("/auth/login", {"username": first.username, "password": PASSWORD}).json["user"]["id"] == key
    else:
        assert registered(username=first.username, email=first.email).status == 201


def test_a_message_that_is_due_while_its_room_is_held_up_is_sent_when_it_is_free(stack, ada, ben, room):
    answer = ben.insist("POST", f"/rooms/{room}/messages", {"body": "Land!", "sendAt": later(3600)})
    due = "UPDATE messages.scheduled SET send_at = now() WHERE message_id = %s"
    with a_room_that_does_not_fold(stack, room):
        assert ada.request("POST", f"/rooms/{room}/messages", {"body": "held up"}, headers={"Prefer": "respond-async"}).status == 202
        (_, partition, *_), = wait_until(lambda: listed(stack, room), 30, "the fact is parked")
        stack.sql(due, (answer.json["id"],))
        # Another message of the same partition is sent by then: ours was passed over.
        other = room_of(stack, ada, partition)
        marker = ada.insist("POST", f"/rooms/{other}/messages", {"body": "Sea!", "sendAt": later(3600)})
        stack.sql(due, (marker.json["id"],))
        wait_until(lambda: ada.page(other)["items"], 20, "the other room goes on")
    stack.command("parked", "retry", room)
    wait_until(lambda: len(ada.page(room)["items"]) == 2, 30, "sent")
    assert [m["body"] for m in ada.history(room)] == ["held up", "Land!"]


def test_what_cannot_be_read_is_left_out_for_good_when_it_is_discarded_by_key(stack, mended, ada, room, tmp_path):
    said = ada.say(room, "before")
    partition, = {r.partition for r in log.read(stack.bootstrap(), "rooms.events") if r.key == room.encode()}
    log.produce(stack.bootstrap(), "rooms.events", partition, GARBAGE, room, scratch=tmp_path)
    ada.say(room_of(stack, ada, partition), "the worker meets the garbage")
    wait_until(lambda: listed(stack, room), 30, "parked")
    assert "1 record(s) marked: discard" in stack.command("parked", "discard", room).stdout
    wait_until(lambda: not listed(stack, room), 30, "left out")
    assert ada.say(room, "after")["seq"] == 2
    for pid in stack.pids("messages"):  # and the next owner knows
        stack.kill("messages", pid=pid)
    assert ada.say(room, "after that")["seq"] == 3
    assert listed(stack, room) == []
    assert ada.history(room)[0] == said


def room_of(stack, person, partition):
    """A new room of the partition."""
    while True:
        made = {person.room().encode() for _ in range(10)}
        for record in log.read(stack.bootstrap(), "rooms.commands", partition):
            if record.key in made:
                return record.key.decode()


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_a_command_that_cannot_be_read_is_appended_again_or_forgotten(stack, tmp_path, action):
    key = str(uuid.uuid4())
    log.produce(stack.bootstrap(), "rooms.commands", 0, GARBAGE, key, scratch=tmp_path)
    (topic, partition, offset, _), = wait_until(lambda: listed(stack, key), 30, "parked")
    stack.command("parked", action, topic, str(partition), str(offset))
    if action == "discard":
        wait_until(lambda: not listed(stack, key), 30, "forgotten")
        return
    (_, _, again, _), = wait_until(lambda: [row for row in listed(stack, key) if row[2] != offset], 30, "parked at its new place")
    record, = log.read(stack.bootstrap(), topic, partition, again, 1)
    assert again > offset and record.value == GARBAGE


@pytest.mark.parametrize("words, what", [
    (["retry", "01890000-0000-7000-8000-00000000dead"], "nothing is parked under 01890000-0000-7000-8000-00000000dead"),
    (["discard", "rooms.events", "0", "999999999"], "nothing is parked under rooms.events 0 999999999"),
    (["show", "rooms.events", "0", "999999999"], "nothing is parked under rooms.events 0 999999999"),
    (["retry", "Robert"], "Robert: a KEY is a UUID; ops/parked list shows which there are"),
    (["discard", "rooms.events", "one", "2"], "PARTITION and OFFSET are numbers, as in ops/parked list"),
    (["discard"], "discard takes a KEY, or TOPIC PARTITION OFFSET"),
    (["show", "rooms.events"], "show takes TOPIC PARTITION OFFSET"),
])
def test_what_is_not_there_is_said_in_one_line(stack, words, what):
    result = stack.command("parked", *words, check=False)
    assert result.returncode != 0 and what in result.stderr.strip().splitlines()[-1], result
