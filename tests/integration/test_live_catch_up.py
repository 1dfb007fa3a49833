"""Nothing is missed of the live feed, and nothing told twice: by who comes back, who was added or removed meanwhile, whoever dies."""

import base64
import contextlib
import random
import threading
import time

import pytest

import client
import feed
from conftest import is_ready
from stack import http_get, parse_metrics, wait_until


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


@pytest.mark.parametrize("what", feed.REMOVALS)
def test_who_was_removed_while_away_is_told_what_came_before_and_nothing_after(listen, ada, ben, room, what):
    other = ada.room()
    ben.join(other)
    heard = listen(ben)
    ada.say(room, "a sign that it is heard")
    heard.event("message.posted", roomId=room, number=1)
    last_id = heard.last_id
    heard.close()
    ada.say(room, "seen")
    assert feed.REMOVALS[what](ada, room, ben.user["id"]).status == 204
    ada.say(room, "not seen")
    heard = listen(ben, last_id)
    ada.say(room, "nor this")
    ada.say(other, "a sign that it would have come")
    heard.event("message.posted", roomId=other)
    heard.event(what, roomId=room)
    assert heard.numbers(room) == [2]


def test_who_says_by_number_what_was_seen_is_told_the_rest(hear, urls, ada, room):
    cleo = client.Person(urls)  # in no other room, where there would be more to tell than one is told
    cleo.register()
    cleo.join(room)
    for i in range(7):
        ada.say(room, f"{i + 1}")
    other, joined = ada.room(), ada.room()
    cleo.join(other)
    ada.say(other, "1")
    ada.say(joined, "before")
    cleo.join(joined)
    ada.say(joined, "after")
    heard = hear(cleo, "hold=true")
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
    client.in_threads([lambda mine=client_of(ada, urls): [mine.say(first if i % 3 else second, f"{i}") for i in range(150)] for _ in range(8)])
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


def test_what_was_changed_meanwhile_is_told_as_it_is_now(another_gateway, urls, ada):
    """From the projection, by who was away for longer than the window; what was posted meanwhile, too, as it is now."""
    dora, = client.register_people(urls, 1)
    room = ada.room()
    dora.join(room)
    url = another_gateway({"live.window_events": 64})
    heard = feed.WebSocket(url, dora.token)
    seen = [ada.say(room, f"{i}") for i in range(3)]
    heard.event("message.posted", roomId=room, number=3)
    last_id = heard.last_id
    heard.close()
    assert ada.insist("PUT", f"/messages/{seen[0]['id']}", {"body": "edited"}).status == 200
    late = ada.say(room, "posted meanwhile")
    assert ada.insist("DELETE", f"/messages/{seen[1]['id']}").status in (200, 204)
    assert ada.insist("PUT", f"/messages/{late['id']}", {"body": "and edited"}).status == 200
    for i in range(100):
        ada.say(room, "more than the window has")
    heard = feed.WebSocket(another_gateway({"live.window_events": 64}), dora.token, "lastEventId=" + last_id)
    heard.event("message.posted", roomId=room, number=104)
    changed = {event["number"]: event["data"] for event in heard.of("message.changed", room)}
    assert sorted(changed) == [1, 2] and changed[1]["body"] == "edited" and changed[2]["deletedAt"], changed
    assert heard.numbers(room) == list(range(4, 105))
    assert heard.event("message.posted", roomId=room, number=4)["data"]["body"] == "and edited"
    heard.close()


def follows_the_log(url):
    return parse_metrics(http_get(url + "/metrics")[1].decode())["aether_gateway_live_following"] == 1


@pytest.mark.parametrize("by", ["position", "number"])
def test_a_feed_that_rested_misses_nothing_when_somebody_listens_again(another_gateway, urls, ada, ben, room, by):
    """Nor one that has just been started."""
    settings = {"live.linger_s": 1, "live.window_events": 512}  # more than is posted while somebody comes in
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
    for i in range(3, 130):  # more than the window begins with
        ada.say(room, f"{i}")
    with talking(urls, {ada: room}):
        for where in (url, another_gateway(settings)):
            heard = feed.WebSocket(where, ben.token, "lastEventId=" + last_id if by == "position" else "hold=true")
            ready = heard.event("ready")
            if by == "number":  # of a room that is not named everything is told
                told = heard.ask("resume", "r", since={**{r["roomId"]: r["number"] for r in ready["rooms"]}, room: 2})
                assert told["status"] == 204, told
            seen = next(r["number"] for r in ready["rooms"] if r["roomId"] == room)
            heard.wait(lambda f: (f.numbers(room) or [0])[-1] > seen + 20, 30, "what goes on")
            numbers = heard.numbers(room)
            assert numbers == list(range(3, 3 + len(numbers)))
            assert not heard.of("resync")
            heard.break_off()


def position_of(offsets):
    """As the gateway writes it: base64url of the count and the offsets, seven bits a byte."""
    def number(n):
        return bytes([n & 0x7f | 0x80]) + number(n >> 7) if n > 0x7f else bytes([n])
    return base64.urlsafe_b64encode(b"".join(map(number, [len(offsets), *offsets]))).rstrip(b"=").decode()


class Follower:
    """Somebody who listens, and whenever the connection ends comes back with what was seen last, to any gateway; as a phone
    does."""

    def __init__(self, urls, person, kind):
        self.urls, self.person, self.kind = urls, person, kind
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
        while not self.stopping:
            try:
                heard = self.connect()
            except Exception:  # the gateway is away: again in a moment
                time.sleep(random.uniform(0.05, 0.4))
                continue
            self.connections += 1
            at = 0
            while not self.stopping and not (heard.closed and at == len(heard.events)):
                time.sleep(0.2)  # a glance at the phone: two hundred that are woken for each event do nothing else
                while at < len(heard.events):
                    self.take(heard.events[at])
                    at += 1
            with contextlib.suppress(Exception):
                heard.close() if self.stopping else None


@pytest.mark.slow
def test_two_hundred_listeners_miss_nothing_while_everything_is_killed(mended, urls, people):
    stack = mended
    rooms = [people[0].room(f"Deck {i}") for i in range(4)]
    for person in people[1:8]:
        for room in rooms:
            person.join(room)
    listeners = [Follower(urls, people[i % 8], "EventStream" if i % 4 == 0 else "WebSocket") for i in range(200)]
    wait_until(lambda: all(f.connections and f.last_id for f in listeners), 60, "everybody listens")
    with talking(urls, dict(zip(people, rooms))) as posted:
        for victim in ("gateway", "messages", "kafka", "gateway", "messages", "gateway", None):
            count = len(posted)
            wait_until(lambda: len(posted) >= count + 40, 120, "40 more posts")
            if victim:
                stack.kill(victim)
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


@contextlib.contextmanager
def talking(urls, rooms):
    """Each person talks in a room, over a connection of its own, while the body runs; [(room, number)] of what was said."""
    said, over = [], threading.Event()

    def talk(person, room):
        while not over.is_set():
            said.append((room, person.say(room, "ahoy")["seq"]))

    threads = [threading.Thread(target=talk, args=(client_of(person, urls), room), daemon=True) for person, room in rooms.items()]
    for thread in threads:
        thread.start()
    try:
        yield said
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def client_of(person, urls):
    """The same person over a connection of its own."""
    mine = client.Person(urls, person.username)
    mine.user, mine.token, mine.refresh_token = person.user, person.token, person.refresh_token
    return mine
