"""What a client meets that does its best."""

import uuid

from http_case import BODY, UUID, UUID_PATTERN, Case, post, run


class Requests(Case):
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

    def test_a_role_counts_as_it_is_by_now(self):
        connection = self.connect()
        for token, admit, status in (("good", "yes", 403), ("admin", "yes", 200), ("good", "moderator", 200), ("admin", "user", 403)):
            answer = connection.request("GET", f"/private/office?admit={admit}", Authorization=f"Bearer {token}")
            self.assertEqual(answer.status, status, (token, admit))
            if status == 403:
                self.assert_problem(answer, 403, "forbidden_role")
            self.assert_usable(connection)

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


class Recycled(Case):
    settings = {"threads": 1}  # the next request gets the memory of the last one

    def test_nothing_of_a_request_is_left_for_the_next(self):
        connection = self.connect()
        for _ in range(3):
            first = connection.request("POST", "/private?text=abc&n=5", {"title": "secret"}, Authorization="Bearer good", Idempotency_Key="k",
                                       Prefer="respond-async", X_Request_Id="mine", traceparent=f"00-{'1' * 32}-{'2' * 16}-01").json
            self.assertEqual((first["title"], first["text"], first["n"], first["respondAsync"]), ("secret", "abc", 5, True))
            answer = connection.request("GET", f"/things/{UUID}")
            other = answer.json
            nobody = "00000000-0000-0000-0000-000000000000"
            self.assertEqual((other["title"], other["bodyBytes"], other["n"], other["user"], other["commandId"]), ("", 0, -1, nobody, nobody))
            self.assertEqual((other["hasIdempotencyKey"], other["respondAsync"], other["hash"]), (False, False, "0" * 32))
            self.assertNotIn("text", other)
            self.assertNotIn("1" * 32, other["trace"])
            self.assertRegex(answer.headers["x-request-id"], f"^{UUID_PATTERN}$")

    def test_no_header_of_an_answer_is_left_for_the_next(self):
        connection = self.connect()
        plain = set(connection.request("GET", "/hello").headers)
        for method, path, said in (("GET", f"/things/{UUID}", "x-handler"), ("OPTIONS", "/things", "allow"), ("POST", "/hello", "allow"),
                                   ("GET", "/private", "www-authenticate"), ("GET", "/away", "retry-after")):
            answer = connection.request(method, path, b"" if method == "POST" else None)
            self.assertIn(said, answer.headers)
            self.assertEqual(set(connection.request("GET", "/hello").headers), plain, path)
        self.assertEqual(connection.request("GET", "/large?bytes=1").headers["content-type"], "text/plain")
        self.assertEqual(connection.request("GET", "/hello").headers["content-type"], "application/json")

    def test_a_large_body_leaves_nothing_behind(self):
        connection = self.connect()
        for size in (100_000, 10, 70_000, 100):
            answer = connection.request("POST", "/things", b" " * size + BODY.encode())
            self.assertEqual((answer.status, answer.json["bodyBytes"]), (200, size + len(BODY)))


if __name__ == "__main__":
    run()
