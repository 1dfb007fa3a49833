"""Requests that wait for another thread, and what serving costs in memory."""

import socket
import threading

from http_case import UUID, Case, Connection, run, wait_until


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


if __name__ == "__main__":
    run()
