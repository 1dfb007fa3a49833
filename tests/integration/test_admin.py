"""Administration: who may do what to whom, at the gateway and at the console."""

import crypt
import datetime
import os
import subprocess
import time
import uuid

import pytest

import log
from client import PASSWORD, Client, Person
from stack import REPOSITORY, wait_until

NOBODY = "01890000-0000-7000-8000-000000000000"

# Every route of administration, with a body that would do. {user} is a person without any role.
ROUTES = [
    ("GET", "/admin/users", None), ("GET", "/admin/users/{user}", None), ("POST", "/admin/users/{user}/suspend", {"reason": "spam"}),
    ("POST", "/admin/users/{user}/reinstate", None), ("POST", "/admin/users/{user}/logout", None),
    ("PUT", "/admin/users/{user}/roles", {"roles": ["user"]}), ("GET", "/admin/audit", None),
]


def console(stack, *words, stdin=""):
    """aether-admin as an operator calls it: (status, what it says)"""
    done = subprocess.run([os.path.join(REPOSITORY, "ops", "aether-admin"), "--state", stack.state, *words], input=stdin, timeout=60, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.fixture
def mallory(urls):
    person = Person(urls)
    person.register()
    return person


def login(person, password=PASSWORD):
    return Client(person.urls).post("/auth/login", {"username": person.username, "password": password})


def by_name(admin, person):
    return admin.get(f"/admin/users/{person.user['id']}").json


def ahead(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


# --- who may ---

@pytest.fixture(scope="module")
def moderator(stack, urls):
    person = Person(urls)
    person.register()
    assert console(stack, "set-roles", person.user["id"], "user,moderator")[0] == 0
    person.login()
    return person


@pytest.mark.parametrize("method, path, body", ROUTES, ids=[f"{m} {p}" for m, p, _ in ROUTES])
def test_only_administrators_administrate(stack, urls, ada, moderator, admin, mallory, method, path, body):
    path = path.format(user=mallory.user["id"])
    ends = log.end_offsets(stack.bootstrap())
    nobody = Client(urls).request(method, path, body)
    assert nobody.status == 401, nobody
    for person in (ada, moderator, mallory):
        answer = person.request(method, path, body)
        assert (answer.status, answer.code) == (403, "forbidden_role"), answer
    assert log.end_offsets(stack.bootstrap()) == ends, "something was appended"
    answer = admin.request(method, path, body)
    assert answer.status == 200 or answer.code == "not_suspended", answer


def test_who_was_an_administrator_is_none_at_once(stack, admin, mallory):
    """The token still says so; the worker does not ask the token."""
    assert admin.request("PUT", f"/admin/users/{mallory.user['id']}/roles", {"roles": ["user", "admin"]}).status == 200
    mallory.login()
    assert mallory.get("/admin/users?limit=1").status == 200
    answer = admin.request("PUT", f"/admin/users/{mallory.user['id']}/roles", {"roles": ["user"]})
    assert answer.status == 200 and answer.json["roles"] == ["user"], answer
    refused = mallory.request("POST", f"/admin/users/{admin.user['id']}/suspend", {"reason": "revenge"})
    assert refused.status == 403, refused
    assert by_name(admin, admin)["suspended"] is None


def test_one_administrator_is_left(stack, urls, admin):
    others = [i["id"] for i in admin.get("/admin/users?role=admin&limit=100").json["items"] if i["id"] != admin.user["id"]]
    for other in others:
        assert admin.request("PUT", f"/admin/users/{other}/roles", {"roles": ["user"]}).status == 200
    answer = admin.request("PUT", f"/admin/users/{admin.user['id']}/roles", {"roles": ["user"]})
    assert (answer.status, answer.code) == (409, "last_admin"), answer
    assert admin.request("POST", f"/admin/users/{admin.user['id']}/suspend", {"reason": "me"}).code == "own_account"


@pytest.mark.parametrize("path, body, field", [
    ("suspend", {}, "reason"), ("suspend", {"reason": ""}, "reason"), ("suspend", {"reason": "x", "until": "2001-01-01T00:00:00Z"}, "until"),
    ("suspend", {"reason": "x", "until": "soon"}, "until"), ("roles", {"roles": []}, "roles"), ("roles", {"roles": ["root"]}, "roles"),
    ("roles", {"roles": ["user", "user"]}, "roles"), ("roles", {"roles": "admin"}, "roles")])
def test_what_is_wrong_is_named(stack, admin, mallory, path, body, field):
    ends = log.end_offsets(stack.bootstrap())
    answer = admin.request("PUT" if path == "roles" else "POST", f"/admin/users/{mallory.user['id']}/{path}", body)
    assert answer.status == 400 and [e["field"] for e in answer.json["errors"]] == [field], answer
    assert log.end_offsets(stack.bootstrap()) == ends, "something was appended"


def test_who_does_not_exist_is_404(admin):
    for method, path, body in ROUTES:
        if "{user}" in path:
            answer = admin.request(method, path.format(user=NOBODY), body)
            assert (answer.status, answer.code) == (404, "user_not_found"), answer


# --- what they do ---

def test_who_is_suspended_is_out_and_told_so_until_reinstated(admin, mallory):
    answer = admin.request("POST", f"/admin/users/{mallory.user['id']}/suspend", {"reason": "spam, again"})
    assert answer.status == 200 and answer.json["suspended"]["reason"] == "spam, again" and answer.json["suspended"]["until"] is None, answer
    refused = login(mallory)
    assert (refused.status, refused.code) == (403, "account_suspended"), refused
    assert login(mallory, "a wrong password").status == 401, "only who knows the password is told"
    assert mallory.request("POST", "/auth/refresh", {"refreshToken": mallory.refresh_token}).status in (401, 403)
    assert admin.request("POST", f"/admin/users/{mallory.user['id']}/reinstate").json["suspended"] is None
    assert admin.request("POST", f"/admin/users/{mallory.user['id']}/reinstate").code == "not_suspended"
    mallory.login()
    assert mallory.get("/users/me").status == 200


def stops_within(person, seconds):
    """Until the access token, not expired by far, is refused; returns that answer."""
    began = time.monotonic()
    while (answer := person.get("/users/me")).status == 200:
        assert time.monotonic() - began < seconds, f"the token still works after {seconds} s"
    return answer


def test_what_an_administrator_ends_stops_working_within_a_second(admin, mallory):
    assert mallory.get("/users/me").status == 200
    admin.request("POST", f"/admin/users/{mallory.user['id']}/logout")
    assert stops_within(mallory, 1).status == 401
    mallory.login()
    assert mallory.get("/users/me").status == 200
    admin.request("POST", f"/admin/users/{mallory.user['id']}/suspend", {"reason": "x"})
    answer = stops_within(mallory, 1)
    assert (answer.status, answer.code) in ((403, "account_suspended"), (401, "session_ended")), answer


def test_who_wants_no_outcome_is_told_where_it_will_be(admin, mallory):
    me = mallory.user["id"]
    for person, method, path, body, location in ((mallory, "PATCH", "/users/me", {"bio": "later"}, "/api/v1/users/me"),
                                                 (admin, "POST", f"/admin/users/{me}/logout", None, f"/api/v1/admin/users/{me}")):
        answer = person.request(method, path, body, headers={"Prefer": "respond-async"})
        assert answer.status == 202, answer
        operation = answer.headers["Location"].removeprefix("/api/v1")
        done = wait_until(lambda: (found := person.get(operation).json)["status"] != "pending" and found, 10, "an outcome")
        assert (done["status"], done["location"]) == ("succeeded", location), done
        assert person.get(location.removeprefix("/api/v1")).status in (200, 401)


def test_a_suspension_ends_by_itself(admin, mallory):
    answer = admin.request("POST", f"/admin/users/{mallory.user['id']}/suspend", {"reason": "a moment", "until": ahead(3)})
    assert answer.status == 200 and answer.json["suspended"]["until"], answer
    assert login(mallory).code == "account_suspended"
    wait_until(lambda: login(mallory).status == 200, 10, "the suspension over", pause=0.2)


def test_a_forced_logout_ends_every_session(admin, mallory):
    tokens = [mallory.refresh_token, login(mallory).json["refreshToken"]]
    assert admin.request("POST", f"/admin/users/{mallory.user['id']}/logout").status == 200
    for token in tokens:
        assert mallory.request("POST", "/auth/refresh", {"refreshToken": token}).status == 401
    assert login(mallory).status == 200


# --- the list ---

def listed(admin, **query):
    items, cursor = [], None
    while True:
        more = {**query, **({"cursor": cursor} if cursor else {})}
        answer = admin.get("/admin/users?" + "&".join(f"{k}={v}" for k, v in more.items()))
        assert answer.status == 200, answer
        items += answer.json["items"]
        cursor = answer.json["nextCursor"]
        if not cursor:
            return items


def test_accounts_are_listed_newest_first_each_once_whatever_the_page(admin, people):
    everybody = [i["id"] for i in listed(admin, limit=100)]
    assert everybody == sorted(everybody, reverse=True) and len(set(everybody)) == len(everybody)
    assert {p.user["id"] for p in people} <= set(everybody)
    assert [i["id"] for i in listed(admin, limit=7)] == everybody


def test_accounts_are_filtered(admin, moderator, mallory):
    me = mallory.user["id"]
    admin.request("POST", f"/admin/users/{me}/suspend", {"reason": "x"})
    ids = lambda **query: [i["id"] for i in listed(admin, limit=100, **query)]  # noqa: E731
    assert me in ids(suspended="true") and me not in ids(suspended="false")
    assert moderator.user["id"] in ids(role="moderator") and me not in ids(role="moderator")
    assert ids(q=mallory.username.upper()) == [me] and ids(q=mallory.username, suspended="false") == []
    made = by_name(admin, mallory)["createdAt"]
    assert me in ids(createdFrom=made) and me not in ids(createdTo=made)
    assert ids(createdFrom=ahead(60)) == []
    for query in ("role=root", "suspended=maybe", "createdFrom=yesterday", "limit=0", "limit=101", "cursor=x", "q=%20"):
        answer = admin.get("/admin/users?" + query)
        assert answer.status == 400 and answer.json["errors"][0]["field"] == query.partition("=")[0], answer


# --- at the console ---

def test_the_console_says_what_it_did_and_by_its_status(stack, mallory):
    status, said = console(stack, "suspend", mallory.email, "at the console", ahead(3600))
    assert status == 0 and said.startswith("done: accounts/0@"), said
    assert console(stack, "show", mallory.username)[1].count('"at the console"') == 1
    assert console(stack, "reinstate", mallory.username)[0] == 0
    status, said = console(stack, "reinstate", mallory.username)
    assert status == 1 and "not_suspended" in said, said
    assert console(stack, "force-logout", mallory.user["id"])[0] == 0
    status, said = console(stack, "show", "nobody-of-this-name")
    assert status == 1 and "nobody-of-this-name" in said
    for words in ((), ("suspend", "x"), ("set-roles", mallory.username, "emperor"), ("suspend", mallory.username, "x", "tomorrow"), ("dance",)):
        assert console(stack, *words)[0] == 64, words


def test_an_imported_person_logs_in_with_the_old_password(stack, urls):
    name = "import-" + uuid.uuid4().hex[:8]
    hashed = crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    assert hashed.startswith("$2b$")
    status, said = console(stack, "import-user", name, f"{name}@example.org", "Imre", "Port", stdin=hashed + "\n")
    assert status == 0, said
    answer = Client(urls).post("/auth/login", {"username": name, "password": PASSWORD})
    assert answer.status == 200 and answer.json["user"]["firstName"] == "Imre", answer
    assert console(stack, "import-user", name.upper(), "other@example.org", stdin=hashed + "\n")[0] == 1
    keys = stack.sql("SELECT count(*) FROM vault.keys")
    for words, stdin, field in (((name + "2", "x@example.org"), "md5:1234", "hash"), ((name + "2", "x@example.org"), hashed[:-1], "hash"),
                                ((name + "2", "x@example.org"), hashed[:-1] + "!", "hash"), ((name + "2", "x@example.org"), "$2b$17" + hashed[6:], "hash"),
                                ((name + " 2", "x@example.org"), hashed, "username"), (("ab", "x@example.org"), hashed, "username"),
                                (("n" * 51, "x@example.org"), hashed, "username"), (("p\u0430ypal", "x@example.org"), hashed, "username"),
                                ((name + "2", "x"), hashed, "email"), ((name + "2", ""), hashed, "email"),
                                ((name + "2", "x@example.org", "a\nb"), hashed, "firstName"), ((name + "2", "x@example.org", "A", " "), hashed, "lastName")):
        status, said = console(stack, "import-user", *words, stdin=stdin + "\n")
        assert status == 64 and field in said and said.count("\n") == 1, (words, said)
    assert stack.sql("SELECT count(*) FROM vault.keys") == keys


def test_a_command_whose_outcome_was_not_known_is_sent_again_and_done_once(stack, mended, mallory):
    command = str(uuid.uuid4())
    with stack.without("users"):
        status, said = console(stack, "--set", "admin.timeout_ms=300", "--command", command, "suspend", mallory.username, "while the worker was away")
        assert status == 3 and command in said, said
    status, said = console(stack, "--command", command, "suspend", mallory.username, "while the worker was away")
    assert status == 0, said
    facts = stack.sql("SELECT count(*) FROM users.audit WHERE command_id = %s", (command,))
    assert facts == [(1,)]
