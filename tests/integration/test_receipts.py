"""How far people have read, and what they have not: right to the unit, whatever comes in which order."""

import random
import re

import pytest

from stack import wait_until


def mark(person, room, seq):
    answer = person.request("PUT", f"/rooms/{room}/read", {"seq": seq})
    assert answer.status == 204, answer
    assert re.fullmatch(r"receipts/\d+@\d+", answer.headers["Aether-Position"])


def unread(person, room):
    one = person.get(f"/rooms/{room}").json
    return one["unreadCount"]


def becomes(person, room, count):
    wait_until(lambda: unread(person, room) == count, 5, f"{count} unread", pause=0.02)


def test_what_others_say_is_unread_until_it_is_read(ada, ben, room):
    assert unread(ben, room) == 0
    said = [ada.say(room, f"line {i}") for i in range(4)]
    assert (unread(ben, room), unread(ada, room)) == (4, 0), "one's own are read"
    mark(ben, room, 3)
    becomes(ben, room, 1)
    ada.insist("DELETE", f"/messages/{said[3]['id']}")
    assert unread(ben, room) == 0, "what is gone need not be read"
    ada.insist("DELETE", f"/messages/{said[0]['id']}")
    assert unread(ben, room) == 0, "nor counts what was read before"
    listed = next(r for r in ben.get("/rooms?scope=mine&limit=100").json["items"] if r["id"] == room)
    assert (listed["unreadCount"], listed["role"], listed["lastMessage"]["seq"]) == (0, "member", 4)


def test_the_newest_word_counts_also_when_it_goes_back(ada, ben, room):
    for i in range(5):
        ada.say(room, f"line {i}")
    for seq in (5, 1, 4, 2):
        mark(ben, room, seq)
    becomes(ben, room, 3)
    mark(ben, room, 10**15)
    becomes(ben, room, 0)
    assert ada.say(room, "one more")["seq"] == 6
    assert unread(ben, room) == 1, "a number that nobody has used yet reads nothing in advance"


def test_who_has_seen_what_is_told_in_small_rooms(ada, ben, eve, room):
    ada.say(room, "Ready?")
    mark(ben, room, 1)
    becomes(ben, room, 0)
    seen = {s["userId"]: s["seq"] for s in ada.get(f"/rooms/{room}/read").json["items"]}
    assert seen == {ada.user["id"]: 1, ben.user["id"]: 1}
    for answer in (eve.get(f"/rooms/{room}/read"), eve.request("PUT", f"/rooms/{room}/read", {"seq": 1})):
        assert (answer.status, answer.code) == (403, "not_a_member"), answer
    answer = ben.request("PUT", f"/rooms/{room}/read", {"seq": -1})
    assert answer.status == 400 and answer.json["errors"][0]["field"] == "seq"


@pytest.mark.parametrize("seed", [1, 2])
def test_unread_counts_are_right_for_any_interleaving(people, seed):
    """Against a model: who has which messages before them."""
    chance = random.Random(seed)
    them = people[9:12]
    room = them[0].room("Mixed")
    for person in them[1:]:
        person.join(room)
    senders, gone, marks = {}, set(), {p: 0 for p in them}
    for _ in range(60):
        person, what = chance.choice(them), chance.random()
        if what < 0.5:
            message = person.say(room, "x")
            senders[message["seq"]] = (person, message["id"])
            marks[person] = max(marks[person], message["seq"])
        elif what < 0.65 and senders:
            seq = chance.choice(sorted(senders))
            sender, message = senders[seq]
            if seq not in gone:
                assert sender.insist("DELETE", f"/messages/{message}").status == 204
                gone.add(seq)
        elif senders:
            seq = chance.randint(marks[person], max(senders))
            mark(person, room, seq)
            marks[person] = seq
    for person in them:
        expected = sum(seq > marks[person] and seq not in gone for seq in senders)
        becomes(person, room, expected)
