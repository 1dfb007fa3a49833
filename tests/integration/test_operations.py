"""Writes whose outcome is not waited for, or not known in time."""

import re
import time
import uuid

from client import later
from conftest import HASTY_MS
from stack import wait_until

LOCATION = re.compile(r"/api/v1/operations/([0-9a-f-]{36})")


def ended(person, operation):
    answer = person.operation(operation)
    assert answer.status == 200, answer
    return answer.json if answer.json["status"] != "pending" else None


def accepted(answer):
    assert answer.status == 202, answer
    return LOCATION.fullmatch(answer.headers["Location"])[1]


def test_respond_async_is_answered_202_and_its_operation_ends(ada, room):
    answer = ada.request("POST", f"/rooms/{room}/messages", {"body": "no hurry"}, headers={"Prefer": "respond-async"})
    operation = accepted(answer)
    outcome = wait_until(lambda: ended(ada, operation), 10, "the operation ended")
    assert outcome["id"] == operation and outcome["status"] == "succeeded", outcome
    assert [m["body"] for m in ada.page(room)["items"]] == ["no hurry"]


def test_an_operation_that_was_rejected_says_why(eve, room):
    operation = accepted(eve.request("POST", f"/rooms/{room}/messages", {"body": "let me in"}, headers={"Prefer": "respond-async"}))
    outcome = wait_until(lambda: ended(eve, operation), 10, "the operation ended")
    assert outcome["status"] == "failed" and outcome["code"] == "not_a_member" and outcome["detail"], outcome


def shown_by(person, operation):
    """What came of it, by the operation and by its own URL."""
    outcome = wait_until(lambda: ended(person, operation), 10, "the operation ended")
    assert outcome["status"] == "succeeded", outcome
    return outcome.get("resource"), outcome["location"].removeprefix("/api/v1")


def test_the_resource_of_an_operation_is_what_its_own_url_gives(ada, ben, eve, room):
    eve.join(room)
    first = ada.say(room, "first")
    names = f"@{ben.username} and @room"

    def start(person, method, path, body=None):
        return accepted(person.request(method, path, body, headers={"Prefer": "respond-async"}))

    elsewhere = ada.room()
    path = f"/rooms/{room}/messages"
    at = f"{path}/{first['id']}"
    requests = [
        (ben, "POST", path, {"body": "an answer, " + names, "replyTo": first["seq"]}),
        (ada, "POST", at + "/forward", {"roomId": elsewhere}),
        (ada, "PUT", at, {"body": "worded anew, " + names}),
        (ada, "PUT", at + "/pin", None),
        (ben, "PUT", at + "/reactions/%F0%9F%91%8D", None),
        (ada, "POST", "/rooms", {"name": "Another", "kind": "private"}),
        (ada, "PATCH", f"/rooms/{room}", {"topic": "Tea", "timeToLiveSeconds": 3600}),
        (ben, "POST", "/rooms/direct", {"userId": eve.user["id"]}),
        (eve, "POST", f"/rooms/{elsewhere}/join", None),
        (ben, "PATCH", "/users/me", {"bio": "Tea"}),
    ]
    for person, method, url, body in requests:
        resource, location = shown_by(person, start(person, method, url, body))
        read = person.get(location)
        assert read.status == 200 and resource == read.json, (method, url, resource, read)
    shown = shown_by(ben, start(ben, "POST", path, {"body": names, "replyTo": first["seq"]}))[0]
    assert (shown["replyTo"], shown["thread"], shown["mentions"], shown["mentionsRoom"]) == (1, 1, [ben.user["id"]], True)
    scheduled, location = shown_by(ben, start(ben, "POST", path, {"body": "later", "sendAt": later(3600), "replyTo": 1}))
    assert scheduled in ben.get(location + "?limit=100").json["items"]
    assert ben.insist("DELETE", f"/rooms/{room}/scheduled/{scheduled['id']}").status == 204
    gone = start(ben, "POST", path, {"body": "said and taken back"})
    message = shown_by(ben, gone)[0]
    assert ben.insist("DELETE", f"{path}/{message['id']}").status == 204
    assert shown_by(ben, gone)[0]["body"] == "", "what is not there any more is not told"
    assert ben.insist("POST", f"/rooms/{room}/leave").status == 204
    assert shown_by(ben, gone)[0] is None, "nor what one may not see any more"


def test_an_operation_is_nobody_elses_business(ada, eve, room):
    operation = accepted(ada.request("POST", f"/rooms/{room}/messages", {"body": "private"}, headers={"Prefer": "respond-async"}))
    wait_until(lambda: ended(ada, operation), 10)
    assert eve.get(f"/operations/{operation}").status == 404


def test_the_outcome_of_a_write_that_was_waited_for_can_be_asked_for_too(ada, room):
    key = str(uuid.uuid4())
    ada.insist("POST", f"/rooms/{room}/messages", {"body": "hello"}, key=key)
    operation = accepted(ada.request("POST", f"/rooms/{room}/messages", {"body": "hello"}, headers={"Idempotency-Key": key, "Prefer": "respond-async"}))
    assert wait_until(lambda: ended(ada, operation), 10)["status"] == "succeeded"
    assert len(ada.history(room)) == 1


def test_past_the_deadline_a_write_is_202_and_happens_later(stack, mended, ada, hasty, room):
    with stack.paused(*stack.pids("messages")):
        started = time.monotonic()
        answer = hasty.request("POST", f"/rooms/{room}/messages", {"body": "late"})
        seconds = time.monotonic() - started
        operation = accepted(answer)
        assert HASTY_MS / 1000 * 0.8 < seconds < HASTY_MS / 1000 + 2, seconds
        assert ada.operation(operation).json["status"] == "pending"
    outcome = wait_until(lambda: ended(ada, operation), 60, "the operation ended")
    assert outcome["status"] == "succeeded"
    assert [m["body"] for m in ada.history(room)] == ["late"]


def test_a_deadline_holds_while_postgresql_is_away(stack, mended, ada, hasty, room):
    with stack.without("postgres"):
        started = time.monotonic()
        answer = hasty.request("POST", f"/rooms/{room}/messages", {"body": "no database"}, headers={"Idempotency-Key": "no-database-" + room})
        assert answer.status in (202, 503) and time.monotonic() - started < HASTY_MS / 1000 + 2, answer
        assert answer.status == 202 or answer.headers["Retry-After"]
        read = ada.get(f"/rooms/{room}/messages?limit=100&before=1000")
        assert read.status in (200, 503), read
    assert ada.insist("POST", f"/rooms/{room}/messages", {"body": "no database"}, key="no-database-" + room).status == 201
    assert [m["body"] for m in ada.history(room)] == ["no database"]


def test_without_a_broker_writes_are_503_or_202_and_reads_go_on(stack, mended, ada, hasty, room):
    ada.say(room, "before")
    with stack.without("kafka"):
        key = str(uuid.uuid4())
        answer = hasty.request("POST", f"/rooms/{room}/messages", {"body": "no broker"}, headers={"Idempotency-Key": key})
        assert answer.status in (202, 503), answer
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) > 0 and answer.json["retryable"] is True
        assert [m["body"] for m in ada.page(room)["items"]] == ["before"]
    assert ada.insist("POST", f"/rooms/{room}/messages", {"body": "no broker"}, key=key).status == 201
    assert [m["body"] for m in ada.history(room)] == ["before", "no broker"]


def test_outcomes_are_forgotten_after_their_time_a_few_blocks_at_once(stack, ada, room):
    mine = accepted(ada.request("POST", f"/rooms/{room}/messages", {"body": "of today"}, headers={"Prefer": "respond-async"}))
    assert wait_until(lambda: ended(ada, mine), 10)["status"] == "succeeded"
    fill = ("INSERT INTO messages.operations SELECT gen_random_uuid(), gen_random_uuid(), 0, 'filler', 0, n, '', convert_to(repeat('x', 900), 'UTF8'), "
            "now() - '{}'::interval FROM generate_series(1, {}) AS n")

    def blocks_read():
        return stack.sql("SELECT heap_blks_hit + heap_blks_read FROM pg_statio_user_tables WHERE schemaname = 'messages' AND relname = 'operations'")[0][0]

    def a_few_blocks_were_read():
        began, before = time.monotonic(), blocks_read()
        wait_until(lambda: blocks_read() >= before + 300, 60, "it goes on looking")
        looks = (time.monotonic() - began + 2) * len(stack.pids("messages"))  # one a second, told late
        return blocks_read() - before < looks * 150

    stack.sql("ALTER TABLE messages.operations SET (autovacuum_enabled = false)")  # it reads, too, and might help
    try:
        stack.sql(fill.format("169 hours", 2000))
        stack.sql(fill.format("1 minute", 12000))
        wait_until(lambda: stack.sql("SELECT count(*) FROM messages.operations WHERE at < now() - '168 hours'::interval")[0][0] == 0, 60, "they are gone")
        assert stack.sql("SELECT count(*) FROM messages.operations WHERE stream = 'filler'")[0][0] == 12000
        assert ended(ada, mine)["status"] == "succeeded"
        wait_until(a_few_blocks_were_read, 60, "a second's look reads a few of its 1,700 blocks")
    finally:
        stack.sql("ALTER TABLE messages.operations RESET (autovacuum_enabled)")
        stack.sql("DELETE FROM messages.operations WHERE stream = 'filler'")
