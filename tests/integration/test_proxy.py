"""Behind a real reverse proxy, haproxy of Debian, that ends TLS: who clients are, what browsers are told, the live feed."""

import shutil
import socket
import ssl
import subprocess
import time
import uuid

import pytest

from client import PASSWORD, Client
from feed import EventStream, WebSocket
from stack import wait_until

PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
HOME, FORGED = "127.7.7.7", "203.0.113.9"

# Two ways to say who the client is; what the client says itself is passed on, as proxies do.
CONFIGURATION = """
global
    stats socket {folder}/socket mode 600
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend tls
    bind 127.0.0.1:{tls} ssl crt {folder}/both.pem
    http-request set-header X-Forwarded-Proto https
    option forwardfor
    default_backend one
frontend clear
    bind 127.0.0.1:{clear}
    http-request set-header X-Forwarded-Proto http
    option forwardfor
    default_backend one
frontend forwarded
    bind 127.0.0.1:{forwarded} ssl crt {folder}/both.pem
    http-request add-header Forwarded for=%[src];proto=https
    default_backend two
backend one
    server one {one}
backend two
    server two {two}
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def proxy(module_gateway, tmp_path_factory):
    """{name of a frontend: its URL}, and the TLS context that trusts it."""
    if not PROGRAM:
        pytest.skip("haproxy is not installed: ops/install --test")
    folder = tmp_path_factory.mktemp("haproxy")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
                   check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    behind = {"gateway.proxies": "127.0.0.1", "gateway.hsts_max_age_s": 600}
    one = module_gateway({**behind, "gateway.proxy_header": "x-forwarded-for"})
    two = module_gateway({**behind, "gateway.proxy_header": "forwarded"})
    names = ("tls", "clear", "forwarded")
    ports = dict(zip(names, free_ports(len(names))))
    (folder / "configuration").write_text(CONFIGURATION.format(folder=folder, one=one.split("//")[1], two=two.split("//")[1], **ports))
    process = subprocess.Popen([PROGRAM, "-db", "-f", folder / "configuration"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def listens():
        assert process.poll() is None, process.stderr.read()
        try:
            socket.create_connection(("127.0.0.1", ports["forwarded"]), 1).close()
            return True
        except OSError:
            return False
    wait_until(listens, 10, "haproxy listens")
    urls = {name: f"{'http' if name == 'clear' else 'https'}://127.0.0.1:{port}" for name, port in ports.items()}
    yield {**urls, "one": one}, ssl.create_default_context(cafile=folder / "certificate.pem")
    process.terminate()
    process.wait(10)


def log_in(url, tls, person, **headers):
    client = Client([url])
    client.tls, client.source = tls, HOME
    answer = client.post("/auth/login", {"username": person.username, "password": PASSWORD},
                         headers={"User-Agent": str(uuid.uuid4()), **{name.replace("_", "-"): value for name, value in headers.items()}})
    assert answer.status == 200, answer
    client.token = answer.json["accessToken"]
    return client


def address_of(client):
    return next(session["address"] for session in client.get("/users/me/sessions").json["items"] if session["current"])


@pytest.mark.parametrize("frontend", ["tls", "clear", "forwarded"])
def test_the_client_is_who_spoke_to_the_proxy_whatever_it_says_itself(proxy, ada, frontend):
    urls, tls = proxy
    assert address_of(log_in(urls[frontend], tls, ada)) == HOME
    forged = log_in(urls[frontend], tls, ada, X_Forwarded_For=FORGED, Forwarded=f"for={FORGED};proto=https")
    assert address_of(forged) == HOME


def test_who_goes_around_the_proxy_is_not_believed(proxy, ada):
    urls, tls = proxy
    client = log_in(urls["one"], tls, ada, X_Forwarded_For=FORGED, X_Forwarded_Proto="https")
    assert address_of(client) == HOME
    assert "Strict-Transport-Security" not in client.get("/users/me", headers={"X-Forwarded-Proto": "https"}).headers


def test_browsers_are_told_to_stay_with_tls_where_they_have_it(proxy, ada):
    urls, tls = proxy
    for frontend in ("tls", "forwarded"):
        assert log_in(urls[frontend], tls, ada).get("/users/me").headers["Strict-Transport-Security"] == "max-age=600"
    clear = log_in(urls["clear"], tls, ada)
    assert "Strict-Transport-Security" not in clear.get("/users/me", headers={"X-Forwarded-Proto": "https"}).headers


@pytest.mark.parametrize("listen", [WebSocket, EventStream])
def test_the_live_feed_comes_through_the_proxy_at_once(proxy, ada, ben, room, listen):
    urls, tls = proxy
    feed = listen(urls["tls"], ben.token, tls=tls)
    began = time.monotonic()
    said = ada.say(room, "through the proxy")
    assert feed.event("message.posted", roomId=room)["number"] == said["seq"]
    assert time.monotonic() - began < 5, "not when some buffer is full"
    feed.close()
