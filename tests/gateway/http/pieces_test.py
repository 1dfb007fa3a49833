"""Answers that are made piece by piece while they are sent, against the test server (argument 1)."""

import http.client
import re

from http_case import Case, Server, run, wait_until


def memory_kb(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1])


class Pieces(Case):
    def get(self, target, timeout=20):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=timeout)
        self.addCleanup(connection.close)
        connection.request("GET", target)
        return connection, connection.getresponse()

    def test_an_answer_in_pieces_arrives_whole_and_the_connection_is_usable(self):
        for ms in (-1, 0, 3):  # made at once, by another thread at once, and later
            for pieces, size in ((0, 1), (1, 1), (3, 7), (20, 100_000)):
                connection, answer = self.get(f"/pieces?pieces={pieces}&bytes={size}&ms={ms}")
                body = answer.read()
                self.assertEqual((answer.status, answer.headers["Transfer-Encoding"], len(body)), (200, "chunked", pieces * size), (ms, pieces, size))
                self.assertEqual(answer.headers["Content-Type"], "text/plain")
                self.assertEqual(body, b"".join(bytes([ord("a") + left % 26]) * size for left in range(pieces, 0, -1)))
                connection.request("GET", "/hello")
                self.assertEqual(connection.getresponse().status, 200)

    def test_an_answer_that_cannot_be_finished_is_cut_off(self):
        for ms in (-1, 0):
            _, answer = self.get(f"/pieces?pieces=5&bytes=10&ms={ms}&breaks=1")
            with self.assertRaises(http.client.IncompleteRead):
                answer.read()

    def test_http_1_0_gets_the_pieces_until_the_connection_ends(self):
        connection = self.connect()
        connection.send("GET /pieces?pieces=3&bytes=5&ms=1 HTTP/1.0\r\nHost: a\r\n\r\n")
        while connection.more():
            pass
        self.assertTrue(connection.received.endswith(b"\r\n\r\ndddddcccccbbbbb"), connection.received)

    def test_a_client_that_leaves_in_the_middle_takes_nothing_along(self):
        for _ in range(20):
            connection, answer = self.get("/pieces?pieces=1000&bytes=50000&ms=1")
            answer.read(60000)
            connection.sock.close() if connection.sock else answer.close()
            answer.close()
        wait_until(lambda: self.server.metric("aether_gateway_requests_in_progress") == 1, what="requests are left over")

    def test_however_long_it_is_it_needs_the_memory_of_a_piece(self):
        _, answer = self.get("/pieces?pieces=2&bytes=1000000&ms=0")
        answer.read()
        before = memory_kb(self.server.process)
        _, answer = self.get("/pieces?pieces=300&bytes=1000000&ms=0", timeout=60)
        got = 0
        while chunk := answer.read(1 << 20):
            got += len(chunk)
        self.assertEqual(got, 300_000_000)
        self.assertLess(memory_kb(self.server.process) - before, 30_000)

    def test_a_server_that_stops_cuts_it_off(self):
        server = Server(drain_timeout_ms=300)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/pieces?pieces=100000&bytes=10&ms=20")
        answer = connection.getresponse()
        answer.read(10)
        server.stop()
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        connection.close()


class SlowReaders(Case):
    settings = {"write_timeout_ms": 700}

    def test_each_piece_may_take_as_long_as_an_answer(self):
        _, answer = Pieces.get(self, "/pieces?pieces=8&bytes=10&ms=300")
        self.assertEqual(len(answer.read()), 80)

    def test_a_client_that_does_not_read_is_closed(self):
        connection, answer = Pieces.get(self, "/pieces?pieces=1000&bytes=1000000&ms=0")
        wait_until(lambda: self.server.metric("aether_gateway_requests_in_progress") == 1, what="it is still served")
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            while answer.read(1 << 20):
                pass


if __name__ == "__main__":
    run()
