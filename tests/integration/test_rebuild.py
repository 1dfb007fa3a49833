"""A projection is nothing but the fold of the log: dropped, it comes back the same."""

import contextlib
import datetime
import uuid

import psycopg2
import pytest

import client
import history
from stack import wait_until

PROJECTIONS = {
    "messages": {"rooms": "room_id", "members": "room_id, user_id", "messages": "room_id, seq", "invitations": "room_id, user_id",
                 "bans": "room_id, user_id", "message_versions": "room_id, seq, version", "reactions": "room_id, seq, user_id, emoji",
                 "mentions": "user_id, room_id, seq", "scheduled": "message_id", "expiring": "room_id, seq", "restrictions": "room_id, user_id",
                 "read_marks": "user_id, room_id"},
    "users": {"accounts": "user_id", "sessions": "user_id, session_id", "reserved_usernames": "username_index",
              "search_terms": "user_id, kind", "audit": "stream, partition, position"},
}


def checksums(stack, schema):
    """{table: (rows, md5 of all of them in order)}; {} while a table is missing."""
    try:
        return {table: stack.sql(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY {order})) FROM {schema}.{table} t")[0]
                for table, order in PROJECTIONS[schema].items()}
    except psycopg2.errors.UndefinedTable:
        return {}


def succeeded(stack, schema):
    """The accepted commands' outcomes."""
    return set(stack.sql(f"SELECT command_id::text, stream, partition, fact_offset, encode(fact, 'hex') FROM {schema}.operations WHERE rejection = 0"))


# PasswordRehashed needs an imported account: see test_login.py.
EVERY_FACT = {"AccountRegistered", "ProfileChanged", "UsernameChanged", "EmailChanged", "PasswordChanged", "AllSessionsEnded",
              "AccountSuspended", "AccountReinstated", "RolesSet", "SessionStarted", "SessionRefreshed", "RefreshTokenReplayed",
              "SessionEnded"}


@pytest.fixture
def eventful(urls, admin):
    """Everything happens to somebody once."""
    person = client.Person(urls)
    person.register()

    def do(who, method, path, body=None, **headers):
        answer = who.request(method, path, body, headers=headers)
        assert answer.status in (200, 204), answer
        return answer

    password = {"currentPassword": client.PASSWORD}
    do(person, "PATCH", "/users/me", {"firstName": "Zo\u00eb", "bio": "Here and there."}, **{"Content-Type": "application/merge-patch+json"})
    person.username = "Renamed." + uuid.uuid4().hex[:10]
    do(person, "PUT", "/users/me/username", {"username": person.username, **password})
    do(person, "PUT", "/users/me/email", {"email": uuid.uuid4().hex + "@example.org", **password})
    do(person, "PUT", "/users/me/password", {"newPassword": "another horse entirely", **password})
    do(person, "POST", "/auth/refresh", {"refreshToken": person.refresh_token})
    assert person.post("/auth/refresh", {"refreshToken": person.refresh_token}).status == 401
    person.login("another horse entirely")
    do(person, "POST", "/auth/logout")
    me = f"/admin/users/{person.user['id']}"
    do(admin, "POST", me + "/suspend", {"reason": "spam"})
    do(admin, "POST", me + "/reinstate")
    do(admin, "POST", me + "/logout")
    do(admin, "PUT", me + "/roles", {"roles": ["user", "moderator"]})
    return person


def next_month():
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")


def use_everything(ada, ben, room):
    """A row in every table of the messages worker."""
    first, second = ada.page(room)["items"][:2]
    for person, method, path, body in (
            (ada, "PUT", f"/messages/{first['id']}", {"body": "reworded"}),
            (ada, "DELETE", f"/messages/{second['id']}", None),
            (ben, "PUT", f"/rooms/{room}/messages/{first['id']}/reactions/%F0%9F%91%8D", None),
            (ada, "PUT", f"/rooms/{room}/messages/{first['id']}/pin", None),
            (ada, "PUT", f"/messages/{first['id']}", {"body": f"@{ben.username}, look"}),
            (ada, "POST", f"/rooms/{room}/messages", {"body": "later", "sendAt": next_month()}),
            (ada, "PUT", f"/rooms/{ada.room('Cabin', kind='private')}/invitations/{ben.user['id']}", None),
            (ada, "PUT", f"/rooms/{ada.room('Tower')}/bans/{ben.user['id']}", {"reason": "Noise"}),
            (ada, "PUT", f"/rooms/{room}/members/{ben.user['id']}/role", {"role": "member"}),
            (ada, "PATCH", f"/rooms/{room}", {"topic": "Rebuilding"})):
        answer = person.insist(method, path, body)
        assert answer.status in (200, 201, 204), answer
    read = ben.request("PUT", f"/rooms/{room}/read", {"seq": 3})
    assert read.status == 204
    seen = ben.get(f"/rooms/{room}", headers={"Aether-After": read.headers["Aether-Position"]})
    assert seen.status == 200, "a receipt is folded, later than facts"
    short = ada.room("Short-lived")
    assert ada.insist("PATCH", f"/rooms/{short}", {"timeToLiveSeconds": 86400}).status == 200
    ada.say(short, "until tomorrow")


@pytest.mark.parametrize("worker", PROJECTIONS)
def test_a_dropped_projection_comes_back_row_by_row(stack, mended, ada, ben, room, eventful, worker):
    for i in range(5):
        ada.say(room, f"line {i}")
    use_everything(ada, ben, room)
    history.settle(stack)
    before, outcomes = checksums(stack, worker), succeeded(stack, worker)
    assert all(rows for rows, _ in before.values())
    if worker == "users":
        audited = {action for action, in stack.sql("SELECT DISTINCT action FROM users.audit WHERE subject = %s", (eventful.user["id"],))}
        assert audited == EVERY_FACT, "the audit knows all of it, before and after"
    with stack.without(worker):
        stack.sql(f"DROP SCHEMA {worker} CASCADE")
    with contextlib.suppress(AssertionError):  # what follows says which table is another
        wait_until(lambda: checksums(stack, worker) == before, 90, pause=0.5)
    assert checksums(stack, worker) == before, f"{worker} as it was"
    assert succeeded(stack, worker) >= outcomes, "a retried request still finds its outcome"
    history.settle(stack)
    assert checksums(stack, worker) == before, "and stays so"
    assert ada.say(room, "after")["seq"] == 6
    assert [m["seq"] for m in ada.history(room)] == list(range(1, 7))
    ada.login()


def test_a_projection_of_an_old_backup_catches_up(stack, mended, ada, room):
    """The tables and the checkpoint are put back to an earlier moment; the log knows the rest."""
    history.settle(stack)
    tables = [*PROJECTIONS["messages"], "checkpoint", "operations", "parked"]
    stack.sql("DROP SCHEMA IF EXISTS backup CASCADE")
    stack.sql("CREATE SCHEMA backup")
    with stack.without("messages"):
        for table in tables:
            stack.sql(f"CREATE TABLE backup.{table} AS TABLE messages.{table}")
    said = [ada.say(room, f"line {i}") for i in range(30)]
    history.settle(stack)
    before = checksums(stack, "messages")
    with stack.without("messages"):
        stack.sql("; ".join(f"TRUNCATE messages.{table}; INSERT INTO messages.{table} SELECT * FROM backup.{table}" for table in tables))
        stack.sql("DROP SCHEMA backup CASCADE")
        stack.redis().flushall()
    wait_until(lambda: checksums(stack, "messages") == before, 60, "caught up", pause=0.3)
    assert ada.history(room) == said
