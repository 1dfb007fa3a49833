"""Who is asked to stop stops soon, in order, and loses nothing."""

import signal
import socket
import threading
import time
import urllib.parse
import uuid

import pytest

import log
from client import Person, in_threads
from load import Load
from stack import is_alive, send, wait_until


@pytest.fixture
def load(mended, ada, ben, room):
    return Load(mended, [ada, ben], [room, *(ada.room(f"Room {i}") for i in range(3))], writers=8)


@pytest.mark.parametrize("worker", ["messages", "users"])
def test_a_worker_stops_within_five_seconds_of_sigterm_under_load(stack, load, ben, worker):
    for room in load.rooms[1:]:
        ben.join(room)
    with load:
        wait_until(lambda: len(load.ledger) > 100, 30, "under load")
        for pid in stack.pids(worker):
            asked = time.monotonic()
            send(pid, signal.SIGTERM)
            wait_until(lambda: not is_alive(pid), 5, f"{worker} gone")
            assert time.monotonic() - asked < 5
        more = len(load.ledger) + 100
        wait_until(lambda: load.failures or len(load.ledger) > more, 60, "goes on")
    load.verify()


def test_a_gateway_that_stops_answers_what_it_has_accepted(stack, mended, urls, ada, ben, room):
    """Thirty requests are under way while it is told to stop; every one of them gets an answer, none a broken connection."""
    gateway = stack.pid("gateway")

    def post(i):
        person = Person(urls)
        person.token = ada.token
        person.connect()
        try:
            return person.request("POST", f"/rooms/{room}/messages", {"body": f"under way {i}"}, headers={"Idempotency-Key": f"{room}-{i}"})
        finally:
            person.close()

    answers = []
    asking = threading.Thread(target=lambda: answers.extend(in_threads([lambda i=i: post(i) for i in range(30)], 60)), daemon=True)
    with stack.paused(*stack.pids("messages")):
        offset_before = sum_of_commands(stack)
        asking.start()
        wait_until(lambda: sum_of_commands(stack) >= offset_before + 30, 10, "thirty commands in the log")
        send(gateway, signal.SIGTERM)
        wait_until(lambda: not takes_connections(urls[0]), 5, "takes no new connections")
    asking.join(60)
    assert len(answers) == 30 and {a.status for a in answers} <= {201, 202}, answers
    wait_until(lambda: not is_alive(gateway), 15, "the gateway gone")
    stack.wait_ready()
    bodies = sorted(m["body"] for m in ben.history(room))
    assert bodies == sorted(f"under way {i}" for i in range(30))


def sum_of_commands(stack):
    return sum(log.offsets(stack.bootstrap(), "rooms.commands", log.topics(stack.bootstrap())["rooms.commands"]))


def takes_connections(url):
    at = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((at.hostname, at.port), timeout=1).close()
        return True
    except OSError:
        return False


def test_a_gateway_that_idles_stops_at_once(stack, mended):
    gateway = stack.pid("gateway")
    asked = time.monotonic()
    send(gateway, signal.SIGTERM)
    wait_until(lambda: not is_alive(gateway), 10, "the gateway gone")
    assert time.monotonic() - asked < 5


def test_down_and_up_keep_the_data(stack, mended, ada, room):
    said = [ada.say(room, f"line {i}") for i in range(3)]
    key = str(uuid.uuid4())
    last = ada.say(room, "the last", key=key)
    stack.down()
    stack.up()
    stack.wait_ready()
    assert ada.history(room) == [*said, last]
    assert ada.say(room, "the last", key=key) == last
    assert ada.say(room, "onwards")["seq"] == 5
