"""Sessions: a refresh token is good once and its theft shows; whoever is logged out is out within a second, everywhere."""

import base64
import datetime
import json
import time
import uuid

import pytest

import log
from client import PASSWORD, Client, Person, in_threads
from stack import wait_until

NOWHERE = "01890000-0000-7000-8000-000000000000"
NEW_PASSWORD = "another horse entirely"


class Device(Client):
    """A person's device: one session."""

    def __init__(self, urls, name, password=PASSWORD, agent="tests/1"):
        super().__init__(urls)
        answer = self.post("/auth/login", {"username": name, "password": password}, headers={"User-Agent": agent})
        assert answer.status == 200, answer
        self.take(answer)

    def at(self, url):
        """The same session, at another gateway."""
        other = object.__new__(Device)
        Client.__init__(other, [url])
        other.token, other.refresh_token = self.token, self.refresh_token
        return other

    def take(self, answer):
        self.token, self.refresh_token = answer.json["accessToken"], answer.json["refreshToken"]
        return answer

    def refresh(self, token=None, key=None):
        client = Client(self.urls)
        return client.post("/auth/refresh", {"refreshToken": token or self.refresh_token}, headers={"Idempotency-Key": key} if key else {})

    def session(self):
        payload = self.token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=="))["sid"]

    def is_in(self):
        return self.get("/users/me").status == 200


@pytest.fixture
def person(urls):
    somebody = Person(urls)
    somebody.register()
    return somebody


@pytest.fixture
def device(urls, person):
    return Device(urls, person.username)


@pytest.fixture
def other(urls, person):
    return Device(urls, person.username, agent="a telephone")


def is_out_within_a_second(*devices):
    """Every request from a second after the answer that ended the session on is refused."""
    time_out = time.monotonic() + 1
    wait_until(lambda: not any(device.is_in() for device in devices), 1.2, "the access tokens stop working")
    assert time.monotonic() < time_out + 0.2
    for device in devices:
        answer = device.get("/users/me")
        assert answer.status == 401 and answer.code == "session_ended" and answer.headers["WWW-Authenticate"], answer
        assert device.refresh().status == 401
    return True


# --- refresh ---

def test_a_session_goes_on_for_as_many_refreshes_as_one_likes(device):
    seen = {device.refresh_token}
    for _ in range(5):
        assert device.take(device.refresh()).status == 200
        assert device.is_in() and device.refresh_token not in seen
        seen.add(device.refresh_token)


def test_an_old_refresh_token_ends_its_family_and_is_recorded(stack, device, other):
    stolen = device.refresh_token
    device.take(device.refresh())
    device.take(device.refresh())
    answer = device.refresh(stolen)
    assert answer.status == 401 and answer.code == "refresh_token_invalid", answer
    assert is_out_within_a_second(device)
    assert other.is_in() and other.refresh().status == 200, "another session of the person goes on"
    found = stack.sql("SELECT details FROM users.audit WHERE action = 'RefreshTokenReplayed' AND details->>'sessionId' = %s", (device.session(),))
    assert len(found) == 1


def test_of_two_refreshes_of_one_token_at_once_at_most_one_is_answered_and_the_family_ends(device):
    answers = in_threads([device.refresh] * 2)
    assert sorted(answer.status for answer in answers) == [200, 401], answers
    device.take(next(answer for answer in answers if answer.status == 200))
    assert is_out_within_a_second(device)


def test_a_repeated_refresh_gets_the_same_answer_and_harms_nobody(device):
    key = str(uuid.uuid4())
    first, again = device.refresh(key=key), device.refresh(key=key)
    assert first.status == again.status == 200 and again.headers["Idempotency-Replayed"] == "true"
    for name in ("refreshToken", "tokenType", "user"):
        assert first.json[name] == again.json[name]
    answers = in_threads([lambda: device.refresh(token=first.json["refreshToken"], key=key + "2")] * 4)
    good = [answer.json["refreshToken"] for answer in answers if answer.status == 200]
    assert good and len(set(good)) == 1 and all(answer.status in (200, 409) for answer in answers)
    device.take(next(answer for answer in answers if answer.status == 200))
    assert device.is_in() and device.refresh().status == 200


def test_a_repetition_that_comes_late_is_a_replay(device):
    old, key = device.refresh_token, str(uuid.uuid4())
    device.take(device.refresh(key=key))
    assert device.refresh(old, key).status == 200 and device.is_in()
    wait_until(lambda: device.refresh(old, key).status == 401, 5, "the key is good no longer")
    assert is_out_within_a_second(device)


@pytest.mark.parametrize("key", [None, "with-a-key"])
def test_a_refresh_that_was_answered_202_goes_on_when_it_is_tried_again_without_a_key(mended, another_gateway, device, key):
    """Also where another gateway is asked, and late: whoever was answered 202 has no new token yet."""
    hasty = device.at(another_gateway({"gateway.deadline_ms": 1000}))
    with mended.paused(*(worker["pid"] for worker in mended.workers("users"))):
        answer = hasty.refresh(key=key and key + device.session())
        assert answer.status == 202 and answer.json["status"] == "pending", answer
        time.sleep(2.1)  # the setting auth.refresh_retry_s: what passes now is time, no condition
    old = device.refresh_token
    answer = wait_until(lambda: (again := device.refresh()).status == 200 and again, 10, "the outcome of the first one")
    assert device.refresh().json["refreshToken"] == answer.json["refreshToken"], "as often as one likes"
    device.take(answer)
    assert device.is_in() and device.take(device.refresh()).status == 200
    assert device.refresh(device.refresh(old).json["refreshToken"]).status == 401, "what came of it is good once, as ever"
    assert is_out_within_a_second(device)


def test_a_session_ends_with_its_greatest_age_however_often_it_is_refreshed(urls, another_gateway, person, device):
    """`device` began where sessions may grow old; where they may not it is refused by refresh, access, feed and list alike."""
    strict = another_gateway({"auth.session_max_s": 5, "auth.access_ttl_s": 900})
    young = Device([strict], person.username)
    assert json.loads(base64.urlsafe_b64decode(young.token.split(".")[1] + "=="))["exp"] <= time.time() + 5
    began = time.time()
    while time.time() < began + 3:
        assert young.take(young.refresh()).json["expiresIn"] <= 5
        listed = {session["id"]: session for session in young.get("/users/me/sessions").json["items"]}
        ends = [datetime.datetime.fromisoformat(listed[young.session()][name]) for name in ("createdAt", "expiresAt")]
        assert abs((ends[1] - ends[0]).total_seconds() - 5) < 0.5, "a refresh does not move it on"
        time.sleep(0.3)
    old = device.at(strict)
    wait_until(lambda: not old.is_in(), 10, "the session has the greatest age")
    assert old.get("/users/me").code == "session_ended" and old.get("/live").code == "session_ended"
    answer = old.refresh()
    assert answer.status == 401 and answer.code == "refresh_token_expired", answer
    wait_until(lambda: not young.is_in(), 10, "this one too")
    assert young.get("/users/me").code == "invalid_token", "an access token ends with the second"
    answer = wait_until(lambda: again if (again := young.refresh()).status == 401 else young.take(again) and None, 5, "its last second is over")
    assert answer.code == "refresh_token_expired", answer
    again = Device([strict], person.username)
    assert [session["id"] for session in again.get("/users/me/sessions").json["items"]] == [again.session()]
    assert device.is_in() and device.refresh().status == 200, "elsewhere it goes on"


def test_a_token_that_we_did_not_issue_never_reaches_the_log(stack, device):
    before = log.end_offsets(stack.bootstrap())
    good = device.refresh_token
    forged = [good[:50] + ("A" if good[50] != "A" else "B") + good[51:], good[:-1], good + "A", "A" * len(good), "garbage",
              base64.urlsafe_b64encode(bytes(84)).decode()]
    for token in forged:
        answer = device.refresh(token)
        assert answer.status == 401 and answer.code == "refresh_token_invalid", answer
    assert device.refresh(device.token).status in (400, 401), "an access token is none"
    assert Client(device.urls).get("/users/me", headers={"Authorization": f"Bearer {good}"}).status == 401
    assert log.end_offsets(stack.bootstrap()) == before
    assert device.is_in() and device.refresh().status == 200


# --- the list of them, and their ends ---

def test_everybody_sees_their_sessions_and_ends_any_of_them(urls, person, device, other):
    listed = {session["id"]: session for session in device.get("/users/me/sessions").json["items"]}
    assert device.get("/users/me/sessions").json["nextCursor"] is None and len(listed) == 3, "the registration's, and two log-ins"
    for session in listed.values():
        assert set(session) == {"id", "device", "address", "createdAt", "lastUsedAt", "expiresAt", "current"}
        assert session["address"] == "127.0.0.1" and session["createdAt"] <= session["lastUsedAt"] < session["expiresAt"]
    assert listed[device.session()]["current"] and listed[device.session()]["device"] == "tests/1"
    assert not listed[other.session()]["current"] and listed[other.session()]["device"] == "a telephone"
    other.take(other.refresh())
    again = {session["id"]: session for session in device.get("/users/me/sessions").json["items"]}
    assert again[other.session()]["lastUsedAt"] > listed[other.session()]["lastUsedAt"]
    assert device.request("DELETE", f"/users/me/sessions/{other.session()}").status == 204
    assert is_out_within_a_second(other)
    assert other.session() not in {session["id"] for session in device.get("/users/me/sessions").json["items"]}
    assert device.is_in()


def test_following_the_cursor_finds_each_session_once(urls, person, device):
    devices = [device, *(Device(urls, person.username) for _ in range(4))]
    found, cursor = [], ""
    while cursor is not None:
        page = device.get(f"/users/me/sessions?limit=2{cursor and '&cursor=' + cursor}").json
        assert 0 < len(page["items"]) <= 2
        found += [session["id"] for session in page["items"]]
        cursor = page["nextCursor"]
    assert found == sorted(found, reverse=True) and len(set(found)) == len(found) == 6, "the registration's, and five log-ins"
    assert {d.session() for d in devices} < set(found)
    assert device.get("/users/me/sessions?limit=101").code == "bad_query"


def test_nobody_ends_what_is_not_theirs(device, people):
    stranger = Device(device.urls, people[3].username)
    for session in (stranger.session(), NOWHERE):
        answer = device.request("DELETE", f"/users/me/sessions/{session}")
        assert answer.status == 404 and answer.code == "session_not_found", answer
    assert stranger.is_in()
    assert device.request("DELETE", "/users/me/sessions/x").status == 400


def test_who_logs_out_is_out(device, other):
    assert device.post("/auth/logout").status == 204
    assert is_out_within_a_second(device)
    assert other.is_in()


def test_who_logs_out_everywhere_is_out_everywhere(person, device, other):
    assert device.post("/auth/logout-all").status == 204
    assert is_out_within_a_second(device, other)
    again = Device(device.urls, person.username)
    assert again.is_in() and len(again.get("/users/me/sessions").json["items"]) == 1


def test_a_revoked_session_is_out_within_a_second_on_every_gateway_and_without_redis(mended, device, other):
    assert device.is_in() and other.is_in()
    with mended.without("redis"):
        assert device.is_in() and other.is_in()
        assert device.request("DELETE", f"/users/me/sessions/{other.session()}").status == 204
        assert is_out_within_a_second(other)
        assert device.is_in()
    assert device.is_in() and not other.is_in()


# --- the password ---

def change(device, current, new, **options):
    return device.request("PUT", "/users/me/password", {"currentPassword": current, "newPassword": new}, **options)


def test_another_password_needs_the_old_one_and_ends_the_other_sessions(urls, person, device, other):
    answer = change(device, "something else entirely", NEW_PASSWORD)
    assert answer.status == 403 and answer.code == "wrong_password" and answer.json["errors"][0]["field"] == "currentPassword", answer
    assert device.is_in() and other.is_in()
    assert change(device, PASSWORD, NEW_PASSWORD).status == 204
    assert is_out_within_a_second(other)
    assert device.is_in() and device.take(device.refresh()).status == 200 and device.is_in(), "the session that changed it goes on"
    assert Client(urls).post("/auth/login", {"username": person.username, "password": PASSWORD}).status == 401
    assert Device(urls, person.username, NEW_PASSWORD).is_in()


@pytest.mark.parametrize("new", ["short", "x" * 129, "football1", "{username}", "{email}", PASSWORD])
def test_another_password_is_held_to_the_same_rules(person, device, new):
    answer = change(device, PASSWORD, new.format(username=person.username, email=person.email))
    assert answer.status == 400 and "newPassword" in [error["field"] for error in answer.json["errors"]], answer
    assert Device(device.urls, person.username).is_in()


def test_a_stolen_access_token_is_not_enough_to_guess_the_password(device):
    statuses = [change(device, f"guess number {i}", NEW_PASSWORD).status for i in range(8)]
    assert statuses[:5] == [403] * 5 and 429 in statuses, statuses


def test_a_repeated_change_of_password_is_one_change(device):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    assert [change(device, PASSWORD, NEW_PASSWORD, headers=key).status for _ in range(2)] == [204, 204]
    assert device.is_in()


# --- what an operator does ---

def operate(stack, *words):
    stack.command("aether-admin", *words)


def test_a_suspended_person_is_out_within_a_second_and_comes_back_when_reinstated(stack, urls, person, device):
    operate(stack, "suspend", person.username, "spam")
    wait_until(lambda: device.get("/users/me").status != 200, 1.2, "the access token stops working")
    answer = device.get("/users/me")
    assert answer.status == 403 and answer.code == "account_suspended", answer
    assert device.refresh().status == 403
    client = Client(urls)
    login = {"username": person.username, "password": PASSWORD}
    answer = client.post("/auth/login", login)
    assert answer.status == 403 and answer.code == "account_suspended", answer
    assert client.post("/auth/login", {**login, "password": "something else entirely"}).status == 401, "who has not the password learns nothing"
    operate(stack, "reinstate", person.username)
    again = Device(urls, person.username)
    assert again.is_in() and is_out_within_a_second(device)


def test_who_is_logged_out_by_force_is_out_within_a_second(stack, urls, person, device, other):
    operate(stack, "force-logout", person.username)
    assert is_out_within_a_second(device, other)
    assert Device(urls, person.username).is_in()


def test_a_role_is_had_and_lost_within_a_second_without_another_token(stack, admin, person, device):
    assert device.get("/admin/users").status == 403
    operate(stack, "set-roles", person.username, "user,admin")
    wait_until(lambda: device.get("/admin/users").status == 200, 1.2, "the role counts")
    operate(stack, "set-roles", person.username, "user")
    wait_until(lambda: device.get("/admin/users").status == 403, 1.2, "the role is gone")
    assert device.get("/admin/users").code == "forbidden_role"
