"""What is wrong is answered with a problem that names the field and what is allowed, appends nothing, and leaves the connection
usable."""

import json

import pytest

import log
from client import API, PASSWORD, Client
from raw import Connection, is_open_for_more

NOWHERE = "01890000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def room(people):
    room = people[0].room("A room for mistakes")
    people[1].join(room)
    return room


@pytest.fixture(scope="module")
def private_room(people):
    return people[0].room("Mine", kind="private")


@pytest.fixture(scope="module")
def ends(stack, room, private_room):
    """Where the log ended before the next test."""
    return [log.end_offsets(stack.bootstrap())]


@pytest.fixture(autouse=True)
def appends_nothing(stack, ends):
    yield
    ends.append(log.end_offsets(stack.bootstrap()))
    assert ends[-1] == ends[-2], "something was appended"


def is_problem(answer, status, field=None):
    """RFC 9457 with our members; `field` is named."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].split(";")[0] == "application/problem+json", answer
    problem = answer.json
    assert problem["status"] == status and problem["title"] and problem["type"] and problem["code"] and problem["requestId"], answer
    assert isinstance(problem["retryable"], bool) and problem["code"].replace("_", "").isalnum(), answer
    if field:
        assert field in [error["field"] for error in problem["errors"]], answer
        assert all(error["detail"] for error in problem["errors"]), answer
    return True


def check_usable(person, connection_before):
    assert person.connection is connection_before and person.connection.sock is not None, "the connection was closed"
    assert person.get("/users/me").status == 200


def send(person, method, path, **options):
    """One request on a connection that is open, and still is afterwards."""
    person.get("/health")
    connection = person.connection
    answer = person.request(method, path, **options)
    check_usable(person, connection)
    return answer


# --- bodies ---

REGISTER = {"username": "somebody.new", "email": "somebody.new@example.org", "password": PASSWORD, "firstName": "Some", "lastName": "Body"}
BODIES = {  # route: a body that would do
    "/auth/register": REGISTER,
    "/auth/login": {"username": "somebody", "password": PASSWORD},
    "/auth/refresh": {"refreshToken": "x" * 86},
    "/rooms": {"name": "A room", "kind": "public"},
    "/rooms/{room}/messages": {"body": "Hello"},
}
ROUTES = list(BODIES)
OPTIONAL = {"firstName", "lastName", "kind"}

NO_JSON = {
    "empty": b"",
    "half an object": b'{"name": "x"',
    "text behind the object": b'{"name": "x"} extra',
    "an array": b"[]",
    "a string": b'"hello"',
    "null": b"null",
    "single quotes": b"{'name': 'x'}",
    "a bare word": b"{name: 1}",
    "a trailing comma": b'{"name": "x",}',
    "a comment": b'{"name": "x"} // hm',
    "bytes that are no UTF-8": b'{"name": "\xff\xfe"}',
    "an overlong UTF-8 sequence": b'{"name": "\xc0\xaf"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "a number too big for anything": b'{"name": ' + b"9" * 400 + b"}",
    "a thousand brackets": b"[" * 1000 + b"]" * 1000,
    "objects in objects": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "one name twice": b'{"name": "x", "name": "y", "body": "x", "body": "y"}',
}


@pytest.mark.parametrize("what", NO_JSON)
@pytest.mark.parametrize("route", ["/rooms", "/rooms/{room}/messages"])
def test_a_body_that_is_no_json_object_is_refused(ada, room, route, what):
    assert is_problem(send(ada, "POST", route.format(room=room), raw=NO_JSON[what]), 400)


@pytest.mark.parametrize("what", ["empty", "half an object", "an array", "bytes that are no UTF-8"])
@pytest.mark.parametrize("route", ["/auth/register", "/auth/login", "/auth/refresh"])
def test_a_body_that_is_no_json_object_is_refused_before_login_too(ada, route, what):
    assert is_problem(send(ada, "POST", route, raw=NO_JSON[what]), 400)


def wrong_values(route):
    """(what, field, body): one field of a good body spoilt."""
    good = BODIES[route]
    for field in good:
        for what, value in (("a number", 7), ("null", None), ("a boolean", True), ("an array", ["x"]), ("an object", {"x": 1})):
            yield f"{field} is {what}", field, {**good, field: value}
        if field not in OPTIONAL:
            yield f"{field} is missing", field, {name: value for name, value in good.items() if name != field}
        yield f"{field} is empty", field, {**good, field: ""}
        yield f"{field} is too long", field, {**good, field: "x" * 30_000}
        yield f"{field} has a NUL", field, {**good, field: good[field][:3] + "\0" + good[field][3:]}
    yield "a field too many", "colour", {**good, "colour": "blue"}
    yield "a field in snake_case", "created_at", {**good, "created_at": "2026-01-01T00:00:00Z"}


WRONG = [pytest.param(route, field, body, id=f"{route} {what}") for route in ROUTES for what, field, body in wrong_values(route)]


@pytest.mark.parametrize("route, field, body", WRONG)
def test_a_field_that_is_wrong_is_named(ada, room, route, field, body):
    answer = send(ada, "POST", route.format(room=room), body=body)
    assert is_problem(answer, 400, field)


@pytest.mark.parametrize("field, value", [
    ("username", "ab"), ("username", "has space"), ("username", "smile🙂"), ("username", "zero\u200bwidth"), ("username", "p\u0430ypal"), ("username", "a" * 200), ("username", "semi;colon"),
    ("email", "no-at-sign"), ("email", "two@@example.org"), ("email", "@example.org"), ("email", "a@"), ("email", "a b@example.org"),
    ("email", "a@example.org\r\nBcc: everybody@example.org"), ("password", "short"), ("password", "x" * 129), ("password", "football1"),
    ("password", "PASSWORD1"), ("password", REGISTER["username"].upper()), ("password", REGISTER["email"]), ("firstName", "   "), ("firstName", "A\u0007B"),
])
def test_a_registration_says_what_a_field_may_be(ada, field, value):
    assert is_problem(send(ada, "POST", "/auth/register", body={**REGISTER, field: value}), 400, field)


@pytest.mark.parametrize("field, value", [("roles", ["admin"]), ("id", NOWHERE), ("userId", NOWHERE), ("passwordHash", "$argon2id$"), ("createdAt", 0)])
def test_nobody_makes_themselves_more_than_a_user(ada, field, value):
    assert is_problem(send(ada, "POST", "/auth/register", body={**REGISTER, field: value}), 400, field)


@pytest.mark.parametrize("route", ["/auth/register", "/auth/login"])
def test_a_password_of_ten_megabytes_is_refused_before_it_is_sent(urls, route):
    with Connection(urls[0]) as connection:
        connection.send(f"POST {API}{route} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10000040\r\n\r\n".encode())
        assert connection.answer()[0] == 413


@pytest.mark.parametrize("route", ["/auth/register", "/auth/login"])
def test_a_password_of_a_megabyte_is_not_hashed(ada, route):
    answer = send(ada, "POST", route, body={**BODIES[route], "password": "x" * 1_000_000})
    assert answer.status in (400, 413) and is_problem(answer, answer.status)


@pytest.mark.parametrize("value", ["PUBLIC", "secret", "", "public "])
def test_a_kind_of_room_is_one_of_three(ada, value):
    answer = send(ada, "POST", "/rooms", body={"name": "A room", "kind": value})
    assert is_problem(answer, 400, "kind") and "public" in json.dumps(answer.json["errors"])


# --- paths and queries ---

BAD_IDS = ["not-a-uuid", "123", "01890000-0000-7000-8000-00000000000", "01890000-0000-7000-8000-0000000000000", "g1890000-0000-7000-8000-000000000000",
           "0189000000007000800000000000000000", "%00", "01890000-0000-7000-8000-00000000000%00", "..", "%2e%2e", "'%20OR%201=1--", "%ff%fe"]


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize("method, path", [("GET", "/rooms/{}/messages"), ("POST", "/rooms/{}/messages"), ("POST", "/rooms/{}/join"),
                                          ("GET", "/rooms/{}/members"), ("GET", "/operations/{}")])
def test_an_id_that_is_no_uuid_is_refused(ada, method, path, bad):
    answer = send(ada, method, path.format(bad), **({"body": {"body": "x"}} if method == "POST" and "messages" in path else {}))
    assert answer.status in (400, 404) and is_problem(answer, answer.status), answer


@pytest.mark.parametrize("query, field", [
    ("before=x", "before"), ("before=-1", "before"), ("before=0", "before"), ("before=1.5", "before"), ("before=9223372036854775808", "before"),
    ("before=99999999999999999999", "before"), ("before=", "before"), ("before=0x10", "before"), ("before=%2010", "before"),
    ("after=-1", "after"), ("after=x", "after"), ("after=9223372036854775808", "after"), ("after=1e3", "after"),
    ("limit=0", "limit"), ("limit=-5", "limit"), ("limit=101", "limit"), ("limit=1000000", "limit"), ("limit=ten", "limit"), ("limit=", "limit"),
    ("cursor=abc", "cursor"), ("cursor=" + "A" * 43, "cursor"), ("cursor=" + "A" * 5000, "cursor"), ("cursor=%00", "cursor"), ("cursor=", "cursor"),
])
def test_a_page_out_of_range_is_refused(ada, room, query, field):
    assert is_problem(send(ada, "GET", f"/rooms/{room}/messages?{query}"), 400, field)


def test_before_and_after_exclude_each_other(ada, room):
    assert is_problem(send(ada, "GET", f"/rooms/{room}/messages?before=5&after=1"), 400)


@pytest.mark.parametrize("path", ["/rooms", "/rooms/{room}/members"])
@pytest.mark.parametrize("query, field", [("limit=0", "limit"), ("limit=99999", "limit"), ("limit=x", "limit"), ("cursor=garbage", "cursor"),
                                          ("cursor=%ff", "cursor")])
def test_a_list_out_of_range_is_refused(ada, room, path, query, field):
    assert is_problem(send(ada, "GET", f"{path.format(room=room)}?{query}"), 400, field)


def test_a_cursor_of_another_list_is_refused(ada, room, private_room):
    cursor = ada.get("/rooms?limit=1").json["nextCursor"]
    assert cursor and is_problem(send(ada, "GET", f"/rooms/{room}/members?cursor={cursor}"), 400, "cursor")


@pytest.mark.parametrize("path", ["/", "/nothing", "/roomsx", "/rooms/", "/rooms/x/y/z", "/users", "/users/me/", "//users/me", "/auth", "/auth/register/x",
                                  "/operations", "/health/ready/x", "/%2e%2e/metrics", "/nothing/" + "a" * 1500])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_404(ada, path, method):
    assert is_problem(send(ada, method, path), 404)


@pytest.mark.parametrize("method, path, allowed", [
    ("GET", "/auth/register", {"POST"}), ("PUT", "/auth/login", {"POST"}), ("DELETE", "/auth/refresh", {"POST"}), ("GET", "/auth/logout", {"POST"}),
    ("POST", "/users/me", {"GET", "PUT", "PATCH"}), ("PATCH", "/rooms", {"GET", "POST"}), ("DELETE", "/rooms", {"GET", "POST"}),
    ("GET", f"/rooms/{NOWHERE}/join", {"POST"}), ("POST", f"/rooms/{NOWHERE}/members", {"GET"}), ("PUT", f"/rooms/{NOWHERE}/messages", {"GET", "POST"}),
    ("POST", f"/operations/{NOWHERE}", {"GET"}), ("POST", "/health", {"GET"}),
])
def test_a_method_that_is_not_there_is_405_and_says_which_are(ada, method, path, allowed):
    answer = send(ada, method, path)
    assert is_problem(answer, 405)
    assert allowed <= {m.strip() for m in answer.headers["Allow"].split(",")} <= allowed | {"HEAD", "OPTIONS"}


@pytest.mark.parametrize("method", [b"BREW", b"TRACE", b"CONNECT", b"get"])
def test_a_method_nobody_knows_is_refused(urls, method):
    with Connection(urls[0]) as connection:
        connection.send(method + b" /api/v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = connection.answer()
        assert answer is None or answer[0] in (400, 405, 501), answer


# --- media type, size, headers ---

@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                                        "application/jsonp", "", "json"])
@pytest.mark.parametrize("route", ["/rooms", "/auth/register"])
def test_a_body_that_does_not_say_json_is_415(ada, route, media_type):
    answer = send(ada, "POST", route, raw=json.dumps(BODIES[route]).encode(), headers={"Content-Type": media_type})
    assert is_problem(answer, 415)


def test_a_body_without_a_media_type_is_415(urls, ada):
    body = b'{"name":"x","kind":"public"}'
    with Connection(urls[0]) as connection:
        connection.send(b"POST /api/v1/rooms HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + ada.token.encode() +
                        b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.answer()[0] == 415
        assert is_open_for_more(connection)


def test_a_body_too_large_is_413(ada, room):
    big = json.dumps({"body": "x" * 3_000_000}).encode()
    answer = Client(ada.urls)
    answer.token = ada.token
    assert is_problem(answer.request("POST", f"/rooms/{room}/messages", raw=big), 413)


def test_a_body_too_large_in_chunks_is_413_as_well(urls, ada, room):
    with Connection(urls[0]) as connection:
        connection.send(f"POST {API}/rooms/{room}/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ada.token}\r\n"
                        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(60):
            if not connection.send(chunk):
                break
        connection.send(b"0\r\n\r\n")
        answer = connection.answer()
        assert answer is None or answer[0] == 413, answer


def test_a_body_in_chunks_is_as_good_as_any(urls, ada, room):
    with Connection(urls[0]) as connection:
        body = b'{"body":"","x":1}'  # refused for its fields, so that nothing is appended
        connection.send(f"POST {API}/rooms/{room}/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ada.token}\r\n"
                        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for byte in body:
            connection.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        connection.send(b"0\r\n\r\n")
        status, _, problem = connection.answer()
        assert status == 400 and json.loads(problem)["errors"], problem
        assert is_open_for_more(connection)


def test_headers_too_large_are_refused(urls, ada):
    with Connection(urls[0]) as connection:
        connection.send(b"GET /api/v1/users/me HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)) + b"\r\n")
        answer = connection.answer()
        assert answer is None or answer[0] in (400, 413, 414, 431), answer
    assert ada.get("/users/me").status == 200


@pytest.mark.parametrize("key", ["", "x" * 2000, "with space", "tab\there", "ünïcode".encode().decode("latin-1")])
def test_an_idempotency_key_that_is_none_is_refused(ada, room, key):
    answer = send(ada, "POST", f"/rooms/{room}/messages", body={"body": "x"}, headers={"Idempotency-Key": key})
    assert is_problem(answer, 400, "Idempotency-Key")


# --- who asks ---

@pytest.mark.parametrize("refresh_token", ["x" * 86, "A" * 85, "A" * 87, "!" * 86])
def test_a_refresh_token_that_is_none_gives_no_session(ada, refresh_token):
    answer = send(ada, "POST", "/auth/refresh", body={"refreshToken": refresh_token})
    assert answer.status in (400, 401) and is_problem(answer, answer.status)


def test_an_operation_of_somebody_else_or_of_nobody_is_not_found(ada, eve, room):
    assert is_problem(send(eve, "GET", f"/operations/{NOWHERE}"), 404)


def test_who_is_no_member_reads_nothing_of_a_private_room(eve, private_room):
    for path in (f"/rooms/{private_room}/messages", f"/rooms/{private_room}/members"):
        assert is_problem(send(eve, "GET", path), 404)


def test_who_is_no_member_reads_no_messages_of_a_public_room(eve, room):
    assert is_problem(send(eve, "GET", f"/rooms/{room}/messages"), 403)
