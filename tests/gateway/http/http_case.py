"""http_case: the test server as a program, connections to it byte by byte, and what the tests of HTTP assert."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

UUID = "01890000-0000-7000-8000-000000000001"
UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
BODY = '{"title":"x"}'


def program():
    """The test server, gateway_http_server."""
    return os.environ["AETHER_TEST_HTTP_SERVER"]


def run():
    os.environ["AETHER_TEST_HTTP_SERVER"] = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)


class Server:
    def __init__(self, **settings):
        arguments = [program(), "--set", "gateway.port=0"]
        for name, value in {"threads": 2, **settings}.items():
            arguments += ["--set", f"{name}={value}" if "." in name else f"gateway.{name}={value}"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            raise RuntimeError(f"the server did not start: {line}{self.process.stderr.read()}")
        self.port = int(line.split()[1])

    def stop(self, seconds=30):
        """(milliseconds that stopping took, log lines); fails when the exit status says that a sanitizer complained."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        out, errors = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, f"status {self.process.returncode}: {out}{errors}"
        assert "Sanitizer" not in errors, errors
        took = re.search(r"stopped after (\d+) ms", out)
        return int(took[1]) if took else None, errors

    def metric(self, name):
        with Connection(self) as c:
            text = c.request("GET", "/metrics").text
        found = [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)]
        return sum(found) if found else None


class Answer:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.version, status, self.reason = (lines[0].split(" ", 2) + ["", ""])[:3]
        self.status = int(status)
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.body, self.text = body, body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def closes(self):
        return self.headers.get("connection", "").lower() == "close"

    def __repr__(self):
        return f"{self.status} {self.headers} {self.text[:500]}"


class Connection:
    def __init__(self, server, timeout=20, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.received += data
        return bool(data)

    def answer(self, head_only=False):
        """None: the connection was closed instead."""
        while b"\r\n\r\n" not in self.received:
            if not self.more():
                return None
        head, _, rest = self.received.partition(b"\r\n\r\n")
        answer = Answer(head, b"")
        length = 0 if head_only or answer.status in (204, 304) or answer.status < 200 else int(answer.headers.get("content-length", 0))
        while len(rest) < length:
            if not self.more():
                return None
            rest = self.received.partition(b"\r\n\r\n")[2]
        self.received = rest[length:]
        return Answer(head, rest[:length])

    def request(self, method, target, body=None, **headers):
        lines = [f"{method} {target} HTTP/1.1", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines += [f"Content-Length: {len(body)}"]
            if "Content_Type" not in headers:
                lines += ["Content-Type: application/json"]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self.answer(head_only=method == "HEAD")

    def is_closed(self, within=5):
        """The other side closes without another byte."""
        self.socket.settimeout(within)
        try:
            return not self.received and self.socket.recv(65536) == b""
        except socket.timeout:
            return False
        except ConnectionError:
            return True


def wait_until(condition, seconds=10, what="it did not come true"):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(what)
        time.sleep(0.005)


def assert_headers_of_unread(case, answer):
    """Of an answer that was sent without a look at the request."""
    for name, value in (("content-security-policy", "default-src 'none'; frame-ancestors 'none'"), ("x-content-type-options", "nosniff"),
                        ("access-control-allow-origin", "*"), ("cache-control", "no-store"), ("retry-after", "1"),
                        ("content-type", "application/problem+json")):
        case.assertEqual(answer.headers[name], value)


class Case(unittest.TestCase):
    server = None
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(**cls.settings)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def connect(self, **options):
        connection = Connection(self.server, **options)
        self.addCleanup(connection.socket.close)
        return connection

    def raw(self, data):
        """One answer to raw bytes, and the connection."""
        connection = self.connect()
        connection.send(data)
        return connection.answer(), connection

    def assert_problem(self, answer, status, code=None, field=None):
        self.assertIsNotNone(answer, "closed without an answer")
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/problem+json", answer)
        problem = answer.json
        self.assertEqual(problem["status"], status)
        self.assertEqual(problem["type"], "about:blank")
        self.assertTrue(problem["title"] and problem["detail"] and isinstance(problem["retryable"], bool), problem)
        self.assertEqual(problem["requestId"], answer.headers["x-request-id"])
        if code:
            self.assertEqual(problem["code"], code, problem)
        if field:
            self.assertIn(field, [error["field"] for error in problem["errors"]], problem)

    def assert_usable(self, connection):
        answer = connection.request("GET", "/hello")
        self.assertIsNotNone(answer, "closed")
        self.assertEqual(answer.status, 200)

    def assert_closed_with(self, data, status=400):
        """A problem, Connection: close, and nothing of what follows is read as a request."""
        answer, connection = self.raw(data)
        self.assert_problem(answer, status)
        self.assertTrue(answer.closes(), answer)
        self.assertTrue(connection.is_closed(), "another answer, or left open")

    def assert_refused_by_library(self, data, statuses):
        answer, connection = self.raw(data)
        self.assertTrue(answer is None or answer.status in statuses, answer)
        self.assertTrue(connection.is_closed(), "another answer, or left open")


def post(headers, body="", target="/things"):
    return f"POST {target} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
