"""How much, how long and how many: sizes, deadlines, connections."""

import socket
import time

from http_case import BODY, UUID, Case, Connection, assert_headers_of_unread, post, run, wait_until


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

    def test_a_body_in_chunks_may_have_as_many_bytes(self):
        connection = self.connect()
        for size, status in ((2048, 200), (2049, 413)):
            body = (" " * (size - len(BODY)) + BODY).encode()
            pieces = (body[:1000], body[1000:2040], body[2040:2048], body[2048:])
            connection.send(post("Transfer-Encoding: chunked\r\n").encode() + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n")
            self.assertEqual(connection.answer().status, status)
            self.assert_usable(connection)

    def test_a_body_nobody_wants_is_read_up_to_eight_mebibytes(self):
        connection = self.connect()
        self.assert_problem(connection.request("POST", "/things", b"x" * 8 * 1024 * 1024), 413, "too_large")
        self.assert_usable(connection)
        answer, connection = self.raw(post("Content-Length: 8388609\r\n"))
        self.assert_problem(answer, 413, "too_large")
        self.assertTrue(answer.closes() and connection.is_closed())

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
        for more, status in ((63, 200), (64, 431)):  # besides Host
            answer, _ = self.raw("GET /hello HTTP/1.1\r\nHost: test\r\n" + "X: y\r\n" * more + "\r\n")
            self.assertEqual(answer.status, status, more)

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
        self.assert_problem(self.raw(head.replace("X-Pad: ", "X-Pad: p"))[0], 431, "header_too_large")


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


class Crowd(Case):
    settings = {"max_connections": 20, "threads": 3}

    def test_more_connections_than_allowed_are_told_and_others_served(self):
        held = [self.connect() for _ in range(20)]
        for connection in held:
            self.assert_usable(connection)
        answer = self.connect().answer()
        self.assertEqual((answer.status, answer.json["code"], answer.json["retryable"]), (503, "overloaded", True))
        assert_headers_of_unread(self, answer)
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


class Addresses(Case):
    """Every address of 127.0.0.0/8 is this machine's."""
    settings = {"max_connections": 100, "max_connections_address": 5}

    def assert_one_too_many(self, connection):
        answer = connection.answer()
        self.assertIsNotNone(answer, "closed without an answer")
        self.assertEqual((answer.status, answer.json["code"], answer.json["retryable"]), (429, "too_many_connections", True))
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertTrue(connection.is_closed())

    def test_one_address_has_so_many_connections_and_others_as_many(self):
        mine = [self.connect(source="127.0.0.2") for _ in range(5)]
        for connection in mine:
            self.assert_usable(connection)
        self.assert_one_too_many(self.connect(source="127.0.0.2"))
        theirs = [self.connect(source="127.0.0.3") for _ in range(5)]
        for connection in mine + theirs:
            self.assert_usable(connection)
        self.assert_one_too_many(self.connect(source="127.0.0.3"))
        for connection in mine:
            connection.socket.close()

        def are_let_in():
            again = [self.connect(source="127.0.0.2") for _ in range(5)]
            try:
                for connection in again:
                    connection.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
                return all(answer is not None and answer.status == 200 for answer in [connection.answer() for connection in again])
            finally:
                for connection in again:
                    connection.socket.close()

        wait_until(are_let_in)


class Proxied(Case):
    settings = {"max_connections": 100, "max_connections_address": 3, "proxies": "127.0.0.1"}

    def request_of(self, client, connection=None):
        """A connection over which a request of the client has come, and the answer."""
        connection = connection or self.connect()
        return connection, connection.request("GET", "/hello", X_Forwarded_For=client)

    def test_behind_a_proxy_each_client_has_so_many(self):
        held = [self.request_of(client) for client in ("192.0.2.1", "2001:db8::1") for _ in range(3)]
        self.assertEqual([answer.status for _, answer in held], [200] * 6)
        for client in ("192.0.2.1", "2001:db8::2"):  # the same /64
            connection, answer = self.request_of(client)
            self.assert_problem(answer, 429, "too_many_connections")
            self.assertEqual(answer.headers["retry-after"], "1")
            self.assertTrue(connection.is_closed())
        self.assertEqual(self.request_of("192.0.2.2")[1].status, 200)

    def test_a_connection_that_the_proxy_uses_for_another_counts_as_the_other_ones(self):
        held = [self.request_of("198.51.100.1")[0] for _ in range(3)]
        self.assert_problem(self.request_of("198.51.100.1")[1], 429, "too_many_connections")
        self.assertEqual(self.request_of("198.51.100.2", held[0])[1].status, 200)
        self.assertEqual(self.request_of("198.51.100.1")[1].status, 200)
        self.assert_problem(self.request_of("198.51.100.1", held[0])[1], 429, "too_many_connections")

    def test_the_proxys_own_requests_are_nobodys(self):
        for _ in range(6):
            self.assert_usable(self.connect())

    def test_who_is_no_proxy_counts_as_itself_whatever_it_says(self):
        for i in range(3):
            connection = self.connect(source="127.0.0.9")
            self.assertEqual(self.request_of(f"192.0.2.{i + 10}", connection)[1].status, 200)
        answer = self.connect(source="127.0.0.9").answer()
        self.assertEqual((answer.status, answer.json["code"]), (429, "too_many_connections"))


if __name__ == "__main__":
    run()
