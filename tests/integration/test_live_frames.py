"""The live feed as a WebSocket, frame by frame (RFC 6455), good and malformed; and who reads slowly."""

import contextlib
import os
import re
import socket
import struct
import time
import urllib.parse
import uuid

import pytest

import feed


class Raw:
    """A WebSocket of bytes."""

    def __init__(self, url, person, receive_buffer=None, last_id=None):
        at = urllib.parse.urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect((at.hostname, at.port))
        headers = feed.HANDSHAKE | {"Authorization": f"Bearer {person.token}", "Host": at.netloc, "Last_Event_ID": last_id or ""}
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

    def close(self):
        self.file.close()  # or the descriptor stays open
        self.socket.close()

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


@pytest.mark.parametrize("window", [512, 64], ids=["from the window", "from the projection"])
def test_what_is_told_of_the_past_is_not_dropped_by_the_next_event(another_gateway, ada, ben, room, window):
    """Four hundred kilobytes wait for somebody who may fall behind by four, and reads slowly."""
    url = another_gateway({"live.max_pending_bytes": 4096, "live.window_events": window})
    heard = feed.WebSocket(url, ben.token)
    ada.say(room, "seen")
    heard.event("message.posted", roomId=room, number=1)
    last_id = heard.last_id
    heard.close()
    for _ in range(100):
        ada.say(room, "a long story " * 300)
    slow = Raw(url, ben, receive_buffer=4096, last_id=last_id)
    heard = feed.WebSocket(url, ada.token)
    buffered = b""
    while b'"message.posted"' not in buffered:  # then all that is past waits
        buffered += slow.file.read1(256)
    ada.say(room, "the end of it")
    heard.event("message.posted", roomId=room, number=102)
    while b"the end of it" not in buffered:
        piece = slow.file.read1(65536)
        buffered += piece
        assert piece and b'"resync"' not in buffered
    assert [int(number) for number in re.findall(rb'"type":"message.posted".*?"number":(\d+)', buffered)] == list(range(2, 103))
    heard.close()
