"""A cluster that lets in who has a password, over TLS, by certificates of its own authority: kafka.* settings are all it takes."""

import contextlib
import os
import subprocess
import sys

import psycopg2.extensions
import pytest

import client
from conftest import gateways_beside
from stack import REPOSITORY, as_options, wait_until

sys.path.append(os.path.join(REPOSITORY, "tests", "log"))

import broker  # noqa: E402

PASSWORD = "it is a long way to Tipperary"

SERVER = """
listeners=SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=SASL_SSL://127.0.0.1:{port}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    username="node" password="{password}" user_node="{password}" user_aether="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/node.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def certificates(folder):
    """ca.pem and, signed by it for 127.0.0.1, node.pem with its key."""
    new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl(folder, "req", "-x509", *new, "-subj", "/CN=Aether tests", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, "req", "-x509", *new, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-keyout", "node.key", "-out", "node.crt")
    (folder / "node.pem").write_text("".join((folder / part).read_text() for part in ("node.key", "node.crt", "ca.pem")))


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """The settings of a client."""
    folder = tmp_path_factory.mktemp("secured")
    certificates(folder)
    node = broker.Broker()
    try:
        (folder / "more").write_text(SERVER.format(port=node.port, controller_port=node.controller_port, folder=folder, password=PASSWORD))
        node.start("--more", str(folder / "more"))
        settings = {"security.protocol": "SASL_SSL", "ssl.ca.location": f"{folder}/ca.pem", "sasl.mechanisms": "PLAIN", "sasl.username": "aether",
                    "sasl.password": PASSWORD}
        options = [word for name, value in settings.items() for word in ("-X", f"{name}={value}")]
        wait_until(lambda: subprocess.run(["kcat", "-b", node.bootstrap, "-L", "-m", "2", *options], capture_output=True).returncode == 0, 180,
                   "the broker answers")
        yield {"kafka.bootstrap.servers": node.bootstrap, **{f"kafka.{name}": value for name, value in settings.items()}}
    finally:
        node.__exit__()


@pytest.fixture
def place(stack):
    """Another database, and another one in Redis."""
    stack.sql("CREATE DATABASE secured")
    status = stack.status()
    yield {"postgres.dsn": psycopg2.extensions.make_dsn(status["postgres"]["dsn"], dbname="secured"), "redis.url": status["redis"]["url"] + "/7"}
    stack.sql("DROP DATABASE secured WITH (FORCE)")


@contextlib.contextmanager
def workers_beside(stack, settings):
    """One worker of each kind, with the environment of the stack's own."""
    started = []
    try:
        for kind in ("users", "messages"):
            pid = stack.pid(kind)
            with open(f"/proc/{pid}/environ") as file:
                environment = dict(pair.split("=", 1) for pair in file.read().split("\0") if "=" in pair)
            started.append(subprocess.Popen([os.readlink(f"/proc/{pid}/exe"), *as_options({"worker.metrics_port": 0, **settings})],
                                            env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield
    finally:
        for process in started:
            process.terminate()
        assert [process.wait(30) for process in started] == [0] * len(started)


def topics(stack, settings):
    """aether-topics of the stack's build creates what is missing."""
    program = os.path.join(os.path.dirname(os.readlink(f"/proc/{stack.pid('gateway')}/exe")), "..", "topics", "aether-topics")
    return subprocess.run([program, "apply", *as_options(settings)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def test_a_conversation_goes_through_a_cluster_that_demands_a_password_over_tls(stack, secured, place):
    applied = topics(stack, secured)
    assert applied.returncode == 0, applied
    with workers_beside(stack, {**secured, **place}), contextlib.contextmanager(gateways_beside)(stack) as start:
        url = start({**secured, **place})
        ada, ben = client.Person(url), client.Person(url)
        ada.register()
        ben.register()
        room = ada.room()
        ben.join(room)
        said = [ada.say(room, "Is anybody here?"), ben.say(room, "I am.")]
        assert ada.history(room) == said


def test_who_is_not_let_in_says_why(stack, secured):
    wrong = {"kafka.sasl.password": "wrong"}, {"kafka.ssl.ca.location": "/etc/ssl/certs/ca-certificates.crt"}
    by_password, by_certificate = client.in_threads([lambda w=w: topics(stack, {**secured, **w, "topics.timeout_ms": 3000}) for w in wrong])
    assert by_password.returncode == 2 and "uthenticat" in by_password.stderr, by_password
    assert by_certificate.returncode == 2 and "certificate" in by_certificate.stderr, by_certificate
