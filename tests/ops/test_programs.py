"""What ops/up does for a person who runs the whole system: numbers of processes, settings, the conversation and how to go on."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from commands import ROOT, is_alive, ops, processes_of, status, wait_until  # noqa: E402


def up(state, *arguments, check=True):
    return ops("up", state, "--no-install", "--no-demo", *arguments, check=check)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    state = tmp_path_factory.mktemp("programs") / "state"
    up(state, "--port-base", "auto")
    yield state
    ops("down", state, "--wipe")
    assert processes_of(state) == []


@pytest.fixture
def running(state):
    up(state, "--gateways", "1", "--workers", "messages=1")
    return state


def pids(state):
    """Of gateways and workers, in their order."""
    told = status(state)
    return [entry["pid"] for entry in told["gateway"]], [entry["pid"] for entry in told["workers"]]


def environment(pid):
    with open(f"/proc/{pid}/environ") as file:
        return dict(entry.partition("=")[::2] for entry in file.read().split("\0") if entry)


def test_as_many_run_as_were_asked_for_and_the_others_are_left_alone(running):
    (gateway,), (users, messages) = pids(running)
    up(running, "--gateways", "2", "--workers", "messages=3")
    told = status(running)
    assert [worker["name"] for worker in told["workers"]] == ["users", "messages", "messages", "messages"]
    assert (told["gateway"][0]["pid"], told["workers"][0]["pid"], told["workers"][1]["pid"]) == (gateway, users, messages)
    for url in [entry["url"] + "/api/v1/health/ready" for entry in told["gateway"]] + [entry["metrics"] for entry in told["workers"]]:
        assert urllib.request.urlopen(url, timeout=5).status == 200
    assert len({environment(worker["pid"])["AETHER_WORKER_INSTANCE"] for worker in told["workers"][1:]}) == 3
    up(running)
    assert status(running) == told, "numbers are remembered"


def test_fewer_than_before_stops_the_surplus(running):
    up(running, "--gateways", "2", "--workers", "messages=2")
    (first, second), (users, kept, surplus) = pids(running)
    up(running, "--gateways", "1", "--workers", "messages=1")
    assert pids(running) == ([first], [users, kept])
    assert not is_alive(second) and not is_alive(surplus)


def test_a_worker_that_is_newer_than_the_stack_is_started_with_the_others(running):
    path = os.path.join(running, "stack.json")
    with open(path, encoding="utf-8") as file:
        asked = json.load(file)
    del asked["workers"]["users"]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(asked, file)
    up(running)
    assert [worker["name"] for worker in status(running)["workers"]] == ["users", "messages"]


def test_a_setting_reaches_those_who_know_it_and_restarts_nobody_else(running):
    (gateway,), workers = pids(running)
    up(running, "--set", "gateway.deadline_ms=1234")
    (changed,), same = pids(running)
    assert changed != gateway and same == workers
    assert environment(changed)["AETHER_GATEWAY_DEADLINE_MS"] == "1234"
    assert "AETHER_GATEWAY_DEADLINE_MS" not in environment(workers[0])
    up(running)
    assert pids(running) == ([changed], workers), "it is remembered"
    up(running, "--unset", "gateway.deadline_ms")
    assert "AETHER_GATEWAY_DEADLINE_MS" not in environment(pids(running)[0][0])


def test_a_setting_of_the_console_is_remembered_for_it_and_restarts_nobody(running):
    before = pids(running)
    up(running, "--set", "admin.timeout_ms=1500")
    assert pids(running) == before
    users = before[1][0]
    os.kill(users, signal.SIGSTOP)  # so that nothing is decided
    try:
        asked = subprocess.run([os.path.join(ROOT, "ops", "aether-admin"), "--state", running, "import-user", "waiting", "waiting@example.org"],
                               input="$2b$05$abcdefghijklmnopqrstu.nQm3mugtG25LKGA01cm9p7XjviWBlEK\n", stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.kill(users, signal.SIGCONT)
    assert asked.returncode == 3 and "no outcome within 1500 ms" in asked.stderr, asked
    up(running, "--unset", "admin.timeout_ms")


def test_a_property_of_kafka_reaches_everybody(running):
    up(running, "--set", "kafka.socket.keepalive.enable=true")
    for pid in sum(pids(running), []):
        assert environment(pid)["AETHER_KAFKA_SOCKET_KEEPALIVE_ENABLE"] == "true"
    up(running, "--unset", "kafka.socket.keepalive.enable")


@pytest.mark.parametrize("setting, named", [("gateway.no_such_thing=1", "gateway.no_such_thing"), ("gateway.deadline_ms=soon", "gateway.deadline_ms")])
def test_a_wrong_setting_is_one_line_and_what_runs_goes_on(running, setting, named):
    before = pids(running)
    refused = up(running, "--set", setting, check=False)
    assert refused.returncode == 1 and named in refused.stderr and len(refused.stderr.splitlines()) == 1, refused
    assert pids(running) == before
    up(running)
    assert pids(running) == before, "it was not remembered"


@pytest.mark.parametrize("kind", ["gateway", "workers"])
def test_a_killed_program_comes_back_by_itself(running, kind):
    pid = status(running)[kind][-1]["pid"]
    os.kill(pid, signal.SIGKILL)

    def back():
        """another process in its place"""
        return status(running)[kind][-1]["pid"] not in (None, pid)

    wait_until(back)
    up(running)
    assert ops("status", running).returncode == 0


def test_a_program_that_was_killed_often_is_waited_for_like_any_other(running):
    for _ in range(4):
        pid = pids(running)[0][0]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pids(running)[0][0] not in (None, pid))
    os.kill(pids(running)[0][0], signal.SIGKILL)
    up(running)


def test_no_secret_is_on_a_command_line(running):
    secrets = [line.partition("=")[2] for line in (running / "env").read_text().splitlines() if "=" in line]
    for pid in processes_of(running) + sum(pids(running), []):
        with open(f"/proc/{pid}/cmdline") as file:
            text = file.read()
        assert not any(secret in text for secret in secrets)


def test_the_conversation_is_printed_and_its_curl_lines_go_on(running):
    told = ops("up", running, "--no-install").stdout
    assert told.count("Is anybody here?") == 4, "posted, answered, and read twice:\n" + told
    lines = [line.strip() for line in told.splitlines() if re.match(r"  (TOKEN=|curl )", line)]
    assert len(lines) == 3
    done = subprocess.run(["bash", "-euc", "\n".join(lines)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    posted, history = (json.loads(line) for line in done.stdout.splitlines())
    assert (posted["seq"], posted["body"]) == (4, "Hello from curl")
    assert history["items"][-1] == posted and [message["seq"] for message in history["items"]] == [1, 2, 3, 4]
