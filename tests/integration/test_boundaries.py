"""What the OpenAPI document says of every field and every path, asked of the whole system: each value at its bounds is taken as far
as its form goes, each value behind them is refused by name; no answer to any of it is a failure of ours.

tests/gateway/resources/boundaries_test.c holds the tables behind the document against what was reviewed."""

import json
import re
import urllib.parse

import pytest

from client import Person
from raw import Connection, is_open_for_more
from stack import http_get

NOWHERE = "01890000-0000-7000-8000-000000000000"
RANGE = re.compile(r"must (have|be) .*(characters, not|whole number|string of)|NUL")  # what is said of a value that is out of bounds
GOOD = {"username": "ada.l-1", "email": "a.b@example.org", "phone": "+4930123456", "birthdate": "1990-12-31", "website": "https://example.org/",
        "locale": "de-AT", "timeZone": "Europe/Rome"}


@pytest.fixture(scope="module")
def document(urls):
    return json.loads(http_get(urls[0] + "/api/openapi.json")[1])


@pytest.fixture(scope="module")
def person(stack, urls):
    """An administrator, so that every route is open; with an account and an address of its own, since wrong passwords are among what is
    asked."""
    someone = Person(urls)
    someone.source = "127.0.0.77"
    someone.register()
    stack.command("aether-admin", "set-roles", someone.username, "user,admin")
    someone.login()
    return someone


@pytest.fixture(scope="module")
def values(urls, person):
    """What stands for the parts of paths. The user is nobody else's, and suspended before long."""
    other = Person(urls)
    other.register()
    room = person.room("At the bounds")
    message = person.say(room, "Hello")
    return {"room": room, "message": message["id"], "user": other.user["id"], "id": room, "operation": NOWHERE, "session": NOWHERE,
            "emoji": "%F0%9F%91%8D", "schema": "1", "subject": "none", "version": "1", "file": "start.js"}


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def filled(path, values, **others):
    return "=" + re.sub(r"\{(\w+)\}", lambda part: {**values, **others}[part[1]], path)


def resolved(document, schema):
    while "$ref" in schema:
        at, schema = schema["$ref"], document
        for name in at[2:].split("/"):
            schema = schema[name]
    return {**schema, "items": resolved(document, schema["items"])} if "items" in schema else schema


def text_of(name, schema, length):
    """A text so long that its pattern allows; None: there is none, or none that is worth its making."""
    if name in GOOD:
        return GOOD[name] if len(GOOD[name]) == length else "+" + "1" * (length - 1) if name == "phone" else None
    return "x" + "\u0301" * (length - 1) if length > 4000 else "x" * length


def at_bounds(name, schema):
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    if kind == "integer":
        return [schema["minimum"], schema["maximum"]]
    if kind == "string" and "maxLength" in schema:
        return [text for text in (text_of(name, schema, schema.get("minLength", 1)), text_of(name, schema, schema["maxLength"])) if text]
    if kind == "string" and "enum" in schema:
        return [choice for choice in schema["enum"] if choice]
    return {"date-time": ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"], "uuid": [NOWHERE]}.get(schema.get("format"), [])


def behind_bounds(schema):
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    if kind == "integer":
        return [schema["minimum"] - 1] + ([schema["maximum"] + 1] if schema["maximum"] < 2**63 - 1 else [])
    if kind == "string" and "maxLength" in schema:
        return ["x" * (schema["maxLength"] + 1)] + (["x" * (schema["minLength"] - 1)] if schema.get("minLength") else [])
    if kind == "array":
        return [[], ["nobody"]]
    if kind == "boolean":
        return ["maybe"]
    return ["nothing of the kind"]


def good(name, schema):
    return {**GOOD, "body": "Hello"}.get(name) or (at_bounds(name, schema) or [True])[-1] if "items" not in schema else [resolved({}, schema["items"])["enum"][0]]


def names_field(answer, name):
    return [error["detail"] for error in answer.json.get("errors", []) if error["field"] == name]


def is_taken(answer, name):
    """Whatever else is said of it: not that the value, or the body that brings it, is too short, long, small or large."""
    return answer.status < 500 and answer.status != 413 and not any(RANGE.search(detail) for detail in (names_field(answer, name) if answer.status == 400 else []))


def fields(document, where):
    """(method, path, field, its schema, the schemas of the other required fields) of bodies or of queries"""
    for method, path, operation in operations(document):
        if where == "query":
            found = {p["name"]: (resolved(document, p["schema"]), p["required"]) for p in operation["parameters"] if p["in"] == "query"}
        else:
            content = operation.get("requestBody", {}).get("content", {})
            body = resolved(document, content["application/json"]["schema"]) if content else {"properties": {}}
            found = {name: (resolved(document, schema), name in body.get("required", ())) for name, schema in body["properties"].items()}
        for name, (schema, _) in found.items():
            yield method, path, name, schema, {other: its for other, (its, required) in found.items() if required and other != name}


def ask(person, values, where, method, path, body):
    target, headers = filled(path, values), {"Accept": "application/json"}
    if where == "query":
        query = {name: json.dumps(value) if isinstance(value, bool) else value for name, value in body.items()}
        return person.request(method, f"{target}?{urllib.parse.urlencode(query)}", headers=headers)
    return person.request(method, target, body, headers=headers)


@pytest.mark.parametrize("where, code, least", [("query", "bad_query", 40), ("body", "invalid_body", 50)])
def test_a_value_behind_its_bounds_is_refused_by_name(document, person, values, where, code, least):
    asked = 0
    for method, path, name, schema, others in fields(document, where):
        for value in behind_bounds(schema):
            answer = ask(person, values, where, method, path, {**{other: good(other, its) for other, its in others.items()}, name: value})
            assert answer.status == 400 and answer.code == code and names_field(answer, name), (method, path, name, value, answer)
            asked += 1
    assert asked >= least, "the document was read"


@pytest.mark.parametrize("where, least", [("query", 60), ("body", 60)])
def test_a_value_at_its_bounds_is_taken(document, person, values, where, least):
    asked = 0
    for method, path, name, schema, others in fields(document, where):
        if path.endswith(("/transfer", "/roles")):
            continue  # would give the room, or the account, away
        for value in at_bounds(name, schema):
            answer = ask(person, values, where, method, path, {**{other: good(other, its) for other, its in others.items()}, name: value})
            assert is_taken(answer, name), (method, path, name, value, answer)
            asked += 1
    assert asked >= least, "the document was read"


ODD_IDS = ["%", "%4", "%zz", "%00", "%c0%af", "%ff", "..", "%2e%2e", "%2F", "a%2Fb", "{room}", "-", "+", "%20", "0" * 37, "0" * 3000, "%ED%A0%80"]


def test_a_part_of_a_path_that_is_odd_is_refused_and_leaves_the_connection_usable(document, person, values):
    for method, path, operation in operations(document):
        for part in re.findall(r"\{(\w+)\}", path):
            for odd in ODD_IDS:
                answer = person.request(method, filled(path, values, **{part: odd}), headers={"Accept": "application/json"},
                                        raw=b"{}" if "requestBody" in operation else None)
                assert answer.status in (400, 404, 405), (method, path, part, odd, answer)
                assert answer.headers["Content-Type"] == "application/problem+json", answer
                assert person.connection.sock is not None, "the connection is usable"


def test_an_id_that_is_percent_encoded_is_the_same_id(person, values):
    room = values["room"]
    encoded = "".join(f"%{byte:02x}" for byte in room.encode())
    assert person.get(f"/rooms/{encoded}").json == person.get(f"/rooms/{room.upper()}").json == person.get(f"/rooms/{room}").json


def test_head_is_get_without_a_body(document, urls, person, values):
    for method, path, _ in operations(document):
        if method != "GET":
            continue
        target = filled(path, values)[1:]
        if path.endswith("/search"):
            target += "?q=a"
        for token in (person.token, "nobody's"):
            with Connection(urls[0]) as connection:
                ask_head = f"{{}} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\r\n"
                connection.send(ask_head.format("GET").encode())
                got = connection.answer()
                connection.send(ask_head.format("HEAD").encode() + b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n\r\n")
                head, _, rest = read_head(connection)
                assert head.split(" ", 2)[1] == str(got[0]), (path, head)
                assert rest.startswith(b"HTTP/1.1 200"), (path, "a body", rest[:200])


def read_head(connection):
    """The first line of an answer without a body, its headers, and what stands behind it, as far as its first line."""
    while connection.received.count(b"\r\n\r\n") < 2:
        assert connection._more(), "closed"
    head, _, rest = connection.received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return lines[0], lines[1:], rest


def test_options_says_the_methods_that_the_document_has(document, person, values):
    for path, item in document["paths"].items():
        answer = person.request("OPTIONS", filled(path, values))
        methods = {method.upper() for method in item} | {"OPTIONS"} | ({"HEAD"} if "get" in item else set())
        assert (answer.status, answer.body, set(answer.headers["Allow"].split(", "))) == (204, b"", methods), (path, answer)


def test_a_body_nobody_asked_for_changes_nothing(urls, person):
    body = b"GET /api/v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n"
    with Connection(urls[0]) as connection:
        connection.send(f"GET /api/v1/rooms HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {person.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.answer()[0] == 200 and is_open_for_more(connection)


def said_of(reply):
    return [error["field"] for error in (reply["body"] or {}).get("errors", [])]


@pytest.mark.parametrize("member, good, bad", [
    ("idempotencyKey", ["k", "!~" * 127 + "k", None], ["", " ", "a b", "tab\t", "a\0b", "\u00e4", "\x7f", "x" * 256, 7, True, ["k"], {"k": "k"}]),
    ("roomId", [], ["", "none", "0" * 36, None, 7, ["x"]]),
    ("body", [], [None, "text", 7, [], {}, {"body": ""}, {"body": "x", "more": 1}, {"body": "x" * 4001}]),
])
def test_a_command_over_the_socket_has_the_bounds_of_a_request(hear, ada, room, member, good, bad):
    socket = hear(ada)
    message = {"roomId": room, "body": {"body": "Hello"}}
    for number, value in enumerate(good + bad):
        reply = socket.ask("post", f"{member} {number}", **{**message, member: value})
        if number < len(good):
            assert reply["status"] == 201, (value, reply)
        else:
            assert reply["status"] == 400 and reply["body"]["code"] in ("invalid_body", "malformed_json", "bad_path"), (value, reply)
            assert member == "body" or member in said_of(reply), (value, reply)
    assert socket.ask("post", "as it should be", **message)["status"] == 201


def test_a_name_for_a_reply_has_128_bytes_at_most(hear, ada, room):
    socket = hear(ada)
    assert socket.ask("typing", "r" * 128, roomId=room)["status"] == 204
    for number, ref in enumerate(["r" * 129, "\u00e4" * 65, 7, ["r"]]):
        socket.send({"do": "typing", "ref": ref, "roomId": room})
        socket.wait(lambda heard, number=number: len([reply for reply in heard.of("reply") if "ref" not in reply]) > number)
    for reply in [reply for reply in socket.of("reply") if "ref" not in reply]:
        assert reply["status"] == 400 and said_of(reply) == ["ref"], reply
