/* Whose outcome need not be looked for. */
#include "consumers/loop/fresh.h"

#include "tests/suite.h"

#define BEGUN 1700000000000
#define FROM  (BEGUN + 10000) /* the clocks of gateways may be that much ahead */

static struct fresh *fresh;

static void begin(void)
{
    fresh = fresh_create();
    fresh_begin(fresh, BEGUN);
}

static void end(void)
{
    fresh_destroy(fresh);
}

START_TEST(an_id_is_fresh_once)
{
    const struct uuid first = uuid_v7(FROM), second = uuid_v7(FROM);
    ck_assert(fresh_take(fresh, first));
    ck_assert(fresh_take(fresh, second));
    ck_assert(!fresh_take(fresh, first));
    ck_assert(!fresh_take(fresh, second));
}
END_TEST

START_TEST(nothing_is_fresh_before_the_beginning_is_told)
{
    struct fresh *new = fresh_create();
    ck_assert(!fresh_take(new, uuid_v7(FROM)));
    ck_assert(!fresh_take(new, uuid_v7(1)));
    fresh_destroy(new);
}
END_TEST

START_TEST(what_was_drawn_before_may_have_been_decided_by_another)
{
    ck_assert(!fresh_take(fresh, uuid_v7(BEGUN - 1)));
    ck_assert(!fresh_take(fresh, uuid_v7(BEGUN)));
    ck_assert(!fresh_take(fresh, uuid_v7(FROM - 1)));
    ck_assert(fresh_take(fresh, uuid_v7(FROM)));
}
END_TEST

START_TEST(an_id_that_tells_no_time_is_never_fresh)
{
    const struct uuid derived = uuid_v5(uuid_v7(FROM), STR("send"));
    ck_assert(!fresh_take(fresh, derived));
    ck_assert(!fresh_take(fresh, uuid_nil));
}
END_TEST

START_TEST(what_was_known_is_not_fresh_after_a_new_beginning)
{
    const struct uuid id = uuid_v7(FROM + 500);
    ck_assert(fresh_take(fresh, id));
    fresh_begin(fresh, BEGUN + 1000);
    ck_assert(!fresh_take(fresh, id));
    ck_assert(!fresh_take(fresh, uuid_v7(FROM + 999)));
    ck_assert(fresh_take(fresh, uuid_v7(FROM + 1000)));
}
END_TEST

/* Gateways whose clocks differ, a copy of each id any time later: none is fresh a second time. */
START_TEST(a_copy_is_never_fresh_however_late_it_comes)
{
    enum { COUNT = 20000, GATEWAYS = 3 };
    static struct uuid ids[COUNT];
    const int64_t ahead[GATEWAYS] = { 0, 900, 7000 };
    const int delays[] = { 1, 40, 400, 1600, 4000, 10000 };
    size_t taken = 0;
    for (int i = 0; i < COUNT; i++) {
        ids[i] = uuid_v7(FROM + i + ahead[i % GATEWAYS]);
        taken += fresh_take(fresh, ids[i]);
        for (size_t d = 0; d < sizeof delays / sizeof *delays; d++)
            if (i >= delays[d])
                ck_assert_msg(!fresh_take(fresh, ids[i - delays[d]]), "copy of %d after %d", i - delays[d], delays[d]);
    }
    ck_assert_msg(taken > COUNT / GATEWAYS, "of %d ids %zu were fresh", COUNT, taken);
}
END_TEST

START_TEST(after_a_pause_new_ids_are_fresh_and_old_ones_are_not)
{
    const struct uuid before = uuid_v7(FROM);
    ck_assert(fresh_take(fresh, before));
    for (int64_t hours = 1; hours < 5; hours++) {
        const struct uuid id = uuid_v7(FROM + hours * 3600000);
        ck_assert(fresh_take(fresh, id));
        ck_assert(!fresh_take(fresh, id));
        ck_assert(!fresh_take(fresh, before));
    }
}
END_TEST

START_TEST(few_new_ids_are_taken_for_known_at_fifteen_thousand_a_second)
{
    enum { MS = 20000, A_MS = 15 };
    size_t mistaken = 0;
    for (int i = 0; i < MS * A_MS; i++)
        mistaken += !fresh_take(fresh, uuid_v7(FROM + i / A_MS));
    ck_assert_msg(mistaken < MS * A_MS / 300, "%zu of %d", mistaken, MS * A_MS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fresh");
    TCase *ids = suite_case("ids");
    tcase_add_checked_fixture(ids, begin, end);
    tcase_add_test(ids, an_id_is_fresh_once);
    tcase_add_test(ids, nothing_is_fresh_before_the_beginning_is_told);
    tcase_add_test(ids, what_was_drawn_before_may_have_been_decided_by_another);
    tcase_add_test(ids, an_id_that_tells_no_time_is_never_fresh);
    tcase_add_test(ids, what_was_known_is_not_fresh_after_a_new_beginning);
    tcase_add_test(ids, a_copy_is_never_fresh_however_late_it_comes);
    tcase_add_test(ids, after_a_pause_new_ids_are_fresh_and_old_ones_are_not);
    tcase_add_test(ids, few_new_ids_are_taken_for_known_at_fifteen_thousand_a_second);
    suite_add_tcase(suite, ids);
    return suite_run(suite);
}
