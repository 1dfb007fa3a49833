"""A projection is nothing but the fold of the log: dropped, it comes back the same."""

import psycopg2
import pytest

import history
from stack import wait_until

PROJECTIONS = {
    "messages": {"rooms": "room_id", "members": "room_id, user_id", "messages": "room_id, seq"},
    "users": {"accounts": "user_id", "sessions": "user_id, session_id"},
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


@pytest.mark.parametrize("worker", PROJECTIONS)
def test_a_dropped_projection_comes_back_row_by_row(stack, mended, ada, room, worker):
    for i in range(5):
        ada.say(room, f"line {i}")
    history.settle(stack)
    before, outcomes = checksums(stack, worker), succeeded(stack, worker)
    assert all(rows for rows, _ in before.values())
    with stack.without(worker):
        stack.sql(f"DROP SCHEMA {worker} CASCADE")
    wait_until(lambda: checksums(stack, worker) == before, 90, f"{worker} as it was: {before}", pause=0.5)
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
