"""The vault's master key is changed while people go on."""

import os
import re
import subprocess
import threading

import pytest

import history
from client import PASSWORD, Client, Person
from load import Load
from stack import REPOSITORY


def console(stack, *words):
    done = subprocess.run([os.path.join(REPOSITORY, "ops", "aether-admin"), "--state", stack.state, *words], timeout=120, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def env(stack):
    with open(os.path.join(stack.state, "env")) as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line and not line.startswith("#"))


class Newcomers:
    """People who register all the while."""

    def __init__(self, urls):
        self.urls, self.people, self.stopping, self.failure = urls, [], threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.stopping.is_set():
                person = Person(self.urls)
                person.register()
                self.people.append(person)
        except BaseException as failure:  # told by the test's own thread
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(120)
        assert not self.failure, self.failure


@pytest.mark.slow
def test_the_master_key_is_rotated_while_people_register_and_talk(stack, mended, urls, people):
    rooms = [people[0].room(f"Room {i}") for i in range(3)]
    for person in people[1:4]:
        for room in rooms:
            person.join(room)
    before = env(stack)
    load = Load(stack, people[:4], rooms)
    with load, Newcomers(urls) as newcomers:
        status, said = console(stack, "rotate-master-key")
        assert status == 0 and (newest := re.search(r"by master key (\d+)", said)), said
        assert stack.sql("SELECT DISTINCT master FROM vault.keys WHERE wrapped IS NOT NULL") == [(int(newest[1]),)]
        status, said = console(stack, "retire-master-key")
        assert status == 1 and "run ops/up first" in said, said
        stack.up()  # restarts workers and gateways, one after another, with the new key
        status, said = console(stack, "retire-master-key")
        assert status == 0, said
    assert newcomers.people, "nobody registered meanwhile"
    load.verify()
    history.settle(stack)
    assert stack.sql("SELECT DISTINCT master FROM vault.keys WHERE wrapped IS NOT NULL") == [(int(newest[1]),)]
    after = env(stack)
    assert after["AETHER_VAULT_MASTER_KEY"] != before["AETHER_VAULT_MASTER_KEY"] and not {"AETHER_VAULT_NEW_MASTER_KEY", "AETHER_VAULT_OLD_MASTER_KEY"} & set(after)
    # Names sealed before and during the rotation open with nothing but the new key.
    for person in (people[0], newcomers.people[0], newcomers.people[-1]):
        assert Client(urls).post("/auth/login", {"username": person.username, "password": PASSWORD}).status == 200
        assert person.get("/users/me").json["username"] == person.username
    status, said = console(stack, "--set", "vault.master_key=" + before["AETHER_VAULT_MASTER_KEY"], "force-logout", people[0].username)
    assert status == 2 and "retired" in said and before["AETHER_VAULT_MASTER_KEY"] not in said, said
