"""Rooms and their members: settings, roles, invitations, bans, direct conversations."""

import datetime
import uuid

import pytest

from client import Client


def send(person, method, path, body=None, status=204, **options):
    answer = person.insist(method, path, body, **options)
    assert answer.status == status, answer
    return answer


def refused(person, method, path, status, code, body=None, **options):
    answer = person.insist(method, path, body, **options)
    assert (answer.status, answer.code) == (status, code), answer


def role_of(person, room, other):
    members = person.get(f"/rooms/{room}/members?limit=100").json["items"]
    return next((m["role"] for m in members if m["userId"] == other.user["id"]), None)


def test_an_admin_changes_a_room_and_everybody_sees_it(ada, ben, room):
    answer = send(ada, "PATCH", f"/rooms/{room}", {"name": "Bridge", "topic": "Steam", "slowModeSeconds": 5}, 200)
    assert (answer.json["name"], answer.json["topic"], answer.json["slowModeSeconds"]) == ("Bridge", "Steam", 5)
    seen = ben.get(f"/rooms/{room}")
    assert (seen.json["name"], seen.json["topic"]) == ("Bridge", "Steam")
    assert seen.headers["ETag"] == answer.headers["ETag"] == '"2"'
    send(ada, "PATCH", f"/rooms/{room}", {"topic": None, "slowModeSeconds": 0}, 200)
    assert "topic" not in ben.get(f"/rooms/{room}").json and ben.get(f"/rooms/{room}").json["name"] == "Bridge"
    refused(ben, "PATCH", f"/rooms/{room}", 403, "room_role_required", {"name": "Mine"})


def test_of_two_admins_at_once_the_second_is_told(ada, room):
    etag = ada.get(f"/rooms/{room}").headers["ETag"]
    send(ada, "PATCH", f"/rooms/{room}", {"name": "First"}, 200, headers={"If-Match": etag})
    refused(ada, "PATCH", f"/rooms/{room}", 412, "version_conflict", {"name": "Second"}, headers={"If-Match": etag})
    assert ada.get(f"/rooms/{room}").json["name"] == "First"
    send(ada, "PATCH", f"/rooms/{room}", {"name": "Second"}, 200, headers={"If-Match": "*"})


@pytest.mark.parametrize("body, field", [({}, None), ({"slowModeSeconds": -1}, "slowModeSeconds"), ({"name": ""}, "name"),
                                         ({"timeToLiveSeconds": 59}, "timeToLiveSeconds"), ({"kind": "private"}, "kind"),
                                         ({"archived": 1}, "archived"), ({"name": None}, "name")])
def test_a_change_that_is_none_is_refused_and_names_the_field(ada, room, body, field):
    answer = ada.insist("PATCH", f"/rooms/{room}", body)
    assert answer.status == 400 and answer.code == "invalid_body", answer
    assert field is None or [e["field"] for e in answer.json["errors"]] == [field]
    assert ada.get(f"/rooms/{room}").headers["ETag"] == '"1"'


def test_an_archived_room_is_read_and_nothing_else(ada, ben, eve, room):
    message = ben.say(room, "last words")
    send(ada, "PATCH", f"/rooms/{room}", {"archived": True}, 200)
    assert ben.get(f"/rooms/{room}").json["archivedAt"]
    refused(ben, "POST", f"/rooms/{room}/messages", 409, "room_archived", {"body": "one more"})
    refused(eve, "POST", f"/rooms/{room}/join", 409, "room_archived")
    assert ben.page(room)["items"] == [message]
    send(ada, "PATCH", f"/rooms/{room}", {"archived": False}, 200)
    assert ben.say(room, "hello again")["seq"] == 2


def test_roles_are_given_from_above(ada, ben, eve, room):
    eve.join(room)
    them = {p: p.user["id"] for p in (ada, ben, eve)}
    send(ada, "PUT", f"/rooms/{room}/members/{them[ben]}/role", {"role": "admin"})
    send(ben, "PUT", f"/rooms/{room}/members/{them[eve]}/role", {"role": "readOnly"})
    assert (role_of(ada, room, ben), role_of(ada, room, eve)) == ("admin", "readOnly")
    refused(eve, "POST", f"/rooms/{room}/messages", 403, "read_only_member", {"body": "?"})
    refused(ben, "PUT", f"/rooms/{room}/members/{them[ada]}/role", 403, "room_role_required", {"role": "member"})
    send(ada, "POST", f"/rooms/{room}/transfer", {"userId": them[ben]})
    assert (role_of(ada, room, ben), role_of(ada, room, ada)) == ("owner", "admin")
    refused(ben, "POST", f"/rooms/{room}/leave", 409, "owner_must_transfer")
    send(ada, "POST", f"/rooms/{room}/leave")
    assert ada.get(f"/rooms/{room}/messages").code == "not_a_member"


def test_who_is_sent_away_sees_nothing_more_and_who_is_banned_stays_out(ada, ben, room):
    ada.say(room, "before")
    who = ben.user["id"]
    assert ben.page(room)["items"]
    send(ada, "POST", f"/rooms/{room}/members/{who}/kick", {"reason": "Advertising"})
    assert ben.get(f"/rooms/{room}/messages").code == "not_a_member"
    ben.join(room)
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    send(ada, "PUT", f"/rooms/{room}/bans/{who}", {"reason": "Again", "until": later.strftime("%Y-%m-%dT%H:%M:%SZ")})
    refused(ben, "POST", f"/rooms/{room}/join", 403, "banned")
    refused(ben, "POST", f"/rooms/{room}/messages", 403, "not_a_member", {"body": "?"})
    listed = ada.get(f"/rooms/{room}/bans").json["items"]
    assert [(b["userId"], b["reason"], bool(b["until"])) for b in listed] == [(who, "Again", True)]
    send(ada, "DELETE", f"/rooms/{room}/bans/{who}")
    ben.join(room)
    assert ada.get(f"/rooms/{room}").json["memberCount"] == 2


def test_a_private_room_is_entered_by_invitation(ada, ben, eve):
    room = ada.room("Cabin", kind="private")
    invitation = f"/rooms/{room}/invitations/{ben.user['id']}"
    send(ada, "PUT", invitation)
    send(ada, "PUT", invitation)  # once is enough
    assert room in [i["roomId"] for i in ben.get("/invitations?limit=100").json["items"]]
    assert [i["userId"] for i in ada.get(f"/rooms/{room}/invitations").json["items"]] == [ben.user["id"]]
    refused(eve, "POST", f"/rooms/{room}/invitations/accept", 404, "room_not_found")
    refused(ada, "PUT", f"/rooms/{room}/invitations/{uuid.uuid4()}", 404, "user_not_found")
    assert send(ben, "POST", f"/rooms/{room}/invitations/accept", status=200).json["memberCount"] == 2
    send(ada, "PUT", f"/rooms/{room}/invitations/{eve.user['id']}")
    send(eve, "DELETE", f"/rooms/{room}/invitations/{eve.user['id']}")
    refused(eve, "POST", f"/rooms/{room}/join", 404, "room_not_found")


def test_two_people_have_one_conversation_whoever_opens_it(people):
    ada, ben, eve = people[4], people[5], people[6]
    first = send(ada, "POST", "/messages", {"receiverId": ben.user["id"], "body": "Psst"}, 201).json
    second = send(ben, "POST", "/messages", {"receiverId": ada.user["id"], "body": "Yes?"}, 201).json
    assert first["roomId"] == second["roomId"] and (first["seq"], second["seq"]) == (1, 2)
    room = first["roomId"]
    opened = send(ada, "POST", "/rooms/direct", {"userId": ben.user["id"]}, 200).json
    assert (opened["id"], opened["kind"], opened["peerId"], opened["memberCount"]) == (room, "direct", ben.user["id"], 2)
    assert ben.get(f"/messages/{room}").json == ada.page(room)
    for answer in (eve.get(f"/rooms/{room}"), eve.get(f"/rooms/{room}/messages"), eve.insist("POST", f"/rooms/{room}/join")):
        assert answer.status == 404, answer
    refused(ada, "POST", f"/rooms/{room}/leave", 409, "direct_room")
    refused(ada, "POST", "/messages", 400, "invalid_body", {"receiverId": ada.user["id"], "body": "Me?"})
    refused(ada, "POST", "/messages", 404, "user_not_found", {"receiverId": str(uuid.uuid4()), "body": "You?"})
    refused(ada, "POST", "/messages", 400, "invalid_body", {"body": "Anybody?"})


def test_a_repeated_first_message_is_one_message(people):
    ada, ben = people[7], people[8]
    key = str(uuid.uuid4())
    answers = [ada.insist("POST", "/messages", {"receiverId": ben.user["id"], "body": "Hello"}, key=key) for _ in range(3)]
    assert [a.status for a in answers] == [201] * 3 and len({a.json["id"] for a in answers}) == 1
    assert [m["body"] for m in ben.page(answers[0].json["roomId"])["items"]] == ["Hello"]


def test_slow_mode_lets_plain_members_wait(ada, ben, room):
    send(ada, "PATCH", f"/rooms/{room}", {"slowModeSeconds": 3600}, 200)
    ben.say(room, "first")
    answer = ben.post(f"/rooms/{room}/messages", {"body": "second"})
    assert (answer.status, answer.code) == (429, "slow_mode"), answer
    assert [ada.say(room, "as much as I like")["seq"] for _ in range(2)] == [2, 3]
    send(ada, "PATCH", f"/rooms/{room}", {"slowModeSeconds": 0}, 200)
    assert ben.say(room, "second")["seq"] == 4


def test_at_each_bound_of_a_field_it_is_taken_and_beyond_it_is_not(ada, ben, room):
    path, ben_banned = f"/rooms/{room}", f"/rooms/{room}/bans/{ben.user['id']}"
    for method, where, field, most, one_more in (
            ("PATCH", path, "name", "é" * 100, "é" * 101), ("PATCH", path, "topic", "é" * 250, "é" * 251),
            ("PATCH", path, "description", "é" * 1000, "é" * 1001), ("PATCH", path, "slowModeSeconds", 21600, 21601),
            ("PATCH", path, "slowModeSeconds", 0, -1), ("PATCH", path, "timeToLiveSeconds", 31622400, 31622401),
            ("PATCH", path, "timeToLiveSeconds", 60, 59), ("PATCH", path, "timeToLiveSeconds", 0, -1),
            ("POST", "/rooms", "name", "é" * 100, "é" * 101), ("PUT", ben_banned, "reason", "é" * 500, "é" * 501)):
        answer = ada.request(method, where, {field: one_more})
        assert (answer.status, answer.code, answer.json["errors"][0]["field"]) == (400, "invalid_body", field), (field, answer)
        assert ada.insist(method, where, {field: most}).status in (200, 201, 204), field
    for query, status in (("limit=100", 200), ("limit=101", 400), ("limit=1", 200), ("limit=0", 400), ("after=0", 200), ("after=-1", 400)):
        assert ada.get(f"{path}/messages?{query}").status == status, query


def test_nobody_speaks_again_by_leaving_and_coming_back(ada, ben, room):
    path = f"/rooms/{room}"
    send(ada, "PATCH", path, {"slowModeSeconds": 3600}, 200)
    ben.say(room, "first")
    send(ben, "POST", path + "/leave")
    ben.join(room)
    answer = ben.post(path + "/messages", {"body": "second"})
    assert (answer.status, answer.code) == (429, "slow_mode"), answer
    send(ada, "PUT", f"{path}/members/{ben.user['id']}/role", {"role": "readOnly"})
    send(ben, "POST", path + "/leave")
    ben.join(room)
    assert role_of(ada, room, ben) == "readOnly"
    refused(ben, "POST", path + "/messages", 403, "read_only_member", {"body": "third"})
    send(ada, "PUT", f"{path}/bans/{ben.user['id']}", {})
    send(ada, "DELETE", f"{path}/bans/{ben.user['id']}")
    ben.join(room)
    assert role_of(ada, room, ben) == "readOnly"
    send(ada, "PUT", f"{path}/members/{ben.user['id']}/role", {"role": "member"})
    send(ada, "PATCH", path, {"slowModeSeconds": 0}, 200)
    assert ben.say(room, "fourth")["seq"] == 2


def test_without_a_token_nothing_of_a_room_is_told(urls, room):
    for method, path in (("PATCH", f"/rooms/{room}"), ("GET", f"/rooms/{room}/bans"), ("POST", f"/rooms/{room}/leave")):
        assert Client(urls).request(method, path, {} if method == "PATCH" else None).status == 401
