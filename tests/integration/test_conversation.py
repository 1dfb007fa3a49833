"""What people do: register, log in, make a room, join, post, read. The shapes are those of the API, to the letter."""

import base64
import json
import re
import time
import uuid

import pytest

from client import PASSWORD, Client, Person
from stack import wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
POSITION = re.compile(r"(accounts|sessions|rooms)/(\d+)@(\d+)")

USER = {"id": UUID7, "username": str, "email": str, "firstName": str, "lastName": str, "roles": list, "createdAt": TIME,
        **dict.fromkeys(("bio", "location", "website", "phone", "birthdate", "locale", "timeZone"), type(None))}
SESSION = {"user": dict, "accessToken": str, "refreshToken": str, "tokenType": str, "expiresIn": int}
ROOM = {"id": UUID7, "name": str, "kind": str, "memberCount": int, "lastSeq": int, "createdAt": TIME}
MESSAGE = {"id": UUID7, "roomId": UUID7, "seq": int, "senderId": UUID7, "body": str, "postedAt": TIME}


def has_shape(resource, shape):
    assert set(resource) == set(shape), resource
    for name, kind in shape.items():
        if isinstance(kind, re.Pattern):
            assert kind.fullmatch(resource[name]), (name, resource)
        else:
            assert type(resource[name]) is kind, (name, resource)
    return True


def is_json(answer):
    assert answer.headers["Content-Type"].split(";")[0] == "application/json", answer
    return True


def new_person(urls):
    return Person(urls)


def test_two_people_register_talk_and_read_the_same_history(urls):
    ada, ben = new_person(urls), new_person(urls)
    ada.register()
    ben.register()
    ada.login()
    ben.login()
    room = ada.room("The quiet harbour")
    ben.join(room)
    said = [ada.say(room, "Hello Ben"), ben.say(room, "Hello Ada"), ada.say(room, "Ünïcödé 🙂 \"quoted\" \\ /\n\ttwo lines")]
    assert [m["seq"] for m in said] == [1, 2, 3]
    assert [m["senderId"] for m in said] == [ada.user["id"], ben.user["id"], ada.user["id"]]
    assert ada.page(room)["items"] == ben.page(room)["items"] == said


def test_registering_answers_the_user_and_tokens(urls):
    person = new_person(urls)
    answer = person.register()
    assert is_json(answer) and has_shape(answer.json, SESSION) and has_shape(answer.json["user"], USER)
    assert answer.json["tokenType"] == "Bearer" and 0 < answer.json["expiresIn"] <= 900
    assert answer.json["user"]["username"] == person.username and answer.json["user"]["email"] == person.email
    assert answer.json["user"]["roles"] == ["user"]
    assert POSITION.fullmatch(answer.headers["Aether-Position"])


def test_an_access_token_says_who_for_whom_and_how_long(ada):
    header, payload, _ = ada.token.split(".")
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload))
    assert header["alg"] == "ES256" and header["kid"]
    assert payload["sub"] == ada.user["id"] and payload["typ"] == "access"
    assert payload["iss"] and payload["aud"] and 0 < payload["exp"] - payload["iat"] <= 900


def test_a_username_and_an_email_belong_to_one_person(urls, ada):
    for taken, code in (({"username": ada.username.upper()}, "username_taken"), ({"email": ada.email.upper()}, "email_taken")):
        other = new_person(urls)
        answer = other.insist("POST", "/auth/register", {**other.registration(), **taken})
        assert answer.status == 409 and answer.code == code, answer


def test_what_is_rejected_leaves_no_key_in_the_vault(stack, urls, ada):
    def keys():
        return {subject for (subject,) in stack.sql("SELECT subject FROM vault.keys")}

    before, key = keys(), str(uuid.uuid4())
    again = Person(urls)
    again.username = ada.username
    assert again.request("POST", "/auth/register", again.registration()).status == 409
    ben = Person(urls)
    for _ in range(2):  # the second time it has been made already, under the first one's id
        answer = ben.insist("POST", "/auth/register", ben.registration(), key=key)
        assert answer.status == 201, answer
    other = ben.request("POST", "/auth/register", {**ben.registration(), "lastName": "Other"}, headers={"Idempotency-Key": key})
    assert other.status == 422, other
    wait_until(lambda: keys() - before == {answer.json["user"]["id"]}, 10, "only the key of who has an account")
    ben.login()
    assert ben.get("/users/me").json["firstName"] == "Ada"


def test_one_logs_in_by_username_or_email_and_not_with_a_wrong_password(urls, ada):
    client = Client(urls)
    for name in (ada.username, ada.email):
        answer = client.post("/auth/login", {"username": name, "password": PASSWORD})
        assert answer.status == 200 and has_shape(answer.json, SESSION) and has_shape(answer.json["user"], USER), answer
    answers = [client.post("/auth/login", {"username": name, "password": "something else entirely"}) for name in (ada.username, "nobody-here")]
    assert [a.status for a in answers] == [401, 401]
    same = [{k: v for k, v in a.json.items() if k not in ("requestId", "instance")} for a in answers]
    assert same[0] == same[1], "who does not exist looks like who mistyped"
    assert all(a.headers["WWW-Authenticate"] for a in answers)


def test_a_refresh_token_works_once(urls):
    person = new_person(urls)
    first = person.register().json["refreshToken"]
    client = Client(urls)
    answer = client.post("/auth/refresh", {"refreshToken": first})
    assert answer.status == 200 and {"accessToken", "refreshToken", "tokenType", "expiresIn"} <= set(answer.json), answer
    second = answer.json["refreshToken"]
    assert second != first
    assert client.get("/users/me", headers={"Authorization": "Bearer " + answer.json["accessToken"]}).status == 200
    again = client.post("/auth/refresh", {"refreshToken": first})
    assert again.status == 401, again


def test_a_session_that_was_logged_out_gives_no_more_tokens(urls):
    person = new_person(urls)
    person.register()
    answer = person.insist("POST", "/auth/logout", None)
    assert answer.status in (200, 204), answer
    assert person.request("POST", "/auth/refresh", {"refreshToken": person.refresh_token}).status == 401


def test_everybody_sees_their_own_account(ada):
    answer = ada.get("/users/me")
    assert answer.status == 200 and is_json(answer) and has_shape(answer.json, USER)
    assert answer.json == ada.user


def test_a_room_counts_its_members_and_messages(ada, ben):
    answer = ada.insist("POST", "/rooms", {"name": "Øresund", "kind": "public"})
    room = answer.json
    assert answer.status == 201 and is_json(answer) and has_shape(room, ROOM)
    assert POSITION.fullmatch(answer.headers["Aether-Position"])[1] == "rooms"
    assert (room["name"], room["kind"], room["memberCount"], room["lastSeq"]) == ("Øresund", "public", 1, 0)
    ben.join(room["id"])
    ben.say(room["id"], "Hello")
    listed = find_room(ben, room["id"])
    assert has_shape(listed, ROOM) and (listed["memberCount"], listed["lastSeq"]) == (2, 1)


def rooms_of(person, **query):
    cursor, rooms = None, []
    while True:
        answer = person.get("/rooms?" + "&".join(f"{k}={v}" for k, v in {**query, **({"cursor": cursor} if cursor else {})}.items()))
        assert answer.status == 200 and set(answer.json) == {"items", "nextCursor"}, answer
        rooms += answer.json["items"]
        cursor = answer.json["nextCursor"]
        if not cursor:
            return rooms


def find_room(person, room):
    return next((r for r in rooms_of(person, limit=100) if r["id"] == room), None)


def test_rooms_are_listed_newest_first_each_once_whatever_the_page(ada):
    made = [ada.room(f"Room {i}") for i in range(7)]
    for limit in (1, 3, 100):
        listed = [r["id"] for r in rooms_of(ada, limit=limit)] if limit > 1 else None
        if listed is None:
            page = ada.get("/rooms?limit=1").json
            assert len(page["items"]) == 1 and page["nextCursor"]
            continue
        assert len(listed) == len(set(listed))
        assert [r for r in listed if r in made] == made[::-1]


def test_a_private_room_is_seen_by_its_members_only(ada, eve):
    room = ada.room("Nobody's business", kind="private")
    assert find_room(ada, room)["kind"] == "private"
    assert find_room(eve, room) is None
    for answer in (eve.get(f"/rooms/{room}/messages"), eve.get(f"/rooms/{room}/members"),
                   eve.insist("POST", f"/rooms/{room}/messages", {"body": "hm"}), eve.insist("POST", f"/rooms/{room}/join")):
        assert answer.status == 404, answer


def test_members_are_listed_with_their_roles(ada, ben, room):
    answer = ada.get(f"/rooms/{room}/members")
    assert answer.status == 200 and set(answer.json) == {"items", "nextCursor"}, answer
    roles = {member["userId"]: member["role"] for member in answer.json["items"]}
    assert roles == {ada.user["id"]: "owner", ben.user["id"]: "member"}
    assert {member["userId"]: member["username"] for member in answer.json["items"]} == \
        {ada.user["id"]: ada.username, ben.user["id"]: ben.username}
    first = ada.get(f"/rooms/{room}/members?limit=1").json
    rest = ada.get(f"/rooms/{room}/members?limit=1&cursor={first['nextCursor']}").json
    assert {m["userId"] for m in first["items"] + rest["items"]} == set(roles)


def test_joining_twice_is_refused(ben, room):
    answer = ben.insist("POST", f"/rooms/{room}/join")
    assert answer.status == 409 and answer.code == "already_a_member"


def test_a_message_is_answered_with_its_number_and_place_in_the_log(ada, room):
    before = int(time.time() * 1000)
    answer = ada.insist("POST", f"/rooms/{room}/messages", {"body": "Hello"})
    assert answer.status == 201 and is_json(answer) and has_shape(answer.json, MESSAGE)
    assert answer.json["roomId"] == room and answer.json["senderId"] == ada.user["id"]
    position = POSITION.fullmatch(answer.headers["Aether-Position"])
    assert position and position[1] == "rooms"
    later = POSITION.fullmatch(ada.insist("POST", f"/rooms/{room}/messages", {"body": "Hello"}).headers["Aether-Position"])
    assert later[2] == position[2] and int(later[3]) > int(position[3])
    posted = uuid.UUID(answer.json["id"]).int >> 80
    assert abs(posted - before) < 60_000, "the id carries the time it was made"


def test_who_is_no_member_cannot_post_nor_join_what_is_not_there(ada, eve, room):
    answer = eve.insist("POST", f"/rooms/{room}/messages", {"body": "Let me in"})
    assert answer.status == 403 and answer.code == "not_a_member"
    nowhere = "01890000-0000-7000-8000-000000000000"
    for answer in (ada.insist("POST", f"/rooms/{nowhere}/messages", {"body": "?"}), ada.insist("POST", f"/rooms/{nowhere}/join"),
                   ada.get(f"/rooms/{nowhere}/messages"), ada.get(f"/rooms/{nowhere}/members")):
        assert answer.status == 404 and answer.code == "room_not_found", answer


@pytest.fixture(scope="module")
def long_room(people):
    """Two hundred and fifty messages: more than Redis keeps of a room."""
    ada, ben = people[0], people[1]
    room = ada.room("A long story")
    ben.join(room)
    for i in range(1, 251):
        assert (ada, ben)[i % 2].say(room, f"line {i}")["seq"] == i
    return room


def seqs(page):
    return [message["seq"] for message in page["items"]]


def test_pages_by_number_ascend_and_have_no_gap(ada, long_room):
    assert seqs(ada.page(long_room, limit=50)) == list(range(201, 251))
    assert seqs(ada.page(long_room, before=201, limit=50)) == list(range(151, 201))
    assert seqs(ada.page(long_room, before=100, limit=10)) == list(range(90, 100))
    assert seqs(ada.page(long_room, before=5, limit=10)) == [1, 2, 3, 4]
    assert seqs(ada.page(long_room, before=1)) == []
    assert seqs(ada.page(long_room, after=0, limit=10)) == list(range(1, 11))
    assert seqs(ada.page(long_room, after=120, limit=10)) == list(range(121, 131))
    assert seqs(ada.page(long_room, after=245, limit=10)) == list(range(246, 251))
    assert seqs(ada.page(long_room, after=250)) == []
    assert seqs(ada.page(long_room, after=2**62)) == seqs(ada.page(long_room, after=2**63 - 1)) == []
    assert seqs(ada.page(long_room, before=2**63 - 1, limit=2)) == [249, 250]
    assert [m["body"] for m in ada.page(long_room, after=119, limit=2)["items"]] == ["line 120", "line 121"]


@pytest.mark.parametrize("limit", [1, 7, 50, 100])
def test_following_the_cursor_reads_the_whole_history_once(ada, long_room, limit):
    read, query, pages = [], {"limit": limit}, 0
    while pages < 300:
        page = ada.page(long_room, **query)
        assert set(page) == {"items", "nextCursor"} and len(page["items"]) <= limit
        read.append(seqs(page))
        pages += 1
        if not page["nextCursor"] or (limit == 1 and pages == 40):
            break
        query = {"limit": limit, "cursor": page["nextCursor"]}
    backwards = [seq for page in reversed(read) for seq in page]
    assert backwards == list(range(251 - len(backwards), 251))
    assert limit == 1 or len(backwards) == 250


def test_what_was_posted_is_read_at_once_by_everybody(ada, ben, room):
    """A reply comes after COMMIT."""
    for i in range(1, 40):
        message = ada.say(room, f"line {i}")
        assert ben.page(room, limit=1)["items"] == [message]
        assert ben.page(room, after=i - 1, limit=1)["items"] == [message]


def test_every_answer_carries_the_request_id_and_keeps_the_clients(ada):
    assert ada.get("/users/me", headers={"X-Request-Id": "a-client.chose_this"}).headers["X-Request-Id"] == "a-client.chose_this"
    answer = ada.get("/rooms/not-a-uuid/messages")
    assert answer.headers["X-Request-Id"] == answer.json["requestId"]
    strange = ada.get("/users/me", headers={"X-Request-Id": "no\"t <a> token" + "x" * 200})
    assert strange.status in (200, 400) and "<a>" not in (strange.headers["X-Request-Id"] or "")
