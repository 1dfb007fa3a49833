"""ops/up, ops/down and ops/status, from outside, with the servers alone: they are quick to start and all that supervision
is about."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from commands import ROOT, is_alive, ops, processes_of, status, wait_until  # noqa: E402

SERVERS = ("kafka", "postgres", "redis")


def up(state, *arguments, check=True):
    return ops("up", state, "--servers", "--no-install", *arguments, check=check)


def pids(state):
    told = status(state)
    return {name: told[name]["pid"] for name in SERVERS}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    # Under root, PostgreSQL's own user cannot enter this folder: its data goes to /var/lib.
    state = tmp_path_factory.mktemp("stack") / "state"
    up(state, "--port-base", "auto")
    yield state
    if state.exists():
        ops("down", state, "--wipe")


@pytest.fixture
def running(state):
    up(state)
    return state


def test_status_names_what_runs_and_where(running):
    told = status(running)
    assert set(told) == {"gateway", "workers", *SERVERS}
    assert (told["gateway"], told["workers"]) == ([], [])
    assert set(told["kafka"]) == {"bootstrap", "pid"}
    assert set(told["postgres"]) == {"dsn", "pid"}
    assert set(told["redis"]) == {"url", "pid"}
    for name, comm in (("kafka", "java"), ("postgres", "postgres"), ("redis", "redis-server")):
        with open(f"/proc/{told[name]['pid']}/comm") as file:
            assert file.read().strip() == comm


def test_a_second_up_leaves_what_runs_alone(running):
    before = pids(running)
    up(running)
    assert pids(running) == before


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_comes_back_by_itself(running, name):
    before = pids(running)
    os.kill(before[name], signal.SIGKILL)

    def back():
        """another process runs in its place"""
        return pids(running)[name] not in (None, before[name])

    wait_until(back)
    up(running)  # waits until it answers
    assert {**pids(running), name: None} == {**before, name: None}, "the others were not touched"


def test_a_killed_postmaster_leaves_nothing_that_hinders_the_next(running):
    pid = pids(running)["postgres"]
    busy = subprocess.Popen(["psql", "-X", "-q", status(running)["postgres"]["dsn"], "-c", "SELECT count(*) FROM generate_series(1, 1e10)"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_busy():
        """the backend runs the query: a busy backend does not notice that its postmaster died"""
        asked = subprocess.run(["psql", "-XAtq", status(running)["postgres"]["dsn"], "-c",
                                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT count(*) FROM generate_series%'"],
                               stdout=subprocess.PIPE, text=True)
        return asked.stdout.strip() == "1"

    wait_until(is_busy)
    os.kill(pid, signal.SIGKILL)
    assert busy.wait(30) != 0
    up(running)


def test_a_server_whose_supervisor_was_killed_is_taken_over(running):
    before = pids(running)["redis"]
    with open(f"/proc/{before}/stat") as file:
        supervisor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not is_alive(supervisor))
    assert pids(running)["redis"] == before, "it goes on alone"
    up(running)
    assert not is_alive(before)
    assert is_alive(pids(running)["redis"])


def test_one_server_stops_alone_and_is_started_alone(running):
    before = pids(running)
    ops("down", running, "redis")
    assert pids(running) == {**before, "redis": None}
    assert ops("status", running, check=False).returncode == 1
    ops("up", running, "--only", "redis")
    after = pids(running)
    assert after["redis"] and {**after, "redis": None} == {**before, "redis": None}


def test_a_paused_server_can_be_stopped(running):
    os.kill(pids(running)["redis"], signal.SIGSTOP)
    began = time.monotonic()
    ops("down", running, "redis")
    assert time.monotonic() - began < 10


def test_the_data_of_postgresql_survives_down_and_up(running):
    dsn = status(running)["postgres"]["dsn"]
    for sql in ("DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT 42 AS answer"):
        subprocess.run(["psql", "-X", "-q", dsn, "-c", sql], check=True, stderr=subprocess.DEVNULL)
    ops("down", running)
    up(running)
    assert status(running)["postgres"]["dsn"] == dsn, "the password was kept"
    assert subprocess.run(["psql", "-X", "-qAt", dsn, "-c", "SELECT answer FROM kept"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout == "42\n"


def test_postgresql_asks_for_a_password_and_listens_on_loopback_only(running):
    dsn = status(running)["postgres"]["dsn"]
    scheme, _, rest = dsn.partition("//")
    without = f"{scheme}//aether@{rest.partition('@')[2]}"
    assert subprocess.run(["psql", "-X", "-w", without, "-c", "SELECT 1"], capture_output=True).returncode != 0
    shown = subprocess.run(["psql", "-X", "-qAt", dsn, "-c", "SHOW listen_addresses", "-c", "SHOW synchronous_commit", "-c", "SHOW fsync"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert shown == ["127.0.0.1", "on", "on"]


def test_secrets_are_made_once_and_only_for_their_owner(running):
    env = running / "env"
    before = env.read_text()
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert all(stat.S_IMODE(spec.stat().st_mode) == 0o600 for spec in (running / "run").glob("*.spec"))
    up(running)
    assert env.read_text() == before
    assert len({line.partition("=")[2] for line in before.splitlines() if "=" in line}) == 4


def test_a_port_in_use_is_one_line_and_changes_nothing(running):
    before = pids(running)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = up(running, "--port", f"redis={port}", check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert f"port {port}" in refused.stderr and f"(pid {os.getpid()})" in refused.stderr and "--port redis=" in refused.stderr
    assert pids(running) == before
    up(running)
    assert pids(running) == before, "the refused port was not remembered"


@pytest.mark.parametrize("command", ["install", "up"])
def test_a_missing_package_is_one_line_with_the_command_that_brings_it(tmp_path, command):
    """dpkg is asked as always; it only keeps quiet about two packages."""
    forgetful = tmp_path / "bin" / "dpkg-query"
    forgetful.parent.mkdir()
    forgetful.write_text('#!/bin/sh\n/usr/bin/dpkg-query "$@" | grep -v -e " kcat$" -e " redis-server$"\n')
    forgetful.chmod(0o755)
    state = tmp_path / "state"
    arguments = ["--no-install"] + (["--state", str(state), "--port-base", "auto"] if command == "up" else [])
    refused = subprocess.run([os.path.join(ROOT, "ops", command), *arguments], env={**os.environ, "PATH": f"{forgetful.parent}:{os.environ['PATH']}"},
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    line, = refused.stderr.splitlines()
    assert line.endswith("apt-get install --no-install-recommends kcat redis-server"), line
    assert not (state / "stack.json").exists() and not processes_of(state), "nothing was started"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a disk")
def test_too_little_disk_is_one_line_that_says_how_much_is_needed(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], check=True)
    try:
        refused = up(tmp_path / "state", "--port-base", "auto", check=False)
        assert refused.returncode == 1
        line, = refused.stderr.splitlines()
        assert "MB are free on the disk" in line and "make room" in line, line
        assert not processes_of(tmp_path / "state"), "nothing was started"
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.mark.parametrize("arguments, named", [
    (["--port", "redis=99999"], "redis"),
    (["--port", "nothing=8000"], "nothing"),
    (["--workers", "painters=2"], "painters"),
    (["--set", "gateway.port"], "gateway.port"),
    (["--build", "/nowhere"], "/nowhere"),
    (["--only", "painters"], "painters"),
])
def test_a_wrong_option_is_one_line_that_names_it(running, arguments, named):
    refused = up(running, *arguments, check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1 and named in refused.stderr


def test_the_caller_of_up_sees_the_end_of_its_output(running):
    ops("down", running, "redis")
    up(running)  # subprocess.run reads to the end; a supervisor that held the pipe would hang it


def test_down_stops_all_that_up_started_and_nothing_else(running):
    with subprocess.Popen(["sleep", "300"]) as bystander:
        assert processes_of(running)
        ops("down", running)
        assert processes_of(running) == []
        assert bystander.poll() is None
        bystander.kill()
    assert "nothing runs" in ops("down", running).stdout


def test_wipe_forgets_everything(state):
    up(state)
    data = os.path.realpath(state / "postgres")
    ops("keys", state, "--rotate")
    assert any((state / "keys").iterdir()), "as with a gateway"
    ops("down", state, "--wipe")
    assert not state.exists() and not os.path.exists(data)
    assert ops("status", state, check=False).returncode == 1
