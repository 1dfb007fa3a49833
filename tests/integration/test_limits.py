"""How many requests one address and one person may send, and who an address belongs to."""

import itertools
import time
import uuid

import pytest

from client import PASSWORD, Client
from feed import WebSocket
from stack import http_get, parse_metrics, wait_until

PROXY = {"gateway.proxies": "127.0.0.0/8, ::1"}  # we are the proxy
NOBODY = {"username": "nobody"}  # no password: 400, with no account looked at
addresses = (f"198.51.{100 + i // 250}.{i % 250 + 1}" for i in itertools.count())


def ask(url, address=None, path="/auth/login", body=NOBODY, header="X-Forwarded-For", token=None, method="POST"):
    client = Client([url])
    client.token = token

    def answered():
        answer = client.request(method, path, None if method == "GET" else body, headers={header: address} if address else {})
        # Refused with something left: Redis has not granted it yet, since the machine is busy.
        return None if answer.status == 429 and all(rate["r"] > 0 for rate in rates(answer).values()) else answer
    return wait_until(answered, 10, "Redis grants what is left", pause=0.01)


def allowed(answers):
    answers = list(answers)
    assert {answer.status for answer in answers} <= {400, 429}, answers
    return sum(answer.status == 400 for answer in answers)


def rates(answer, header="RateLimit"):
    """{limit: {parameter: number}} of a header."""
    found = {}
    for item in (answer.headers[header] or "").split(", "):
        name, *parameters = item.split(";")
        found[name.strip('"')] = {key: int(value) for key, value in (parameter.split("=") for parameter in parameters)}
    return found


def sharing(url):
    """The gateway, once it has reached Redis."""
    ask(url, next(addresses))
    wait_until(lambda: parse_metrics(http_get(url + "/metrics")[1].decode())["aether_gateway_limits_shared"] == 1, 10, "limits are shared")
    return url


def test_the_hundred_and_first_request_about_logging_in_is_429(another_gateway):
    url = another_gateway({**PROXY, "limits.auth_requests": 100, "limits.auth_window_s": 900})
    address = next(addresses)
    answers = [ask(url, address) for _ in range(100)]
    assert allowed(answers) == 100
    assert [rates(answer)["auth"]["r"] for answer in answers] == list(range(99, -1, -1))
    assert all(rates(answer, "RateLimit-Policy") == {"auth": {"q": 100, "w": 900}} for answer in answers)
    refused = ask(url, address)
    assert refused.status == 429 and refused.json["code"] == "rate_limited" and refused.json["retryable"] is True, refused
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 9
    assert rates(refused)["auth"]["r"] == 0 and 880 <= rates(refused)["auth"]["t"] <= 900
    assert ask(url, address, "/health", method="GET").status == 200, "health is free"
    assert ask(url, address, "/rooms", method="GET").status == 401, "the rest has a limit of its own"
    assert ask(url, address, "=/api/auth/login").status == 429, "an alias is the same"
    assert ask(url, next(addresses)).status == 400, "others go on"


def test_who_has_a_session_is_not_under_the_quota_of_strangers(another_gateway, eve):
    """As an office behind one address: who is logged in stays so, whatever others there try."""
    url = another_gateway({**PROXY, "limits.auth_requests": 1, "limits.auth_window_s": 900, "limits.user_requests": 7, "limits.user_window_s": 900})
    address = next(addresses)
    assert allowed(ask(url, address) for _ in range(2)) == 1
    login = {"username": eve.username, "password": PASSWORD}
    session = ask(url, next(addresses), body=login).json
    for _ in range(3):
        answer = ask(url, address, "/auth/refresh", {"refreshToken": session["refreshToken"]})
        assert answer.status == 200 and set(rates(answer)) == {"address", "user"}, answer
        session = answer.json
    for method, path in (("GET", "/auth/profile"), ("PATCH", "/auth/profile"), ("GET", "/users/me"), ("POST", "/auth/logout")):
        answer = ask(url, address, path, {} if method == "PATCH" else None, token=session["accessToken"], method=method)
        assert answer.status in (200, 204) and set(rates(answer)) == {"address", "user"}, (path, answer)
    assert ask(url, address, "/auth/refresh", {"refreshToken": session["refreshToken"]}).json["code"] == "rate_limited", "a person's own quota"


def test_who_waits_as_long_as_told_comes_through(another_gateway):
    url = another_gateway({**PROXY, "limits.auth_requests": 2, "limits.auth_window_s": 4})
    address = next(addresses)
    assert allowed(ask(url, address) for _ in range(3)) == 2
    refused = ask(url, address)
    began = time.monotonic()
    wait_until(lambda: ask(url, address).status == 400, 10)
    assert time.monotonic() - began <= int(refused.headers["Retry-After"]) + 0.5


def test_two_gateways_share_one_limit(stack, another_gateway):
    settings = {**PROXY, "limits.auth_requests": 40, "limits.auth_window_s": 900}
    both = [sharing(another_gateway(settings)) for _ in range(2)]
    address = next(addresses)
    answers = [ask(both[i % 2], address) for i in range(80)]
    assert 40 <= allowed(answers) <= 50, "an eighth of the quota too many a gateway, whatever the load"
    assert allowed(ask(url, address) for url in both) == 0


def test_a_gateway_that_starts_anew_knows_what_was_used(stack, another_gateway):
    settings = {**PROXY, "limits.auth_requests": 30, "limits.auth_window_s": 900}
    address = next(addresses)
    url = sharing(another_gateway(settings))
    assert allowed(ask(url, address) for _ in range(31)) == 30
    fresh = sharing(another_gateway(settings))
    assert ask(fresh, address).status == 400, "it has to ask Redis first"
    wait_until(lambda: ask(fresh, address).status == 429, 5)


def test_what_a_stranger_says_of_his_address_counts_for_nothing(another_gateway):
    url = another_gateway({"limits.auth_requests": 10, "limits.auth_window_s": 900})
    headers = itertools.cycle(["X-Forwarded-For", "Forwarded", "X-Real-IP"])
    answers = [ask(url, f"for=192.0.2.{i}" if (header := next(headers)) == "Forwarded" else f"192.0.2.{i}", header=header) for i in range(20)]
    assert allowed(answers) <= 10


def test_what_a_client_puts_before_the_proxys_word_counts_for_nothing(another_gateway):
    url = another_gateway({**PROXY, "limits.auth_requests": 10, "limits.auth_window_s": 900})
    address = next(addresses)
    answers = [ask(url, f"192.0.2.{i}, 127.0.0.1, {address}") for i in range(20)]
    assert allowed(answers) == 10
    answers = [ask(url, f"for=192.0.2.{i}", header="Forwarded") for i in range(20)]
    assert allowed(answers) <= 10, "the header that this proxy does not write"


def test_forwarded_is_read_where_it_is_configured(another_gateway):
    url = another_gateway({**PROXY, "gateway.proxy_header": "forwarded", "limits.auth_requests": 5, "limits.auth_window_s": 900})
    one, other = next(addresses), next(addresses)
    assert allowed(ask(url, f'for=192.0.2.{i}, for="{one}:4711";proto=https', header="Forwarded") for i in range(10)) == 5
    assert ask(url, f"for={other}", header="Forwarded").status == 400


def test_a_64_of_ipv6_is_one_subscriber(another_gateway):
    url = another_gateway({**PROXY, "limits.auth_requests": 10, "limits.auth_window_s": 900})
    mine, neighbour = (f"2001:db8:{uuid.uuid4().hex[:4]}:{n}" for n in (1, 2))
    assert allowed(ask(url, f"{mine}:{i:x}:{i:x}::{i:x}") for i in range(1, 21)) == 10
    assert ask(url, f"{neighbour}::1").status == 400


def test_one_person_has_one_limit_from_wherever(another_gateway, eve):
    url = another_gateway({**PROXY, "limits.user_requests": 10, "limits.user_window_s": 600})
    answers = [ask(url, next(addresses), "/users/me", token=eve.token, method="GET") for _ in range(15)]
    assert [answer.status for answer in answers] == [200] * 10 + [429] * 5
    assert set(rates(answers[0])) == {"address", "user"} and rates(answers[0])["user"] == {"r": 9, "t": 60}
    assert answers[-1].json["code"] == "rate_limited"


def test_commands_over_a_socket_are_requests_too(another_gateway, eve):
    url = another_gateway({"limits.user_requests": 5, "limits.user_window_s": 600})
    socket = WebSocket(url, eve.token)
    replies = [socket.ask("post", f"{i}", roomId=str(uuid.uuid4()), body={"body": "x"}) for i in range(7)]
    socket.close()
    assert [reply["status"] for reply in replies] == [404] * 4 + [429] * 3, "to open it is a request, too"


def test_who_looks_for_what_is_not_there_is_counted_too(another_gateway):
    url = another_gateway({**PROXY, "limits.address_requests": 10, "limits.address_window_s": 600})
    address = next(addresses)
    assert [ask(url, address, f"/nothing/{i}", method="GET").status for i in range(12)] == [404] * 10 + [429] * 2


def test_without_redis_each_gateway_keeps_the_limit_for_itself(stack, mended, another_gateway):
    url = another_gateway({**PROXY, "limits.auth_requests": 20, "limits.auth_window_s": 900})
    known, new = next(addresses), next(addresses)
    assert allowed(ask(url, known) for _ in range(15)) == 15
    with stack.without("redis"):
        assert allowed(ask(url, known) for _ in range(10)) == 5, "what was used stays used"
        assert allowed(ask(url, new) for _ in range(25)) == 20
    assert ask(url, new).status == 429, "also when it is back, empty"


@pytest.mark.parametrize("known", [True, False])
def test_a_redis_that_does_not_answer_makes_nobody_wait(stack, another_gateway, known):
    url = another_gateway({**PROXY, "limits.auth_requests": 50, "limits.auth_window_s": 900, "gateway.redis_timeout_ms": 2500})
    address = next(addresses)
    if known:
        ask(url, address)
    with stack.paused(stack.pid("redis")):
        client = Client([url])
        took = []
        for _ in range(30):
            began = time.monotonic()
            answer = client.request("GET", "=/api/auth/nothing", headers={"X-Forwarded-For": address})
            took.append(time.monotonic() - began)
            assert answer.status == 404
        assert sorted(took)[-3] < 0.5, took
