"""How much one may take of the live feed: memory by who never reads, connections of one person and of one address."""

import contextlib
import json
import re
import select
import socket
import time
import urllib.parse

import pytest
import websockets

import feed
import raw
from stack import http_get, parse_metrics, wait_until
from test_live_frames import PING, TEXT, Raw

SOCKETS = 12
BOUND = 262144  # live.max_pending_bytes
QUARANTINE = 400 << 20  # what AddressSanitizer keeps of what was freed


def resident(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def allowance(pid):
    with open(f"/proc/{pid}/maps") as file:
        return QUARANTINE if "libasan" in file.read() else 0


def pending(url):
    return parse_metrics(http_get(url + "/metrics")[1].decode())["aether_gateway_live_pending_bytes"]


def masked(opcode, payload=b""):
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.parametrize("frame", [masked(PING), masked(PING, b"x" * 125), masked(TEXT, b"{"), masked(TEXT, b'{"do":"dance"}')],
                         ids=["short pings", "long pings", "no JSON", "no command"])
def test_who_sends_and_never_reads_fills_no_memory(stack, url, ada, ben, room, hear, frame):
    heard, pid = hear(ben), stack.pid("gateway")
    before = resident(pid)
    with contextlib.ExitStack() as end:
        sockets = []
        for _ in range(SOCKETS):
            greedy = Raw(url, ada, receive_buffer=4096)
            end.callback(greedy.close)
            greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            greedy.socket.setblocking(False)
            sockets.append(greedy.socket)
        piece, until = frame * (65536 // len(frame)), time.monotonic() + 60
        rests = {each: b"" for each in sockets}
        while writable := select.select([], sockets, [], 1.5)[1]:
            assert time.monotonic() < until, "it reads for ever"
            for each in writable:
                rests[each] = rests[each] or piece
                rests[each] = rests[each][each.send(rests[each]):]
        assert resident(pid) - before < SOCKETS * 2 * BOUND + (8 << 20) + allowance(pid)
        wait_until(lambda: pending(url) > 0, 10, "it is told")
        assert pending(url) < SOCKETS * 2 * BOUND
        ada.say(room, "who reads is told as ever")
        heard.event("message.posted", roomId=room)
    wait_until(lambda: pending(url) == 0, 10, "nothing more waits")


def test_what_a_burst_took_is_given_back(another_gateway, ada, ben, room):
    """Twenty megabytes wait for those who do not read, and then they are gone."""
    url = another_gateway({"live.max_pending_bytes": 1 << 20})
    with contextlib.ExitStack() as end:
        greedy = [Raw(url, ada, receive_buffer=4096) for _ in range(24)]
        for each in greedy:
            end.callback(each.close)
            each.socket.setblocking(False)
        piece = masked(TEXT, b"{") * 4096
        sockets = [each.socket for each in greedy]
        while writable := select.select([], sockets, [], 1.5)[1]:
            for each in writable:
                with contextlib.suppress(BlockingIOError):
                    each.send(piece)
        wait_until(lambda: pending(url) > 20 << 20, 10, "it waits")
        full = process_memory(url)
    wait_until(lambda: pending(url) == 0, 10, "it is gone")
    wait_until(lambda: process_memory(url) < full - (16 << 20), 10, "the memory is given back")


def process_memory(url):
    return parse_metrics(http_get(url + "/metrics")[1].decode())["process_resident_memory_bytes"]


def test_who_says_to_have_seen_what_is_not_there_keeps_nobody_out(url, ada, ben, room):
    """Each is looked for until the projection might have come, 200 ms; all of them one after the other took half a minute."""
    held = [feed.WebSocket(url, ada.token, "hold=true") for _ in range(150)]
    for each in held:
        each.send({"do": "resume", "since": {room: 1 << 40}})
    began = time.monotonic()
    feed.WebSocket(url, ben.token).break_off()
    assert time.monotonic() - began < 5
    for each in held:
        assert each.wait_closed()[0] == 1013


# --- connections ---


def refused(url, person, **options):
    """The answer to who is one too many."""
    with pytest.raises(websockets.InvalidStatusCode) as answer:
        feed.WebSocket(url, person.token, **options)
    return answer.value.status_code


def test_a_person_and_an_address_have_so_many_listeners(another_gateway, ada, ben, eve):
    url = another_gateway({"live.max_connections_person": 2, "live.max_connections_address": 3})
    with contextlib.ExitStack() as end:
        def listen(person):
            heard = feed.WebSocket(url, person.token)
            end.callback(heard.break_off)
            return heard

        first = listen(ada)
        listen(ada)
        assert refused(url, ada) == 429
        listen(ben)
        assert refused(url, eve) == 429, "three come from this address"
        eve_elsewhere = from_elsewhere(url, eve)
        end.callback(eve_elsewhere.close)
        assert b"200 OK" in eve_elsewhere.recv(65536)
        first.close()
        wait_until(lambda: is_let_in(listen, ada), 10, "there is room again")


def is_let_in(listen, person):
    with contextlib.suppress(websockets.InvalidStatusCode):
        return listen(person)


def from_elsewhere(url, person):
    at = urllib.parse.urlsplit(url)
    connection = socket.create_connection((at.hostname, at.port), timeout=20, source_address=("127.0.0.7", 0))
    connection.sendall(f"GET {feed.PATH} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {person.token}\r\n\r\n".encode())
    return connection


def test_who_is_one_too_many_is_told_why(another_gateway, ada):
    url = another_gateway({"live.max_connections_person": 1})
    heard = feed.WebSocket(url, ada.token)
    with raw.Connection(url) as connection:
        connection.send(f"GET {feed.PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\n\r\n".encode())
        status, headers, body = connection.answer()
    assert (status, json.loads(body)["code"]) == (429, "too_many_connections")
    assert int(headers["retry-after"]) > 0
    heard.close()


# --- HEAD ---


def head_of(connection, path, token):
    """The status; and that no body follows: the next request over the connection is answered."""
    connection.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
                    "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    while b"\r\n\r\n" not in connection.received:
        assert connection._more(), f"{path}: closed"
    head, _, connection.received = connection.received.partition(b"\r\n\r\n")
    status, _, body = connection.answer()
    assert status == 200 and json.loads(body)["status"] == "ok", f"{path}: a body follows {head!r}"
    return int(head.split()[1]), head


def test_head_of_the_feed_has_no_body(url, ada):
    with raw.Connection(url) as connection:
        status, head = head_of(connection, "/api/v1/live", ada.token)
        assert status == 200 and b"text/event-stream" in head
        assert head_of(connection, "/api/v1/live", "nonsense")[0] == 401
        assert head_of(connection, "/api/v1/live?lastEventId=%21", ada.token)[0] == 400


def test_head_of_whatever_can_be_got_has_no_body(url, ada):
    document = json.loads(http_get(url + "/api/openapi.json")[1])
    paths = [path for path, methods in document["paths"].items() if "get" in methods]
    assert len(paths) > 20
    with raw.Connection(url) as connection:
        for path in paths:
            head_of(connection, re.sub(r"\{[^}]*\}", ada.user["id"], path), ada.token)
