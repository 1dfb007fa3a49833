"""The log as analytics teams read it: stock Kafka and Avro tools, no personal data in clear."""

import json
import re
import struct
import uuid

import pytest

import log
from client import Person
from stack import http_get, wait_until

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(scope="module")
def told(urls):
    """A conversation full of words that must not be found in the log."""
    person = Person(urls, "Zebrafinch" + uuid.uuid4().hex[:6])
    secrets = {"password": "Xylophone-Quokka-99", "firstName": "Wolframina", "lastName": "Vanderquist",
               "email": f"quokka.{uuid.uuid4().hex[:8]}@zanzibar.example", "username": person.username}
    answer = person.insist("POST", "/auth/register", secrets, headers={"User-Agent": "Marsupilami/7.7"})
    assert answer.status == 201, answer
    person.session(answer)
    room = person.room("Operation Kumquat")
    message = person.say(room, "The pangolin sings at midnight")
    words = [*secrets.values(), "Operation Kumquat", "The pangolin sings at midnight", "Marsupilami/7.7", person.token, person.refresh_token]
    return person, room, message, words


def test_kcat_shows_no_personal_data_on_any_topic(stack, told):
    _, _, _, words = told
    parts = {w.lower().encode() for w in words} | {b"pangolin", b"kumquat", b"zanzibar", b"vanderquist", b"wolframina", b"zebrafinch", b"marsupilami"}
    for topic in log.topics(stack.bootstrap()):
        for record in log.read(stack.bootstrap(), topic):
            seen = b" ".join([record.key or b"", record.value or b"", repr(record.headers).encode()]).lower()
            assert not [part for part in parts if part in seen], record


def test_postgresql_and_redis_keep_no_password_and_no_refresh_token(stack, told):
    person, _, _, words = told
    for schema, table in stack.sql("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('users', 'messages', 'vault')"):
        for (row,) in stack.sql(f"SELECT t::text FROM {schema}.{table} t"):
            assert words[0] not in row and person.refresh_token not in row, (schema, table)


def test_there_is_a_record_of_each_kind_and_all_read_with_the_checked_in_schemas(stack, told):
    person, room, message, _ = told
    schemas, seen = log.Schemas(), {}
    for topic in ("accounts.commands", "accounts.events", "sessions.commands", "sessions.events", "rooms.commands", "rooms.events"):
        for record in log.read(stack.bootstrap(), topic):
            try:
                name, fields = schemas.decode(record.value)
            except Exception:  # other tests put poison here
                continue
            number = struct.unpack(">I", record.value[1:5])[0]
            assert schemas.subject(number) == f"{topic}-{name}", "TopicRecordNameStrategy"
            seen.setdefault(name, []).append((record, fields))
    assert {"aether.accounts.RegisterAccount", "aether.accounts.AccountRegistered", "aether.sessions.StartSession",
            "aether.sessions.SessionStarted", "aether.rooms.CreateRoom", "aether.rooms.RoomCreated", "aether.rooms.PostMessage",
            "aether.rooms.MessagePosted"} <= set(seen)
    record, fact = next((r, f) for r, f in seen["aether.rooms.MessagePosted"] if str(f["message_id"]) == message["id"])
    assert fact["seq"] == message["seq"] == 1 and record.key.decode() == str(fact["room_id"]) == room
    assert str(fact["meta"]["actor"]) == person.user["id"]


def test_records_are_cloudevents_in_confluents_frame(stack, told):
    ours = {told[0].user["id"].encode(), told[1].encode()}
    for topic in ("accounts.events", "sessions.events", "rooms.commands", "rooms.events"):
        schemas, checked = log.Schemas(), 0
        for record in log.read(stack.bootstrap(), topic):
            if record.headers.keys() <= {"content-type"}:  # poison of other tests …
                continue
            try:
                name, fields = schemas.decode(record.value)
            except Exception:  # … which an operator has appended again
                assert record.key not in ours
                continue
            headers = record.headers
            assert headers["ce_specversion"] == "1.0" and headers["ce_type"] == name and headers["ce_source"]
            assert headers["ce_id"] == str(fields["meta"]["id"])
            assert TIME.fullmatch(headers["ce_time"])
            assert headers["content-type"] == "application/avro"
            trace = fields["meta"]["trace"]  # empty where no request asked: an operator's tool, or a time that has come
            assert headers.get("traceparent", "") == trace and (TRACEPARENT.fullmatch(trace) or trace == "")
            assert record.key.decode() == str(uuid.UUID(record.key.decode()))
            checked += 1
        assert checked


def test_a_trace_goes_from_the_request_to_the_fact(stack, ada, room):
    trace = uuid.uuid4().hex
    answer = ada.insist("POST", f"/rooms/{room}/messages", {"body": "traced"}, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    partition, offset = re.fullmatch(r"rooms/(\d+)@(\d+)", answer.headers["Aether-Position"]).groups()
    (record,) = log.read(stack.bootstrap(), "rooms.events", partition=int(partition), offset=offset, count=1)
    assert record.headers["traceparent"].split("-")[1] == trace
    assert str(log.Schemas().decode(record.value)[1]["message_id"]) == answer.json["id"]


@pytest.mark.parametrize("topic", ["accounts.events", "sessions.events", "rooms.events"])
def test_command_offsets_increase_and_point_at_their_commands(stack, told, topic):
    schemas = log.Schemas()
    kept, dropped = log.facts(schemas, log.read(stack.bootstrap(), topic))
    commands = {(r.partition, r.offset): r for r in log.read(stack.bootstrap(), topic.replace("events", "commands"))}
    assert kept
    for record, _, fact in kept:
        command = commands[record.partition, fact["meta"]["command_offset"]]
        assert command.key == record.key
        assert schemas.decode(command.value)[1]["meta"]["command_id"] == fact["meta"]["command_id"]
    first = {(r.partition, f["meta"]["command_offset"]): r.value for r, _, f in kept}
    for record, _, fact in dropped:
        assert first[record.partition, fact["meta"]["command_offset"]] == record.value


def registry(urls, path):
    status, body = http_get(urls[0] + path)
    return status, json.loads(body)


def test_the_gateway_answers_as_a_confluent_registry_does(urls):
    schemas = log.Schemas()
    assert registry(urls, "/subjects") == (200, sorted({subject for subject, _ in schemas.subjects.values()},
                                                       key=lambda subject: min(n for n, (s, _) in schemas.subjects.items() if s == subject)))
    for number, (subject, version) in schemas.subjects.items():
        status, found = registry(urls, f"/schemas/ids/{number}")
        assert status == 200 and json.loads(found["schema"]) == schemas.schema(number).to_json()
        assert registry(urls, f"/subjects/{subject}/versions/{version}") == (200, {"subject": subject, "version": version, "id": number, **found})
    for subject in {subject for subject, _ in schemas.subjects.values()}:
        versions = sorted(v for s, v in schemas.subjects.values() if s == subject)
        assert registry(urls, f"/subjects/{subject}/versions") == (200, versions)
        assert registry(urls, f"/subjects/{subject}/versions/latest")[1]["version"] == versions[-1]


@pytest.mark.parametrize("path, code", [
    ("/schemas/ids/99999", "schema_not_found"), ("/schemas/ids/0", "schema_not_found"), ("/schemas/ids/latest", "schema_not_found"),
    ("/subjects/weather-value/versions", "subject_not_found"), ("/subjects/weather-value/versions/1", "subject_not_found"),
    ("/subjects/rooms.events-aether.rooms.RoomCreated/versions/0", "version_not_found"),
    ("/subjects/rooms.events-aether.rooms.RoomCreated/versions/999", "version_not_found"),
    ("/subjects/rooms.events-aether.rooms.RoomCreated/versions/newest", "version_not_found"),
])
def test_a_schema_that_is_not_there_is_404(urls, path, code):
    status, found = registry(urls, path)
    assert status == 404 and found["code"] == code, found


def test_a_stock_deserializer_reads_the_log_with_nothing_but_two_addresses(stack, urls, told):
    """Confluent's for Python: Kafka's address, and the gateway's as that of the registry."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    from confluent_kafka.avro import CachedSchemaRegistryClient
    from confluent_kafka.avro.serializer import SerializerError
    from confluent_kafka.avro.serializer.message_serializer import MessageSerializer

    person, room, message, _ = told
    values = MessageSerializer(CachedSchemaRegistryClient({"url": urls[0]}))
    consumer = Consumer({"bootstrap.servers": stack.bootstrap(), "group.id": "analytics", "enable.auto.commit": False,
                         "enable.partition.eof": True})
    partitions = log.topics(stack.bootstrap())["rooms.events"]
    consumer.assign([TopicPartition("rooms.events", partition, OFFSET_BEGINNING) for partition in range(partitions)])
    found, ended = [], set()

    def is_read():
        record = consumer.poll(0.5)
        if record and record.error():
            ended.add(record.partition())
        elif record and record.key() == room.encode():
            try:
                found.append(values.decode_message(record.value()))
            except SerializerError as error:
                raise AssertionError(record.value()) from error
        return len(ended) == partitions

    try:
        wait_until(is_read, 60, "the end of rooms.events", pause=0)
    finally:
        consumer.close()
    created, said = found
    assert str(created["room_id"]) == room and str(created["meta"]["actor"]) == person.user["id"]
    assert (str(said["message_id"]), said["seq"]) == (message["id"], 1)
