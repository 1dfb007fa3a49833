"""A session that ends is heard by its listeners, however it ends and however far they have come."""

import concurrent.futures
import contextlib

import pytest
import websockets

import client
import feed
from stack import http_get, parse_metrics, wait_until

ENDS = {
    "logout": lambda person, stack: person.insist("POST", "/auth/logout"),
    "logout of all": lambda person, stack: person.insist("POST", "/auth/logout-all"),
    "password": lambda person, stack: person.insist("PUT", "/users/me/password", {"currentPassword": client.PASSWORD,
                                                                                  "newPassword": "another horse, another battery"}),
    "suspension": lambda person, stack: stack.command("aether-admin", "suspend", person.username, "spam"),
    "role": lambda person, stack: stack.command("aether-admin", "set-roles", person.username, "user,moderator"),
}


@pytest.fixture
def dora(urls):
    dora, = client.register_people(urls, 1)
    return dora


@pytest.mark.parametrize("how", ENDS)
def test_however_a_session_ends_its_listeners_end_held_ones_too(stack, url, dora, how):
    held, live = feed.WebSocket(url, dora.token, "hold=true"), feed.WebSocket(url, dora.token)
    ENDS[how](dora, stack)
    assert held.wait_closed(3)[0] == 4002
    assert live.wait_closed(3)[0] == 4002


def open_feed(url, token):
    """None: it was refused."""
    try:
        return feed.WebSocket(url, token, "hold=true", wait_ready=False)
    except websockets.InvalidStatusCode:
        return None


def in_progress(url):
    return parse_metrics(http_get(url + "/metrics")[1].decode())["aether_gateway_requests_in_progress"]


def test_a_session_that_ends_while_its_listener_is_on_the_way_is_told_so(another_gateway, urls, dora):
    """One is let in a second, and the session is asked for before that. Should it have ended before that it is refused, and another one
    is tried."""
    url = another_gateway({"live.admissions_per_s": 1})
    first = feed.WebSocket(url, dora.token)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        for _ in range(5):
            device = client.Person(urls, dora.username)
            device.login()
            opening = thread.submit(open_feed, url, device.token)
            wait_until(lambda: in_progress(url) > 1, 10, "it is on the way")
            device.insist("POST", "/auth/logout")
            assert not opening.done(), "it was let in before its session ended"
            heard = opening.result(30)
            if heard:
                break
    assert heard.wait_closed(3)[0] == 4002
    assert not first.closed
    first.close()


def test_one_whose_session_has_ended_is_refused_and_those_let_in_with_it_are_not(another_gateway, urls, dora):
    """Five are let in a second: while the second waits for its turn the others come, and are taken together."""
    url = another_gateway({"live.admissions_per_s": 5})
    devices = [client.Person(urls, dora.username) for _ in range(6)]
    for device in devices:
        device.login()
    devices[3].insist("POST", "/auth/logout")
    with concurrent.futures.ThreadPoolExecutor(len(devices)) as threads, contextlib.ExitStack() as end:
        opened = list(threads.map(lambda device: open_feed(url, device.token), devices))
        for heard in filter(None, opened):
            end.callback(heard.close)
        assert [bool(heard) for heard in opened] == [True, True, True, False, True, True]
        for heard in filter(None, opened):
            heard.event("ready")


def test_a_token_of_a_session_that_has_ended_renews_no_connection(url, urls, dora, hear):
    device = client.Person(urls, dora.username)
    device.login()
    heard = hear(dora)
    assert heard.ask("authenticate", "lives", token=device.token)["status"] == 204
    assert heard.ask("authenticate", "mine again", token=dora.token)["status"] == 204
    device.insist("POST", "/auth/logout")
    reply = heard.ask("authenticate", "has ended", token=device.token)
    assert (reply["status"], reply["body"]["code"]) == (401, "session_ended")
    assert heard.ask("authenticate", "still mine", token=dora.token)["status"] == 204


def test_commands_come_in_the_order_in_which_they_were_said(url, dora, hear):
    """The first of them asks whether the session lives, and the others wait for it."""
    room = dora.room()
    heard = hear(dora)
    for i in range(30):
        heard.send({"do": "post", "ref": f"{i}", "roomId": room, "body": {"body": f"{i}"}})
    heard.wait(lambda f: len(f.of("reply")) == 30)
    assert [reply["status"] for reply in heard.of("reply")] == [201] * 30
    assert [message["body"] for message in dora.history(room)] == [f"{i}" for i in range(30)]
