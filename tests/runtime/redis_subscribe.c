/* Messages of channels, and what becomes of a subscription when the server goes away. */
#include "ops/runtime/clock.h"
#include "tests/runtime/redis_fixture.h"

/* Publishes until somebody has received it. */
static void publish(struct redis *from, const char *channel, const char *text)
{
    struct seen s;
    do {
        s = (struct seen){ 0 };
        if (redis_add(from, 3, (const struct str[]){ STR("PUBLISH"), str_of(channel), str_of(text) }) == OK)
            (void)!redis_flush(from, see, &s);
    } while (s.count == 0 || s.integers[0] == 0);
}

START_TEST(a_message_comes_and_silence_is_ok)
{
    struct redis *from = redis_create(url, TIMEOUT_MS);
    struct str message = STR("old");
    ck_ok(redis_subscribe(r, STR("runtime_test:a b")));
    ck_ok(redis_subscribe(r, STR("runtime_test:c")));
    ck_ok(redis_next_message(r, 0, &message));
    ck_assert_ptr_null(message.ptr);
    publish(from, "runtime_test:a b", "one");
    publish(from, "runtime_test:c", "two");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("one")));
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("two")));
    const int64_t begin = clock_mono_us();
    ck_ok(redis_next_message(r, 50, &message));
    ck_assert_ptr_null(message.ptr);
    ck_assert_int_ge(clock_mono_us() - begin, 49000);
    redis_destroy(from);
}
END_TEST

START_TEST(a_silence_longer_than_the_timeout_is_no_error)
{
    redis_destroy(r);
    r = redis_create(url, 50);
    struct str message;
    ck_ok(redis_subscribe(r, STR("runtime_test:silent")));
    ck_ok(redis_next_message(r, 300, &message));
    ck_assert_ptr_null(message.ptr);
}
END_TEST

START_TEST(subscriptions_outlive_a_restart)
{
    struct redis *from = redis_create(server.url, TIMEOUT_MS);
    struct str message;
    ck_ok(redis_subscribe(r, STR("runtime_test:a")));
    publish(from, "runtime_test:a", "before");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("before")));
    server_stop();
    int attempts = 0;
    const int64_t begin = clock_mono_us();
    while (clock_mono_us() - begin < 1000000) {
        ck_assert_int_eq(redis_next_message(r, 100, &message), RETRY);
        attempts++;
    }
    ck_assert_int_lt(attempts, 30); /* it waits, it does not spin */
    server_start();
    while (redis_next_message(r, 100, &message) != OK)
        ;
    publish(from, "runtime_test:a", "after");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("after")));
    redis_destroy(from);
}
END_TEST

START_TEST(to_subscribe_while_the_server_is_away_is_made_up_for)
{
    struct redis *from = redis_create(server.url, TIMEOUT_MS);
    struct str message;
    server_stop();
    ck_assert_int_eq(redis_subscribe(r, STR("runtime_test:a")), RETRY);
    server_start();
    while (redis_next_message(r, 100, &message) != OK)
        ;
    publish(from, "runtime_test:a", "hello");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("hello")));
    redis_destroy(from);
}
END_TEST

int main(void)
{
    url = suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("redis, subscriptions");
    TCase *t = suite_case("shared server");
    tcase_add_checked_fixture(t, redis_setup, redis_teardown);
    tcase_add_test(t, a_message_comes_and_silence_is_ok);
    tcase_add_test(t, a_silence_longer_than_the_timeout_is_no_error);
    suite_add_tcase(suite, t);

    t = suite_case("own server");
    tcase_add_checked_fixture(t, redis_setup_own, redis_teardown);
    tcase_add_test(t, subscriptions_outlive_a_restart);
    tcase_add_test(t, to_subscribe_while_the_server_is_away_is_made_up_for);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
