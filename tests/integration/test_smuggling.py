"""Requests that two HTTP servers might read differently are refused, and nobody holds a connection for ever."""

import itertools

import pytest

import log
from raw import Connection, is_open_for_more
from stack import wait_until

SMUGGLED = b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"0\r\n\r\n"
LOGIN = b'{"username":"a","password":"b"}'

AMBIGUOUS = {
    "Content-Length with Transfer-Encoding": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "Transfer-Encoding with Content-Length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKED,
    "two lengths that differ": b"Content-Length: 0\r\nContent-Length: 31\r\n\r\n" + LOGIN,
    "two lengths that agree": b"Content-Length: 31\r\nContent-Length: 31\r\n\r\n" + LOGIN,
    "a list of lengths": b"Content-Length: 31, 31\r\n\r\n" + LOGIN,
    "a length with a sign": b"Content-Length: +31\r\n\r\n" + LOGIN,
    "a negative length": b"Content-Length: -1\r\n\r\n" + LOGIN,
    "a length in hex": b"Content-Length: 0x1f\r\n\r\n" + LOGIN,
    "a length beyond 64 bits": b"Content-Length: 18446744073709551647\r\n\r\n" + LOGIN,
    "two Transfer-Encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "identity": b"Transfer-Encoding: identity\r\n\r\n" + CHUNKED,
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKED,
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "chunked with a tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKED,
    "a space before the colon of a length": b"Content-Length : 31\r\n\r\n" + LOGIN,
    "a space before the colon of an encoding": b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED,
    "a tab before the colon": b"Transfer-Encoding\t: chunked\r\n\r\n" + CHUNKED,
    "a folded encoding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKED,
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_an_ambiguous_length_is_refused_and_what_follows_is_not_read(urls, what):
    with Connection(urls[0]) as connection:
        connection.send(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + AMBIGUOUS[what] + SMUGGLED)
        assert set(connection.statuses_until_closed()) <= {400, 411, 413, 501}, connection.received


@pytest.mark.parametrize("size", [b"-1", b"zz", b"0x5", b"ffffffffffffffffff", b"5 ", b""])
def test_a_chunk_size_that_is_none_is_refused(urls, size):
    with Connection(urls[0]) as connection:
        connection.send(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        size + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED)
        assert set(connection.statuses_until_closed()) <= {400, 413}, connection.received


POST = b"POST /api/v1/rooms/%s/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n"
SAID = b'{"body":"said"}'
CHUNK = b"f\r\n" + SAID + b"\r\n"
LENGTH = b"Content-Length: 15\r\n"
ENCODING = b"Transfer-Encoding: chunked\r\n"

# What libmicrohttpd refuses by itself (ops/adr/0006): headers, body, statuses.
REFUSED_UNSEEN = {
    "a head beyond the memory": (LENGTH + b"X: " + b"y" * 100_000 + b"\r\n", SAID, {431}),
    "a target beyond the memory": (LENGTH, SAID, {414}),
    "a line without a colon": (LENGTH + b"Nonsense\r\n", SAID, {400}),
    "a version that is none": (LENGTH, SAID, {400, 505}),
    "a chunk size that is none": (ENCODING, b"zz\r\n" + SAID + b"\r\n0\r\n\r\n", {400, 413}),
    "a chunk size that is none behind a good chunk": (ENCODING, CHUNK + b"zz\r\n\r\n0\r\n\r\n", {400, 413}),
    "a chunk that is longer than it says": (ENCODING, b"f\r\n" + SAID + b"!!\r\n0\r\n\r\n", {400, 413}),
}


@pytest.mark.parametrize("what", REFUSED_UNSEEN)
def test_what_the_library_refuses_ends_the_connection_and_appends_nothing(stack, urls, ada, room, what):
    headers, body, statuses = REFUSED_UNSEEN[what]
    head = POST % (room.encode(), ada.token.encode(), headers)
    if "target" in what:
        head = head.replace(b"/messages", b"/messages?" + b"x" * 100_000)
    if "version" in what:
        head = head.replace(b"HTTP/1.1", b"HTTP/9.9")
    good = POST % (room.encode(), ada.token.encode(), LENGTH) + SAID
    before = log.end_offsets(stack.bootstrap())
    with Connection(urls[0]) as connection:
        connection.send(head + body + good)
        answers = connection.statuses_until_closed()
        assert len(answers) <= 1 and set(answers) <= statuses, connection.received
    assert log.end_offsets(stack.bootstrap()) == before
    with Connection(urls[0]) as connection:  # the same without the mistake is taken
        connection.send(good)
        assert connection.answer()[0] == 201
    wait_until(lambda: [m["body"] for m in ada.history(room)] == ["said"], 10, "one message")


def test_pipelined_requests_are_answered_in_order(urls):
    with Connection(urls[0]) as connection:
        connection.send(SMUGGLED + b"GET /api/v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED)
        assert [connection.answer()[0] for _ in range(3)] == [200, 404, 200]


@pytest.mark.parametrize("line", [b"GET  /api/v1/health HTTP/1.1", b"GET /api/v1/health", b"GET /api/v1/health HTTP/9.9", b"\0\0\0\0", b"\x16\x03\x01\x02\x00\x01"])
def test_a_request_line_that_is_none_harms_nobody(urls, line):
    with Connection(urls[0]) as connection:
        connection.send(line + b"\r\nHost: a\r\n\r\n")
        connection.socket.settimeout(0.3)
        try:
            connection.answer()
        except OSError:
            pass  # it may wait for more
    with Connection(urls[0]) as connection:
        assert is_open_for_more(connection)


HEADERS = itertools.chain([b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n"], (b"X-%d: y\r\n" % i for i in itertools.count()))
BODY = itertools.chain([b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"],
                       itertools.repeat(b" "))


READ_TIMEOUT_MS = 1500


@pytest.fixture(scope="module")
def hurried(module_gateway):
    return module_gateway({"gateway.read_timeout_ms": READ_TIMEOUT_MS})


@pytest.mark.parametrize("drip", [HEADERS, BODY], ids=["headers", "body"])
def test_a_client_that_drips_is_cut_off_by_the_deadline(hurried, drip):
    with Connection(hurried) as connection:
        seconds = connection.seconds_until_closed(drip, 0.1, 40)
        assert seconds is not None, "held for 40 s"
        assert seconds > 0.8 * READ_TIMEOUT_MS / 1000


def test_clients_that_drip_do_not_keep_others_waiting(urls):
    held = [Connection(urls[0]) for _ in range(100)]
    try:
        for connection in held:
            connection.send(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Le")
        with Connection(urls[0]) as connection:
            connection.socket.settimeout(2)
            assert is_open_for_more(connection)
    finally:
        for connection in held:
            connection.socket.close()
