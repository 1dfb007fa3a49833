"""The list of one's own rooms: what is remembered of it is never older than what anybody has been told."""

import urllib.parse

import pytest

from client import Person
from stack import wait_until
from test_receipts import mark


def own(person, **query):
    """All pages of the list."""
    rooms, more = [], {}
    while more is not None:
        answer = person.get("/rooms?" + urllib.parse.urlencode({"scope": "mine", "limit": 100, **query, **more}))
        assert answer.status == 200, answer
        rooms += answer.json["items"]
        more = answer.json["nextCursor"] and {"cursor": answer.json["nextCursor"]}
    return rooms


def listed(person, room):
    """As the list has it; what is asked of the room alone is read anew each time, and may change between two questions."""
    before = person.get(f"/rooms/{room}").json
    found = next((r for r in own(person) if r["id"] == room), None)
    assert found is None or found == before or found == person.get(f"/rooms/{room}").json
    return found


def does(person, method, path, body=None, statuses=(200, 201, 204)):
    answer = person.insist(method, path, body)
    assert answer.status in statuses, answer
    return answer


def test_each_scope_lists_the_rooms_that_it_names(ada, ben, eve):
    """A public room is found by everybody, a private one by its members; one's own are those one is in."""
    public, private = (does(ada, "POST", "/rooms", {"name": kind, "kind": kind}).json["id"] for kind in ("public", "private"))
    does(ben, "POST", f"/rooms/{public}/join")

    def found(person, scope):
        return {public, private} & {room["id"] for room in own(person, scope=scope)}
    assert [found(ada, scope) for scope in ("visible", "mine", "public")] == [{public, private}, {public, private}, {public}]
    assert [found(ben, scope) for scope in ("visible", "mine", "public")] == [{public}, {public}, {public}]
    assert [found(eve, scope) for scope in ("visible", "mine", "public")] == [{public}, set(), {public}]


def test_whatever_happens_in_a_room_its_line_says_it_at_once(ada, ben, eve, room):
    """Everything that is shown of a room, changed one by one, looked at by three people who have all just looked."""
    said = [ada.say(room, f"line {i}") for i in range(3)]
    last, message = f"/messages/{said[-1]['id']}", f"/messages/{said[0]['id']}"
    member = f"/rooms/{room}/members/{ben.user['id']}"
    steps = [
        (ada, "POST", f"/rooms/{room}/messages", {"body": "one more"}, lambda r: r["unreadCount"] == 4),
        (ada, "DELETE", message, None, lambda r: r["unreadCount"] == 3),
        (ada, "DELETE", last, None, lambda r: r["unreadCount"] == 2),
        (ada, "PATCH", f"/rooms/{room}", {"name": "Bridge", "topic": "Steam"}, lambda r: (r["name"], r["topic"]) == ("Bridge", "Steam")),
        (ada, "PUT", member + "/role", {"role": "admin"}, lambda r: r["role"] == "admin"),
        (eve, "POST", f"/rooms/{room}/join", {}, lambda r: r["memberCount"] == 3),
        (ben, "POST", f"/rooms/{room}/messages", {"body": "Well then."}, lambda r: r["unreadCount"] == 0),
        (eve, "POST", f"/rooms/{room}/messages", {"body": "Hello"}, lambda r: r["unreadCount"] == 1 and r["lastMessage"]["body"] == "Hello"),
        (ada, "PATCH", f"/rooms/{room}", {"archived": True}, lambda r: "archivedAt" in r),
    ]
    for who, method, path, body, is_so in steps:
        for person in (ada, ben, eve):
            assert listed(person, room) == listed(person, room)
        does(who, method, path, body)
        assert is_so(listed(ben, room)), (method, path, listed(ben, room))
        for person in (ada, eve):
            listed(person, room)


def test_what_becomes_of_the_last_message_is_in_the_list(ada, ben, room):
    message = f"/rooms/{room}/messages/{ada.say(room, 'Engnes')['id']}"
    listed(ben, room)
    does(ada, "PUT", message, {"body": "Engines"})
    assert listed(ben, room)["lastMessage"]["body"] == "Engines"
    does(ada, "PUT", message + "/reactions/" + urllib.parse.quote("👍"))
    assert listed(ben, room)["lastMessage"]["reactions"][0]["count"] == 1
    does(ada, "PUT", message + "/pin")
    assert listed(ben, room)["lastMessage"]["pinnedAt"]
    does(ada, "DELETE", message)
    assert listed(ben, room)["lastMessage"]["deletedAt"]


def test_a_read_mark_counts_from_its_position_on_also_when_it_goes_back(ada, ben, room):
    for i in range(4):
        ada.say(room, f"line {i}")
    for seq in (3, 1, 4):
        assert listed(ben, room)
        answer = ben.request("PUT", f"/rooms/{room}/read", {"seq": seq})
        after = {"Aether-After": answer.headers["Aether-Position"]}
        items = ben.get("/rooms?scope=mine&limit=100", headers=after).json["items"]
        assert next(r for r in items if r["id"] == room)["unreadCount"] == 4 - seq


def test_who_comes_and_goes_has_the_list_with_and_without_the_room(ada, ben, room):
    other = ada.room("Another")
    assert [r["id"] for r in own(ada)][:2] == [other, room], "newest first"
    assert listed(ben, other) is None
    for leaves in (("POST", f"/rooms/{other}/leave"), ("POST", f"/rooms/{other}/members/{ben.user['id']}/kick"),
                   ("PUT", f"/rooms/{other}/bans/{ben.user['id']}")):
        ben.join(other)
        assert listed(ben, other)["memberCount"] == 2
        does(ben if "leave" in leaves[1] else ada, *leaves, {})
        assert listed(ben, other) is None and listed(ada, other)["memberCount"] == 1


@pytest.mark.parametrize("limit", [1, 3])
def test_pages_of_any_size_are_the_whole_list(people, limit):
    person = people[3]
    rooms = [person.room(f"Room {i}") for i in range(5)][::-1]
    people[4].join(rooms[2])
    for _ in range(2):
        found = own(person, limit=limit)
        assert [r["id"] for r in found][:5] == rooms
        assert found == own(person)
        people[4].say(rooms[2], "One that no page has yet")


def test_only_what_has_changed_is_read_in_full(stack, ada, ben, room):
    def read_in_full():
        return sum(samples['aether_gateway_listed_rooms_total{from="postgres"}'] for samples in stack.metrics("gateway"))
    ben.join(ada.room("Another"))
    listed(ben, room)
    before = read_in_full()
    first = own(ben)
    assert len(first) > 1 and own(ben) == first and read_in_full() == before
    ada.say(room, "news")
    assert own(ben) != first and read_in_full() == before + 1


def test_what_one_gateway_remembers_is_as_new_as_what_another_says(another_gateway, ada, ben, room):
    there = Person([another_gateway({})], ben.username)
    there.user, there.token = ben.user, ben.token
    for count in range(1, 4):
        ada.say(room, "news")
        assert listed(there, room)["unreadCount"] == listed(ben, room)["unreadCount"] == count
    position = there.request("PUT", f"/rooms/{room}/read", {"seq": 3}).headers["Aether-Position"]
    assert ben.get("/rooms?scope=mine&limit=1", headers={"Aether-After": position}).json["items"][0]["unreadCount"] == 0


def test_the_list_needs_no_redis(stack, mended, ada, ben, room):
    ada.say(room, "before")
    assert listed(ben, room)["unreadCount"] == 1
    stack.redis().flushall()
    assert listed(ben, room)["unreadCount"] == 1
    ada.say(room, "emptied")
    assert listed(ben, room)["unreadCount"] == 2
    with stack.without("redis"):
        ada.say(room, "away")
        assert listed(ben, room)["unreadCount"] == 3
        mark(ben, room, 2)
        wait_until(lambda: listed(ben, room)["unreadCount"] == 1, 5, "read")
    ada.say(room, "back")
    assert listed(ben, room)["unreadCount"] == 2
