"""HTTP behaviour byte by byte, against the test server (argument 1): what no well-behaved client would send, too.

What libmicrohttpd 0.9.75 answers by itself, before the gateway sees the request, is HTML; everything else is problem+json."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import uuid

SERVER = None
UUID = "01890000-0000-7000-8000-000000000001"
UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class Server:
    def __init__(self, **settings):
        arguments = [SERVER, "--set", "gateway.port=0"]
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
    def __init__(self, server, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
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


SMUGGLED = "GET /hello HTTP/1.1\r\nHost: smuggled\r\n\r\n"
BODY = '{"title":"x"}'


def post(headers, body="", target="/things"):
    return f"POST {target} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{headers}\r\n{body}"


class Framing(Case):
    """Requests that two servers in a row might cut differently."""

    def test_content_length_with_transfer_encoding_is_refused(self):
        self.assert_closed_with(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + SMUGGLED))
        self.assert_closed_with(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n" + SMUGGLED))

    def test_two_lengths_are_refused_even_when_they_agree(self):
        self.assert_closed_with(post("Content-Length: 13\r\nContent-Length: 13\r\n", BODY + SMUGGLED))
        self.assert_closed_with(post("Content-Length: 0\r\nContent-Length: 13\r\n", BODY + SMUGGLED))

    def test_two_transfer_encodings_are_refused(self):
        self.assert_closed_with(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + SMUGGLED))

    def test_another_transfer_encoding_is_refused(self):
        for encoding in ("identity", "gzip, chunked", "chunked, chunked", "xchunked", "chunked ", "\x0bchunked", "", '"chunked"'):
            with self.subTest(encoding):
                self.assert_closed_with(post(f"Transfer-Encoding: {encoding}\r\n", "0\r\n\r\n" + SMUGGLED))

    def test_a_length_that_is_no_number_is_refused(self):
        """libmicrohttpd refuses it itself, and by itself would send the head of that answer twice."""
        for length in ("+13", "-1", "0x0d", "13, 13", "1 3", "18446744073709551629", "999999999999999999999", "13 ", "", "1e1", "\xbd3"):
            with self.subTest(length):
                self.assert_closed_with(post(f"Content-Length: {length}\r\n", BODY + SMUGGLED))

    def test_a_length_that_is_no_number_is_refused_on_its_own_connection_only(self):
        slow = self.connect()
        slow.send("POST /things HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 13\r\nX-Slow: ")
        for _ in range(4):
            self.assert_closed_with(post("Content-Length: x\r\n", BODY + SMUGGLED))
        slow.send("y\r\n\r\n" + BODY)
        self.assertEqual(slow.answer().status, 200)

    def test_cookies_and_parameters_without_number_are_no_harm(self):
        """libmicrohttpd would keep each of them, run out of memory, and send two heads."""
        answer, connection = self.raw("GET /hello HTTP/1.1\r\nHost: test\r\nCookie: " + "a;" * 7000 + "\r\n\r\n")
        self.assertEqual(answer.status, 200, answer)
        self.assert_usable(connection)
        answer, connection = self.raw("GET /hello?" + "a&" * 7000 + " HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assert_problem(answer, 400, "bad_query")
        self.assert_usable(connection)

    def test_white_space_before_a_colon_is_refused(self):
        for name in ("Content-Length ", "Content-Length\t", "Transfer-Encoding ", "X "):
            with self.subTest(name):
                self.assert_closed_with(post(f"{name}: 13\r\n", BODY + SMUGGLED))

    def test_a_folded_header_is_refused(self):
        """libmicrohttpd joins the lines; the bytes tell."""
        self.assert_closed_with(post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" + SMUGGLED))
        self.assert_closed_with(post("Content-Length: 1\r\n\t3\r\n", BODY + SMUGGLED))
        self.assert_closed_with("GET /hello HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n" + SMUGGLED)
        self.assert_refused_by_library("GET /hello HTTP/1.1\r\n Host: test\r\n\r\n" + SMUGGLED, (400,))

    def test_a_line_that_ends_in_a_bare_line_feed_is_refused(self):
        """libmicrohttpd takes it for CR LF."""
        for head in ("GET /hello HTTP/1.1\nHost: test\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: test\n\r\n", "GET /hello HTTP/1.1\r\nHost: test\r\n\n",
                     "GET /hello HTTP/1.1\r\nHost: test\r\nX: y\nContent-Length: 5\r\n\r\n", "GET /hello HTTP/1.1\nHost: test\n\n"):
            with self.subTest(head):
                self.assert_closed_with(head + SMUGGLED)

    def test_a_bare_carriage_return_is_refused(self):
        self.assert_closed_with("GET /hello HTTP/1.1\r\nHost: test\r\nX: a\rContent-Length: 5\r\n\r\n" + SMUGGLED)
        self.assert_closed_with("GET /he\rllo HTTP/1.1\r\nHost: test\r\n\r\n" + SMUGGLED)

    def test_a_nul_is_refused_wherever_it_stands(self):
        """libmicrohttpd takes it for the end of whatever it stands in: hidden text, a hidden header, an early end of the head."""
        for head in ("GET /hello\0x HTTP/1.1\r\nHost: test\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: te\0st\r\n\r\n",
                     "GET /hello HTTP/1.1\r\nHost: test\r\nX: a\0\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: test\r\n\0X: a\r\n\r\n",
                     "GET\0 /hello HTTP/1.1\r\nHost: test\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: test\r\n\0\r\n",
                     "GET /hello?a=\0 HTTP/1.1\r\nHost: test\r\n\r\n"):
            with self.subTest(head):
                self.assert_closed_with(head + SMUGGLED)
        self.assert_refused_by_library("GET /hello HTTP/1.1\r\nHost: test\r\nX\0: a\r\n\r\n" + SMUGGLED, (400,))

    def test_a_header_name_with_a_character_that_is_not_allowed_is_refused(self):
        for name in ("X(y)", "X y", "X\x7f", "X\xe4", "X,y", "", "X\x01"):
            with self.subTest(name):
                self.assert_closed_with(f"GET /hello HTTP/1.1\r\nHost: test\r\n{name}: v\r\n\r\n" + SMUGGLED)

    def test_a_line_without_a_colon_is_refused(self):
        self.assert_refused_by_library("GET /hello HTTP/1.1\r\nHost: test\r\nNonsense\r\n\r\n" + SMUGGLED, (400,))

    def test_a_host_is_needed_once(self):
        self.assert_closed_with("GET /hello HTTP/1.1\r\n\r\n" + SMUGGLED)
        self.assert_closed_with("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED)
        self.assert_closed_with("GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n" + SMUGGLED)
        self.assert_closed_with("GET /hello HTTP/1.1\r\nHost:\r\n\r\n" + SMUGGLED)

    def test_an_odd_request_line_is_refused(self):
        for target in ("http://test/hello", "*", "test:80", "hello", "/hel lo", "/hello\x01", "//test/hello HTTP/1.1\tx"):
            with self.subTest(target):
                self.assert_closed_with(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n" + SMUGGLED)
        self.assert_closed_with("GET  /hello HTTP/1.1\r\nHost: test\r\n\r\n" + SMUGGLED)

    def test_another_version_is_refused(self):
        self.assert_closed_with("GET /hello HTTP/1.2\r\nHost: test\r\n\r\n" + SMUGGLED, 505)
        for version in ("HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "HTTP/1", "HTTP/1.10", "HTTPS/1.1", ""):
            with self.subTest(version):
                self.assert_refused_by_library(f"GET /hello {version}\r\nHost: test\r\n\r\n" + SMUGGLED, (400, 505))

    def test_an_expectation_is_100_continue_or_417(self):
        self.assert_closed_with(post("Content-Length: 13\r\nExpect: 200-ok\r\n", BODY + SMUGGLED), 417)

    def test_a_chunk_that_is_malformed_ends_the_connection(self):
        for chunk in ("-1\r\nx", "zz\r\nx", "0x5\r\nhello", "ffffffffffffffffff\r\nx", "5 \r\nhello", "\r\nhello", "5\r\nhello!\r\n", ";x\r\n"):
            with self.subTest(chunk):
                self.assert_refused_by_library(post("Transfer-Encoding: chunked\r\n", chunk + "\r\n0\r\n\r\n" + SMUGGLED), (400, 413))

    def test_trailers_are_read_and_ignored(self):
        answer, connection = self.raw(post("Transfer-Encoding: chunked\r\n", f"d\r\n{BODY}\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n"))
        self.assertEqual(answer.status, 200, answer)
        self.assert_usable(connection)

    def test_no_smuggled_request_ever_reached_a_handler(self):
        """Over all of the above, on one server: as many answers with a handler as requests that asked for one."""
        before = self.server.metric('aether_gateway_requests_total{route="hello"')
        self.test_content_length_with_transfer_encoding_is_refused()
        self.test_a_nul_is_refused_wherever_it_stands()
        self.test_a_line_that_ends_in_a_bare_line_feed_is_refused()
        self.assertEqual(self.server.metric('aether_gateway_requests_total{route="hello"'), before)


class Requests(Case):
    """What a client meets that does its best."""

    def test_an_answer_is_json_that_is_not_kept_or_guessed(self):
        answer = self.connect().request("GET", "/hello")
        self.assertEqual((answer.status, answer.json), (200, {"hello": "world"}))
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertNotIn("server", answer.headers)
        self.assertNotIn("connection", answer.headers)

    def test_a_connection_serves_many_requests(self):
        connection = self.connect()
        for _ in range(300):
            self.assertEqual(connection.request("GET", "/hello").status, 200)
            self.assertEqual(connection.request("POST", "/things", {"title": "x"}).status, 200)

    def test_pipelined_requests_are_answered_in_order(self):
        connection = self.connect()
        one = f"POST /things HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
        connection.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\nGET /nothing HTTP/1.1\r\nHost: test\r\n\r\n" + one + "GET /later?ms=20 HTTP/1.1\r\nHost: test\r\n\r\n" + one * 20)
        self.assertEqual([connection.answer().status for _ in range(24)], [200, 404, 200, 200] + [200] * 20)
        self.assert_usable(connection)

    def test_a_request_in_single_bytes_is_as_good(self):
        connection = self.connect()
        for byte in post(f"Content-Length: {len(BODY)}\r\n", BODY).encode():
            connection.send(bytes([byte]))
        self.assertEqual(connection.answer().status, 200)

    def test_http_1_0_ends_the_connection_unless_asked(self):
        answer, connection = self.raw("GET /hello HTTP/1.0\r\n\r\n")
        self.assertEqual(answer.status, 200)
        self.assertTrue(connection.is_closed())
        answer, connection = self.raw("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(answer.status, 200)
        self.assert_usable(connection)

    def test_connection_close_is_honoured(self):
        answer, connection = self.raw("GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        self.assertEqual(answer.status, 200)
        self.assertTrue(connection.is_closed())

    def test_head_is_get_without_the_body(self):
        connection = self.connect()
        get, head = connection.request("GET", "/hello"), connection.request("HEAD", "/hello")
        self.assertEqual((head.status, head.headers["content-length"]), (200, get.headers["content-length"]))
        self.assert_usable(connection)
        self.assertEqual(connection.request("HEAD", "/nothing").status, 404)
        self.assert_usable(connection)

    def test_options_says_what_a_path_allows(self):
        connection = self.connect()
        answer = connection.request("OPTIONS", "/things")
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "POST, DELETE, OPTIONS"))
        self.assertEqual(connection.request("OPTIONS", "/hello").headers["allow"], "GET, HEAD, OPTIONS")
        self.assert_problem(connection.request("OPTIONS", "/nothing"), 404)
        self.assert_usable(connection)

    def test_an_answer_without_content_leaves_the_connection_usable(self):
        connection = self.connect()
        answer = connection.request("DELETE", "/things")
        self.assertEqual(answer.status, 204)
        self.assertNotIn("content-type", answer.headers)
        self.assert_usable(connection)

    def test_a_path_that_is_unknown_is_404(self):
        connection = self.connect()
        for method in ("GET", "POST", "HEAD", "BREW"):
            for path in ("/", "/nothing", "/hello/", "//hello", "/hello/x", "/Hello", "/..", "/%2e%2e/hello", "/things/..", "/hello;x"):
                with self.subTest(method=method, path=path):
                    answer = connection.request(method, path, **({"Content_Length": 0} if method == "POST" else {}))
                    self.assertEqual(answer.status, 404 if path != "/things/.." else answer.status)
                    self.assert_usable(connection)

    def test_a_method_that_is_unknown_is_405_and_allow_says_which_are(self):
        connection = self.connect()
        for method in ("POST", "PUT", "DELETE", "PATCH", "BREW", "get", "TRACE", "CONNECT"):
            with self.subTest(method):
                answer = connection.request(method, "/hello", b"" if method == "POST" else None)
                self.assert_problem(answer, 405, "method_not_allowed")
                self.assertEqual(answer.headers["allow"], "GET, HEAD, OPTIONS")
                self.assert_usable(connection)

    def test_a_path_that_is_no_uuid_is_named(self):
        connection = self.connect()
        for bad in ("x", "123", UUID[:-1], UUID + "0", UUID.replace("-", ""), "'%20OR%201=1--", "%C3%A4", "a" * 3000):
            with self.subTest(bad):
                self.assert_problem(connection.request("GET", f"/things/{bad}"), 400, "bad_path", "thing")
                self.assert_usable(connection)
        self.assert_problem(connection.request("POST", f"/things/{UUID}/parts/x", b""), 400, "bad_path", "part")
        answer = connection.request("GET", f"/things/{UUID.upper()}")
        self.assertEqual((answer.json["id"], answer.json["param"]), (UUID, UUID.upper()))

    def test_a_path_that_cannot_be_decoded_is_400_and_leaves_the_connection_usable(self):
        connection = self.connect()
        for bad in ("%", "%4", "%zz", "%00", "a%2fb", "%ff%fe", "%c0%af", "\xe4", "a\\b", "a|b", "<x>"):
            with self.subTest(bad):
                self.assert_problem(connection.request("GET", f"/named/{bad}"), 400, "bad_path")
                self.assert_usable(connection)

    def test_a_path_is_decoded_once(self):
        connection = self.connect()
        self.assertEqual(connection.request("GET", "/named/a%20b%C3%A4%2525").json["param"], "a b\xe4%25")
        self.assertEqual(connection.request("GET", "/%68ello").status, 200)

    def test_a_query_number_out_of_range_is_named(self):
        connection = self.connect()
        for bad in ("", "x", "-11", "1.5", "1e3", "0x10", "%2010", "+5", "9223372036854775808", "99999999999999999999", "%00", "%ff", "-", "5%"):
            with self.subTest(bad):
                self.assert_problem(connection.request("GET", f"/things/{UUID}?n={bad}"), 400, "bad_query", "n")
                self.assert_usable(connection)
        self.assert_problem(connection.request("GET", f"/things/{UUID}?n=1&n=1"), 400, "bad_query", "n")
        for good, value in (("-10", -10), ("0", 0), ("9223372036854775807", 9223372036854775807), ("007", 7)):
            self.assertEqual(connection.request("GET", f"/things/{UUID}?text=%C3%A4+b&n={good}").json["n"], value)
        self.assertEqual(connection.request("GET", f"/things/{UUID}?text=%C3%A4+b").json["text"], "\xe4 b")

    def test_a_body_that_is_wrong_is_named_and_leaves_the_connection_usable(self):
        connection = self.connect()
        for body, code, field in ((b"", "malformed_json", None), (b"{", "malformed_json", None), (b"[]", "malformed_json", None),
                                  (b'{"title":"x","title":"y"}', "malformed_json", "title"), (b'{"title":"\xff"}', "malformed_json", None),
                                  (b'{"title":1}', "invalid_body", "title"), (b'{"title":"x","colour":1}', "invalid_body", "colour"),
                                  (b'{"title":"a\\u0000b"}', "invalid_body", "title"), (b"{}", "invalid_body", "title"),
                                  (b"[" * 60000, "malformed_json", None)):
            with self.subTest(body[:40]):
                self.assert_problem(connection.request("POST", "/things", body), 400, code, field)
                self.assert_usable(connection)

    def test_a_body_that_does_not_say_json_is_415(self):
        connection = self.connect()
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "", "json", "application/jsonp", "application/json; charset=latin1"):
            with self.subTest(media_type):
                self.assert_problem(connection.request("POST", "/things", {"title": "x"}, Content_Type=media_type), 415, None, "Content-Type")
                self.assert_usable(connection)
        connection.send(f"POST /things HTTP/1.1\r\nHost: test\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}")
        self.assert_problem(connection.answer(), 415)
        self.assert_problem(connection.request("POST", "/things", {"title": "x"}, Content_Encoding="gzip"), 415, None, "Content-Encoding")
        self.assertEqual(connection.request("POST", "/things", {"title": "x"}, Content_Type="application/json; charset=UTF-8").status, 200)

    def test_a_route_that_takes_no_body_ignores_one(self):
        connection = self.connect()
        self.assertEqual(connection.request("POST", "/bare", b"anything", Content_Type="text/plain").status, 200)
        self.assertEqual(connection.request("POST", "/bare", {}).json["bodyBytes"], 0)
        self.assertEqual(connection.request("GET", "/hello", b"x").status, 200)
        self.assert_usable(connection)

    def test_a_body_in_chunks_is_as_good_as_any(self):
        connection = self.connect()
        connection.send(post("Transfer-Encoding: chunked\r\n"))
        for byte in BODY:
            connection.send(f"1;extension=x\r\n{byte}\r\n")
        connection.send("0\r\n\r\n")
        answer = connection.answer()
        self.assertEqual((answer.status, answer.json["title"], answer.json["bodyBytes"]), (200, "x", len(BODY)))
        self.assert_usable(connection)

    def test_100_continue_is_said_when_the_body_is_wanted(self):
        connection = self.connect()
        connection.send(post(f"Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n"))
        self.assertEqual(connection.answer().status, 100)
        connection.send(BODY)
        self.assertEqual(connection.answer().status, 200)
        self.assert_usable(connection)

    def test_100_continue_is_not_said_when_it_is_not(self):
        connection = self.connect()
        connection.send(post("Content-Length: 13\r\nExpect: 100-continue\r\n", target="/nothing"))
        answer = connection.answer()
        self.assert_problem(answer, 404)
        self.assertTrue(answer.closes() and connection.is_closed(), "the body may or may not come: nothing can be read behind it")

    def test_a_request_id_is_kept_or_made(self):
        connection = self.connect()
        for given in ("abc", "A-b_c.d~1", "x" * 63):
            answer = connection.request("GET", f"/things/{UUID}", X_Request_Id=given)
            self.assertEqual((answer.headers["x-request-id"], answer.json["requestId"]), (given, given))
        made = {connection.request("GET", "/hello", X_Request_Id=bad).headers["x-request-id"] for bad in ("", "x" * 64, "a b", "a\tb", "\xe4", "a;b")}
        self.assertEqual(len(made), 6)
        for one in made:
            self.assertRegex(one, f"^{UUID_PATTERN}$")
        self.assert_problem(connection.request("GET", "/nothing", X_Request_Id="abc"), 404)
        self.assertEqual(connection.request("GET", "/nothing", X_Request_Id="abc").json["requestId"], "abc")

    def test_a_trace_goes_on_or_begins(self):
        connection = self.connect()
        trace, span = "1" * 32, "2" * 16
        echoed = connection.request("GET", f"/things/{UUID}", traceparent=f"00-{trace}-{span}-01").json["trace"]
        self.assertRegex(echoed, f"^00-{trace}-[0-9a-f]{{16}}-01$")
        self.assertNotIn(span, echoed)
        for bad in ("", "00-" + "0" * 32 + f"-{span}-01", f"00-{trace}-" + "0" * 16 + "-01", f"00-{trace}-{span}", f"ff-{trace}-{span}-01", f"00-{trace.upper()[:-1]}X-{span}-01"):
            echoed = connection.request("GET", f"/things/{UUID}", traceparent=bad).json["trace"]
            self.assertRegex(echoed, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
            self.assertNotIn(trace, echoed)

    def test_an_idempotency_key_names_the_command(self):
        connection = self.connect()
        one = connection.request("POST", "/things", {"title": "x"}, Idempotency_Key="k1").json
        again = connection.request("POST", "/things", {"title": "x"}, Idempotency_Key="k1").json
        other_body = connection.request("POST", "/things", {"title": "y"}, Idempotency_Key="k1").json
        other_key = connection.request("POST", "/things", {"title": "x"}, Idempotency_Key="k2").json
        none = connection.request("POST", "/things", {"title": "x"}).json
        user = connection.request("POST", "/private", {"title": "x"}, Idempotency_Key="k1", Authorization="Bearer good").json
        self.assertTrue(one["hasIdempotencyKey"] and not none["hasIdempotencyKey"])
        self.assertEqual((one["commandId"], one["hash"]), (again["commandId"], again["hash"]))
        self.assertEqual(one["commandId"], other_body["commandId"])
        self.assertNotEqual(one["hash"], other_body["hash"])
        self.assertEqual(len({one["commandId"], other_key["commandId"], none["commandId"], user["commandId"]}), 4)
        self.assertEqual((uuid.UUID(one["commandId"]).version, uuid.UUID(none["commandId"]).version), (5, 7))
        self.assertEqual(user["commandId"], str(uuid.uuid5(uuid.UUID("11" * 16), "k1")))
        for bad in ("", "x" * 256, "with space", "tab\there", "\xc3\xa4"):
            with self.subTest(bad):
                self.assert_problem(connection.request("POST", "/things", {"title": "x"}, Idempotency_Key=bad), 400, None, "Idempotency-Key")
                self.assert_usable(connection)

    def test_the_method_and_the_path_are_part_of_the_hash(self):
        connection = self.connect()
        hashes = {connection.request(method, path, {"title": "x"}, Authorization="Bearer good").json["hash"]
                  for method, path in (("POST", "/things"), ("POST", "/private"), ("PUT", f"/things/{UUID}"), ("PUT", f"/things/{UUID[:-1]}2"))}
        self.assertEqual(len(hashes), 4)

    def test_prefer_respond_async_is_seen(self):
        connection = self.connect()
        self.assertTrue(connection.request("POST", "/bare", b"", Prefer="wait=5, respond-async").json["respondAsync"])
        self.assertFalse(connection.request("POST", "/bare", b"", Prefer="wait=5").json["respondAsync"])

    def test_who_has_no_good_token_is_401_and_told_how(self):
        connection = self.connect()
        for method, body in (("GET", None), ("POST", {"title": "x"}), ("POST", b"no json at all")):
            answer = connection.request(method, "/private", body, Authorization="Bearer bad")
            self.assert_problem(answer, 401, "invalid_token")
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer error="invalid_token"')
            self.assert_usable(connection)
        self.assertEqual(connection.request("GET", "/private", Authorization="Bearer good").json["user"], "11111111-1111-1111-1111-111111111111")
        self.assert_problem(connection.request("GET", "/private", Authorization="Bearer " + "a" * 10000), 401)
        self.assert_usable(connection)

    def test_who_is_looked_at_once_more_is_let_in_or_turned_away_now_or_later(self):
        connection = self.connect()
        for _ in range(20):
            for admit, status in (("yes", 200), ("no", 401), ("later", 200), ("later-no", 401)):
                for method, path, body in (("GET", "/private", None), ("POST", "/private", {"title": "x"}), ("GET", "/private/later", None)):
                    answer = connection.request(method, f"{path}?ms=1&admit={admit}", body, Authorization="Bearer good", X_Request_Id="me")
                    if status == 401:
                        self.assert_problem(answer, 401, "session_ended")
                    else:
                        self.assertEqual((answer.status, answer.json["requestId"]), (200, "me"))
                    self.assert_usable(connection)
        self.assertEqual(connection.request("GET", "/hello?admit=no").status, 200, "only where one has to be logged in")
        self.assert_problem(connection.request("POST", "/private?admit=later", {"title": 1}, Authorization="Bearer good"), 400)

    def test_an_error_of_ours_tells_no_secret(self):
        connection = self.connect()
        answer = connection.request("GET", "/away")
        self.assert_problem(answer, 503, "unavailable")
        self.assertTrue(answer.json["retryable"] and answer.headers["retry-after"])
        self.assertNotIn("secret-host", answer.text)
        self.assert_problem(connection.request("GET", "/no-answer"), 500, "internal")
        self.assert_usable(connection)

    def test_a_large_answer_arrives_whole(self):
        connection = self.connect()
        for size in (0, 1, 16383, 65536, 5_000_000):
            self.assertEqual(len(connection.request("GET", f"/large?bytes={size}").body), size)
        self.assert_usable(connection)


class Limits(Case):
    settings = {"max_body_bytes": 2048, "max_header_bytes": 2048}

    def test_a_body_too_large_is_413_and_the_connection_stays(self):
        connection = self.connect()
        self.assertEqual(connection.request("POST", "/things", b" " * (2048 - len(BODY)) + BODY.encode()).status, 200)
        for size in (2049, 100_000, 3_000_000):
            answer = connection.request("POST", "/things", b"x" * size)
            self.assert_problem(answer, 413, "too_large")
            self.assert_usable(connection)

    def test_a_body_too_large_in_chunks_is_413_and_the_connection_stays(self):
        connection = self.connect()
        connection.send(post("Transfer-Encoding: chunked\r\n"))
        for _ in range(40):
            connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        connection.send("0\r\n\r\n")
        self.assert_problem(connection.answer(), 413, "too_large")
        self.assert_usable(connection)

    def test_a_body_far_too_large_is_413_at_once(self):
        answer, connection = self.raw(post("Content-Length: 99999999999\r\n"))
        self.assert_problem(answer, 413, "too_large")
        self.assertTrue(connection.is_closed())

    def test_a_body_too_large_that_asks_first_is_413_before_it_is_sent(self):
        answer, connection = self.raw(post("Content-Length: 100000\r\nExpect: 100-continue\r\n"))
        self.assert_problem(answer, 413, "too_large")
        self.assertTrue(connection.is_closed())

    def test_a_body_without_end_is_cut_off(self):
        connection = self.connect()
        connection.send(post("Transfer-Encoding: chunked\r\n"))
        chunk, sent = b"100000\r\n" + b"x" * 0x100000 + b"\r\n", 0
        try:
            while sent < 200:
                connection.send(chunk)
                sent += 1
        except OSError:
            pass
        self.assertLess(sent, 200, "200 MiB were taken")

    def test_headers_too_large_are_431(self):
        answer, connection = self.raw("GET /hello HTTP/1.1\r\nHost: test\r\nX: " + "y" * 2100 + "\r\n\r\n")
        self.assert_problem(answer, 431, "header_too_large")
        self.assertTrue(answer.closes() and connection.is_closed())
        answer, connection = self.raw("GET /hello HTTP/1.1\r\nHost: test\r\n" + "".join(f"X{i}: y\r\n" for i in range(70)) + "\r\n")
        self.assert_problem(answer, 431, "header_too_large")
        self.assertTrue(connection.is_closed())
        self.assertEqual(self.connect().request("GET", "/hello", **{f"X{i}": "y" for i in range(60)}).status, 200)

    def test_headers_far_too_large_end_the_connection(self):
        self.assert_refused_by_library("GET /hello HTTP/1.1\r\nHost: test\r\n" + "".join(f"X{i}: {'y' * 1000}\r\n" for i in range(100)) + "\r\n", (431,))
        self.assert_refused_by_library("GET /" + "x" * 100_000 + " HTTP/1.1\r\nHost: test\r\n\r\n", (414,))
        self.assert_refused_by_library("GET /?" + "a&" * 5000 + " HTTP/1.1\r\nHost: test\r\n\r\n", (414, 431))
        self.assert_usable(self.connect())

    def test_the_largest_head_leaves_room_for_the_largest_answer(self):
        head = "GET /things/" + UUID + "?text=" + "x" * 1200 + " HTTP/1.1\r\nHost: test\r\n"
        for i in range(58):
            head += f"X{i}: y\r\n"
        head += "X-Pad: " + "p" * (2048 - len(head) - 11) + "\r\n\r\n"
        self.assertEqual(len(head), 2048)
        connection = self.connect()
        for _ in range(3):
            connection.send(head)
            self.assertEqual(connection.answer().status, 200)


class Deadlines(Case):
    settings = {"read_timeout_ms": 700, "write_timeout_ms": 1500, "idle_timeout_s": 2}

    def drip(self, connection, pieces, interval=0.1, most=10):
        """Seconds until the other side closes."""
        started = time.monotonic()
        connection.socket.settimeout(interval)
        for piece in pieces:
            if time.monotonic() - started > most:
                self.fail("held open")
            try:
                connection.send(piece)
                if connection.socket.recv(65536) == b"":
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        return time.monotonic() - started

    def test_a_client_that_drips_headers_is_closed(self):
        head = "GET /hello HTTP/1.1\r\nHost: test\r\n" + "".join(f"X{i}: y\r\n" for i in range(1000))
        self.assertLess(self.drip(self.connect(), head), 4)

    def test_a_client_that_drips_a_body_is_closed(self):
        connection = self.connect()
        connection.send(post("Content-Length: 1000\r\n"))
        self.assertLess(self.drip(connection, " " * 1000), 4)

    def test_a_client_that_drips_a_body_nobody_wants_is_closed(self):
        connection = self.connect()
        connection.send(post("Content-Length: 1000\r\n", target="/nothing"))
        self.assertLess(self.drip(connection, " " * 1000), 4)

    def test_a_client_that_says_nothing_is_closed(self):
        started = time.monotonic()
        self.assertTrue(self.connect().is_closed(within=10))
        self.assertLess(time.monotonic() - started, 4)

    def test_a_client_that_drips_its_second_request_is_closed(self):
        connection = self.connect()
        self.assert_usable(connection)
        self.assertLess(self.drip(connection, "GET /hello HTTP/1.1\r\nHost: test\r\n" + "X: y\r\n" * 1000), 6)

    def test_an_idle_connection_is_kept_for_a_while_and_then_closed(self):
        connection = self.connect()
        self.assert_usable(connection)
        self.assertFalse(connection.is_closed(within=1.2), "read_timeout_ms is not for idle connections")
        connection.socket.settimeout(10)
        self.assert_usable(connection)
        self.assertTrue(connection.is_closed(within=10))

    def test_a_client_that_reads_nothing_is_closed(self):
        connection = self.connect()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        overdue = self.server.metric("aether_gateway_connections_overdue_total")
        connection.send("GET /large?bytes=50000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: self.server.metric("aether_gateway_connections_overdue_total") > overdue, 10)

    def test_a_handler_that_takes_longer_than_a_client_may_is_waited_for(self):
        connection = self.connect()
        self.assertEqual(connection.request("GET", "/later?ms=3000").status, 200)
        self.assert_usable(connection)

    def test_connections_that_are_closed_are_no_longer_counted(self):
        held = [self.connect() for _ in range(50)]
        wait_until(lambda: self.server.metric("aether_gateway_connections{") is None and self.server.metric("aether_gateway_connections ") >= 50)
        for connection in held:
            connection.socket.close()
        wait_until(lambda: self.server.metric("aether_gateway_connections ") <= 3)


class Suspended(Case):
    def test_a_request_is_answered_by_another_thread(self):
        connection = self.connect()
        for ms in (0, 0, 0, 1, 5, 0):
            answer = connection.request("GET", f"/later?ms={ms}", X_Request_Id=f"r{ms}")
            self.assertEqual((answer.status, answer.json["requestId"]), (200, f"r{ms}"))

    def test_many_requests_get_their_own_answers(self):
        failures = []

        def client(number):
            with Connection(self.server) as connection:
                for i in range(100):
                    name = f"{number}-{i}"
                    answer = connection.request("GET", f"/later?ms={i % 3}", X_Request_Id=name) if i % 2 else \
                        connection.request("POST", f"/later?ms={i % 3}", {"title": "x"}, X_Request_Id=name)
                    if not answer or answer.status != 200 or answer.json["requestId"] != name:
                        failures.append((name, answer))

        threads = [threading.Thread(target=client, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_request_that_is_suspended_and_then_answered_at_once_is_answered(self):
        connection = self.connect()
        for _ in range(50):
            self.assert_problem(connection.request("GET", "/refused"), 503)
        self.assert_usable(connection)

    def test_a_client_that_leaves_takes_nothing_along(self):
        for i in range(100):
            connection = Connection(self.server)
            connection.send(f"GET /later?ms={i % 20} HTTP/1.1\r\nHost: test\r\n\r\n")
            if i % 2:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.socket.close()
        wait_until(lambda: self.server.metric("aether_gateway_requests_in_progress") == 1, what="requests left behind")
        wait_until(lambda: self.server.metric("aether_gateway_connections ") <= 3)

    def test_as_many_requests_at_once_as_epoll_takes_events_do_not_hang(self):
        """libmicrohttpd's own loop waits for ever when 128 of its connections speak at once and nobody else does."""
        held = [self.connect() for _ in range(256)]
        for _ in range(20):
            for connection in held:
                connection.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
            for connection in held:
                self.assertEqual(connection.answer().status, 200)


class Memory(Case):
    settings = {"threads": 1}

    def test_in_the_steady_state_a_request_allocates_nothing(self):
        """In our code: what libmicrohttpd takes for an answer is its own."""
        connections = [self.connect() for _ in range(4)]

        def some():
            for i, connection in enumerate(connections):
                connection.send(f"GET /later?ms={i} HTTP/1.1\r\nHost: test\r\n\r\n")
            for connection in connections:
                self.assertEqual(connection.answer().status, 200)
            for connection in connections:
                self.assertEqual(connection.request("GET", f"/things/{UUID}?n=5&text=abc").status, 200)
                self.assertEqual(connection.request("POST", "/things", {"title": "x", "count": 7, "label": "abc"}, Idempotency_Key="k").status, 200)
                self.assert_problem(connection.request("POST", "/things", {"title": "", "colour": 7}), 400)
                self.assert_problem(connection.request("POST", "/things", b"{"), 400)
                self.assert_problem(connection.request("GET", "/private"), 401)
                self.assertEqual(connection.request("GET", "/large?bytes=30000").status, 200)

        def count():
            return connections[0].request("GET", "/allocations").json

        def grown():
            before = count()
            for _ in range(50):
                some()
            return count() - before

        some()
        growth = [grown()]
        while growth[-1] > 0 and len(growth) < 6:  # which recycled request serves what is up to the scheduler
            growth.append(grown())
        self.assertEqual(growth[-1], 0, growth)


class Crowd(Case):
    settings = {"max_connections": 20, "threads": 3}

    def test_more_connections_than_allowed_are_told_and_others_served(self):
        held = [self.connect() for _ in range(20)]
        for connection in held:
            self.assert_usable(connection)
        answer = self.connect().answer()
        self.assertEqual((answer.status, answer.json["code"], answer.json["retryable"]), (503, "overloaded", True))
        self.assertEqual(answer.headers["retry-after"], "1")
        for connection in held:
            self.assert_usable(connection)
        held.pop().socket.close()

        def is_let_in():
            with Connection(self.server) as connection:
                connection.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
                answer = connection.answer()
                return answer is not None and answer.status == 200

        wait_until(is_let_in)


class Health(Case):
    def test_health_is_told(self):
        connection = self.connect()
        wait_until(lambda: connection.request("GET", "/api/v1/health/ready").status == 200)
        self.assertEqual(connection.request("GET", "/api/v1/health").json, {"status": "ok", "ready": True})
        dependencies = {d["name"]: d for d in connection.request("GET", "/api/v1/health/detailed").json["dependencies"]}
        self.assertEqual(dependencies["dependency"], {"name": "dependency", "required": True, "status": "up", "latencyMs": 1.5})
        self.assertEqual(dependencies["luxury"]["status"], "down")
        connection.request("POST", "/dependency", b"")
        wait_until(lambda: connection.request("GET", "/api/v1/health/ready").status == 503)
        self.assertEqual(connection.request("GET", "/api/v1/health").json, {"status": "ok", "ready": False})
        connection.request("POST", "/dependency", b"")
        wait_until(lambda: connection.request("GET", "/api/v1/health/ready").status == 200)

    def test_metrics_count_by_route_and_class(self):
        count = 'aether_gateway_requests_total{route="hello",code="2xx"}'
        before = self.server.metric(count)
        connection = self.connect()
        for _ in range(7):
            self.assert_usable(connection)
        connection.request("GET", "/nothing")
        self.assertEqual(self.server.metric(count), before + 7)
        self.assertGreaterEqual(self.server.metric('aether_gateway_requests_total{route="none",code="4xx"}'), 1)
        self.assertGreaterEqual(self.server.metric('aether_gateway_request_seconds_count{route="hello"}'), 7)


class Stopping(unittest.TestCase):
    def test_an_idle_server_stops_at_once(self):
        server = Server()
        with Connection(server) as connection:
            self.assertEqual(connection.request("GET", "/hello").status, 200)
            took, _ = server.stop()
        self.assertLess(took, 2000)

    def test_requests_that_have_begun_are_answered(self):
        server = Server()
        connections = [Connection(server) for _ in range(40)]
        for i, connection in enumerate(connections):
            connection.send(f"GET /later?ms={200 + i * 10} HTTP/1.1\r\nHost: test\r\nX-Request-Id: r{i}\r\n\r\n")
        wait_until(lambda: server.metric("aether_gateway_requests_in_progress") == 41)
        server.process.send_signal(signal.SIGTERM)
        for i, connection in enumerate(connections):
            answer = connection.answer()
            self.assertIsNotNone(answer, f"request {i} was dropped")
            self.assertEqual((answer.status, answer.json["requestId"], answer.closes()), (200, f"r{i}", True))
            connection.socket.close()
        server.stop()

    def test_no_connection_is_accepted_any_more(self):
        server = Server()
        with Connection(server) as connection:
            connection.send("GET /later?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: server.metric("aether_gateway_requests_in_progress") == 2)
            server.process.send_signal(signal.SIGTERM)

            def is_refused():
                try:
                    socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
                    return False
                except OSError:
                    return True

            wait_until(is_refused, 1.2)
            self.assertEqual(connection.answer().status, 200)
        server.stop()

    def test_a_connection_that_is_kept_gets_its_answer_and_is_closed(self):
        server = Server()
        with Connection(server) as kept, Connection(server) as other:
            self.assertEqual(kept.request("GET", "/hello").status, 200)
            other.send("GET /later?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: server.metric("aether_gateway_requests_in_progress") == 2)
            server.process.send_signal(signal.SIGTERM)
            answers = []
            wait_until(lambda: answers.append(kept.request("GET", "/hello")) or answers[-1] is None or answers[-1].closes(), 1.2)
            self.assertTrue(answers[-1].closes() and kept.is_closed())
            self.assertEqual(other.answer().status, 200)
        server.stop()

    def test_what_is_not_answered_in_time_is_answered_503(self):
        server = Server(drain_timeout_ms=300)
        connections = [Connection(server) for _ in range(10)]
        for i, connection in enumerate(connections):
            path = ("never", "later?ms=60000", "private?admit=never")[i % 3]
            connection.send(f"GET /{path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer good\r\n\r\n")
        wait_until(lambda: server.metric("aether_gateway_requests_in_progress") == 11)
        server.process.send_signal(signal.SIGTERM)
        for connection in connections:
            answer = connection.answer()
            self.assertIsNotNone(answer, "dropped")
            self.assertEqual((answer.status, answer.json["code"], answer.closes()), (503, "stopping", True))
            connection.socket.close()
        took, _ = server.stop()
        self.assertLess(took, 5000)

    def test_stopping_under_load_drops_nobody_who_was_being_answered(self):
        for _ in range(5):
            server = Server(threads=3)
            broken = []

            def client(server=server, broken=broken):
                try:
                    while True:
                        with Connection(server) as connection:
                            while True:
                                connection.send("GET /later?ms=1 HTTP/1.1\r\nHost: test\r\n\r\n")
                                answer = connection.answer()
                                if answer is None:
                                    break
                                if answer.status not in (200, 503):
                                    broken.append(answer)
                                if answer.closes():
                                    break
                except OSError:
                    return

            threads = [threading.Thread(target=client) for _ in range(16)]
            for thread in threads:
                thread.start()
            wait_until(lambda: server.metric('aether_gateway_requests_total{route="later",code="2xx"}') > 300, 30)
            took, _ = server.stop()
            for thread in threads:
                thread.join()
            self.assertEqual(broken, [])
            self.assertLess(took, 5000)


class Starting(unittest.TestCase):
    def start(self, *settings):
        arguments = [SERVER] + [word for setting in settings for word in ("--set", setting)]
        return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)

    def test_a_port_in_use_is_one_clear_line(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = self.start(f"gateway.port={port}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"port {port} on 127.0.0.1 is in use; stop what listens there or set gateway.port", done.stderr)

    def test_an_address_that_is_none_is_one_clear_line(self):
        done = self.start("gateway.address=localhost")
        self.assertIn("gateway.address is 'localhost'; it must be a numeric address", done.stderr)

    def test_more_connections_than_descriptors_is_one_clear_line(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard == resource.RLIM_INFINITY or hard >= 1_000_000:
            done = subprocess.run(["/bin/sh", "-c", f"ulimit -n 2000 && exec '{SERVER}' --set gateway.port=0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        else:
            done = self.start("gateway.port=0", "gateway.max_connections=1000000")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("gateway.max_connections needs", done.stderr)


class Log(unittest.TestCase):
    def test_a_request_that_failed_is_one_line_with_its_cause(self):
        server = Server()
        with Connection(server) as connection:
            connection.request("GET", "/away", X_Request_Id="r1")
            connection.request("GET", "/no-answer", X_Request_Id="r2")
            connection.request("GET", "/nothing", X_Request_Id="r3")
            for _ in range(100):
                connection.request("GET", "/away")
            connection.send("GET /hello HTTP/1.2\r\nHost: test\r\nX-Request-Id: r4\r\n\r\n")
            self.assertEqual(connection.answer().status, 505)
        _, errors = server.stop()
        lines = [json.loads(line) for line in errors.splitlines() if '"request failed"' in line]
        by_id = {line["request_id"]: line for line in lines}
        self.assertEqual((by_id["r1"]["level"], by_id["r1"]["error"], by_id["r1"]["route"]), ("warn", "PostgreSQL at secret-host does not answer", "away"))
        self.assertEqual((by_id["r2"]["level"], by_id["r2"]["status"]), ("error", 500))
        self.assertEqual(by_id["r2"]["error"], "the handler gave no answer")
        self.assertFalse({"r3", "r4"} & set(by_id), "the client's doing is no failure of ours")
        self.assertLess(len(lines), 50, "lines are rationed")

    def test_at_debug_every_request_is_one_line(self):
        server = Server(**{"log.level": "debug"})
        with Connection(server) as connection:
            connection.request("GET", "/hello", X_Request_Id="r1", traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
        _, errors = server.stop()
        line = next(json.loads(line) for line in errors.splitlines() if '"r1"' in line)
        self.assertEqual((line["event"], line["route"], line["status"]), ("request", "hello", 200))
        self.assertIn("1" * 32, line["trace"])


if __name__ == "__main__":
    SERVER = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
