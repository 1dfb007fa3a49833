"""Who may listen to the live feed, how the connection is opened, and until when."""

import socket
import struct
import time
import urllib.parse

import client
import feed
from stack import wait_until


def status_of(url, path="/api/v1/live", **headers):
    """The status and body of a plain request."""
    at = urllib.parse.urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as s:
        lines = [f"GET {path} HTTP/1.1", f"Host: {at.netloc}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = s.makefile("rb").readline().decode()
    return int(head.split()[1])


def test_who_has_no_token_is_refused(url):
    assert status_of(url, Accept="text/event-stream") == 401
    assert status_of(url, **feed.HANDSHAKE) == 401
    assert status_of(url, Authorization="Bearer nonsense", Accept="text/event-stream") == 401
    assert status_of(url, **feed.HANDSHAKE, Sec_WebSocket_Protocol="aether.v1, bearer.nonsense") == 401
    assert status_of(url, "/api/v1/live?ticket=nonsense", **feed.HANDSHAKE) == 401


def test_a_handshake_that_is_none_is_refused(url, ada):
    token = {"Authorization": f"Bearer {ada.token}"}
    assert status_of(url, **token, **feed.HANDSHAKE | {"Sec_WebSocket_Version": "8"}) == 426
    assert status_of(url, **token, **feed.HANDSHAKE | {"Sec_WebSocket_Key": "short"}) == 400
    assert status_of(url, **token, Accept="application/json") == 406
    assert status_of(url, "/api/v1/live?lastEventId=%21", **token) == 400
    assert status_of(url, **token, **feed.HANDSHAKE) == 101


def test_a_token_may_come_as_a_subprotocol(url, ada, ben, room):
    heard = feed.WebSocket(url, protocols=["aether.v1", "bearer." + ben.token])
    assert heard.socket.subprotocol == "aether.v1"
    ada.say(room, "hello")
    heard.event("message.posted", roomId=room)
    heard.close()


def test_a_ticket_opens_the_feed_once(url, ada, ben, room):
    answer = ben.post("/live/tickets")
    assert answer.status == 201, answer
    ticket = "ticket=" + answer.json["ticket"]
    heard = feed.EventStream(url, query=ticket)
    ada.say(room, "hello")
    heard.event("message.posted", roomId=room)
    heard.close()
    assert feed.EventStream(url, query=ticket).status == 401


CLAIMS = struct.Struct("16s16sI4xq")  # as the gateway keeps them


def test_who_listens_is_warned_before_the_token_expires_and_then_closed(stack, url, ben):
    """A ticket whose claims expire soon, since tokens of tests live long."""
    before = set(stack.redis().keys("aether:ticket:*"))
    ticket = ben.post("/live/tickets").json["ticket"]
    key, = set(stack.redis().keys("aether:ticket:*")) - before
    user, session, roles, _ = CLAIMS.unpack(stack.redis().get(key))
    stack.redis().set(key, CLAIMS.pack(user, session, roles, int((time.time() + 2.5) * 1000)), ex=30)
    heard = feed.WebSocket(url, query="ticket=" + ticket)
    heard.event("token.expiring")
    assert not heard.closed
    assert heard.wait_closed()[0] == 4001


def test_a_session_that_ends_ends_its_connections_and_no_others(url, ben):
    first, second = client.Person([url], ben.username), client.Person([url], ben.username)
    first.login()
    second.login()
    heard, stays = feed.WebSocket(url, first.token), feed.WebSocket(url, second.token)
    assert first.post("/auth/logout").status in (200, 204)
    assert heard.wait_closed()[0] == 4002
    assert stays.ask("authenticate", "still here", token=second.token)["status"] == 204
    wait_until(lambda: status_of(url, Authorization=f"Bearer {first.token}") == 401, 10, "the token refused")
    stays.close()


def test_a_new_token_keeps_the_connection(stack, url, ben, hear):
    heard = hear(ben)
    assert heard.ask("authenticate", "a", token="nonsense")["status"] == 401
    assert heard.ask("authenticate", "b", token=ben.token)["status"] == 204


def test_the_first_listener_while_the_broker_is_away_is_told_to_come_again(another_gateway, mended, ada, room):
    """Nobody has listened there before, so the gateway does not know yet where the log ends."""
    url = another_gateway({})
    with mended.paused(mended.pid("kafka")):
        answer = client.Client([url]).get("/live", headers={"Authorization": "Bearer " + ada.token, "Accept": "text/event-stream"})
        assert answer.status == 503 and answer.json["retryable"] and int(answer.headers["Retry-After"]) > 0, answer
    heard = feed.WebSocket(url, ada.token)
    ada.say(room, "back")
    heard.event("message.posted", roomId=room)
    heard.close()
