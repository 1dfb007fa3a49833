"""The live feed: what happens is told at once to who may see it; what is said over the socket is what is said over HTTP."""

import uuid

import pytest

import feed


def test_members_hear_a_message_as_it_stands_in_the_history(listen, ada, ben, room):
    heard = listen(ben)
    assert {"roomId": room, "number": 0} in heard.of("ready")[0]["rooms"]
    said = ada.say(room, "Land in sight: “¡tierra!” \\ \n")
    event = heard.event("message.posted", roomId=room)
    assert event["number"] == 1 and event["actorId"] == ada.user["id"] and event["position"].startswith("rooms/")
    assert event["data"] == said == ada.history(room)[0]


def test_strangers_hear_nothing_until_they_join(listen, ada, eve):
    room, other = ada.room(), ada.room()
    eve.join(other)
    heard = listen(eve)
    ada.say(room, "not for Eve")
    ada.say(other, "for Eve")
    heard.event("message.posted", roomId=other)
    assert heard.numbers(room) == []
    eve.join(room)
    heard.event("member.joined", roomId=room)
    ada.say(room, "welcome")
    heard.event("message.posted", roomId=room)
    assert heard.numbers(room) == [2]


def test_the_owner_of_a_new_room_hears_it_from_its_first_message_on(listen, ada):
    heard = listen(ada)
    room = ada.room()
    heard.event("room.created", roomId=room)
    for i in range(5):
        ada.say(room, f"{i}")
    heard.wait(lambda f: len(f.numbers(room)) == 5)
    assert heard.numbers(room) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("what", feed.REMOVALS)
def test_who_is_removed_sees_nothing_after_but_that(listen, ada, ben, room, what):
    heard = listen(ben)
    other = ada.room()
    ben.join(other)
    ada.say(room, "seen")
    heard.event("message.posted", roomId=room)
    assert feed.REMOVALS[what](ada, room, ben.user["id"]).status == 204
    heard.event(what, roomId=room)
    ada.say(room, "not seen")
    ada.say(other, "a sign that it would have come")
    heard.event("message.posted", roomId=other)
    assert len(heard.numbers(room)) == 1


def test_what_becomes_of_a_message_is_told_with_its_number(listen, ada, ben, room):
    heard = listen(ben)
    message = ada.say(room, "teh sea")["id"]
    assert ada.request("PUT", f"/messages/{message}", {"body": "the sea"}).status == 200
    edited = heard.event("message.edited", roomId=room, number=1)
    assert (edited["data"]["id"], edited["data"]["body"], edited["data"]["version"]) == (message, "the sea", 2)
    assert ada.request("DELETE", f"/messages/{message}").status in (200, 204)
    assert heard.event("message.deleted", roomId=room, number=1)["data"]["id"] == message


def test_reading_over_the_socket_is_told_the_room(hear, ada, ben, room):
    heard, reader = hear(ada), hear(ben)
    ada.say(room, "read me")
    assert reader.ask("read", "r", roomId=room, body={"seq": 1})["status"] in (200, 204)
    assert heard.event("message.read", roomId=room)["number"] == 1


def test_typing_is_told_once_in_a_while_and_only_to_members(hear, ada, ben, eve, room):
    heard, other = hear(ada), hear(eve)
    for _ in range(5):
        assert ben.post(f"/rooms/{room}/typing").status == 204
    assert ben.post(f"/rooms/{room}/typing").status == 204
    heard.event("typing", roomId=room, actorId=ben.user["id"])
    assert hear(ben).ask("typing", "t", roomId=room)["status"] == 204
    assert eve.post(f"/rooms/{room}/typing").status == 403
    mine = ada.room()
    eve.join(mine)
    ada.say(mine, "a sign that it would have come")
    other.event("message.posted", roomId=mine)
    heard.event("message.posted", roomId=mine)
    assert len(heard.of("typing")) == 1 and not other.of("typing")


# --- commands ---


def test_a_post_over_the_socket_is_a_post(hear, ada, ben, room):
    heard = hear(ben)
    key = str(uuid.uuid4())
    first = heard.ask("post", "1", roomId=room, body={"body": "over the socket"}, idempotencyKey=key)
    again = heard.ask("post", "2", roomId=room, body={"body": "over the socket"}, idempotencyKey=key)
    assert first["status"] == again["status"] == 201
    assert first["body"] == {**again["body"]} and again["headers"]["Idempotency-Replayed"] == "true"
    other = heard.ask("post", "3", roomId=room, body={"body": "something else"}, idempotencyKey=key)
    assert (other["status"], other["body"]["code"]) == (422, "idempotency_key_reused")
    assert [m["body"] for m in ada.history(room)] == ["over the socket"]


@pytest.mark.parametrize("message, status, code", [
    ("{", 400, "malformed_json"),
    ("[]", 400, "malformed_json"),
    ({"do": "dance"}, 400, "unknown_command"),
    ({"do": "post", "roomId": "x", "body": {"body": "x"}}, 400, "bad_path"),
    ({"do": "post", "roomId": str(uuid.uuid4()), "body": {"body": "x"}}, 404, "room_not_found"),
    ({"do": "post", "roomId": str(uuid.uuid4())}, 400, None),
    ({"do": "post", "roomId": str(uuid.uuid4()), "body": {"body": "x", "more": 1}}, 400, None),
])
def test_a_bad_command_is_answered_as_a_bad_request_would_be(hear, ada, message, status, code):
    heard = hear(ada)
    heard.send(message)
    reply = heard.event("reply")
    assert reply["status"] == status
    assert code in (None, reply["body"]["code"])
