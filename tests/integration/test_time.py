"""Reads at a position, as of a moment, around a number; messages that are said later, and that do not stay."""

import re
import time

from client import Person, later
from conftest import HASTY_MS
from stack import wait_until


def get(person, path, after):
    return person.get(path, headers={"Aether-After": after})


def test_a_read_waits_for_the_position_it_names(ada, ben, room):
    for i in range(10):
        answer = ada.insist("POST", f"/rooms/{room}/messages", {"body": f"line {i}"})
        page = get(ben, f"/rooms/{room}/messages?limit=1", answer.headers["Aether-Position"])
        assert page.status == 200 and page.json["items"] == [answer.json]
        read = ben.request("PUT", f"/rooms/{room}/read", {"seq": answer.json["seq"]})
        seen = get(ben, f"/rooms/{room}", read.headers["Aether-Position"])
        assert seen.json["unreadCount"] == 0, "not even a receipt that is folded later"


def test_a_position_that_does_not_come_is_503_at_the_deadline(ada, hasty, room):
    position = ada.insist("POST", f"/rooms/{room}/messages", {"body": "x"}).headers["Aether-Position"]
    began = time.monotonic()
    answer = get(hasty, f"/rooms/{room}/messages", re.sub(r"@\d+", "@99999999", position))
    assert (answer.status, answer.code) == (503, "unavailable") and answer.headers["Retry-After"], answer
    assert HASTY_MS / 1000 * 0.8 < time.monotonic() - began < HASTY_MS / 1000 + 5
    for wrong in ("rooms/0", "rooms/0@", "rooms/0@1x", "others/0@1", "rooms/-1@1"):
        answer = get(ada, f"/rooms/{room}/messages", wrong)
        assert (answer.status, answer.code) == (400, "bad_header"), answer
        assert answer.json["errors"][0]["field"] == "Aether-After"


def test_a_page_around_a_number_has_both_sides(ada, room):
    for i in range(12):
        ada.say(room, f"line {i}")
    assert [m["seq"] for m in ada.page(room, around=6, limit=5)["items"]] == [4, 5, 6, 7, 8]
    assert [m["seq"] for m in ada.page(room, around=1, limit=4)["items"]] == [1, 2, 3, 4]
    assert [m["seq"] for m in ada.page(room, around=12, limit=4)["items"]] == [10, 11, 12]
    answer = ada.get(f"/rooms/{room}/messages?around=3&before=5")
    assert (answer.status, answer.code) == (400, "bad_query")


def test_a_page_as_of_a_moment_has_the_texts_of_then_for_who_may_read_them(ada, ben, eve, room):
    eve.join(room)
    first, second = (ben.insist("POST", f"/rooms/{room}/messages", {"body": body}) for body in ("one", "two"))
    then = second.json["postedAt"]
    wait_until(lambda: later(0) > then, 5, "a later millisecond")
    edit = ben.insist("PUT", f"/messages/{first.json['id']}", {"body": "uno"})
    ben.say(room, "three")
    ben.insist("DELETE", f"/messages/{second.json['id']}")

    def texts(person, moment):
        return [m["body"] for m in person.page(room, asOf=moment)["items"]]

    assert texts(ada, later(0)) == ["uno", "", "three"]
    assert texts(ada, first.headers["Aether-Position"]) == ["one"]
    assert texts(ada, second.headers["Aether-Position"]) == ["one", "two"], "who moderates reads what was deleted since"
    assert texts(ben, second.headers["Aether-Position"]) == ["one", "two"], "and who said it"
    assert texts(eve, second.headers["Aether-Position"]) == ["uno", ""], "others read what is there now"
    for message in (first, second):
        versions = [person.get(f"/rooms/{room}/messages/{message.json['id']}/versions") for person in (ada, ben, eve)]
        assert [v.status for v in versions] == [200, 200, 403], "by the same rule"
    assert texts(ada, edit.headers["Aether-Position"]) == ["uno", "two"]
    assert texts(ada, then) == ["one", "two"], "to the millisecond"
    for wrong in ("yesterday", "rooms/99@1", "2026-13-01T00:00:00Z"):
        answer = ada.get(f"/rooms/{room}/messages?asOf={wrong}")
        assert (answer.status, answer.code) == (400, "bad_query"), answer


def test_a_message_for_later_comes_once_when_its_time_has_come(ada, ben, room):
    path = f"/rooms/{room}/messages"
    dropped = ben.insist("POST", path, {"body": "Never mind", "sendAt": later(3600)}).json
    assert dropped["id"] in {s["id"] for s in ben.get("/scheduled?limit=100").json["items"]}
    its_time = later(1)
    answer = ben.insist("POST", path, {"body": "Good morning", "sendAt": its_time})
    assert answer.status == 201 and "seq" not in answer.json
    assert ada.insist("DELETE", f"/rooms/{room}/scheduled/{dropped['id']}").code == "scheduled_not_found"
    assert ben.insist("DELETE", f"/rooms/{room}/scheduled/{dropped['id']}").status == 204
    wait_until(lambda: ada.page(room)["items"], 20, "the message")
    assert ada.say(room, "Is it?")["seq"] == 2
    said = ada.page(room)["items"]
    assert said[0]["postedAt"] >= its_time
    assert [(m["id"], m["body"], m["senderId"]) for m in said][0] == (answer.json["id"], "Good morning", ben.user["id"])
    assert [s for s in ben.get("/scheduled?limit=100").json["items"] if s["roomId"] == room] == []
    assert ben.insist("POST", path, {"body": "x", "sendAt": later(-5)}).json["errors"][0]["field"] == "sendAt"


def test_who_has_left_says_nothing_later(stack, ada, ben, room):
    message = ben.insist("POST", f"/rooms/{room}/messages", {"body": "Bye", "sendAt": later(3600)}).json["id"]
    assert ben.insist("POST", f"/rooms/{room}/leave").status == 204
    stack.sql("UPDATE messages.scheduled SET send_at = now() WHERE message_id = %s", (message,))
    wait_until(lambda: not [s for s in ben.get("/scheduled?limit=100").json["items"] if s["roomId"] == room], 15, "it was given up")
    assert ada.page(room)["items"] == []


def scheduled(person, room):
    return [s for s in person.get("/scheduled?limit=100").json["items"] if s["roomId"] == room]


def test_what_a_suspended_person_had_scheduled_is_not_said_and_says_so(stack, urls, ada, ben, admin, room):
    person = Person(urls)
    person.register()
    person.join(room)
    path, account = f"/rooms/{room}/messages", f"/admin/users/{person.user['id']}"
    assert person.insist("POST", path, {"body": "Spam", "sendAt": later(3600)}).status == 201
    assert ben.insist("POST", path, {"body": "Hello", "sendAt": later(3600)}).status == 201
    assert "withheldAt" not in scheduled(person, room)[0]
    assert admin.insist("POST", account + "/suspend", {"reason": "spam"}).status == 200
    stack.sql("UPDATE messages.scheduled SET send_at = now() WHERE room_id = %s", (room,))
    wait_until(lambda: ada.page(room)["items"], 15, "what Ben had to say")
    wait_until(lambda: stack.sql("SELECT count(withheld_at) FROM messages.scheduled WHERE room_id = %s", (room,)) == [(1,)], 15, "withheld")
    assert admin.insist("POST", account + "/reinstate").status == 200
    person.login()
    kept = scheduled(person, room)
    assert [(s["body"], "withheldAt" in s) for s in kept] == [("Spam", True)]
    assert ada.say(room, "next")["seq"] == 2, "it was not said"
    assert person.insist("DELETE", f"/rooms/{room}/scheduled/{kept[0]['id']}").status == 204
    assert scheduled(person, room) == []


def test_what_an_erased_person_had_scheduled_does_not_stop_others(stack, urls, ada, ben, room):
    person = Person(urls)
    person.register()
    person.join(room)
    path = f"/rooms/{room}/messages"
    assert person.insist("POST", path, {"body": "Gone", "sendAt": later(3600)}).status == 201
    assert ben.insist("POST", path, {"body": "Hello", "sendAt": later(3600)}).status == 201
    wrapped = stack.sql("SELECT wrapped FROM vault.keys WHERE subject = %s", (person.user["id"],))[0][0]
    stack.sql("UPDATE vault.keys SET wrapped = NULL, erased_at = now() WHERE subject = %s", (person.user["id"],))
    with stack.without("messages"):  # which have the key in memory
        stack.sql("UPDATE messages.scheduled SET send_at = now() - '1 minute'::interval * (sender_id = %s)::int WHERE room_id = %s",
                  (person.user["id"], room))
    wait_until(lambda: [m["body"] for m in ada.page(room)["items"]] == ["Hello"], 30, "what Ben had to say")
    wait_until(lambda: stack.sql("SELECT count(*) FROM messages.scheduled WHERE room_id = %s", (room,)) == [(0,)], 15, "nothing waits")
    # So that a rebuild gives the rows that are there.
    stack.sql("UPDATE vault.keys SET wrapped = %s, erased_at = NULL WHERE subject = %s", (wrapped, person.user["id"]))


def test_a_person_schedules_so_many_and_in_slow_mode_apart(stack, ada, ben, room):
    path = f"/rooms/{room}/messages"
    other = ada.room("Elsewhere")
    ben.join(other)
    first = ben.insist("POST", path, {"body": "one", "sendAt": later(3600)})
    assert first.status == 201
    stack.sql("INSERT INTO messages.scheduled (message_id, room_id, sender_id, partition, send_at, scheduled_at, reply_to, mentions_room,"
              " mentions, body) SELECT gen_random_uuid(), %s, %s, 99, now() + '1 day', now(), 0, false, '', 'x' FROM generate_series(1, 99)",
              (ada.user["id"], ben.user["id"]))  # in a room that is none: only their number counts
    answer = ben.insist("POST", f"/rooms/{other}/messages", {"body": "two", "sendAt": later(3600)})
    assert (answer.status, answer.code) == (409, "too_many_scheduled"), answer
    stack.sql("DELETE FROM messages.scheduled WHERE partition = 99")
    assert ada.insist("PATCH", f"/rooms/{room}", {"slowModeSeconds": 600}).status == 200
    for seconds, status in ((3600 + 540, 429), (3600 - 540, 429), (3600 + 700, 201), (3600 - 700, 201)):
        assert ben.request("POST", path, {"body": "later", "sendAt": later(seconds)}).status == status, seconds
    for item in scheduled(ben, room):
        assert ben.insist("DELETE", f"/rooms/{room}/scheduled/{item['id']}").status == 204


def test_what_has_had_its_time_is_deleted(stack, ada, ben, room):
    answer = ada.insist("PATCH", f"/rooms/{room}", {"timeToLiveSeconds": 60})
    assert answer.json["timeToLiveSeconds"] == 60
    message = ben.say(room, "for a minute")
    stack.sql(f"UPDATE messages.expiring SET expires_at = now() WHERE message_id = '{message['id']}'")
    wait_until(lambda: "deletedAt" in ada.page(room)["items"][0], 10, "deleted")
    gone = ada.page(room)["items"][0]
    assert (gone["seq"], gone["body"]) == (1, "")
    for person in (ada, ben):
        assert [v["body"] for v in person.get(f"/rooms/{room}/messages/{message['id']}/versions").json["items"]] == [""]
        assert person.page(room, asOf=message["postedAt"])["items"][0]["body"] == ""
    assert stack.sql(f"SELECT count(*) FROM messages.expiring WHERE message_id = '{message['id']}'") == [(0,)]
