"""Where a request ends, byte by byte: what no well-behaved client would send.

What libmicrohttpd 0.9.75 answers by itself, before the gateway sees the request, is HTML; everything else is problem+json."""

from http_case import BODY, Case, post, run


SMUGGLED = "GET /hello HTTP/1.1\r\nHost: smuggled\r\n\r\n"


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


if __name__ == "__main__":
    run()
