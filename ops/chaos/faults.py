"""faults: what may happen to a stack at any moment, as a table: (name, weight, what is done). Each returns when it is over or under
way; the supervisor, or the fault itself, brings back what died."""

import random
import signal
import time

from stack import send


def _some(rng, pids):
    """One of them, or all at once now and then."""
    return pids if rng.random() < 0.2 else [rng.choice(pids)] if pids else []


def _kill(kind):
    def fault(stack, rng):
        for pid in _some(rng, stack.pids(kind)):
            stack.kill(kind, pid=pid)
    return fault


def _stop(kind, least, most):
    """SIGSTOP for a while: whoever waits for it finds out what its time-outs are for."""
    def fault(stack, rng):
        pids = _some(rng, stack.pids(kind))
        for pid in pids:
            send(pid, signal.SIGSTOP)
        try:
            time.sleep(rng.uniform(least, most))
        finally:
            for pid in pids:
                send(pid, signal.SIGCONT)
    return fault


def _terminate(kind):
    def fault(stack, rng):
        for pid in _some(rng, stack.pids(kind)):
            send(pid, signal.SIGTERM)
    return fault


def _away(kind, least, most):
    """Killed with its supervisor, and started again later."""
    def fault(stack, rng):
        pids = stack.pids(kind)
        if not pids:
            return
        stack.kill_for_good(kind, rng.choice(pids))
        time.sleep(rng.uniform(least, most))
        stack.start(kind)
    return fault


def _flush(stack, rng):
    stack.redis().flushall()


def _end_sessions(stack, rng):
    """What a fail-over of PostgreSQL looks like to its clients."""
    stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


def _kill_several(stack, rng):
    for kind in rng.sample(["messages", "users", "gateway", "redis", "postgres", "kafka"], rng.randint(2, 4)):
        for pid in stack.pids(kind):
            stack.kill(kind, pid=pid)


FAULTS = [
    ("kill -9 messages", 8, _kill("messages")),
    ("kill -9 users", 2, _kill("users")),
    ("kill -9 gateway", 4, _kill("gateway")),
    ("kill -9 kafka", 3, _kill("kafka")),
    ("kill -9 postgres", 3, _kill("postgres")),
    ("kill -9 redis", 2, _kill("redis")),
    ("pause messages", 3, _stop("messages", 0.1, 3)),
    ("pause messages beyond its session", 2, _stop("messages", 7, 10)),
    ("pause gateway", 1, _stop("gateway", 0.1, 3)),
    ("pause kafka", 2, _stop("kafka", 0.1, 6)),
    ("pause postgres", 1, _stop("postgres", 0.1, 4)),
    ("pause redis", 2, _stop("redis", 0.1, 4)),
    ("terminate messages", 3, _terminate("messages")),
    ("terminate gateway", 2, _terminate("gateway")),
    ("kafka away", 1, _away("kafka", 2, 6)),
    ("messages away", 2, _away("messages", 1, 8)),
    ("postgres away", 1, _away("postgres", 1, 5)),
    ("flush redis", 3, _flush),
    ("end PostgreSQL's sessions", 2, _end_sessions),
    ("kill several at once", 2, _kill_several),
]


def choose(rng):
    name, _, fault = rng.choices(FAULTS, [weight for _, weight, _ in FAULTS])[0]
    return name, fault


def draw(seed):
    return random.Random(seed)
