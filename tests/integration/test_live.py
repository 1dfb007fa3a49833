"""The live feed: what happens is told at once to who may see it, and nothing is missed, whoever dies in between."""

import base64
import contextlib
import json
import os
import random
import socket
import struct
import threading
import time
import urllib.parse
import uuid

import pytest

import client
import feed
from client import in_threads
from conftest import is_ready
from stack import http_get, parse_metrics, wait_until


@pytest.fixture
def url(urls):
    return urls[0]


@pytest.fixture(params=["WebSocket", "EventStream"])
def listen(request, url):
    """Opens the feed in either form: listen(person, last_id=None)."""
    opened = []

    def open_feed(person, last_id=None):
        if request.param == "WebSocket":
            opened.append(feed.WebSocket(url, person.token, "lastEventId=" + last_id if last_id else ""))
        else:
            opened.append(feed.EventStream(url, person.token, last_id))
        return opened[-1]

    yield open_feed
    for each in opened:
        with contextlib.suppress(Exception):
            each.close()


@pytest.fixture
def hear(url):
    """A WebSocket that is closed behind the test: hear(person, …)."""
    with contextlib.ExitStack() as stack:
        def open_socket(person, *arguments, **options):
            socket_ = feed.WebSocket(url, person.token, *arguments, **options)
            stack.callback(lambda: contextlib.suppress(Exception).__enter__() or socket_.break_off())
            return socket_
        yield open_socket


# --- what is told, and to whom ---


def test_members_hear_a_message_as_it_stands_in_the_history(listen, ada, ben, room):
    heard = listen(ben)
    assert {"roomId": room, "number": 0} in heard.of("ready")[0]["rooms"]
    said = ada.say(room, "Land in sight: “¡tierra!” \\ \n")
    event = heard.event("message.posted", roomId=room)
    assert event["number"] == 1 and event["actorId"] == ada.user["id"] and event["position"].startswith("rooms/")
    assert event["data"] == said == ada.history(room)[0]


def test_strangers_hear_nothing_until_they_join(listen, ada, eve):
    room, other = ada.room(), ada.room()
    eve.join(other)
    heard = listen(eve)
    ada.say(room, "not for Eve")
    ada.say(other, "for Eve")
    heard.event("message.posted", roomId=other)
    assert heard.numbers(room) == []
    eve.join(room)
    heard.event("member.joined", roomId=room)
    ada.say(room, "welcome")
    heard.event("message.posted", roomId=room)
    assert heard.numbers(room) == [2]


def test_the_owner_of_a_new_room_hears_it_from_its_first_message_on(listen, ada):
    heard = listen(ada)
    room = ada.room()
    heard.event("room.created", roomId=room)
    for i in range(5):
        ada.say(room, f"{i}")
    heard.wait(lambda f: len(f.numbers(room)) == 5)
    assert heard.numbers(room) == [1, 2, 3, 4, 5]


# --- nothing missed ---


def test_who_comes_back_is_told_exactly_what_was_missed(listen, ada, ben, room):
    heard = listen(ben)
    ada.say(room, "1")
    heard.event("message.posted", roomId=room, number=1)
    last_id = heard.last_id
    heard.close()
    for i in range(2, 8):
        ada.say(room, f"{i}")
    heard = listen(ben, last_id)
    ada.say(room, "8")
    heard.wait(lambda f: 8 in f.numbers(room))
    assert heard.numbers(room) == [2, 3, 4, 5, 6, 7, 8]


def test_who_was_added_to_a_room_while_away_is_told_of_it_from_then_on(listen, ada, eve):
    room = ada.room()
    ada.say(room, "before")
    heard = listen(eve)
    last_id = heard.last_id
    heard.close()
    ada.say(room, "still before")
    eve.join(room)
    ada.say(room, "after")
    heard = listen(eve, last_id)
    heard.event("message.posted", roomId=room)
    heard.event("member.joined", roomId=room)
    assert heard.numbers(room) == [3]


def test_who_says_by_number_what_was_seen_is_told_the_rest(hear, ada, ben, room):
    for i in range(7):
        ada.say(room, f"{i + 1}")
    other, joined = ada.room(), ada.room()
    ben.join(other)
    ada.say(other, "1")
    ada.say(joined, "before")
    ben.join(joined)
    ada.say(joined, "after")
    heard = hear(ben, "hold=true")
    ada.say(room, "8")
    assert heard.ask("resume", "r", since={room: 4, other: 1})["status"] == 204
    ada.say(room, "9")
    heard.event("message.posted", roomId=room, number=9)
    assert heard.numbers(room) == [5, 6, 7, 8, 9]
    assert heard.numbers(other) == []
    assert heard.numbers(joined) == [2]
    assert heard.of("message.posted", room)[0]["data"] == ada.page(room, after=4, limit=1)["items"][0]
    assert heard.ask("resume", "again", since={})["status"] == 409


def test_who_was_away_for_longer_than_the_window_is_told_from_the_projection(urls, url, another_gateway, ada):
    """The position of a feed's beginning lies before every window but that of a log that has just begun. Dora is new: who has
    more than live.catch_up_events to be told, of all rooms, is told to look."""
    dora, = client.register_people(urls, 1)
    first, second = ada.room(), ada.room()
    for room in (first, second):
        dora.join(room)
    for i in range(1200):
        ada.say(first if i % 3 else second, f"{i}")
    heard = feed.WebSocket(url, dora.token, "lastEventId=" + position_of([0] * 6))
    ada.say(first, "the end")
    heard.wait(lambda f: any(e["data"]["body"] == "the end" for e in f.of("message.posted", first)), 30)
    assert heard.numbers(first) == list(range(1, 802))
    assert heard.numbers(second) == list(range(1, 401))
    assert not heard.of("resync")
    heard.close()
    elsewhere = another_gateway({"live.catch_up_events": 1000, "live.window_events": 64})
    heard = feed.WebSocket(elsewhere, dora.token, "lastEventId=" + position_of([0] * 6))
    assert heard.event("resync")["reason"] == "too_far_behind"
    ada.say(first, "behind it")
    heard.event("message.posted", roomId=first, number=802)
    heard.close()


def follows_the_log(url):
    return parse_metrics(http_get(url + "/metrics")[1].decode())["aether_gateway_live_following"] == 1


@pytest.mark.parametrize("by", ["position", "number"])
def test_a_feed_that_rested_misses_nothing_when_somebody_listens_again(another_gateway, stack, ada, ben, room, by):
    """Nor one that has just been started."""
    settings = {"live.linger_s": 1, "live.window_events": 64}
    url = another_gateway(settings)
    assert not follows_the_log(url), "nobody has listened yet"
    ada.say(room, "1")
    heard = feed.WebSocket(url, ben.token)
    ada.say(room, "2")
    heard.event("message.posted", roomId=room, number=2)
    last_id = heard.last_id
    wait_until(lambda: follows_the_log(url), 10, "the log is followed")
    heard.close()
    wait_until(lambda: not follows_the_log(url), 20, "it rests")
    assert is_ready(url)
    for i in range(3, 30):
        ada.say(room, f"{i}")
    stop, poster = threading.Event(), client_of(ada, stack)
    posting = threading.Thread(target=lambda: [poster.say(room, "more") for _ in iter(stop.is_set, True)], daemon=True)
    posting.start()
    for where in (url, another_gateway(settings)):
        if by == "position":
            heard = feed.WebSocket(where, ben.token, "lastEventId=" + last_id)
        else:
            heard = feed.WebSocket(where, ben.token, "hold=true")
            assert heard.ask("resume", "r", since={room: 2})["status"] == 204
        ready = heard.of("ready")[0]
        seen = next(r["number"] for r in ready["rooms"] if r["roomId"] == room)
        heard.wait(lambda f: (f.numbers(room) or [0])[-1] > seen + 20, 30, "what goes on")
        numbers = heard.numbers(room)
        assert numbers == list(range(3, 3 + len(numbers)))
        assert not heard.of("resync")
        heard.break_off()
    stop.set()
    posting.join(60)


def position_of(offsets):
    """As the gateway writes it: base64url of the count and the offsets, seven bits a byte."""
    def number(n):
        return bytes([n & 0x7f | 0x80]) + number(n >> 7) if n > 0x7f else bytes([n])
    return base64.urlsafe_b64encode(b"".join(map(number, [len(offsets), *offsets]))).rstrip(b"=").decode()


class Follower:
    """Somebody who listens, and whenever the connection ends comes back with what was seen last, to any gateway; as a phone
    does."""

    def __init__(self, stack, person, kind):
        self.stack, self.person, self.kind = stack, person, kind
        self.numbers, self.repeats, self.last_id, self.connections = {}, [], None, 0
        self.resynced = 0
        self.stopping = False
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def connect(self):
        url = random.choice(self.urls)
        if self.kind == "EventStream":
            heard = feed.EventStream(url, self.person.token, self.last_id, wait_ready=False)
            if heard.status != 200:
                raise OSError(f"refused: {heard.status}")
            return heard
        return feed.WebSocket(url, self.person.token, "lastEventId=" + self.last_id if self.last_id else "", wait_ready=False)

    def take(self, event):
        if event["type"] == "message.posted":
            room, number = event["roomId"], event["number"]
            seen = self.numbers.setdefault(room, [])
            if seen and number <= seen[-1]:
                self.repeats.append((room, number))
            seen.append(number)
        self.resynced += event["type"] == "resync"
        self.last_id = event.get("id", self.last_id)

    def follow(self):
        self.urls = self.stack.urls()
        while not self.stopping:
            try:
                heard = self.connect()
            except Exception:  # the gateway is away: again in a moment
                time.sleep(random.uniform(0.05, 0.4))
                continue
            self.connections += 1
            at = 0
            while not self.stopping and not (heard.closed and at == len(heard.events)):
                with heard.changed:
                    if at == len(heard.events) and not heard.closed:
                        heard.changed.wait(0.2)
                while at < len(heard.events):
                    self.take(heard.events[at])
                    at += 1
            with contextlib.suppress(Exception):
                heard.close() if self.stopping else None


@pytest.mark.slow
def test_two_hundred_listeners_miss_nothing_while_everything_is_killed(mended, people):
    stack = mended
    rooms = [people[0].room(f"Deck {i}") for i in range(4)]
    for person in people[1:8]:
        for room in rooms:
            person.join(room)
    listeners = [Follower(stack, people[i % 8], "EventStream" if i % 4 == 0 else "WebSocket") for i in range(200)]
    wait_until(lambda: all(f.connections and f.last_id for f in listeners), 60, "everybody listens")
    stop, posted = threading.Event(), []

    def post(person, room):
        while not stop.is_set():
            posted.append((room, person.say(room, "ahoy")["seq"]))

    posters = [threading.Thread(target=post, args=(client_of(people[i], stack), rooms[i]), daemon=True) for i in range(4)]
    for poster in posters:
        poster.start()
    for victim in ("gateway", "messages", "kafka", "gateway", "messages", "gateway"):
        count = len(posted)
        wait_until(lambda: len(posted) >= count + 40, 120, "40 more posts")
        stack.kill(victim)
    count = len(posted)
    wait_until(lambda: len(posted) >= count + 40, 120, "40 more posts")
    stop.set()
    for poster in posters:
        poster.join(60)
    last = {room: max(number for where, number in posted if where == room) for room in rooms}
    expected = {room: list(range(1, last[room] + 1)) for room in rooms}
    wait_until(lambda: all(f.numbers.get(room, [0])[-1] >= last[room] for f in listeners for room in rooms), 60,
               "everybody has heard the last message")
    for follower in listeners:
        follower.stopping = True
    assert sum(f.connections > 1 for f in listeners) == 200
    for follower in listeners:
        assert follower.resynced == 0
        assert follower.repeats == []
        assert follower.numbers == expected


def client_of(person, stack):
    """The same person over a connection of its own."""
    mine = client.Person(stack.urls(), person.username)
    mine.user, mine.token, mine.refresh_token = person.user, person.token, person.refresh_token
    return mine


def test_who_is_removed_sees_nothing_after_but_that(listen, ada, ben, room):
    heard = listen(ben)
    other = ada.room()
    ben.join(other)
    ada.say(room, "seen")
    heard.event("message.posted", roomId=room)
    assert ada.post(f"/rooms/{room}/members/{ben.user['id']}/kick", {}).status in (200, 204)
    heard.event("member.removed", roomId=room)
    ada.say(room, "not seen")
    ada.say(other, "a sign that it would have come")
    heard.event("message.posted", roomId=other)
    assert len(heard.numbers(room)) == 1


def test_what_becomes_of_a_message_is_told_with_its_number(listen, ada, ben, room):
    heard = listen(ben)
    message = ada.say(room, "teh sea")["id"]
    assert ada.request("PUT", f"/messages/{message}", {"body": "the sea"}).status == 200
    edited = heard.event("message.edited", roomId=room, number=1)
    assert (edited["data"]["id"], edited["data"]["body"], edited["data"]["version"]) == (message, "the sea", 2)
    assert ada.request("DELETE", f"/messages/{message}").status in (200, 204)
    assert heard.event("message.deleted", roomId=room, number=1)["data"]["id"] == message


def test_reading_over_the_socket_is_told_the_room(hear, ada, ben, room):
    heard, reader = hear(ada), hear(ben)
    ada.say(room, "read me")
    assert reader.ask("read", "r", roomId=room, body={"seq": 1})["status"] in (200, 204)
    assert heard.event("message.read", roomId=room)["number"] == 1


def test_typing_is_told_once_in_a_while_and_only_to_members(hear, ada, ben, eve, room):
    heard, other = hear(ada), hear(eve)
    for _ in range(5):
        assert ben.post(f"/rooms/{room}/typing").status == 204
    assert ben.post(f"/rooms/{room}/typing").status == 204
    heard.event("typing", roomId=room, actorId=ben.user["id"])
    assert hear(ben).ask("typing", "t", roomId=room)["status"] == 204
    assert eve.post(f"/rooms/{room}/typing").status == 403
    mine = ada.room()
    eve.join(mine)
    ada.say(mine, "a sign that it would have come")
    other.event("message.posted", roomId=mine)
    heard.event("message.posted", roomId=mine)
    assert len(heard.of("typing")) == 1 and not other.of("typing")


# --- who may listen ---


def status_of(url, path="/api/v1/live", **headers):
    """The status and body of a plain request."""
    at = urllib.parse.urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as s:
        lines = [f"GET {path} HTTP/1.1", f"Host: {at.netloc}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = s.makefile("rb").readline().decode()
    return int(head.split()[1])


HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
             "Sec_WebSocket_Key": base64.b64encode(bytes(16)).decode()}


def test_who_has_no_token_is_refused(url):
    assert status_of(url, Accept="text/event-stream") == 401
    assert status_of(url, **HANDSHAKE) == 401
    assert status_of(url, Authorization="Bearer nonsense", Accept="text/event-stream") == 401
    assert status_of(url, **HANDSHAKE, Sec_WebSocket_Protocol="aether.v1, bearer.nonsense") == 401
    assert status_of(url, "/api/v1/live?ticket=nonsense", **HANDSHAKE) == 401


def test_a_handshake_that_is_none_is_refused(url, ada):
    token = {"Authorization": f"Bearer {ada.token}"}
    assert status_of(url, **token, **HANDSHAKE | {"Sec_WebSocket_Version": "8"}) == 426
    assert status_of(url, **token, **HANDSHAKE | {"Sec_WebSocket_Key": "short"}) == 400
    assert status_of(url, **token, Accept="application/json") == 406
    assert status_of(url, "/api/v1/live?lastEventId=%21", **token) == 400
    assert status_of(url, **token, **HANDSHAKE) == 101


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


# --- commands ---


def test_a_post_over_the_socket_is_a_post(hear, ada, ben, room):
    heard = hear(ben)
    key = str(uuid.uuid4())
    first = heard.ask("post", "1", roomId=room, body={"body": "over the socket"}, idempotencyKey=key)
    again = heard.ask("post", "2", roomId=room, body={"body": "over the socket"}, idempotencyKey=key)
    assert first["status"] == again["status"] == 201
    assert first["body"] == {**again["body"]} and again["headers"]["Idempotency-Replayed"] == "true"
    other = heard.ask("post", "3", roomId=room, body={"body": "something else"}, idempotencyKey=key)
    assert (other["status"], other["body"]["code"]) == (422, "idempotency_key_reused")
    assert [m["body"] for m in ada.history(room)] == ["over the socket"]


@pytest.mark.parametrize("message, status, code", [
    ("{", 400, "malformed_json"),
    ("[]", 400, "malformed_json"),
    ({"do": "dance"}, 400, "unknown_command"),
    ({"do": "post", "roomId": "x", "body": {"body": "x"}}, 400, "bad_path"),
    ({"do": "post", "roomId": str(uuid.uuid4()), "body": {"body": "x"}}, 404, "room_not_found"),
    ({"do": "post", "roomId": str(uuid.uuid4())}, 400, None),
    ({"do": "post", "roomId": str(uuid.uuid4()), "body": {"body": "x", "more": 1}}, 400, None),
])
def test_a_bad_command_is_answered_as_a_bad_request_would_be(hear, ada, message, status, code):
    heard = hear(ada)
    heard.send(message)
    reply = heard.event("reply")
    assert reply["status"] == status
    assert code in (None, reply["body"]["code"])


# --- the protocol, frame by frame (RFC 6455) ---


class Raw:
    """A WebSocket of bytes."""

    def __init__(self, url, person, receive_buffer=None):
        at = urllib.parse.urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect((at.hostname, at.port))
        headers = HANDSHAKE | {"Authorization": f"Bearer {person.token}", "Host": at.netloc}
        self.socket.sendall(("GET /api/v1/live HTTP/1.1\r\n" + "".join(
            f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
        self.file = self.socket.makefile("rb")
        while self.file.readline().strip():
            pass

    def send(self, opcode, payload=b"", fin=True, rsv=0, mask=True):
        key = os.urandom(4)
        size = struct.pack("!B", len(payload) | 0x80 * mask) if len(payload) < 126 else \
            struct.pack("!BH", 126 | 0x80 * mask, len(payload)) if len(payload) < 65536 else \
            struct.pack("!BQ", 127 | 0x80 * mask, len(payload))
        body = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)) if mask else payload
        self.socket.sendall(bytes([0x80 * fin | rsv << 4 | opcode]) + size + (key if mask else b"") + body)

    def receive(self):
        """(opcode, payload) of the next frame that is no event; None at the end."""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            assert head[0] & 0x80 and not head[1] & 0x80  # whole, not masked
            size = head[1]
            if size > 125:
                size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
            payload = self.file.read(size)
            if head[0] & 15 != 1:
                return head[0] & 15, payload

    def expect_close(self, code):
        opcode, payload = self.receive()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (8, code)
        self.socket.settimeout(3)
        assert self.receive() is None


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.mark.parametrize("what, code", [
    (lambda s: s.send(TEXT, b"{}", mask=False), 1002),
    (lambda s: s.send(TEXT, b"{}", rsv=4), 1002),
    (lambda s: s.send(3, b""), 1002),
    (lambda s: s.send(11, b""), 1002),
    (lambda s: s.send(PING, b"x" * 126), 1002),
    (lambda s: s.send(PING, b"", fin=False), 1002),
    (lambda s: s.send(0, b"a continuation of nothing"), 1002),
    (lambda s: (s.send(TEXT, b"{", fin=False), s.send(TEXT, b"}")), 1002),
    (lambda s: s.send(TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), 1007),
    (lambda s: s.send(TEXT, b"\xff"), 1007),
    (lambda s: s.send(BINARY, b"{}"), 1003),
    (lambda s: s.send(TEXT, b" " * (1 << 20)), 1009),
    (lambda s: s.send(CLOSE, b"\x03"), 1002),
    (lambda s: s.send(CLOSE, struct.pack("!H", 1005)), 1002),
    (lambda s: s.send(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    (lambda s: s.send(CLOSE, struct.pack("!H", 1000) + b"bye"), 1000),
    (lambda s: s.send(CLOSE, struct.pack("!H", 4711)), 4711),
], ids=["unmasked", "reserved bit", "reserved opcode", "reserved control opcode", "long ping", "fragmented ping",
        "continuation of nothing", "message within a message", "surrogate", "no UTF-8", "binary", "too large", "close of one byte",
        "close with a code that is never sent", "close with a reason that is no text", "close", "close with a code of its own"])
def test_frames_that_end_the_connection(url, ada, what, code):
    raw = Raw(url, ada)
    with contextlib.suppress(ConnectionError):
        what(raw)
    raw.expect_close(code)


def test_a_message_in_pieces_with_pings_between_them_is_one_message(url, ada):
    raw = Raw(url, ada)
    raw.send(TEXT, b'{"do":"authenticate",', fin=False)
    raw.send(PING, b"one")
    assert raw.receive() == (PONG, b"one")
    raw.send(0, b'"ref":"in pieces"}', fin=False)
    raw.send(PING, b"two")
    raw.send(0, b"")
    assert raw.receive() == (PONG, b"two")
    raw.send(PONG, b"unasked")
    raw.send(CLOSE, b"")
    assert raw.receive() == (CLOSE, b"")


def test_a_message_byte_by_byte_is_a_message(url, ada):
    raw = Raw(url, ada)
    key = bytes(4)
    for byte in bytes([0x89, 0x85]) + key + b"slow!" + bytes([0x89, 0x83]) + key + b"and":
        raw.socket.sendall(bytes([byte]))
        time.sleep(0.001)
    assert raw.receive() == (PONG, b"slow!")
    assert raw.receive() == (PONG, b"and")


# --- who reads slowly ---


def test_who_reads_slowly_slows_nobody_and_is_told_to_look(url, ada, ben, room, hear):
    slow = Raw(url, ben, receive_buffer=4096)
    heard = hear(ada)
    text = "a long story " * 300
    for _ in range(160):
        assert heard.ask("post", str(uuid.uuid4()), roomId=room, body={"body": text})["status"] == 201
    heard.wait(lambda f: len(f.numbers(room)) == 160)
    buffered = b""
    while b'"resync"' not in buffered:
        piece = slow.socket.recv(65536)
        assert piece
        buffered = buffered[-100:] + piece
    ada.say(room, "the end of it")
    while b"the end of it" not in buffered:
        buffered = buffered[-100:] + slow.socket.recv(65536)
