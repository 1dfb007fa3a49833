"""Which processors the stack's threads may use: of two, Kafka keeps to the second and ours to the first (ops/adr/0016)."""

import os

import pytest

THERE = sorted(os.sched_getaffinity(0))
KAFKAS, OURS = ({THERE[1]}, {THERE[0]}) if len(THERE) == 2 else (set(THERE), set(THERE))


def threads(pid):
    """{name: processors}; the threads of one name have the same."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/comm") as file:
                found[file.read().strip()] = os.sched_getaffinity(int(thread))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
    return found


def test_kafka_has_a_processor_to_itself(stack):
    assert set(map(frozenset, threads(stack.pid("kafka")).values())) == {frozenset(KAFKAS)}


@pytest.mark.parametrize("worker", ["messages", "users"])
def test_a_worker_keeps_to_the_other_one(stack, worker):
    for pid in stack.pids(worker):
        assert set(map(frozenset, threads(pid).values())) == {frozenset(OURS)}


def test_the_gateways_threads_of_the_log_keep_to_it_and_those_of_http_use_all_and_passwords_the_other(stack):
    there = threads(stack.pid("gateway"))
    assert {name: there[name] for name in ("replies", "tail", "rdk:main")} == dict.fromkeys(("replies", "tail", "rdk:main"), OURS)
    assert {name: there[name] for name in ("http", "reads")} == dict.fromkeys(("http", "reads"), set(THERE))
    assert there["hashing"] == KAFKAS
