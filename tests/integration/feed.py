"""feed: listeners to the live feed, as WebSocket by Debian's python3-websockets (an implementation of its own) and as
server-sent events by http.client. Each listens on a thread; tests look at what came."""

import asyncio
import base64
import contextlib
import http.client
import json
import random
import threading
import time
import urllib.parse

import websockets

from client import http_connection
from stack import PATIENCE

PATH = "/api/v1/live"
HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
             "Sec_WebSocket_Key": base64.b64encode(bytes(16)).decode()}

# By the event that tells it: how somebody is taken out of a room.
REMOVALS = {"member.removed": lambda admin, room, who: admin.insist("POST", f"/rooms/{room}/members/{who}/kick", {"reason": "Noise"}),
            "member.banned": lambda admin, room, who: admin.insist("PUT", f"/rooms/{room}/bans/{who}", {"reason": "Noise"})}


class Feed:
    """What came, in order. `events` are the dictionaries; `closed` is (code, reason) once the connection has ended."""

    def __init__(self):
        self.events, self.closed = [], None
        self.changed = threading.Condition()

    def add(self, event):
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def end(self, code, reason=""):
        with self.changed:
            self.closed = self.closed or (code, reason)
            self.changed.notify_all()

    def wait(self, condition, timeout=15.0, what="what was waited for"):
        """The first true value of condition(self)."""
        deadline = time.monotonic() + timeout * PATIENCE
        with self.changed:
            while True:
                value = condition(self)
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{what} did not come; closed: {self.closed}; the last events: {self.events[-5:]}")
                self.changed.wait(left)

    def of(self, kind, room=None):
        return [e for e in self.events if e["type"] == kind and room in (None, e.get("roomId"))]

    def event(self, kind, timeout=15.0, **wanted):
        """The first event of the kind whose members are as wanted."""
        return self.wait(lambda f: next((e for e in f.of(kind) if all(e.get(k) == v for k, v in wanted.items())), None), timeout,
                         f"{kind} {wanted}")

    def numbers(self, room):
        return [e["number"] for e in self.of("message.posted", room)]

    @property
    def last_id(self):
        return next((e["id"] for e in reversed(self.events) if "id" in e), None)

    def wait_closed(self, timeout=15.0):
        return self.wait(lambda f: f.closed, timeout, "the end of the connection")


class Loop:
    """One asyncio loop on a thread, for all WebSockets of a test run."""

    shared = None

    @classmethod
    def get(cls):
        if cls.shared is None:
            cls.shared = asyncio.new_event_loop()
            threading.Thread(target=cls.shared.run_forever, daemon=True).start()
        return cls.shared


class WebSocket(Feed):
    def __init__(self, url, token=None, query="", protocols=None, wait_ready=True, headers=None, tls=None):
        super().__init__()
        self.url = url.replace("http", "ws", 1) + PATH + ("?" + query if query else "")
        self.headers = dict(headers or {})
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self.protocols = protocols
        self.tls = tls
        self.socket = None
        self.call(self.open())
        if wait_ready:
            self.event("ready")

    def call(self, coroutine, timeout=30):
        return asyncio.run_coroutine_threadsafe(coroutine, Loop.get()).result(timeout)

    async def open(self):
        self.socket = await websockets.connect(self.url, extra_headers=self.headers, subprotocols=self.protocols, compression=None,
                                               ssl=self.tls, ping_interval=None, open_timeout=20, max_size=2 ** 24)
        self.task = asyncio.create_task(self.listen())

    async def listen(self):
        try:
            async for text in self.socket:
                self.add(json.loads(text))
        except websockets.ConnectionClosed:
            pass
        self.end(self.socket.close_code, self.socket.close_reason)

    def send(self, message):
        self.call(self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message)))

    def ask(self, do, ref, **members):
        """A command; its reply."""
        self.send({"do": do, "ref": ref, **members})
        return self.event("reply", ref=ref)

    def close(self):
        self.call(self.socket.close())

    def break_off(self):
        """Without a close, as a phone that loses its network."""
        Loop.get().call_soon_threadsafe(self.socket.transport.abort)


class EventStream(Feed):
    def __init__(self, url, token=None, last_id=None, query="", wait_ready=True, tls=None):
        super().__init__()
        at = urllib.parse.urlsplit(url)
        self.connection = http_connection(at, tls, timeout=60)
        headers = {"Accept": "text/event-stream"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if last_id:
            headers["Last-Event-ID"] = last_id
        self.connection.request("GET", PATH + ("?" + query if query else ""), headers=headers)
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.last_event_id = last_id
        if self.status == 200:
            threading.Thread(target=self.listen, daemon=True).start()
            if wait_ready:
                self.event("ready")

    def listen(self):
        """As the standard says: id is remembered for all later events, an empty line ends an event, ':' begins a comment."""
        data = []
        try:
            for line in self.response:
                line = line.decode().rstrip("\n")
                if line.startswith("data: "):
                    data.append(line[6:])
                elif line.startswith("id: "):
                    self.last_event_id = line[4:]
                elif not line and data:
                    self.add(json.loads("\n".join(data)))
                    data = []
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.end(None)

    def close(self):
        try:
            self.socket.shutdown(2)
        except OSError:
            pass
        self.connection.close()


class Crowd:
    """Listeners by the hundred, as server-sent events. Each comes back as soon as it can, with what it saw last, when its connection
    ends; `numbers[i]` is what it was told of one room's messages, `admitted` when somebody was let in."""

    def __init__(self, url, tokens, room):
        at = urllib.parse.urlsplit(url)
        self.host, self.port, self.room = at.hostname, at.port, room
        self.numbers, self.admitted, self.refused = [[] for _ in tokens], [], 0
        self.tasks = [asyncio.run_coroutine_threadsafe(self.stay(token, numbers), Loop.get())
                      for token, numbers in zip(tokens, self.numbers)]

    async def stay(self, token, numbers):
        last_id = ""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                try:
                    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: {self.host}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n"
                                 f"{'Last-Event-ID: ' + last_id if last_id else 'X: y'}\r\n\r\n".encode())
                    if (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 "):
                        async for line in reader:
                            if line.startswith(b"id: "):
                                last_id = line[4:-1].decode()
                            elif line.startswith(b"data: "):
                                self.take(json.loads(line[6:]), numbers)
                    else:
                        self.refused += 1
                finally:
                    writer.close()
            await asyncio.sleep(random.uniform(0.01, 0.05))

    def take(self, event, numbers):
        if event["type"] == "ready":
            self.admitted.append(time.monotonic())
        elif event["type"] == "message.posted" and event["roomId"] == self.room:
            numbers.append(event["number"])

    def close(self):
        for task in self.tasks:
            task.cancel()
