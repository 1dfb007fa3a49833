"""What browsers are told: which pages may call this API, what may be done with an answer, that they come over TLS."""

import pytest

from client import PASSWORD, Client
from raw import Connection

PAGE, ANOTHER = "https://app.example.org", "http://localhost:3000"


@pytest.fixture(scope="module")
def url(module_gateway):
    return module_gateway({"gateway.cors_origins": f"{PAGE}, {ANOTHER}", "gateway.proxies": "127.0.0.1", "gateway.hsts_max_age_s": 600})


def send(url, method, path, **headers):
    return Client([url]).request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def cors(answer):
    return {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def test_a_preflight_says_what_a_page_may_send(url):
    answer = send(url, "OPTIONS", "/rooms", Origin=PAGE, Access_Control_Request_Method="POST", Access_Control_Request_Headers="authorization,content-type")
    assert answer.status == 204 and not answer.body
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE and answer.headers["Vary"] == "Origin"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, *", "the wildcard leaves Authorization out"
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "access-control-allow-credentials" not in cors(answer)


@pytest.mark.parametrize("path, status", [("/health", 200), ("/rooms", 401), ("/nothing", 404)])
def test_a_page_of_a_configured_origin_may_read_every_answer(url, path, status):
    for origin in (PAGE, ANOTHER):
        answer = send(url, "GET", path, Origin=origin)
        assert answer.status == status
        assert cors(answer) == {"access-control-allow-origin": origin, "access-control-expose-headers": "*"}


def test_a_page_may_listen_to_the_live_feed(url, ada):
    with Connection(url) as connection:
        connection.send(f"GET /api/v1/live HTTP/1.1\r\nHost: a\r\nOrigin: {PAGE}\r\nAuthorization: Bearer {ada.token}\r\n\r\n".encode())
        status, headers, _ = connection.answer()
    assert status == 200 and headers["content-type"] == "text/event-stream" and headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null", "https://app.example.org.evil.example", "http://app.example.org",
                                    "https://app.example.org:444", "HTTPS://APP.EXAMPLE.ORG", f"{PAGE} {ANOTHER}", "*"])
def test_another_origin_is_told_nothing(url, origin):
    for method in ("GET", "OPTIONS"):
        answer = send(url, method, "/health", Origin=origin, Access_Control_Request_Method="GET")
        assert cors(answer) == {} and answer.headers["Vary"] == "Origin"


def test_without_configured_origins_nobody_is_told_anything(ada, another_gateway):
    answer = send(ada.urls[0], "GET", "/health", Origin=PAGE)
    assert cors(answer) == {} and "Vary" not in answer.headers
    everybody = send(another_gateway({"gateway.cors_origins": "*"}), "GET", "/health", Origin="https://anything.example")
    assert cors(everybody)["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/health", "/rooms", "/nothing", "/%zz"])
def test_no_answer_may_be_sniffed_framed_or_kept(url, path):
    answer = send(url, "GET", path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers.get_all("Cache-Control") == ["no-store"]


def test_an_answer_past_the_library_says_the_same(url):
    with Connection(url) as connection:
        connection.send(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nOrigin: " + PAGE.encode() + b"\r\nContent-Length: x\r\n\r\n")
        status, headers, _ = connection.answer()
    assert status == 400 and headers["x-content-type-options"] == "nosniff" and "content-security-policy" in headers


def test_only_who_came_over_tls_is_told_to_stay_there(url, ada):
    assert send(url, "GET", "/health", X_Forwarded_Proto="https").headers["Strict-Transport-Security"] == "max-age=600"
    assert "Strict-Transport-Security" not in send(url, "GET", "/health", X_Forwarded_Proto="http").headers
    assert "Strict-Transport-Security" not in send(url, "GET", "/health").headers
    assert "Strict-Transport-Security" not in send(ada.urls[0], "GET", "/health", X_Forwarded_Proto="https").headers, "who says so is no proxy"


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/detailed"])
def test_health_answers_without_a_version_too(ada, path):
    client = Client(ada.urls)
    aliased, real = client.request("GET", "=/api" + path), client.get(path)
    assert aliased.status == real.status == 200 and set(aliased.json) == set(real.json)


def test_a_request_about_an_account_is_the_same_one_without_a_version(ada):
    client = Client(ada.urls)
    body = {"username": ada.username, "password": PASSWORD}
    tokens = client.request("POST", "=/api/auth/login", body).json
    assert client.request("GET", "/users/me", headers={"Authorization": f"Bearer {tokens['accessToken']}"}).status == 200
    # A refresh that is repeated under its key gives the same tokens, whichever path it takes.
    key = {"Idempotency-Key": "the-same-refresh"}
    answers = [client.request("POST", path, {"refreshToken": tokens["refreshToken"]}, headers=key) for path in ("=/api/auth/refresh", "/auth/refresh")]
    assert [answer.status for answer in answers] == [200, 200], answers
    assert answers[0].json["refreshToken"] == answers[1].json["refreshToken"]
    assert client.request("GET", "=/api/auth/nothing").status == 404 and client.request("GET", "=/api/authx/login").status == 404
    assert client.request("GET", "=/api/rooms").status == 404
