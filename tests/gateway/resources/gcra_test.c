/* The arithmetic of limits: what is let through, and what is told of what is left. */
#include "gateway/limits/gcra.h"
#include "tests/suite.h"

#define START (INT64_C(5000) * NS_A_SECOND)

START_TEST(a_quota_may_be_used_all_at_once_and_then_comes_back_evenly)
{
    struct quota q = quota_of(100, 900);
    int64_t tat = 0;
    for (int i = 1; i <= 100; i++) {
        struct gcra g = gcra_take(&q, START, &tat);
        ck_assert(g.allowed && g.retry_ns == 0);
        ck_assert_int_eq(g.remaining, 100 - i);
        ck_assert_int_eq(g.reset_ns, i * 9 * NS_A_SECOND);
    }
    struct gcra refused = gcra_take(&q, START, &tat);
    ck_assert(!refused.allowed && refused.remaining == 0);
    ck_assert_int_eq(seconds_up(refused.retry_ns), 9);
    ck_assert_int_eq(seconds_up(refused.reset_ns), 900);
    ck_assert(!gcra_take(&q, START + 9 * NS_A_SECOND - 1, &tat).allowed);
    ck_assert(gcra_take(&q, START + 9 * NS_A_SECOND, &tat).allowed);
    ck_assert(!gcra_take(&q, START + 9 * NS_A_SECOND, &tat).allowed);
}
END_TEST

START_TEST(who_is_refused_owes_nothing_for_it)
{
    struct quota q = quota_of(1, 10);
    int64_t tat = 0;
    ck_assert(gcra_take(&q, START, &tat).allowed);
    for (int i = 0; i < 1000; i++)
        ck_assert(!gcra_take(&q, START + i * NS_A_SECOND / 1000, &tat).allowed);
    ck_assert(gcra_take(&q, START + 10 * NS_A_SECOND, &tat).allowed);
}
END_TEST

START_TEST(who_comes_evenly_is_never_refused)
{
    struct quota q = quota_of(7, 60);
    int64_t tat = 0, now = START;
    for (int i = 0; i < 10000; i++, now += q.interval_ns)
        ck_assert(gcra_take(&q, now, &tat).allowed);
}
END_TEST

START_TEST(in_any_window_at_most_twice_the_quota_comes_through_and_on_average_the_quota)
{
    struct quota q = quota_of(50, 10);
    int64_t tat = 0, allowed = 0;
    for (int64_t now = START; now < START + 1000 * NS_A_SECOND; now += NS_A_SECOND / 100)
        allowed += gcra_take(&q, now, &tat).allowed;
    ck_assert_int_ge(allowed, 5000);
    ck_assert_int_le(allowed, 5000 + 50);
}
END_TEST

START_TEST(a_long_silence_gives_no_more_than_the_quota)
{
    struct quota q = quota_of(5, 60);
    int64_t tat = START;
    int allowed = 0;
    for (int i = 0; i < 20; i++)
        allowed += gcra_take(&q, START + 86400 * NS_A_SECOND, &tat).allowed;
    ck_assert_int_eq(allowed, 5);
}
END_TEST

START_TEST(what_others_have_used_is_taken_off)
{
    struct quota q = quota_of(10, 10);
    int64_t tat = START + 8 * NS_A_SECOND; /* from Redis */
    ck_assert_int_eq(gcra_take(&q, START, &tat).remaining, 1);
    ck_assert_int_eq(gcra_take(&q, START, &tat).remaining, 0);
    ck_assert(!gcra_take(&q, START, &tat).allowed);
    tat = START + 25 * NS_A_SECOND; /* more than there was, by requests under way */
    struct gcra g = gcra_take(&q, START, &tat);
    ck_assert(!g.allowed && g.remaining == 0);
    ck_assert_int_eq(seconds_up(g.retry_ns), 16);
}
END_TEST

START_TEST(the_most_and_the_least_that_can_be_set_count_right)
{
    struct quota most = quota_of(1000000000, 1), least = quota_of(1, 86400);
    int64_t tat = 0;
    ck_assert_int_eq(gcra_take(&most, START, &tat).remaining, 999999999);
    tat = 0;
    ck_assert_int_eq(gcra_take(&least, START, &tat).remaining, 0);
    ck_assert_int_eq(seconds_up(gcra_take(&least, START, &tat).retry_ns), 86400);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, a_quota_may_be_used_all_at_once_and_then_comes_back_evenly);
    tcase_add_test(tests, who_is_refused_owes_nothing_for_it);
    tcase_add_test(tests, who_comes_evenly_is_never_refused);
    tcase_add_test(tests, in_any_window_at_most_twice_the_quota_comes_through_and_on_average_the_quota);
    tcase_add_test(tests, a_long_silence_gives_no_more_than_the_quota);
    tcase_add_test(tests, what_others_have_used_is_taken_off);
    tcase_add_test(tests, the_most_and_the_least_that_can_be_set_count_right);
}

int main(void)
{
    return suite_run_together("gcra", add);
}
