"""The first requests after a start: nobody waits for what the start has left to do. ops/bench/first.py starts more often."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from commands import ROOT, ops, status  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "ops", "bench"))

import first  # noqa: E402


# Where those that follow take a few milliseconds, three times as much says nothing; how it is exactly ops/bench/first.py measures.
NOBODY_WAITS_MS = 100


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    state = tmp_path_factory.mktemp("first") / "state"
    yield state
    if state.exists():
        ops("down", state, "--wipe")


def up(state, *arguments):
    return ops("up", state, "--no-install", "--no-demo", *arguments)


@pytest.mark.parametrize("log", ["an empty log", "a log that is there"])
def test_the_first_requests_after_a_start_take_at_most_three_times_as_long_as_those_that_follow(state, log):
    if not state.exists():  # one test alone has the empty log as well
        up(state, "--port-base", "auto")
    elif log == "a log that is there":
        ops("down", state)
        up(state)
    for what, (took, following) in first.measure(first.url(state)).items():
        assert took <= max(first.MOST * following, NOBODY_WAITS_MS), f"the first {what} took {took:.0f} ms, those that followed {following:.0f} ms"


def test_a_kind_of_worker_that_is_not_wanted_is_named_and_waited_for_by_nobody(state):
    said = up(state, "--port-base", "auto", "--workers", "messages=0")
    assert "rooms: no partition has a messages worker" in said.stderr
    assert not any(worker["name"] == "messages" for worker in status(state)["workers"])
    up(state, "--workers", "messages=1")
    assert first.readiness(first.url(state)) == (200, {"status": "ready", "missing": []})
    ops("down", state, "gateway", "messages")
    said = up(state, "--workers", "messages=0")  # a gateway that starts when nobody decides
    code, told = first.readiness(first.url(state))
    assert (code, told["status"]) == (503, "not ready")
    assert told["missing"] == [{"name": "workers", "reason": "rooms: no partition has a messages worker"}]
    up(state, "--workers", "messages=1")
