"""The server as a program: health, start, stop, its log."""

import json
import resource
import signal
import socket
import subprocess
import threading
import unittest

from http_case import Case, Connection, Server, assert_headers_of_unread, program, run, wait_until


class Health(Case):
    def test_health_is_told(self):
        connection = self.connect()
        late = {"name": "beginning", "reason": "not yet"}
        self.wait_ready(connection, 503, "not ready", [late])
        connection.request("POST", "/beginning", b"")
        self.wait_ready(connection, 200, "ready", [])
        self.assertEqual(connection.request("GET", "/api/v1/health").json, {"status": "ok", "ready": True})
        dependencies = {d["name"]: d for d in connection.request("GET", "/api/v1/health/detailed").json["dependencies"]}
        self.assertEqual(dependencies["dependency"], {"name": "dependency", "required": True, "status": "up", "latencyMs": 1.5, "reason": None})
        self.assertEqual(dependencies["luxury"], {"name": "luxury", "required": False, "status": "down", "latencyMs": None,
                                                  "reason": "it does not answer"})
        connection.request("POST", "/beginning", b"")  # it is missed, and named, but what has begun goes on
        self.wait_ready(connection, 200, "ready", [late])
        connection.request("POST", "/dependency", b"")
        self.wait_ready(connection, 503, "not ready", [{"name": "dependency", "reason": "it does not answer"}, late])
        self.assertEqual(connection.request("GET", "/api/v1/health").json, {"status": "ok", "ready": False})
        connection.request("POST", "/dependency", b"")
        self.wait_ready(connection, 200, "ready", [late])

    def wait_ready(self, connection, status, word, missing):
        wait_until(lambda: (answer := connection.request("GET", "/api/v1/health/ready")).status == status
                   and answer.json == {"status": word, "missing": missing})

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
            assert_headers_of_unread(self, answer)
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
        arguments = [program()] + [word for setting in settings for word in ("--set", setting)]
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
            done = subprocess.run(["/bin/sh", "-c", f"ulimit -n 2000 && exec '{program()}' --set gateway.port=0"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
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
            with Connection(server) as other:
                other.send("GET /hello HTTP/1.2\r\nHost: test\r\n\r\n")
                self.assertEqual(other.answer().status, 505)
            for _ in range(100):  # last: lines are rationed
                connection.request("GET", "/away")
        _, errors = server.stop()
        lines = [json.loads(line) for line in errors.splitlines() if '"request failed"' in line]
        by_id = {line["request_id"]: line for line in lines}
        self.assertEqual((by_id["r1"]["level"], by_id["r1"]["error"], by_id["r1"]["route"]), ("warn", "PostgreSQL at secret-host does not answer", "away"))
        self.assertEqual((by_id["r2"]["level"], by_id["r2"]["status"]), ("error", 500))
        self.assertEqual(by_id["r2"]["error"], "the handler gave no answer")
        self.assertNotIn("r3", by_id, "the client's doing is no failure of ours")
        self.assertEqual({line["status"] for line in lines}, {500, 503}, "nor is a version that is not understood")
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
    run()
