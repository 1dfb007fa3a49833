"""A storm of reconnects: everybody comes back at once to a gateway that has just started."""

import contextlib
import threading

import pytest

import feed
from conftest import ADMISSIONS_PER_S
from stack import wait_until

LISTENERS = 400
AT_ONCE = 64  # share one query, and come in together


@pytest.mark.slow
def test_four_hundred_come_back_at_a_bounded_rate_miss_nothing_and_posting_goes_on(mended, urls, people, room):
    ada, told, done = people[0], [], threading.Event()
    for person in people[2:8]:
        person.join(room)
    with contextlib.closing(feed.Crowd(urls[0], [people[i % 8].token for i in range(LISTENERS)], room)) as crowd, contextlib.ExitStack() as end:
        end.callback(done.set)  # who talks stops whatever happens
        wait_until(lambda: len(crowd.admitted) >= LISTENERS, 30, "everybody listens")

        def post():
            while not done.is_set():
                told.append(ada.say(room, "ahoy")["seq"])

        poster = threading.Thread(target=post, daemon=True)
        poster.start()
        wait_until(lambda: len(told) >= 20, 30, "20 posts")
        crowd.admitted.clear()
        mended.kill("gateway")
        wait_until(lambda: crowd.admitted, 30, "the first is back")
        before = len(told)
        wait_until(lambda: len(crowd.admitted) >= LISTENERS, 30, "everybody is back")
        meanwhile = len(told) - before
        wait_until(lambda: len(told) >= 2 * meanwhile + 20, 30, "more posts")
        done.set()
        poster.join(30)
        expected = list(range(1, told[-1] + 1))
        wait_until(lambda: all(numbers[-1:] == expected[-1:] for numbers in crowd.numbers), 30, "everybody has heard the last message")
    assert told == expected
    assert [numbers for numbers in crowd.numbers if numbers != expected] == [], "no gap, no repeat"
    took = max(crowd.admitted) - min(crowd.admitted)
    assert took > 0.8 * (LISTENERS - AT_ONCE) / ADMISSIONS_PER_S, f"{LISTENERS} in {took:.1f} s"
    assert meanwhile > 10 * took, f"{meanwhile} posts in {took:.1f} s"
