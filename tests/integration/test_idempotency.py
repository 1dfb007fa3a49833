"""A client that retries: one Idempotency-Key, one outcome, one message."""

import threading
import uuid

import pytest

import log
from client import PASSWORD, Client, Person, in_threads, later
from stack import wait_until


def count(person, room, body):
    return sum(message["body"] == body for message in person.history(room))


def test_the_same_request_again_gives_the_first_outcome(ada, room):
    key, body = str(uuid.uuid4()), "only once"
    answers = [ada.request("POST", f"/rooms/{room}/messages", {"body": body}, headers={"Idempotency-Key": key}) for _ in range(5)]
    assert [a.status for a in answers] == [201] * 5
    assert all(a.json == answers[0].json and a.headers["Aether-Position"] == answers[0].headers["Aether-Position"] for a in answers)
    assert count(ada, room, body) == 1


def test_without_a_key_each_request_is_its_own(ada, room):
    first, second = (ada.request("POST", f"/rooms/{room}/messages", {"body": "twice"}) for _ in range(2))
    assert (first.status, second.status) == (201, 201) and first.json["id"] != second.json["id"]


def test_another_request_under_the_same_key_is_422(ada, room):
    key = str(uuid.uuid4())
    first = ada.insist("POST", f"/rooms/{room}/messages", {"body": "one thing"}, key=key)
    for path, body in ((f"/rooms/{room}/messages", {"body": "another"}), (f"/rooms/{ada.room()}/messages", {"body": "one thing"})):
        other = ada.insist("POST", path, body, key=key)
        assert other.status == 422 and other.code == "idempotency_key_reused", other
    assert ada.insist("POST", f"/rooms/{room}/messages", {"body": "one thing"}, key=key).json == first.json
    assert count(ada, room, "another") == 0


def test_two_people_who_register_under_the_same_key_are_two_accounts(urls):
    """Nobody is logged in here: what they name tells them apart."""
    key, (one, other) = "one-key-" + uuid.uuid4().hex, (Person(urls), Person(urls))
    answers = [person.insist("POST", "/auth/register", person.registration(), key=key) for person in (one, other, one)]
    assert [answer.status for answer in answers] == [201] * 3, answers
    names = [answer.json["user"]["username"] for answer in answers]
    assert names == [one.username, other.username, one.username]
    assert answers[0].json["user"]["id"] == answers[2].json["user"]["id"] != answers[1].json["user"]["id"]
    same_name = {**other.registration(), "username": one.username, "email": "other-" + one.email}
    answer = other.insist("POST", "/auth/register", same_name, key=key)
    assert answer.status == 409 and answer.code == "username_taken", answer
    for device in (one, other):
        session = device.insist("POST", "/auth/login", {"username": device.username, "password": PASSWORD}, key=key)
        refreshed = device.insist("POST", "/auth/refresh", {"refreshToken": session.json["refreshToken"]}, key=key)
        assert session.json["user"]["username"] == refreshed.json["user"]["username"] == device.username


def test_two_people_may_use_the_same_key(ada, ben, room):
    key = str(uuid.uuid4())
    first, second = (p.insist("POST", f"/rooms/{room}/messages", {"body": "hello"}, key=key) for p in (ada, ben))
    assert (first.status, second.status) == (201, 201) and first.json["id"] != second.json["id"]


def test_a_rejection_is_an_outcome_too(eve, room):
    key = str(uuid.uuid4())
    path, body = f"/rooms/{room}/messages", {"body": "let me in"}
    first = eve.insist("POST", path, body, key=key)
    assert first.status == 403
    eve.join(room)
    again = eve.insist("POST", path, body, key=key)
    assert (again.status, again.code) == (403, "not_a_member"), "the first outcome stands"
    assert eve.insist("POST", path, body).status == 201


def replayed(person, method, path, body, key, first):
    """The same request again is answered as the first was."""
    again = person.insist(method, path, body, key=key)
    assert again.status == first.status and again.headers.get("Idempotency-Replayed") == "true", again
    assert again.headers["Aether-Position"] == first.headers["Aether-Position"]
    if first.status != 204:
        assert again.json == first.json
    return again


def test_a_retry_is_answered_although_its_time_has_passed_meanwhile(ada, ben, eve, room):
    eve.join(room)
    key, soon = str(uuid.uuid4()), later(1.5)
    path, ban = f"/rooms/{room}/messages", f"/rooms/{room}/bans/{eve.user['id']}"
    said, banned = {"body": "Good morning", "sendAt": soon}, {"until": soon}
    scheduled = ben.insist("POST", path, said, key=key)
    kept_out = ada.insist("PUT", ban, banned, key=key)
    assert (scheduled.status, kept_out.status) == (201, 204), (scheduled, kept_out)
    wait_until(lambda: later(0) > soon and ada.page(room)["items"], 20, "it was said")
    replayed(ben, "POST", path, said, key, scheduled)
    replayed(ada, "PUT", ban, banned, key, kept_out)
    other = ben.insist("POST", path, {**said, "body": "Good evening"}, key=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert ben.insist("POST", path, said, key=key + "-2").json["errors"][0]["field"] == "sendAt", "another request is refused"
    assert ben.insist("POST", path, said).json["errors"][0]["field"] == "sendAt"


def test_a_retry_is_answered_although_others_have_changed_what_it_was_about(stack, ada, ben, urls):
    room, elsewhere = ada.room(kind="private"), ben.room()
    assert ada.insist("PUT", f"/rooms/{room}/invitations/{ben.user['id']}").status == 204
    ben.join(room)
    source, mine = ada.say(room, "as it was"), ben.say(room, "mine")
    at, own = f"/rooms/{room}/messages/{source['id']}", f"/rooms/{room}/messages/{mine['id']}"
    stranger = Person(urls)
    stranger.register()
    key = str(uuid.uuid4())
    requests = [
        (ben, "POST", at + "/forward", {"roomId": elsewhere}),
        (ben, "PUT", own, {"body": "my own"}),
        (ben, "PUT", at + "/reactions/%F0%9F%91%8D", None),
        (ben, "PUT", f"/rooms/{elsewhere}/invitations/{stranger.user['id']}", None),
        (ben, "POST", "/messages", {"receiverId": stranger.user["id"], "body": "Hello"}),
    ]
    keys = [f"{key}-{i}" for i in range(len(requests))]
    first = [person.insist(method, path, body, key=keys[i]) for i, (person, method, path, body) in enumerate(requests)]
    assert [answer.status for answer in first] == [201, 200, 204, 204, 201], first
    ada.insist("PUT", at, {"body": "another text"})
    assert replayed(ben, *requests[0][1:], keys[0], first[0]).json["body"] == "as it was"
    assert ada.insist("DELETE", at).status == 204
    assert ada.insist("POST", f"/rooms/{room}/members/{ben.user['id']}/kick", {}).status == 204
    stack.sql("UPDATE users.accounts SET username = NULL WHERE user_id = %s", (stranger.user["id"],))  # as if erased
    try:
        for i, request in enumerate(requests):
            replayed(*request, keys[i], first[i])
        refused = [person.insist(method, path, body) for person, method, path, body in requests]
    finally:
        stack.sql("UPDATE users.accounts SET username = %s WHERE user_id = %s", (stranger.username, stranger.user["id"]))
    assert [answer.status for answer in refused] == [404] * 5, "a new request is not"


def test_a_retry_of_who_was_removed_meanwhile_is_told_that_it_was_done(ada, ben):
    room = ada.room(kind="private")
    assert ada.insist("PUT", f"/rooms/{room}/invitations/{ben.user['id']}").status == 204
    key = str(uuid.uuid4())
    joined = ben.insist("POST", f"/rooms/{room}/join", {}, key=key + "-join")
    assert ada.insist("PUT", f"/rooms/{room}/members/{ben.user['id']}/role", {"role": "admin"}).status == 204
    changed = ben.insist("PATCH", f"/rooms/{room}", {"topic": "Engines"}, key=key + "-topic")
    assert (joined.status, changed.status) == (200, 200), (joined, changed)
    assert ada.insist("POST", f"/rooms/{room}/members/{ben.user['id']}/kick", {}).status == 204
    for method, path, body, of, first in (("POST", f"/rooms/{room}/join", {}, "-join", joined),
                                          ("PATCH", f"/rooms/{room}", {"topic": "Engines"}, "-topic", changed)):
        again = ben.insist(method, path, body, key=key + of)
        assert (again.status, again.headers.get("Idempotency-Replayed")) == (204, "true"), again
        assert again.headers["Aether-Position"] == first.headers["Aether-Position"] and not again.body
        assert ben.insist(method, path, body).status == 404, "a new request is not"


def test_a_retry_that_shows_the_password_of_then_is_answered(urls):
    person, key = Person(urls), str(uuid.uuid4())
    person.register()
    path, body = "/users/me/username", {"username": "new-" + person.username, "currentPassword": PASSWORD}
    first = person.insist("PUT", path, body, key=key)
    assert first.status == 200, first
    changed = person.insist("PUT", "/users/me/password", {"currentPassword": PASSWORD, "newPassword": PASSWORD + "!"})
    assert changed.status == 204, changed
    again = person.insist("PUT", path, body, key=key)
    assert (again.status, again.headers.get("Idempotency-Replayed")) == (200, "true"), again


def test_the_same_room_is_made_once(ada):
    key, wish = str(uuid.uuid4()), {"name": "Made once", "kind": "private"}
    first, second = (ada.insist("POST", "/rooms", wish, key=key) for _ in range(2))
    assert first.json["id"] == second.json["id"] and (first.status, second.status) == (201, 201)


def test_registering_twice_under_one_key_gives_one_account(urls):
    person, key = Person(urls), str(uuid.uuid4())
    first, second = (person.insist("POST", "/auth/register", person.registration(), key=key) for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    assert first.json["user"] == second.json["user"]


def test_an_account_whose_registration_was_not_waited_for_and_asked_for_again_keeps_its_key(stack, urls):
    """Each attempt may have made a key in the vault; that of the account stays, and what was sealed with it can be read."""
    person, key = Person(urls), str(uuid.uuid4())
    first = person.request("POST", "/auth/register", person.registration(), headers={"Idempotency-Key": key, "Prefer": "respond-async"})
    assert first.status == 202, first
    again = in_threads([lambda: Person(urls).insist("POST", "/auth/register", person.registration(), key=key) for _ in range(3)])
    assert {(answer.status, answer.json["user"]["id"]) for answer in again} == {(201, again[0].json["user"]["id"])}, again
    person.session(again[0])
    assert stack.sql("SELECT wrapped IS NOT NULL FROM vault.keys WHERE subject = %s", (person.user["id"],)) == [(True,)]
    person.login()
    assert person.say(person.room(), "Nothing is lost")["seq"] == 1
    assert person.get("/users/me").json["email"] == person.email


def test_requests_at_once_under_one_key_make_one_message(urls, ada, room):
    for attempt in range(5):
        key, body = str(uuid.uuid4()), f"at once {attempt}"

        def post():
            person = Person(urls)
            person.token, person.user = ada.token, None
            return person.insist("POST", f"/rooms/{room}/messages", {"body": body}, key=key)

        answers = in_threads([post] * 12, 60)
        assert {a.status for a in answers} == {201}, answers
        assert len({a.json["id"] for a in answers}) == len({a.json["seq"] for a in answers}) == 1
        assert count(ada, room, body) == 1


def test_a_request_that_waits_already_is_409(stack, urls, mended, ada, room):
    key, path, body = str(uuid.uuid4()), f"/rooms/{room}/messages", {"body": "wait for me"}
    other = Client(urls)
    other.token = ada.token
    waiting = []
    first = threading.Thread(target=lambda: waiting.append(ada.request("POST", path, body, headers={"Idempotency-Key": key})), daemon=True)
    with stack.paused(*stack.pids("messages")):
        ends = log.end_offsets(stack.bootstrap())
        first.start()
        wait_until(lambda: log.end_offsets(stack.bootstrap()) != ends, 20, "the first command in the log")
        answer = other.request("POST", path, body, headers={"Idempotency-Key": key})
        assert answer.status == 409, answer
        assert answer.code == "request_in_progress" and answer.json["retryable"] is True
    first.join()
    assert waiting[0].status == 201
    assert ada.insist("POST", path, body, key=key).status == 201
    assert count(ada, room, "wait for me") == 1


@pytest.mark.parametrize("victim", ["gateway", "messages"])
def test_who_retries_after_a_death_is_answered_once(stack, mended, ada, room, victim):
    """The answer was lost on its way: the gateway died, or the worker between deciding and answering."""
    key, path, body = str(uuid.uuid4()), f"/rooms/{room}/messages", {"body": f"in spite of the {victim}"}
    pids = stack.pids("messages")
    with stack.paused(*pids):
        assert ada.request("POST", path, body, headers={"Idempotency-Key": key, "Prefer": "respond-async"}).status == 202
        for pid in stack.pids(victim):
            stack.kill(victim, pid=pid)
    first = ada.insist("POST", path, body, key=key)
    assert first.status == 201
    assert ada.insist("POST", path, body, key=key).json == first.json
    assert count(ada, room, body["body"]) == 1
