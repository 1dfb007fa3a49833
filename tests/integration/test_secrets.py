"""What nobody needs any more is not there any more: passwords and refresh tokens in the gateway's memory."""

import re
import uuid

import pytest

from client import API, Person
from raw import Connection
from stack import wait_until

LARGEST = 1 << 30  # what a sanitizer reserves for itself is larger, and empty


def memory(pid):
    """Every writable mapping of the process that is no file: (address, bytes)."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in maps:
            start, end, permissions = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            start, end = int(start, 16), int(end, 16)
            if permissions.startswith("rw") and end - start < LARGEST:
                try:
                    file.seek(start)
                    yield start, file.read(end - start)
                except OSError:  # gone meanwhile, or not readable at all ([vvar])
                    pass


def copies(stack, secrets):
    """[(which secret, address, what stands around it)] in the gateways."""
    found = []
    for pid in stack.pids("gateway"):
        try:
            for start, data in memory(pid):
                for name, secret in secrets.items():
                    found += [(name, hex(start + m.start()), data[max(0, m.start() - 24):m.end() + 8])
                              for m in re.finditer(re.escape(secret.encode()), data)]
        except PermissionError:
            pytest.skip("who may not trace the gateway cannot look into it")
    return found


def test_neither_passwords_nor_refresh_tokens_stay_in_the_gateways_memory(stack, urls):
    person, password = Person(urls), f"Quokka-{uuid.uuid4().hex}"
    wrong, refused, changed, surplus = (f"Quokka-{uuid.uuid4().hex}" for _ in range(4))
    tokens = [person.session(person.post("/auth/register", {**person.registration(), "password": password})).json["refreshToken"]]
    name = {"username": person.username}
    person.token = None
    tokens.append(person.session(person.post("/auth/login", {**name, "password": password})).json["refreshToken"])
    tokens.append(person.session(person.post("/auth/refresh", {"refreshToken": tokens[0]})).json["refreshToken"])
    assert person.request("PUT", "/users/me/password", {"currentPassword": password, "newPassword": changed}).status == 204
    assert person.post("/auth/register", {**person.registration(), "password": surplus, "role": "admin"}).status == 400
    assert person.post("/auth/login", {**name, "password": wrong}).status == 401
    assert person.post("/auth/login", raw=f'{{"password": "{refused}", '.encode()).status == 400
    assert person.get("/users/me").status == 200
    person.close()
    secrets = {"password": password, "wrong": wrong, "refused": refused, "changed": changed, "surplus": surplus,
               **{f"refresh token {i}": token for i, token in enumerate(tokens)}}
    assert not copies(stack, secrets)
    assert copies(stack, {"what is no secret": person.username}), "the search finds what is there"


def test_a_password_in_a_body_that_never_ended_or_was_too_large_does_not_stay_either(stack, urls):
    cut, grown, large = (f"Quokka-{uuid.uuid4().hex}" for _ in range(3))
    head = f"POST {API}/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n".encode()
    with Connection(urls[0]) as connection:
        connection.send(head + b"Content-Length: 500\r\n\r\n" + f'{{"password": "{cut}", '.encode())
        wait_until(lambda: copies(stack, {"cut": cut}), 10, "the body is being read")
    for password, pieces in ((grown, 40), (large, 400)):
        with Connection(urls[0]) as connection:
            connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            first = f'{{"password": "{password}", "more": "'.encode()
            connection.send(b"%x\r\n%s\r\n" % (len(first), first))
            for _ in range(pieces):
                connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
            connection.send(b"2\r\n\"}\r\n0\r\n\r\n")
            assert connection.answer()[0] == (400 if password == grown else 413)
    wait_until(lambda: not copies(stack, {"cut": cut}), 10, "what was sent before a client went away is gone")
    assert not copies(stack, {"grown": grown, "large": large})
