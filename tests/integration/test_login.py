"""Logging in: who guesses learns nothing and waits longer each time; nobody is locked out by a stranger; what others pay for a storm
of log-ins."""

import crypt
import itertools
import os
import re
import statistics
import subprocess
import threading
import time
import uuid

import pytest

from client import PASSWORD, Client, Person, in_threads, register_people
from conftest import LOGIN
from stack import REPOSITORY, wait_until
from test_admin import console

WRONG = "something else entirely"
BCRYPT = "$2b$05$abcdefghijklmnopqrstu.nQm3mugtG25LKGA01cm9p7XjviWBlEK"  # of PASSWORD
strangers = itertools.count(10)


def come_from_elsewhere(urls):
    """A client at an address nobody has used yet."""
    client = Client(urls)
    number = next(strangers)
    client.source = f"127.1.{number // 200}.{number % 200 + 1}"
    return client


def log_in(client, name, password=PASSWORD):
    return client.post("/auth/login", {"username": name, "password": password})


def nobody():
    return "nobody-" + uuid.uuid4().hex[:12]


@pytest.fixture
def person(urls):
    somebody = Person(urls)
    somebody.register()
    return somebody


def test_names_of_any_script_are_kept_as_typed_and_unique_whatever_the_case(urls):
    tag = uuid.uuid4().hex[:8]
    person = Person(urls)
    answer = person.insist("POST", "/auth/register", {**person.registration(), "username": "Ünïcode-" + tag})
    assert answer.status == 201 and answer.json["user"]["username"] == "Ünïcode-" + tag
    assert log_in(Client(urls), "üNÏCODE-" + tag).status == 200
    other = Person(urls)
    answer = other.insist("POST", "/auth/register", {**other.registration(), "username": "ÜNÏCODE-" + tag.upper()})
    assert answer.status == 409 and answer.code == "username_taken" and answer.json["errors"][0]["field"] == "username"


def test_a_wrong_password_and_an_unknown_name_take_the_same_time(urls):
    """Enumeration by timing: the attacker's medians may not tell them apart. Three guesses a name, which are not delayed yet."""
    client, times = Client(urls), {True: [], False: []}
    known = [person.username for person in register_people(urls, 10, threads=2)]
    for name in known * 3:
        for exists, tried in ((True, name), (False, nobody())):
            started = time.perf_counter()
            answer = log_in(client, tried, WRONG)
            times[exists].append(time.perf_counter() - started)
            assert answer.status == 401 and answer.code == "invalid_credentials", answer
    there, absent = (statistics.median(times[exists]) for exists in (True, False))
    assert abs(there - absent) < 0.25 * max(there, absent), (there, absent)


def test_an_imported_hash_is_not_told_by_the_time_either(stack, urls, another_gateway):
    """At the default parameters: bcrypt takes several times what argon2id takes, an answer takes the same. What tells them is the
    clock alone, so it must hold on a busy machine, too: medians, and another try if somebody had the processor meanwhile."""
    hashed = crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1024))
    imported = ["import-" + uuid.uuid4().hex[:8] for _ in range(4)]
    for name in imported:
        assert console(stack, "import-user", name, f"{name}@example.org", stdin=hashed + "\n")[0] == 0
    known = [person.username for person in register_people(urls, 4, threads=2)]
    there = another_gateway({"hashing.memory_kib": 19456, "hashing.iterations": 2, "login.refusal_ms": 500})

    def medians():
        def guess(name):
            started = time.perf_counter()
            answer = log_in(client_of[name], name, WRONG)
            assert answer.status == 401, answer
            return time.perf_counter() - started
        names = {"imported": imported, "known": known, "nobody": [nobody() for _ in range(4)]}
        client_of = {name: come_from_elsewhere([there]) for kind in names.values() for name in kind}
        times = in_threads([lambda kind=kind: (kind, [guess(name) for name in names[kind]]) for kind in names])
        return {kind: statistics.median(took) for kind, took in times}
    for _ in range(5):  # five guesses a name are not delayed
        found = medians()
        assert min(found.values()) >= 0.5, found
        if max(found.values()) < 0.54:
            return
    raise AssertionError(found)


def refused_for(client, name, password=WRONG):
    """Tries until the password is looked at; returns that answer and when it was asked for."""
    def looked_at():
        asked = time.monotonic()
        answer = log_in(client, name, password)
        if answer.status != 429:
            return answer, asked
        assert answer.code == "too_many_attempts" and int(answer.headers["Retry-After"]) >= 1 and answer.json["retryable"], answer
        return None
    return wait_until(looked_at, 20, "a guess is looked at again", pause=0.01)


def test_a_username_and_an_e_mail_address_of_one_person_are_guessed_at_as_one(urls, person):
    client, names = come_from_elsewhere(urls), itertools.cycle([person.username, person.email, person.email.upper()])
    assert [log_in(client, next(names), WRONG).status for _ in range(6)] == [401] * 5 + [429]


def test_who_guesses_waits_also_while_redis_is_away(mended, urls, person):
    client = come_from_elsewhere(urls)
    assert [log_in(client, person.username, WRONG).status for _ in range(3)] == [401] * 3
    with mended.without("redis"):
        statuses = [answer.status for answer in in_threads([lambda: log_in(come_from_elsewhere(urls), person.email, WRONG)] * 10)]
        assert statuses.count(401) <= 3 and statuses.count(429) >= 7, statuses


@pytest.mark.parametrize("exists", [True, False])
def test_who_guesses_waits_longer_each_time_whether_the_name_is_there_or_not(urls, person, exists):
    client, name = come_from_elsewhere(urls), person.username if exists else nobody()
    assert [log_in(client, name, WRONG).status for _ in range(4)] == [401] * 4
    before, waits = time.monotonic(), []
    assert log_in(client, name, WRONG).status == 401
    for _ in range(3):
        answer, asked = refused_for(client, name)
        assert answer.status == 401
        waits.append(time.monotonic() - before)
        before = asked
    assert all(wait > 0.99 * LOGIN["login.delay_ms"] / 1000 * 2**i for i, wait in enumerate(waits)), waits
    assert log_in(client, name, PASSWORD).status == 429, "also the right password is not looked at"
    other = come_from_elsewhere(urls)
    assert log_in(other, name, WRONG).status == 429, "from another address neither"


def test_guesses_at_once_are_as_good_as_one_after_the_other(urls, person):
    clients = [come_from_elsewhere(urls) for _ in range(30)]
    statuses = [answer.status for answer in in_threads([lambda c=c: log_in(c, person.username, WRONG) for c in clients])]
    assert statuses.count(401) <= 6 and set(statuses) == {401, 429}, statuses


def test_a_stranger_cannot_lock_somebody_out(urls, person):
    home = come_from_elsewhere(urls)
    assert log_in(home, person.username).status == 200
    attacker, stopping = come_from_elsewhere(urls), threading.Event()

    def attack():
        while not stopping.is_set():
            log_in(attacker, person.username, WRONG)
    thread = threading.Thread(target=attack, daemon=True)
    thread.start()
    try:
        wait_until(lambda: log_in(come_from_elsewhere(urls), person.username, WRONG).status == 429, 10, "the name is being delayed")
        for _ in range(10):
            assert log_in(home, person.username).status == 200
    finally:
        stopping.set()
        thread.join()
    stranger = come_from_elsewhere(urls)
    answer, _ = refused_for(stranger, person.username, PASSWORD)
    assert answer.status == 200, "and when the attack is over, from anywhere"


def import_user(stack, name, hashed, *options):
    """What aether-admin warns of."""
    return subprocess.run([os.path.join(REPOSITORY, "ops", "aether-admin"), "--state", stack.state, *options, "import-user", name, f"{name}@example.org"],
                          input=hashed + "\n", text=True, check=True, timeout=60, stderr=subprocess.PIPE).stderr


def test_who_imports_a_hash_that_refusals_cannot_hide_is_warned(stack):
    """Its time alone would tell the account; the figure to set is named."""
    slow = crypt.crypt("whatever", "$2b$10$abcdefghijklmnopqrstu.")
    warned = import_user(stack, nobody(), slow, "--set", "login.refusal_ms=20")
    took, wanted = re.search(r"takes (\d+) ms to verify, too long for a login.refusal_ms of 20:.* at least (\d+)\.", warned, re.S).groups()
    assert int(took) > 10 and int(wanted) == 2 * int(took)
    assert import_user(stack, nobody(), slow, "--set", "login.refusal_ms=10000") == ""


def test_an_imported_bcrypt_hash_logs_in_and_becomes_argon2id(stack, urls):
    name = "imported-" + uuid.uuid4().hex[:8]
    import_user(stack, name, BCRYPT)
    stored = "SELECT password_hash FROM users.accounts WHERE username = %s"
    client = Client(urls)
    assert log_in(client, name, WRONG).status == 401
    assert stack.sql(stored, (name,))[0][0] == BCRYPT
    assert log_in(client, f"{name}@example.org").status == 200
    assert stack.sql(stored, (name,))[0][0].startswith("$argon2id$")
    assert log_in(client, name).status == 200 and log_in(client, name, WRONG).status == 401


def test_a_storm_of_log_ins_is_turned_away_at_the_edge_of_what_can_be_hashed(urls, people, ada, room):
    """503 with Retry-After for those that would wait too long; reading and writing goes on meanwhile."""
    storming, took = threading.Event(), []

    def storm():
        client = Client(urls)
        return [log_in(client, nobody(), WRONG) for _ in range(3)]

    def talk():
        person = Person(urls)
        person.token, person.user = ada.token, ada.user
        while not storming.is_set():
            for method, path, body in (("GET", "/users/me", None), ("POST", f"/rooms/{room}/messages", {"body": "Still here"})):
                started = time.monotonic()
                assert person.request(method, path, body).status in (200, 201)
                took.append(time.monotonic() - started)
    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    answers = sum(in_threads([storm] * 150, timeout=60), [])
    storming.set()
    talker.join(20)
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {401, 503}
    assert refused and all(answer.code == "overloaded" and answer.headers["Retry-After"] for answer in refused)
    assert len(took) > 4 and statistics.median(took) < 0.5, sorted(took)[-5:]
