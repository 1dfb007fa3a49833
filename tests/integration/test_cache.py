"""Redis makes reading fast and is never the truth."""

import time

import pytest

from stack import total, wait_until


def keys(stack, room):
    return stack.redis().exists(f"aether:room:{room}")


def sources(stack):
    """{label: pages} of where pages were read from."""
    found = {}
    for samples in stack.metrics("gateway"):
        for sample, value in samples.items():
            if sample.startswith("aether_gateway_pages_total"):
                found[sample] = found.get(sample, 0) + value
    return found


def reads(stack, part):
    return sum(value for sample, value in sources(stack).items() if part in sample)


@pytest.fixture
def talk(ada, ben, room):
    return [person.say(room, f"line {i}") for i in range(10) for person in (ada, ben)]


def test_a_room_that_is_talked_in_is_in_redis(stack, ada, room, talk):
    assert keys(stack, room)
    assert ada.page(room)["items"] == talk


def test_an_emptied_redis_refills_by_reading(stack, ada, room, talk):
    stack.redis().flushall()
    assert not keys(stack, room)
    assert ada.page(room)["items"] == talk
    wait_until(lambda: ada.page(room)["items"] == talk and keys(stack, room), 10, "refilled")


def test_an_emptied_redis_refills_by_writing(stack, ada, room, talk):
    stack.redis().flushall()
    message = ada.say(room, "one more")
    assert ada.page(room)["items"] == [*talk, message]
    wait_until(lambda: keys(stack, room), 10, "refilled")
    assert ada.page(room)["items"] == [*talk, message]


def test_pages_are_served_from_the_cache_again_after_it_was_emptied(stack, ada, room, talk):
    def are_cached(pages):
        before = reads(stack, "postgres")
        return all(ada.page(room)["items"] == talk for _ in range(pages)) and reads(stack, "postgres") == before

    wait_until(lambda: are_cached(1), 30, "the cache is believed again, should Redis have been away")
    assert sources(stack), "the gateway counts where its pages come from"
    stack.redis().flushall()
    assert not are_cached(1)
    wait_until(lambda: are_cached(20), 10, "one page after the other comes from the cache")


def test_without_redis_everything_works_if_slower(stack, mended, ada, ben, room, talk):
    with stack.without("redis"):
        started = time.monotonic()
        said = [ada.say(room, f"no cache {i}") for i in range(5)]
        assert ben.page(room, limit=100)["items"] == [*talk, *said]
        assert time.monotonic() - started < 15, "replies are found by polling"
        assert ada.get("/health/ready").status == 200, "ready all the same"
    assert ada.page(room, limit=100)["items"] == [*talk, *said]
    message = ada.say(room, "with it again")
    assert ben.page(room, limit=100)["items"] == [*talk, *said, message]


def test_what_redis_missed_is_not_served_from_what_it_remembers(stack, mended, ada, ben, room, talk):
    """It was paused, not emptied: it comes back with what it knew before."""
    with stack.paused(stack.pid("redis")):
        said = [ada.say(room, f"unseen {i}") for i in range(3)]
    assert ben.page(room, limit=100)["items"] == [*talk, *said]
    wait_until(lambda: ben.page(room, limit=100)["items"] == [*talk, *said], 5)


def test_a_membership_counts_at_once_in_the_cache(ada, eve, room, talk):
    for _ in range(3):
        assert eve.get(f"/rooms/{room}/messages").status == 403
    eve.join(room)
    assert eve.page(room, limit=100)["items"] == talk


def test_a_cache_that_somebody_spoilt_serves_nothing_wrong_for_long(stack, ada, room, talk):
    redis = stack.redis()
    key = f"aether:room:{room}"
    for field in redis.hkeys(key):
        if field.startswith(b"s"):
            redis.hdel(key, field)
    assert ada.page(room)["items"] == talk, "what is missing is read from PostgreSQL"
