"""What an operator gets wrong is said in one line; what there is to set is printed."""

import os
import subprocess

import pytest

from stack import REPOSITORY

PROGRAMS = {"gateway": "gateway/aether-gateway", "users": "consumers/users/aether-users", "messages": "consumers/messages/aether-messages",
            "topics": "topics/aether-topics"}


@pytest.fixture
def program(stack):
    """Runs a program with the environment of its running process, changed."""
    def run(name, *arguments, change=None, timeout=15):
        folder = os.environ.get("AETHER_TEST_BUILD") or os.path.join(REPOSITORY, "build")
        environment = {"PATH": "/usr/bin:/bin"}
        if name != "topics":
            with open(f"/proc/{stack.pid(name)}/environ") as file:
                environment = dict(pair.split("=", 1) for pair in file.read().split("\0") if "=" in pair)
            environment.update({"AETHER_GATEWAY_PORT": "0"} if name == "gateway" else {"AETHER_WORKER_METRICS_PORT": "0", "AETHER_WORKER_INSTANCE": "77"})
        else:
            environment["AETHER_KAFKA_BOOTSTRAP_SERVERS"] = stack.bootstrap()
        for variable, value in (change or {}).items():
            environment.pop(variable, None)
            if value is not None:
                environment[variable] = value
        return subprocess.run([os.path.join(folder, PROGRAMS[name]), *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout)
    return run


def is_one_line(result, *parts):
    assert result.returncode != 0, result
    lines = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
    assert len(lines) == 1, result
    assert all(part in lines[0] for part in parts), (parts, lines[0])
    return True


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_prints_every_setting_with_its_default(program, name):
    result = program(name, "--help")
    assert result.returncode == 0 and "kafka.bootstrap.servers" in result.stdout and "AETHER_" in result.stdout, result
    if name == "gateway":
        assert "gateway.deadline_ms" in result.stdout and "5000" in result.stdout and "60000" in result.stdout


@pytest.mark.parametrize("name, variable, value, allowed", [
    ("gateway", "AETHER_GATEWAY_DEADLINE_MS", "banana", "60000"), ("gateway", "AETHER_GATEWAY_DEADLINE_MS", "5", "100"),
    ("gateway", "AETHER_GATEWAY_DEADLINE_MS", "99999999999999999999", "60000"), ("gateway", "AETHER_GATEWAY_DEADLINE_MS", "5000ms", "60000"),
    ("gateway", "AETHER_GATEWAY_DEADLINE_MS", "", "60000"),
    ("messages", "AETHER_WORKER_BATCH_RECORDS", "0", "20000"), ("users", "AETHER_WORKER_SESSION_TIMEOUT_MS", "-1", "300000"),
    ("topics", "AETHER_TOPICS_PARTITIONS", "none", "1"), ("gateway", "AETHER_LOG_LEVEL", "loud", "debug"),
])
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(program, name, variable, value, allowed):
    setting = variable[len("AETHER_"):].lower().replace("_", ".", 1)
    assert is_one_line(program(name, *(["verify"] if name == "topics" else []), change={variable: value}), setting, value, allowed)


def test_a_wrong_value_on_the_command_line_or_in_a_file_too(program, tmp_path):
    assert is_one_line(program("gateway", "--set", "gateway.deadline_ms=soon"), "gateway.deadline_ms", "soon", "60000")
    file = tmp_path / "aether.conf"
    file.write_text("# ours\ngateway.deadline_ms = later\n")
    assert is_one_line(program("gateway", "--config", str(file), change={"AETHER_GATEWAY_DEADLINE_MS": None}), "gateway.deadline_ms", "later")


@pytest.mark.parametrize("name, variable", [("gateway", "AETHER_GATEWAY_DEADLNE_MS"), ("messages", "AETHER_WORKER_BATCH_RECRDS")])
def test_a_setting_nobody_knows_is_one_line(program, name, variable):
    assert is_one_line(program(name, change={variable: "5"}), variable)
    assert is_one_line(program(name, "--set", "no.such_setting=1"), "no.such_setting")


@pytest.mark.parametrize("name, variable", [("gateway", "AETHER_AUTH_SECRET"), ("gateway", "AETHER_VAULT_MASTER_KEY"), ("messages", "AETHER_VAULT_MASTER_KEY")])
def test_a_secret_has_no_default_and_is_never_told(program, name, variable):
    assert is_one_line(program(name, change={variable: None}), variable[len("AETHER_"):].lower().replace("_", ".", 1))
    result = program(name, change={variable: "c2VjcmV0LXRoYXQtaXMtdG9vLXNob3J0"})
    assert result.returncode != 0 and "c2VjcmV0" not in result.stderr + result.stdout, result


def test_a_property_that_librdkafka_refuses_is_one_line(program):
    assert is_one_line(program("topics", "verify", change={"AETHER_KAFKA_SECURITY_PROTOCOL": "carrier-pigeon"}), "security.protocol")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_version_is_told(program, name):
    result = program(name, "--version")
    assert result.returncode == 0 and result.stdout.strip(), result
