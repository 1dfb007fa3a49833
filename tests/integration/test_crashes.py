"""Whoever dies when: every acknowledged message is in the history exactly once, with numbers without a gap, and every operation
ends."""

import random
import signal
import time

import pytest

import history
import log
from conftest import SESSION_TIMEOUT_MS, owned, partitions
from load import Load
from stack import send, total, wait_until


@pytest.fixture
def rooms(ada, ben):
    rooms = [ada.room(f"Room {i}") for i in range(8)]
    for room in rooms:
        ben.join(room)
    return rooms


@pytest.fixture
def load(mended, ada, ben, rooms):
    return Load(mended, [ada, ben], rooms)


def go_on(load, more=100, timeout=90):
    """Until so many more messages were acknowledged."""
    target = len(load.ledger) + more
    wait_until(lambda: load.failures or len(load.ledger) >= target, timeout, f"{more} more acknowledged")


def test_workers_killed_again_and_again_at_random_moments(stack, load):
    with load:
        go_on(load)
        for _ in range(6):
            pid = random.choice(wait_until(lambda: stack.pids("messages"), 30))
            stack.kill("messages", pid=pid)
            go_on(load, random.randrange(20, 200))
    load.verify()


def test_both_workers_killed_at_once(stack, load):
    with load:
        go_on(load)
        for _ in range(2):
            for pid in stack.pids("messages"):
                send(pid, signal.SIGKILL)
            go_on(load)
    load.verify()


def test_the_gateway_killed(stack, load):
    with load:
        for _ in range(3):
            go_on(load)
            stack.kill("gateway")
        go_on(load)
    load.verify()


def test_the_broker_killed_and_started_again_after_five_seconds(stack, load):
    with load:
        go_on(load)
        killed = time.monotonic()
        stack.kill_for_good("kafka")
        wait_until(lambda: time.monotonic() - killed > 5, 10)
        stack.start("kafka")
        go_on(load)
    load.verify()


def test_the_broker_killed_and_started_again_at_once(stack, load):
    with load:
        for _ in range(2):
            go_on(load)
            stack.wait_replaced("kafka", stack.kill("kafka"))
        go_on(load)
    load.verify()


def test_postgresql_killed(stack, load):
    with load:
        for _ in range(2):
            go_on(load)
            stack.wait_replaced("postgres", stack.kill("postgres"))
        go_on(load)
    load.verify()


def test_redis_killed_then_emptied(stack, load):
    with load:
        go_on(load)
        stack.wait_replaced("redis", stack.kill("redis"))
        go_on(load)
        stack.redis().flushall()
        go_on(load)
    load.verify()


def test_redis_paused(stack, load):
    """It neither answers nor refuses: slower, nothing wrong."""
    with load:
        go_on(load)
        with stack.paused(stack.pid("redis")):
            go_on(load, 40)
        go_on(load)
    load.verify()


@pytest.fixture
def shared(stack):
    """Both workers own partitions; the number of all."""
    count = partitions(stack, "messages")

    def both():
        parts = owned(stack, "messages").values()
        return len(parts) == 2 and all(parts) and sum(parts) == count

    wait_until(both, 60, "both workers own partitions")
    return count


def test_two_workers_of_one_kind_share_the_partitions_and_both_make_progress(stack, shared, load):
    before = [total(m, "aether_worker_commands_total") for m in stack.metrics("messages")]
    with load:
        go_on(load, 200)
    after = [total(m, "aether_worker_commands_total") for m in stack.metrics("messages")]
    assert all(later > earlier for earlier, later in zip(before, after)), (before, after)
    load.verify()


def test_when_one_of_two_is_lost_the_other_takes_over(stack, shared, load):
    with load:
        go_on(load)
        lost = stack.kill_for_good("messages")
        wait_until(lambda: [parts for pid, parts in owned(stack, "messages").items() if pid and pid != lost] == [shared], 60, "the other owns all")
        go_on(load)
        stack.start("messages")
        wait_until(lambda: min(owned(stack, "messages").values()) > 0, 60, "shared again")
        go_on(load)
    load.verify()


def test_a_zombie_paused_past_its_session_and_continued_does_no_harm(stack, shared, load):
    with load:
        for _ in range(2):
            go_on(load)
            zombie = stack.pid("messages")
            with stack.paused(zombie):
                wait_until(lambda: [parts for pid, parts in owned(stack, "messages").items() if pid != zombie] == [shared],
                           SESSION_TIMEOUT_MS / 1000 + 60, "the other owns all")
                go_on(load)
            go_on(load)
    load.verify()


def test_a_worker_paused_amid_its_transaction_does_not_hold_the_others_up(stack, shared, load):
    """It holds the lock on its checkpoint's row; PostgreSQL must end that transaction before long."""
    with load:
        go_on(load)
        zombies = stack.pids("messages")[:1]
        connection = stack.connect()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("LOCK TABLE messages.operations IN SHARE MODE")  # the transactions wait behind it
                wait_until(lambda: stack.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0][0] >= 2, 20,
                           "both workers wait in their transactions")
                for pid in zombies:
                    send(pid, signal.SIGSTOP)
        finally:
            connection.close()
        try:
            wait_until(lambda: [parts for pid, parts in owned(stack, "messages").items() if pid not in zombies] == [shared],
                       SESSION_TIMEOUT_MS / 1000 + 60, "the other owns all")
            go_on(load)
        finally:
            for pid in zombies:
                send(pid, signal.SIGCONT)
        go_on(load)
    load.verify()


def test_everything_killed_at_once(stack, load):
    with load:
        go_on(load)
        for kind in ("messages", "users", "gateway", "redis", "postgres", "kafka"):
            for pid in stack.pids(kind):
                stack.kill(kind, pid=pid)
        go_on(load)
    load.verify()


def test_a_backlog_survives_a_rebalance_while_postgresql_is_away(stack, shared, mended, ada, room, tmp_path):
    """More commands wait than a worker takes at once: it pauses its partitions, loses them, gets them back, and goes on."""
    bootstrap, most = stack.bootstrap(), 2048
    ada.say(room, "before")
    (record,) = [r for r in log.read(bootstrap, "rooms.commands") if r.key == room.encode()][-1:]
    path = tmp_path / "record"
    path.write_bytes(record.value)

    def said(*parts):
        """How often the first worker has logged a line with all of these."""
        with open(f"{stack.state}/logs/messages-1.log") as file:
            return sum(all(part in line for part in parts) for line in file)

    full, revoked = said("trying again", f'"commands":{most}'), said("partitions revoked")
    with stack.without("postgres"):
        for partition in range(shared):  # copies: decided already, in their own partition at least
            log.kcat(bootstrap, "-P", "-t", "rooms.commands", "-p", str(partition), "-k", room, *[str(path)] * most)
        wait_until(lambda: said("trying again", f'"commands":{most}') > full, 40, "the first worker holds all it can")
        stack.down("messages-2")
        wait_until(lambda: said("partitions revoked") > revoked, SESSION_TIMEOUT_MS / 1000 + 30, "partitions move")
    stack.start("messages-2")
    history.settle(stack, 120)
    assert ada.say(room, "after")["seq"] == 2
    assert [m["body"] for m in ada.history(room)] == ["before", "after"]
