"""A record that cannot be read or folded is put aside with its cause; everything else goes on."""

import struct
import uuid

import pytest

import log
from stack import wait_until

GARBAGE = b"\xde\xad\xbe\xef garbage"


def huge(topic):
    """A frame with a schema of this topic and a first string that claims 200 MB."""
    schemas = log.Schemas()
    number = next(n for n, (subject, _) in schemas.subjects.items() if subject.startswith(topic + "-"))
    return b"\x00" + struct.pack(">I", number) + varint(200_000_000)


def varint(value):
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


POISON = {
    "garbage": lambda topic: GARBAGE,
    "nothing": lambda topic: None,
    "a length of 200 MB": huge,
    "an unknown schema": lambda topic: b"\x00\x7f\xff\xff\xff" + b"x" * 40,
    "half a frame": lambda topic: b"\x00\x00",
}


def parked(stack, topic, partition, offset):
    return stack.sql("SELECT cause, payload FROM messages.parked WHERE topic = %s AND partition = %s AND \"offset\" = %s", (topic, partition, offset))


def rooms_by_partition(stack, ada, count=12):
    """{partition: [rooms]} of fresh rooms."""
    rooms = [ada.room(f"Room {i}") for i in range(count)]
    found = {}
    for record in log.read(stack.bootstrap(), "rooms.events"):
        key = (record.key or b"").decode("latin-1")
        if key in rooms and key not in found.get(record.partition, []):
            found.setdefault(record.partition, []).append(key)
    return found


@pytest.mark.parametrize("what", POISON)
@pytest.mark.parametrize("topic", ["rooms.commands", "rooms.events"])
def test_poison_is_parked_and_the_others_go_on(stack, ada, tmp_path, topic, what):
    partition, rooms = next(iter(rooms_by_partition(stack, ada).items()))
    bootstrap, value = stack.bootstrap(), POISON[what](topic)
    offset = log.end_offsets(bootstrap)[topic, partition]
    log.produce(bootstrap, topic, partition, value, headers={"content-type": "application/avro"}, scratch=tmp_path)
    ada.say(rooms[0], "in spite of it")
    ada.say(rooms[0], "and again")
    wait_until(lambda: parked(stack, topic, partition, offset), 20, "the row in messages.parked")
    (cause, payload), = parked(stack, topic, partition, offset)
    assert cause and bytes(payload) == (value or b"")
    assert [m["body"] for m in ada.history(rooms[0])] == ["in spite of it", "and again"]
    wait_until(lambda: any((r.value or b"") == (value or b"") for r in log.read(bootstrap, "messages.parked")), 20, "the record in the parked topic")


def test_poison_with_a_rooms_key_in_the_commands_stops_nobody(stack, ada, tmp_path):
    partition, rooms = next(iter(rooms_by_partition(stack, ada).items()))
    log.produce(stack.bootstrap(), "rooms.commands", partition, GARBAGE, rooms[0], scratch=tmp_path)
    assert ada.say(rooms[0], "on we go")["seq"] == 1


def test_a_fact_that_cannot_be_read_holds_up_its_room_and_no_other(stack, ada, tmp_path):
    """Later records of the same key wait behind it, until an operator says what to do."""
    partition, rooms = next((p, r) for p, r in rooms_by_partition(stack, ada, 24).items() if len(r) > 1)
    bootstrap = stack.bootstrap()
    offset = log.end_offsets(bootstrap)["rooms.events", partition]
    log.produce(bootstrap, "rooms.events", partition, GARBAGE, rooms[0], scratch=tmp_path)
    assert ada.say(rooms[1], "not held up")["seq"] == 1
    wait_until(lambda: parked(stack, "rooms.events", partition, offset), 20, "parked")
    key = str(uuid.uuid4())
    answer = ada.request("POST", f"/rooms/{rooms[0]}/messages", {"body": "held up"}, headers={"Idempotency-Key": key})
    assert answer.status == 503 and answer.code == "aggregate_parked" and answer.json["retryable"] is True, answer
    stack.sql("UPDATE messages.parked SET action = 'discard' WHERE topic = 'rooms.events' AND partition = %s AND \"offset\" = %s", (partition, offset))
    wait_until(lambda: not parked(stack, "rooms.events", partition, offset), 30, "discarded")
    said = [ada.say(rooms[0], "held up", key=key), ada.say(rooms[0], "free again")]
    assert ada.history(rooms[0]) == said, "what was held up may be sent again, under its key"


def test_poison_in_the_streams_of_the_users_worker_stops_nobody(stack, urls, tmp_path):
    from client import Person

    for topic in ("accounts.commands", "accounts.events", "sessions.commands", "sessions.events"):
        for value in (GARBAGE, huge(topic)):
            log.produce(stack.bootstrap(), topic, 0, value, str(uuid.uuid4()), scratch=tmp_path)
    person = Person(urls)
    person.register()
    person.login()
    assert person.get("/users/me").json == person.user
