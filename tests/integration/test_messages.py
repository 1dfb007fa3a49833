"""What becomes of a message after it was posted: edits, deletes, threads, reactions, pins, mentions, forwarding."""

import urllib.parse

import client
import pytest

THUMB, FLAG, FAMILY = "👍", "🇦🇹", "👨‍👩‍👧‍👦"


def at(message, what=""):
    return f"/rooms/{message['roomId']}/messages/{message['id']}{what}"


def reaction(message, emoji):
    return at(message, "/reactions/" + urllib.parse.quote(emoji))


def send(person, method, path, body=None, status=204, **options):
    answer = person.insist(method, path, body, **options)
    assert answer.status == status, answer
    return answer


def refused(person, method, path, status, code, body=None, **options):
    answer = person.insist(method, path, body, **options)
    assert (answer.status, answer.code) == (status, code), answer


def read(person, message):
    """The message in the newest page, as everybody reads it."""
    return next(m for m in person.page(message["roomId"], limit=100)["items"] if m["seq"] == message["seq"])


def test_an_edit_is_read_at_once_and_what_was_said_before_is_kept(ada, ben, eve, room):
    message = ben.say(room, "Helo")
    assert ada.page(room)["items"] == [message]
    edited = send(ben, "PUT", at(message), {"body": "Hello"}, 200)
    assert (edited.json["body"], edited.json["version"], edited.headers["ETag"]) == ("Hello", 2, '"2"')
    assert read(ada, message) == edited.json == ben.get(at(message)).json
    send(ben, "PUT", f"/messages/{message['id']}", {"body": "Hello!"}, 200)
    assert read(ada, message)["body"] == "Hello!"
    versions = ada.get(at(message, "/versions")).json["items"]
    assert [(v["version"], v["body"]) for v in versions] == [(1, "Helo"), (2, "Hello"), (3, "Hello!")]
    refused(ada, "PUT", at(message), 403, "not_the_sender", {"body": "Bye"})
    refused(eve, "PUT", at(message), 403, "not_a_member", {"body": "Bye"})


def test_an_edit_of_what_one_has_not_seen_is_refused(ben, room):
    message = ben.say(room, "one")
    etag = ben.get(at(message)).headers["ETag"]
    send(ben, "PUT", at(message), {"body": "two"}, 200, headers={"If-Match": etag})
    refused(ben, "PUT", at(message), 412, "version_conflict", {"body": "three"}, headers={"If-Match": etag})


def test_a_deleted_message_leaves_its_number(ada, ben, room):
    said = [ben.say(room, f"line {i}") for i in range(3)]
    ada.page(room)
    send(ben, "DELETE", at(said[1]))
    gone = read(ada, said[1])
    assert (gone["seq"], gone["body"], bool(gone["deletedAt"])) == (2, "", True)
    assert [m["seq"] for m in ada.page(room)["items"]] == [1, 2, 3]
    refused(ben, "DELETE", at(said[1]), 410, "message_deleted")
    refused(ben, "PUT", at(said[1]), 410, "message_deleted", {"body": "back"})
    assert [v["body"] for v in ada.get(at(said[1], "/versions")).json["items"]] == ["line 1"], "who moderates still reads it"
    send(ada, "DELETE", f"/messages/{said[2]['id']}")
    assert ben.say(room, "next")["seq"] == 4


def test_others_versions_are_for_who_moderates(ada, ben, eve, room):
    eve.join(room)
    message = ada.say(room, "secret")
    refused(eve, "GET", at(message, "/versions"), 403, "room_role_required")
    assert [v["body"] for v in ada.get(at(message, "/versions")).json["items"]] == ["secret"]


def test_a_thread_gathers_replies_to_replies(ada, ben, room):
    root = ada.say(room, "Who is for tea?")
    ben.say(room, "Nice weather")
    first = send(ben, "POST", f"/rooms/{room}/messages", {"body": "Me", "replyTo": root["seq"]}, 201).json
    second = send(ada, "POST", f"/rooms/{room}/messages", {"body": "Milk?", "replyTo": first["seq"]}, 201).json
    assert (first["replyTo"], first["thread"], second["replyTo"], second["thread"]) == (1, 1, 3, 1)
    assert read(ben, root)["replyCount"] == 2
    for of in (root, second):
        assert [m["seq"] for m in ben.get(at(of, "/thread")).json["items"]] == [3, 4]
    page = ben.get(at(root, "/thread?limit=1")).json
    rest = ben.get(at(root, f"/thread?limit=1&cursor={page['nextCursor']}")).json
    assert [m["seq"] for m in page["items"] + rest["items"]] == [3, 4]
    refused(ada, "POST", f"/rooms/{room}/messages", 404, "message_not_found", {"body": "?", "replyTo": 99})
    ada.page(room)  # from here on the root is in the cache as well
    send(ada, "DELETE", at(second))
    assert read(ben, root)["replyCount"] == 1
    assert ben.page(room)["items"][0]["replyCount"] == 1, "nor is it counted where the page comes from the cache"
    send(ben, "DELETE", at(first))
    assert "replyCount" not in ben.page(room)["items"][0]


def test_reactions_are_one_of_each_person_and_emoji(ada, ben, eve, room):
    message = ada.say(room, "Done!")
    ada.page(room)
    for person, emoji in ((ben, THUMB), (ada, THUMB), (ben, FAMILY), (ben, FLAG)):
        send(person, "PUT", reaction(message, emoji))
    send(ben, "PUT", reaction(message, THUMB))  # there already
    shown = read(ada, message)["reactions"]
    assert [(r["emoji"], r["count"]) for r in shown] == [(THUMB, 2), (FAMILY, 1), (FLAG, 1)]
    assert shown[0]["userIds"] == [ben.user["id"], ada.user["id"]]
    send(ben, "DELETE", reaction(message, THUMB))
    assert [(r["emoji"], r["count"]) for r in read(ada, message)["reactions"]] == [(THUMB, 1), (FAMILY, 1), (FLAG, 1)]
    refused(eve, "PUT", reaction(message, THUMB), 403, "not_a_member")
    for wrong in ("a", "7", THUMB + FLAG, " "):
        refused(ben, "PUT", reaction(message, wrong), 400, "bad_path")


def test_a_message_has_a_bounded_number_of_reactions(people, room):
    ada, ben, *others = people[:6]
    for person in others:
        person.join(room)
    message = ada.say(room, "What do you think?")
    emojis = [chr(0x1F600 + i) for i in range(24)]
    for i, emoji in enumerate(emojis[:20]):
        send(people[i // 5], "PUT", reaction(message, emoji))
    refused(ada, "PUT", reaction(message, emojis[20]), 409, "too_many_reactions")
    refused(people[4], "PUT", reaction(message, emojis[20]), 409, "too_many_emojis")
    send(people[4], "PUT", reaction(message, emojis[0]))
    send(ada, "PUT", reaction(message, emojis[0]))  # has reacted so already
    send(ada, "DELETE", reaction(message, emojis[1]))
    send(people[4], "PUT", reaction(message, emojis[20]))
    assert [(r["emoji"], r["count"]) for r in read(ben, message)["reactions"]][:2] == [(emojis[0], 2), (emojis[2], 1)]
    assert len(read(ben, message)["reactions"]) == 20


@pytest.mark.parametrize("text", ["x", "\u2764", "\U0001F408\u200D\U0001F355", "\U0001F1FD\U0001F1FD", THUMB * 2])
def test_what_is_no_emoji_of_the_list_is_no_reaction(ada, room, text):
    answer = ada.request("PUT", reaction(ada.say(room, "hi"), text))
    assert (answer.status, answer.code, answer.json["errors"][0]["field"]) == (400, "bad_path", "emoji"), answer


BLANK = ["  ", "\n\t", "\u200b\ufeff", "\u3164 \u00ad", "\U000E0061\ufe0f"]


@pytest.mark.parametrize("text", BLANK)
def test_nothing_to_see_is_no_message_no_name_and_no_topic(ada, room, text):
    message = ada.say(room, "hi")
    path = f"/rooms/{room}"
    for method, where, body, field in (("POST", path + "/messages", {"body": text}, "body"),
                                       ("POST", path + "/messages", {"body": text, "sendAt": client.later(3600)}, "body"),
                                       ("POST", "/messages", {"body": text, "roomId": room}, "body"),
                                       ("PUT", at(message), {"body": text}, "body"),
                                       ("POST", "/rooms", {"name": text}, "name"),
                                       ("PATCH", path, {"name": text}, "name"),
                                       ("PATCH", path, {"topic": text}, "topic"),
                                       ("PATCH", path, {"description": text}, "description")):
        answer = ada.request(method, where, body)
        assert (answer.status, answer.code, answer.json["errors"][0]["field"]) == (400, "invalid_body", field), (where, answer)
    assert send(ada, "PATCH", path, {"topic": ""}, 200)
    assert [m["body"] for m in ada.page(room)["items"]] == ["hi"]


def test_a_blank_message_of_old_is_not_forwarded(stack, ada, room):
    message = ada.say(room, "hi")
    stack.sql("UPDATE messages.messages SET body = ' ' WHERE message_id = %s", (message["id"],))
    refused(ada, "POST", at(message, "/forward"), 409, "blank_message", {"roomId": ada.room("Elsewhere")})
    stack.sql("UPDATE messages.messages SET body = 'hi' WHERE message_id = %s", (message["id"],))  # as a rebuild makes it


def test_pins_are_listed_newest_first(ada, ben, room):
    said = [ben.say(room, f"line {i}") for i in range(3)]
    for message in (said[0], said[2]):
        send(ada, "PUT", at(message, "/pin"))
    assert [m["seq"] for m in ben.get(f"/rooms/{room}/pins").json["items"]] == [3, 1]
    assert read(ben, said[0])["pinnedAt"]
    send(ada, "DELETE", at(said[0], "/pin"))
    assert [m["seq"] for m in ben.get(f"/rooms/{room}/pins").json["items"]] == [3]
    assert "pinnedAt" not in read(ben, said[0])
    refused(ben, "PUT", at(said[1], "/pin"), 403, "room_role_required")


def test_who_is_named_is_known(ada, ben, eve, room):
    body = f"@{ben.username.upper()}, see @{eve.username} and @nobody-at-all; write to x@{ben.username}.org. (@{ada.username}.)"
    message = ada.say(room, body)
    assert set(message["mentions"]) == {ada.user["id"], ben.user["id"]}, "members only, whatever the case"
    assert ada.say(room, "@room lunch")["mentionsRoom"] is True
    edited = send(ada, "PUT", at(message), {"body": f"@{ben.username} only"}, 200).json
    assert edited["mentions"] == [ben.user["id"]] == read(ben, message)["mentions"]


def test_whoever_names_more_than_twenty_names_nobody(ada, ben, room):
    assert ada.say(room, f"@{ben.username} " * 20)["mentions"] == [ben.user["id"]]
    assert "mentions" not in ada.say(room, f"@{ben.username} " * 21)


def test_a_forwarded_message_names_who_said_it_first(ada, ben, eve, room):
    message = ben.say(room, "It works")
    other, third = ada.room("Elsewhere"), ada.room("Further")
    copy = send(ada, "POST", at(message, "/forward"), {"roomId": other}, 201).json
    again = send(ada, "POST", at(copy, "/forward"), {"roomId": third}, 201).json
    assert copy["body"] == again["body"] == "It works" and copy["senderId"] == ada.user["id"]
    assert copy["forwarded"] == again["forwarded"] == {"roomId": room, "messageId": message["id"], "senderId": ben.user["id"]}
    assert read(ada, copy) == copy
    refused(eve, "POST", at(message, "/forward"), 403, "not_a_member", {"roomId": other})
    refused(ben, "POST", at(message, "/forward"), 403, "not_a_member", {"roomId": other})


def test_a_message_of_another_room_is_not_found(ada, ben, eve, room):
    message = ada.say(room, "here")
    other = ada.room("Elsewhere")
    assert ada.get(f"/rooms/{other}/messages/{message['id']}").code == "message_not_found"
    hidden = ada.say(ada.room("Cabin", kind="private"), "hush")
    for answer in (eve.get(at(hidden)), eve.insist("PUT", at(hidden), {"body": "?"}), eve.insist("DELETE", f"/messages/{hidden['id']}")):
        assert (answer.status, answer.code) == (404, "message_not_found"), answer


def test_single_messages_of_a_public_room_are_for_members(ada, eve, room):
    message = ada.say(room, "here")
    for path in (at(message), at(message, "/versions"), at(message, "/thread"), f"/rooms/{room}/messages", f"/rooms/{room}/pins"):
        answer = eve.get(path)
        assert (answer.status, answer.code) == (403, "not_a_member"), (path, answer)
    for method, path in (("PUT", at(message)), ("DELETE", at(message)), ("PUT", reaction(message, THUMB)), ("PUT", at(message, "/pin"))):
        refused(eve, method, path, 403, "not_a_member", {"body": "?"} if path == at(message) and method == "PUT" else None)


@pytest.mark.parametrize("character", ["a", "é", "e\u0301", THUMB, FAMILY])
def test_a_text_has_4000_characters_as_people_count_them(ada, room, character):
    most = 4000 if len(character) < 3 else 900  # longer ones meet the largest body first
    assert send(ada, "POST", f"/rooms/{room}/messages", {"body": character * most}, 201)
    answer = ada.insist("POST", f"/rooms/{room}/messages", {"body": character * 4001})
    assert answer.status == (400 if most == 4000 else 413), answer


def test_a_text_is_stored_in_normalisation_form_c(ada, ben, room):
    message = ada.say(room, "Ame\u0301lie <b>&amp;</b>")
    assert message["body"] == "Am\u00e9lie <b>&amp;</b>" == read(ben, message)["body"]
