"""What people say about themselves, and how they find each other."""

import concurrent.futures
import random
import uuid

import pytest

import log
from client import PASSWORD, Client, Person, in_threads

FULL = {"firstName": "Grace", "lastName": "Hopper", "bio": "Nanoseconds,\nby the foot.", "location": "Arlington", "website": "https://example.org/~grace",
        "phone": "+12025550143", "birthdate": "1906-12-09", "locale": "en-US", "timeZone": "America/New_York"}
EMPTY = {**dict.fromkeys(FULL), "firstName": "", "lastName": ""}
PUBLIC = {"id", "username", "firstName", "lastName", "bio", "location", "website", "roles", "createdAt"}


@pytest.fixture
def grace(urls):
    person = Person(urls)
    person.register()
    return person


def read(person, path="/users/me"):
    """(profile fields, ETag)"""
    answer = person.get(path)
    assert answer.status == 200, answer
    return {name: answer.json[name] for name in FULL}, answer.headers["ETag"]


def write(person, method, body, path="/users/me", **headers):
    return person.request(method, path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_profile_is_written_whole_and_read_everywhere(grace):
    _, first = read(grace)
    answer = write(grace, "PUT", FULL, If_Match=first)
    assert answer.status == 200 and {name: answer.json[name] for name in FULL} == FULL, answer
    assert answer.headers["ETag"] != first and answer.headers["Aether-Position"].startswith("accounts/0@")
    for path in ("/users/me", "/auth/profile", "/users/me"):
        assert read(grace, path) == (FULL, answer.headers["ETag"])
    again = write(grace, "PUT", {"bio": "only this"}, path="/auth/profile")
    assert again.status == 200 and read(grace)[0] == {**EMPTY, "bio": "only this"}, "what a PUT leaves out is gone"


PATCHES = [  # RFC 7396: what is named changes, null takes away, the rest stays
    ({}, {}),
    ({"bio": "new"}, {"bio": "new"}),
    ({"bio": None, "phone": None}, {"bio": None, "phone": None}),
    ({"lastName": None, "location": "Elsewhere"}, {"lastName": "", "location": "Elsewhere"}),
]


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
def test_a_patch_changes_what_it_names(grace, content_type):
    for patch, changes in PATCHES:
        write(grace, "PUT", FULL)
        answer = write(grace, "PATCH", patch, Content_Type=content_type)
        assert answer.status == 200 and read(grace)[0] == {**FULL, **changes}, (patch, answer)


def test_a_merge_patch_is_no_body_of_a_put(grace):
    answer = write(grace, "PUT", FULL, Content_Type="application/merge-patch+json")
    assert answer.status == 415 and answer.headers["Accept"] == "application/json", answer


def test_of_twenty_writers_who_saw_the_same_version_one_writes(urls, grace):
    _, seen = read(grace)
    writers = [Person(urls) for _ in range(20)]
    for writer in writers:
        writer.token = grace.token
    answers = in_threads([lambda w=w, n=n: write(w, "PUT", {"bio": f"writer {n}"}, If_Match=seen) for n, w in enumerate(writers)])
    assert sorted(a.status for a in answers) == [200] + [412] * 19, answers
    won = next(n for n, a in enumerate(answers) if a.status == 200)
    assert all(a.code == "version_conflict" for a in answers if a.status == 412)
    assert read(grace)[0]["bio"] == f"writer {won}"


def test_patches_of_different_fields_at_once_lose_nothing(urls, grace):
    """Without If-Match there is nothing to conflict with: what came between is merged into."""
    fields = [("bio", "b"), ("location", "l"), ("phone", "+4930123"), ("locale", "de"), ("timeZone", "UTC"), ("website", "https://a.example")]
    writers = [Person(urls) for _ in fields]
    for writer in writers:
        writer.token = grace.token
    answers = in_threads([lambda w=w, f=f: write(w, "PATCH", dict([f])) for w, f in zip(writers, fields)])
    assert {a.status for a in answers} == {200}, answers
    profile, now = read(grace)
    assert {name: profile[name] for name, _ in fields} == dict(fields)
    assert sorted(a.headers["ETag"] for a in answers)[-1] == now and len({a.headers["Aether-Position"] for a in answers}) == len(fields)


def test_a_repeated_patch_is_one_change_also_when_it_was_merged_anew(urls, grace):
    writers = [Person(urls) for _ in range(8)]
    for writer in writers:
        writer.token = grace.token
    keys = [str(uuid.uuid4()) for _ in writers]

    def patch():
        return in_threads([lambda w=w, k=k, n=n: write(w, "PATCH", {"bio": f"writer {n}"}, Idempotency_Key=k)
                           for n, (w, k) in enumerate(zip(writers, keys))])
    first, again = patch(), patch()
    assert {a.status for a in first + again} == {200}, (first, again)
    assert [a.headers["Aether-Position"] for a in first] == [a.headers["Aether-Position"] for a in again]
    assert all(a.headers["Idempotency-Replayed"] == "true" for a in again)


def test_a_read_at_another_gateway_waits_for_the_write_it_names(stack, mended, another_gateway, grace):
    there, waiter = (Person([another_gateway({})]) for _ in range(2))
    there.token = waiter.token = grace.token
    for n in range(10):
        position = write(grace, "PATCH", {"bio": f"bio {n}"}).headers["Aether-Position"]
        for path in ("/users/me", "/auth/profile", "/users/" + grace.user["id"]):
            assert there.get(path, headers={"Aether-After": position}).json["bio"] == f"bio {n}"
    stream, _, offset = position.rpartition("@")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        with stack.paused(*stack.pids("users")):
            assert write(grace, "PATCH", {"bio": "not there yet"}, Prefer="respond-async").status == 202
            waiting = threads.submit(waiter.get, "/users/me", headers={"Aether-After": f"{stream}@{int(offset) + 1}"})
            assert read(there)[0]["bio"] == "bio 9"
            assert not waiting.done()
        assert waiting.result().json["bio"] == "not there yet"


def test_if_match_is_read_as_http_says(grace):
    _, now = read(grace)
    number = int(now.strip('"'))
    for form in ("*", "{0}", '"999999", {0}', 'W/"x" , {0},"abc"'):
        value = form.format(now)
        answer = write(grace, "PATCH", {}, If_Match=value)
        assert answer.status == 200, (value, answer)
        number += 1
        now = answer.headers["ETag"]
        assert now == f'"{number}"'
    for value in ('"0"', f'W/{now}', '"abc"', f'"0{number}"', '"999999999999999999999"', f'"{number - 1}"', ""):
        answer = write(grace, "PATCH", {}, If_Match=value)
        assert (answer.status, answer.code) == (412, "version_conflict"), (value, answer)
    for value in ("7", '"', '"a', "W/7", f"{now}x", "* , *"):
        answer = write(grace, "PATCH", {}, If_Match=value)
        assert (answer.status, answer.code) == (400, "bad_header") and answer.json["errors"][0]["field"] == "If-Match", (value, answer)
    assert read(grace)[1] == now


def test_a_write_that_is_sent_twice_is_done_once(grace):
    _, seen = read(grace)
    key = str(uuid.uuid4())
    first = write(grace, "PATCH", {"bio": "once"}, If_Match=seen, Idempotency_Key=key)
    again = write(grace, "PATCH", {"bio": "once"}, If_Match=seen, Idempotency_Key=key)
    assert first.status == again.status == 200 and first.json == again.json, (first, again)
    assert first.headers["Aether-Position"] == again.headers["Aether-Position"] and again.headers["Idempotency-Replayed"] == "true"
    assert read(grace)[1] == first.headers["ETag"]
    other = write(grace, "PATCH", {"bio": "something else"}, Idempotency_Key=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused"), other


def test_nobody_makes_themselves_what_they_are_not(stack, grace):
    """Mass assignment: every field of an account that is no profile field, by every way in."""
    ends, before = log.end_offsets(stack.bootstrap()), grace.get("/users/me").json
    forbidden = {"roles": ["admin"], "id": str(uuid.uuid4()), "username": "root", "email": "root@example.org", "version": 7, "suspended": None,
                 "createdAt": "2001-01-01T00:00:00Z", "password": PASSWORD, "passwordHash": "x", "password_hash": "x", "user_id": str(uuid.uuid4()),
                 "expected_version": -1, "Bio": "x", "__proto__": {}}
    for name, value in forbidden.items():
        for method, path in (("PUT", "/users/me"), ("PATCH", "/users/me"), ("PATCH", "/auth/profile")):
            answer = write(grace, method, {"bio": "hm", name: value}, path=path)
            assert answer.status == 400 and [e["field"] for e in answer.json["errors"]] == [name], (method, path, name, answer)
    for path in (f"/users/{grace.user['id']}", f"/users/{uuid.uuid4()}"):
        assert write(grace, "PATCH", {"bio": "x"}, path=path).status == 405
    assert log.end_offsets(stack.bootstrap()) == ends, "something was appended"
    assert grace.get("/users/me").json == before


@pytest.mark.parametrize("name, value", [("bio", "x" * 501), ("website", "javascript:alert(1)"), ("phone", "030 123"), ("birthdate", "2999-01-01"),
                                         ("locale", "klingon!"), ("timeZone", "Europe/Atlantis"), ("firstName", ""), ("location", "a\u0007b"), ("bio", 7)])
def test_a_field_that_cannot_be_is_named(grace, name, value):
    answer = write(grace, "PATCH", {name: value})
    assert answer.status == 400 and [e["field"] for e in answer.json["errors"]] == [name], answer


def test_others_see_the_public_part_only(grace, ben):
    write(grace, "PUT", FULL)
    answer = ben.get(f"/users/{grace.user['id']}")
    assert answer.status == 200 and set(answer.json) == PUBLIC and answer.json["bio"] == FULL["bio"], answer
    assert answer.json == grace.get(f"/users/{grace.user['id']}").json
    assert ben.get(f"/users/{uuid.uuid4()}").code == "user_not_found"


def test_without_redis_a_profile_is_the_same_and_afterwards_it_is_not_an_old_one(stack, mended, grace):
    write(grace, "PUT", FULL)
    _, seen = read(grace)  # now it is in Redis
    with stack.without("redis"):
        assert read(grace) == (FULL, seen)
        answer = grace.insist("PATCH", "/users/me", {"bio": "written while Redis was away"})
        assert answer.status == 200, answer
    assert read(grace) == ({**FULL, "bio": "written while Redis was away"}, answer.headers["ETag"])


# --- names ---

def change(person, what, value, password=PASSWORD):
    return person.request("PUT", f"/users/me/{what}", {what: value, "currentPassword": password})


def test_a_username_is_changed_with_the_password_and_the_old_one_stays_reserved(urls, grace):
    old, new = grace.username, "Renamed." + uuid.uuid4().hex[:10]
    wrong = change(grace, "username", new, password="not this one")
    assert (wrong.status, wrong.code) == (403, "wrong_password"), wrong
    answer = change(grace, "username", new)
    assert answer.status == 200 and answer.json["username"] == new and grace.get("/users/me").json == answer.json, answer
    assert Client(urls).post("/auth/login", {"username": new.upper(), "password": PASSWORD}).status == 200
    assert Client(urls).post("/auth/login", {"username": old, "password": PASSWORD}).status == 401
    thief = Person(urls)
    assert thief.insist("POST", "/auth/register", {**thief.registration(), "username": old}).code == "username_taken"
    thief.register()
    assert change(thief, "username", old.upper()).code == "username_taken"
    back = change(grace, "username", old)
    assert back.status == 200 and back.json["username"] == old, "for its owner it is free"


def test_an_email_address_is_changed_with_the_password_and_is_unique(urls, grace, ben):
    new = f"new-{grace.username}@Example.org"
    assert change(grace, "email", ben.email.upper()).code == "email_taken"
    answer = change(grace, "email", new)
    assert answer.status == 200 and answer.json["email"] == new, answer
    assert Client(urls).post("/auth/login", {"email": new.lower(), "password": PASSWORD}).status == 200
    assert Client(urls).post("/auth/login", {"email": grace.email, "password": PASSWORD}).status == 401
    assert ben.get("/users/search?q=" + new[:8]).json["items"] == [], "an address is not searched"


# --- search ---

@pytest.fixture(scope="module")
def crowd(urls):
    """(a word that only they begin with, nine people)"""
    word = "zq" + uuid.uuid4().hex[:6]
    people = [Person(urls, f"{word}{i}") for i in range(8)]
    in_threads([lambda p=p: p.register() for p in people])
    lines = Person(urls)
    lines.register()
    write(lines, "PATCH", {"firstName": f"Ólafur{word}", "lastName": "ARNALDS Straße"})
    return word, people, lines


def found(person, query, **more):
    answer = person.request("GET", "/users/search?" + "&".join(f"{k}={v}" for k, v in {"q": query, **more}.items()))
    assert answer.status == 200 and set(answer.json) == {"items", "nextCursor"}, answer
    assert all(set(item) == PUBLIC for item in answer.json["items"])
    return answer.json


def test_people_are_found_by_how_a_name_begins_whatever_case_and_accents(ada, crowd):
    word, people, lines = crowd
    assert {item["username"] for item in found(ada, word.upper())["items"]} == {p.username for p in people}
    assert [item["id"] for item in found(ada, f"{word}3")["items"]] == [people[3].user["id"]]
    for query in (f"olafur{word}", f"%C3%93LAFUR{word.upper()}%20arn", f"ARNALDS%20STRASSE%20%C3%B3lafur{word}"):
        assert [item["id"] for item in found(ada, query)["items"]] == [lines.user["id"]], query
    for query in (word[1:], "%25", "_" + word[1:], f"{word}%25", "nobody-is-called-so"):
        assert not [i for i in found(ada, query)["items"] if i["username"].startswith(word)], query


@pytest.mark.parametrize("limit", [1, 3, 8, 100])
def test_following_the_cursor_finds_each_once(ada, crowd, limit):
    word, people, _ = crowd
    names, more = [], {"limit": limit}
    while True:
        page = found(ada, word, **more)
        assert len(page["items"]) <= limit
        names += [item["username"] for item in page["items"]]
        if not page["nextCursor"]:
            break
        more["cursor"] = page["nextCursor"]
    assert names == sorted(p.username for p in people)


def test_a_search_without_anything_to_search_for_is_refused(ada, crowd):
    for query in ("", "?q=", "?q=%20%20", "?q=" + "x" * 101, "?q=a%00b"):
        answer = ada.get("/users/search" + query)
        assert answer.status == 400, (query, answer)
    cursor = found(ada, crowd[0], limit=1)["nextCursor"]
    for path in (f"/users/search?q=other&cursor={cursor}", f"/users/search?q={crowd[0]}&cursor={cursor[:-1]}", f"/users/search?q={crowd[0]}&cursor=x"):
        answer = ada.get(path)
        assert answer.status == 400 and answer.json["errors"][0]["field"] == "cursor", answer


def test_random_texts_are_searched_for_without_an_error(ada):
    rng = random.Random(7)
    for _ in range(60):
        text = "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(160, 0x2fff), rng.randrange(0x1f300, 0x1f9ff)])) for _ in range(rng.randrange(1, 20)))
        answer = ada.get("/users/search?q=" + "".join(f"%{b:02x}" for b in text.encode()))
        assert answer.status in (200, 400), (text, answer)
