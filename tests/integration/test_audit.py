"""Who did what to whom, from where, by which request: a projection of the log, complete from its first event."""

import http.client
import json
import re
import urllib.parse
import uuid

import pytest

import history
import log
from client import API, PASSWORD, Client, Person
from stack import wait_until

ROW = {"at", "actor", "subject", "action", "details", "address", "requestId", "commandId", "trace", "stream", "partition", "offset"}


def pages(admin, **query):
    """Every row of the list, page by page."""
    rows, cursor = [], None
    while True:
        more = {**query, **({"cursor": cursor} if cursor else {})}
        answer = admin.get("/admin/audit?" + urllib.parse.urlencode(more))
        assert answer.status == 200 and set(answer.json) == {"items", "nextCursor"}, answer
        rows += answer.json["items"]
        cursor = answer.json["nextCursor"]
        if not cursor:
            return rows


def export(admin, **query):
    """The lines of an export."""
    answer = admin.get("/admin/audit?" + urllib.parse.urlencode(query), headers={"Accept": "application/x-ndjson"})
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/x-ndjson", answer
    return answer.body.decode().splitlines()


@pytest.fixture
def mallory(urls):
    person = Person(urls)
    person.register()
    return person


def test_everything_somebody_did_and_suffered_is_there_in_order(stack, admin, mallory):
    me, request_id = mallory.user["id"], "request-" + uuid.uuid4().hex
    mallory.login()
    assert mallory.request("PATCH", "/users/me", {"bio": "x"}, headers={"X-Request-Id": request_id}).status == 200
    name = mallory.username + ".2"
    assert mallory.request("PUT", "/users/me/username", {"username": name, "currentPassword": PASSWORD}).status == 200
    assert mallory.request("PUT", "/users/me/email", {"email": name + "@example.org", "currentPassword": PASSWORD}).status == 200
    assert mallory.request("POST", "/auth/refresh", {"refreshToken": mallory.refresh_token}).status == 200
    assert admin.request("PUT", f"/admin/users/{me}/roles", {"roles": ["user", "moderator"]}).status == 200
    assert admin.request("POST", f"/admin/users/{me}/logout").status == 200
    assert admin.request("POST", f"/admin/users/{me}/suspend", {"reason": "a good reason"}).status == 200
    assert admin.request("POST", f"/admin/users/{me}/reinstate").status == 200
    rows = pages(admin, user=me)
    assert all(set(row) == ROW for row in rows)
    mine = ["AccountRegistered", "SessionStarted", "SessionStarted", "ProfileChanged", "UsernameChanged", "EmailChanged", "SessionRefreshed"]
    theirs = ["RolesSet", "AllSessionsEnded", "AccountSuspended", "AccountReinstated"]
    assert sorted(row["action"] for row in rows if row["actor"] == me) == sorted(mine)
    assert [row["action"] for row in reversed(rows) if row["actor"] == admin.user["id"]] == theirs
    patched = next(row for row in rows if row["action"] == "ProfileChanged")
    assert patched["requestId"] == request_id and patched["address"] == "127.0.0.1" and re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", patched["trace"])
    assert stack.sql("SELECT actor::text FROM users.operations WHERE command_id = %s", (patched["commandId"],)) == [(me,)]
    suspended = next(row for row in rows if row["action"] == "AccountSuspended")
    assert suspended["address"] and suspended["requestId"] and suspended["subject"] == me
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)


def test_what_was_refused_is_not_there(admin, ada, mallory):
    before = len(pages(admin, limit=100))
    assert mallory.request("PUT", f"/admin/users/{ada.user['id']}/roles", {"roles": ["admin"]}).status == 403
    assert mallory.request("PATCH", "/users/me", {"bio": "x"}, headers={"If-Match": '"99"'}).status == 412
    assert len(pages(admin, limit=100)) == before


def test_every_fact_of_the_log_is_one_row_without_secrets(stack, admin, mallory):
    history.settle(stack)
    rows = {(row["stream"], row["partition"], row["offset"]): row for row in map(json.loads, export(admin))}
    schemas, facts = log.Schemas(), {}
    for stream in ("accounts", "sessions"):
        kept, _ = log.facts(schemas, log.read(stack.bootstrap(), f"{stream}.events"))
        facts.update({(stream, record.partition, record.offset): (name.rpartition(".")[2], fact["meta"]) for record, name, fact in kept})
    discarded = {tuple(place) for place in stack.sql("SELECT split_part(topic, '.', 1), partition, \"offset\" FROM operator.discarded")}
    assert rows.keys() == facts.keys() - discarded, "all but what operators have given up"
    for place, row in rows.items():
        name, meta = facts[place]
        assert (row["action"], row["actor"], row["commandId"]) == (name, str(meta["actor"]), str(meta["command_id"])), (row, meta)
    text = "\n".join(json.dumps(row) for row in rows.values())
    for secret in ("$argon2", "$2b$", PASSWORD, "refresh_hash", "refreshHash", mallory.email):
        assert secret not in text, secret


def test_pages_and_export_say_the_same_whatever_the_page(admin, people):
    for person in people:
        person.login()  # enough rows for several pages
    lines = [json.loads(line) for line in export(admin)]
    places = [(row["stream"], row["partition"], row["offset"]) for row in lines]
    assert len(places) > 50 and len(set(places)) == len(places)
    for limit in (7, 50):
        assert pages(admin, limit=limit) == lines


def test_rows_are_filtered(admin, mallory):
    me = mallory.user["id"]
    admin.request("POST", f"/admin/users/{me}/logout")
    assert {row["action"] for row in pages(admin, actor=me)} == {"AccountRegistered", "SessionStarted"}
    assert [row["action"] for row in pages(admin, user=me, actor=admin.user["id"])] == ["AllSessionsEnded"]
    ended = pages(admin, action="AllSessionsEnded", user=me)
    assert len(ended) == 1
    at = ended[0]["at"]
    assert ended[0] in pages(admin, **{"from": at}) and ended[0] not in pages(admin, to=at, user=me)
    assert [json.loads(line) for line in export(admin, user=me)] == pages(admin, user=me)
    assert export(admin, user=str(uuid.uuid4())) == []
    for query in ("actor=x", "user=ada", "from=monday", "to=1", "limit=0", "cursor=abc", "action="):
        answer = admin.get("/admin/audit?" + query)
        assert answer.status == 400 and answer.json["errors"][0]["field"] == query.partition("=")[0], answer
    cursor = admin.get(f"/admin/audit?limit=1&user={me}").json["nextCursor"]
    assert admin.get(f"/admin/audit?limit=1&cursor={cursor}").status == 400, "a cursor belongs to its list"


def test_a_dropped_projection_gives_the_same_audit(stack, mended, admin, mallory):
    history.settle(stack)
    before = export(admin)
    with stack.without("users"):
        stack.sql("DROP SCHEMA users CASCADE")
    wait_until(lambda: is_same(admin, before), 90, "the audit as it was", pause=0.5)


def is_same(admin, before):
    try:
        return export(admin) == before
    except (AssertionError, OSError, http.client.HTTPException):
        return False


def memory_kb(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


def is_sanitized(pid):
    with open(f"/proc/{pid}/maps") as file:
        return re.search(r"/lib[at]san\.so", file.read()) is not None


@pytest.fixture
def long_audit(stack):
    """60,000 rows more, of a stream that there is not."""
    stack.sql("INSERT INTO users.audit (stream, partition, position, at, actor, action, subject, details, request_id, command_id, trace) "
              "SELECT 'test', n %% 5, n, now() - n * interval '1 second', %s::uuid, 'Tested', %s::uuid, ('{\"text\": \"' || repeat('x', 200) || '\"}')::jsonb, '', gen_random_uuid(), '' "
              "FROM generate_series(1, 60000) AS n", (str(uuid.uuid4()),) * 2)
    yield 60000
    stack.sql("DELETE FROM users.audit WHERE stream = 'test'")


def test_a_long_export_is_streamed_in_the_memory_of_one_piece(stack, admin, long_audit):
    at, pid = urllib.parse.urlsplit(admin.urls[0]), stack.pid("gateway")
    export(admin, user=admin.user["id"])
    before = most = memory_kb(pid)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    connection.request("GET", API + "/admin/audit?action=Tested", headers={"Authorization": "Bearer " + admin.token, "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Transfer-Encoding"] == "chunked"
    places, size = set(), 0
    for line in answer:
        row = json.loads(line)
        places.add((row["partition"], row["offset"]))
        size += len(line)
        if len(places) % 5000 == 0:
            most = max(most, memory_kb(pid))
    connection.close()
    assert len(places) == long_audit and size > 25_000_000
    # A sanitizer keeps what was freed for a while; there only that every row came is tested.
    assert most - before < 12_000 or is_sanitized(pid), "the whole of it was held in memory"


def test_an_export_that_cannot_go_on_is_cut_off_and_not_ended(stack, mended, admin, long_audit):
    at = urllib.parse.urlsplit(admin.urls[0])
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    connection.request("GET", API + "/admin/audit?action=Tested", headers={"Authorization": "Bearer " + admin.token, "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    answer.readline()
    with stack.without("postgres"):
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            while answer.read(1 << 20):
                pass
    connection.close()


def test_nobody_else_reads_it(urls, ada):
    assert ada.get("/admin/audit", headers={"Accept": "application/x-ndjson"}).code == "forbidden_role"
    assert Client(urls).get("/admin/audit").status == 401
