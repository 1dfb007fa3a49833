"""Races for a name: exactly one wins, whichever gateway it asked and whoever died meanwhile."""

import random
import threading
import time
import uuid

import pytest

from client import Person, in_threads

NAMES, EACH = 50, 10


@pytest.mark.slow
def test_500_registrations_of_50_names_over_two_gateways_have_50_winners_while_the_worker_dies(mended):
    mended.up("--gateways", "2")
    try:
        mended.wait_ready()
        urls = mended.urls()
        assert len(urls) == 2
        tag = uuid.uuid4().hex[:8]
        people = [Person(urls[i % 2:] + urls[:i % 2]) for i in range(NAMES * EACH)]
        random.shuffle(people)
        done, killed = threading.Event(), []

        def register(i, person):
            name = f"racer{i % NAMES}-{tag}"
            person.username = name.upper() if i % 3 == 0 else name
            return name, person, person.insist("POST", "/auth/register", person.registration())

        def kill():
            for _ in range(3):
                time.sleep(0.7)  # a pause between blows, not a wait for anything
                if not done.is_set():
                    killed.append(mended.kill("users"))
        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        answers = in_threads([lambda i=i, p=p: register(i, p) for i, p in enumerate(people)], timeout=120)
        done.set()
        killer.join()
        assert killed
        winners = {name: answer.json["user"]["id"] for name, _, answer in answers if answer.status == 201}
        losers = [answer for _, _, answer in answers if answer.status != 201]
        assert len(winners) == NAMES and len(losers) == NAMES * (EACH - 1)
        for answer in losers:
            assert answer.status == 409 and answer.code == "username_taken" and answer.json["errors"][0]["field"] == "username", answer
        stored = dict(mended.sql("SELECT lower(username), user_id::text FROM users.accounts WHERE lower(username) LIKE %s", ("%-" + tag,)))
        assert stored == winners
        for name, person, answer in answers:
            if answer.status == 201:
                assert person.login().json["user"]["id"] == winners[name]
    finally:
        mended.up()
