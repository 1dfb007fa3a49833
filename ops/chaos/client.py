"""client: people who use the REST API, over one kept-alive connection each (http.client)."""

import datetime
import http.client
import json
import random
import select
import socket
import threading
import time
import urllib.parse
import uuid

API = "/api/v1"
PASSWORD = "correct horse battery staple"

# Nothing was decided, or nobody knows yet what: the same request under the same key may be sent again.
AGAIN = {202, 408, 429, 500, 502, 503, 504}


def later(seconds):
    """The moment in so many seconds, as RFC 3339 writes it."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's stable code, or None."""
        try:
            return self.json.get("code")
        except (ValueError, AttributeError):
            return None

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:600]!r}>"


def http_connection(at, tls, **options):
    """To the host of a URL that has been split; `tls` is the context of https."""
    if at.scheme == "https":
        return http.client.HTTPSConnection(at.hostname, at.port, context=tls, **options)
    return http.client.HTTPConnection(at.hostname, at.port, **options)


class Client:
    """One connection to one of `urls`; a failed one moves on to the next. One thread. `source` is the address it comes from: any
    of 127.0.0.0/8 for a server on this machine."""

    source = None
    tls = None  # the ssl.SSLContext of https

    def __init__(self, urls, timeout=20):
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.timeout = timeout
        self.token = None
        self.connection = None

    def connect(self):
        at = urllib.parse.urlsplit(self.urls[0])
        self.connection = http_connection(at, self.tls, timeout=self.timeout, source_address=self.source and (self.source, 0))
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def is_stale(self):
        """The other side has closed (or spoken out of turn) while nothing was asked; nothing is lost by another connection."""
        readable, _, _ = select.select([self.connection.sock], [], [], 0)
        return bool(readable)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def request(self, method, path, body=None, headers=None, raw=None):
        """One request, sent once. `body` is JSON, `raw` bytes as they are. OSError or HTTPException: the connection broke and
        what became of the request is not known."""
        headers = dict(headers or {})
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            if self.connection is None or self.connection.sock is None or self.is_stale():
                self.connect()
            self.connection.request(method, API + path if path.startswith("/") else path[1:], raw, headers)
            return Answer(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.close()
            self.urls.append(self.urls.pop(0))
            raise

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, {} if body is None and "raw" not in options else body, **options)


class Person(Client):
    """Somebody with an account. Methods without `try_` insist: they retry until there is an outcome."""

    def __init__(self, urls, name=None, timeout=20, patience=120):
        super().__init__(urls, timeout)
        name = name or "u" + uuid.uuid4().hex[:14]
        self.username, self.email = name, f"{name}@example.org"
        self.user = self.refresh_token = None
        self.patience = patience
        self.operations = set()  # ids of those that were answered 202
        self.retries = 0

    def insist(self, method, path, body=None, key=None, headers=None, stop=None):
        """Sends the same request until it has an outcome; returns that answer. A write is sent under one Idempotency-Key."""
        headers = dict(headers or {})
        if method != "GET":
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        deadline = time.monotonic() + self.patience
        pause = 0.02
        while True:
            try:
                answer = self.request(method, path, body, headers=headers)
            except (OSError, http.client.HTTPException) as error:
                answer = error
            else:
                if answer.status == 202:
                    self.operations.add(answer.headers["Location"].rpartition("/")[2])
                elif answer.status == 401 and self.token and self.user and answer.headers["WWW-Authenticate"]:
                    self.login()
                    continue
                if answer.status not in AGAIN and answer.code != "request_in_progress":
                    return answer
            if time.monotonic() > deadline or (stop and stop()):
                raise AssertionError(f"no outcome within {self.patience} s: {method} {path}: {answer!r}")
            self.retries += 1
            time.sleep(random.uniform(pause / 4, pause))  # those that were turned away together come back one by one
            pause = min(pause * 2, 0.5)

    # --- accounts ---

    def registration(self):
        return {"username": self.username, "email": self.email, "password": PASSWORD, "firstName": "Ada", "lastName": "Ocean"}

    def session(self, answer):
        self.user, self.token, self.refresh_token = answer.json["user"], answer.json["accessToken"], answer.json["refreshToken"]
        return answer

    def register(self):
        answer = self.insist("POST", "/auth/register", self.registration())
        assert answer.status == 201, answer
        return self.session(answer)

    def login(self, password=PASSWORD):
        self.token = None
        answer = self.insist("POST", "/auth/login", {"username": self.username, "password": password})
        assert answer.status == 200, answer
        return self.session(answer)

    # --- rooms ---

    def room(self, name="The quiet harbour", kind="public"):
        answer = self.insist("POST", "/rooms", {"name": name, "kind": kind})
        assert answer.status == 201, answer
        return answer.json["id"]

    def join(self, room):
        answer = self.insist("POST", f"/rooms/{room}/join")
        assert answer.status in (200, 201, 204), answer
        return answer

    def say(self, room, body, key=None):
        """Posts until it has an outcome; returns the message."""
        answer = self.insist("POST", f"/rooms/{room}/messages", {"body": body}, key=key)
        assert answer.status == 201, answer
        return answer.json

    def page(self, room, **query):
        answer = self.insist("GET", f"/rooms/{room}/messages?{urllib.parse.urlencode(query)}")
        assert answer.status == 200, answer
        return answer.json

    def history(self, room):
        """All messages of a room in order, read in pages of 100."""
        messages = []
        while True:
            page = self.page(room, after=messages[-1]["seq"] if messages else 0, limit=100)["items"]
            if not page:
                return messages
            messages += page

    def operation(self, operation_id):
        return self.insist("GET", f"/operations/{operation_id}")


def register_people(urls, count, threads=8, prefix=None):
    """`count` people with accounts, made a few at a time (hashing a password costs a core's tens of milliseconds)."""
    people = [Person(urls, prefix and f"{prefix}{i}") for i in range(count)]
    in_threads([lambda mine=people[i::threads]: [person.register() for person in mine] for i in range(threads)])
    return people


def in_threads(jobs, timeout=None):
    """Runs the jobs at once, each in a thread; returns their results in order; raises the first failure."""
    results, failures = [None] * len(jobs), []

    def run(i, job):
        try:
            results[i] = job()
        except BaseException as failure:  # handed on to the caller's thread
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(i, job), daemon=True) for i, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    deadline = timeout and time.monotonic() + timeout
    for thread in threads:
        thread.join(deadline and max(0, deadline - time.monotonic()))
        if thread.is_alive():
            raise AssertionError(f"not done within {timeout} s")
    if failures:
        raise failures[0]
    return results
