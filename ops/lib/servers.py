"""servers: Kafka, PostgreSQL and Redis for tests, and the end of what tests have started."""

import contextlib
import json
import os
import subprocess

from running import FOLDER, must, run
from state import REPOSITORY


@contextlib.contextmanager
def servers(log, name="servers"):
    """Kafka, PostgreSQL and Redis, empty; yields what the C tests want to know of them. `name`: of their folder."""
    state = os.path.join(FOLDER, name)
    wipe(state, log)
    try:
        must([ops("up"), "--state", state, "--servers", "--port-base", "auto", "--no-install"], log, 300, "starting the servers")
        yield addresses(state)
    finally:
        wipe(state, log)


def addresses(state):
    """What the C tests want to know of the servers that run there."""
    told = json.loads(subprocess.run([ops("status"), "--state", state, "--json"], stdout=subprocess.PIPE, check=True).stdout)
    return {"AETHER_TEST_KAFKA": told["kafka"]["bootstrap"], "AETHER_TEST_POSTGRES_DSN": told["postgres"]["dsn"],
            "AETHER_TEST_REDIS_URL": told["redis"]["url"]}


def ops(command):
    return os.path.join(REPOSITORY, "ops", command)


def wipe(state, log):
    if os.path.exists(os.path.join(state, "stack.json")):
        run([ops("down"), "--state", state, "--wipe", "--quiet"], log, 300)


def leave_nothing(log):
    """Stops what a part that was cut short left running."""
    inside = [os.path.join(FOLDER, name) for name in os.listdir(FOLDER)]
    for state in (FOLDER, *inside, os.path.join(REPOSITORY, ".state-chaos")):
        if os.path.isdir(os.path.join(state, "run")) and os.listdir(os.path.join(state, "run")):
            run([ops("down"), "--state", state, "--quiet"], log, 300)
