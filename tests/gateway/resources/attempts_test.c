/* Log-ins that failed, as one process counts them: the same rules as in Redis, on a clock of the test's. */
#include <pthread.h>

#include "gateway/limits/attempts.h"
#include "ops/runtime/mem.h"
#include "tests/suite.h"

#define FORGET 10000
#define KNOWN  1000000
#define START  INT64_C(1000000)

static struct attempts *attempts;
static int64_t now;

static void set_up(void)
{
    attempts = attempts_create(&(struct attempt_rules){ .name_free = 3,
                                                        .address_free = 6,
                                                        .delay_ms = 100,
                                                        .delay_max_ms = 800,
                                                        .forget_ms = FORGET,
                                                        .known_ms = KNOWN });
    now = START;
}

static void tear_down(void)
{
    attempts_destroy(attempts);
}

/* As hashes are: different in the bytes that choose the set. */
static void fill(uint8_t ret[ATTEMPT_KEY_LEN], uint32_t kind, uint32_t a, uint32_t b)
{
    const uint64_t mixed = (a + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (b + 1) * UINT64_C(0xC2B2AE3D27D4EB4F) ^ kind;
    memset(ret, 0, ATTEMPT_KEY_LEN);
    memcpy(ret, &(uint16_t){ (uint16_t)(mixed >> 40) }, 2);
    memcpy(ret + 4, (uint32_t[]){ kind, a, b }, 12);
}

static struct attempt_keys keys(uint32_t name, uint32_t address)
{
    struct attempt_keys k;
    fill(k.name, 1, name, 0);
    fill(k.pair, 2, name, address);
    fill(k.address, 3, address, 0);
    return k;
}

/* Milliseconds to wait; 0: a failure that counts. */
static int64_t guess(uint32_t name, uint32_t address)
{
    struct attempt_keys k = keys(name, address);
    bool known = false;
    return attempts_begin(attempts, &k, now, &known);
}

static void succeed(uint32_t name, uint32_t address)
{
    struct attempt_keys k = keys(name, address);
    bool known = false;
    ck_assert_int_eq(attempts_begin(attempts, &k, now, &known), 0);
    attempts_take_back(attempts, &k, now, known, true);
}

START_TEST(each_failure_beyond_the_free_ones_doubles_the_delay_up_to_the_longest)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(guess(1, 1), 0);
    for (int64_t delay = 100; delay <= 800; delay *= 2) {
        ck_assert_int_eq(guess(1, 2), delay);
        now += delay - 1;
        ck_assert_int_eq(guess(1, 2), 1);
        now += 1;
        ck_assert_int_eq(guess(1, 2), 0);
    }
    ck_assert_int_eq(guess(1, 3), 800);
    ck_assert_msg(guess(2, 3) == 0, "another name is free");
}
END_TEST

START_TEST(failures_are_forgotten_after_so_long_without_another)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(guess(1, 1), 0);
    now += FORGET - 1;
    ck_assert_msg(guess(1, 1) == 0, "the delay is over");
    now += FORGET - 1;
    ck_assert_int_eq(guess(1, 1), 0);
    ck_assert_msg(guess(1, 1) > 0, "the one before kept the others alive");
    now += FORGET;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(guess(1, 1), 0);
}
END_TEST

START_TEST(an_address_is_delayed_whatever_names_it_tries)
{
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_int_eq(guess(i, 1), 0);
    ck_assert_int_eq(guess(9, 1), 100);
    ck_assert_int_eq(guess(9, 2), 0);
}
END_TEST

START_TEST(strangers_do_not_keep_out_whoever_has_logged_in_from_there)
{
    succeed(1, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(guess(1, 2), 0);
    ck_assert_int_eq(guess(1, 2), 100);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(guess(1, 1) == 0, "the address that is known has a count of its own");
    ck_assert_int_eq(guess(1, 1), 100);
    now += KNOWN;
    struct attempt_keys k = keys(1, 1);
    bool known = false;
    ck_assert_int_eq(attempts_begin(attempts, &k, now, &known), 0);
    ck_assert_msg(!known, "not for ever");
    k = keys(1, 5);
    known = true;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(attempts_begin(attempts, &k, now, &known), 0);
    ck_assert_msg(known && guess(1, 6) == 0, "known by what Redis says: the name is not counted");
}
END_TEST

START_TEST(what_is_taken_back_does_not_count)
{
    for (int i = 0; i < 10; i++) {
        struct attempt_keys k = keys(1, 1);
        bool known = false;
        ck_assert_int_eq(attempts_begin(attempts, &k, now, &known), 0);
        ck_assert(!known);
        attempts_take_back(attempts, &k, now, known, false);
    }
    for (int i = 0; i < 10; i++)
        succeed(1, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(guess(1, 2), 0);
}
END_TEST

/* Otherwise who tries many names from many addresses has his guesses at one forgotten. */
START_TEST(more_names_than_there_is_room_for_do_not_displace_who_has_failed_much)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(guess(1, 1), 0);
    for (uint32_t i = 0; i < 100000; i++)
        (void)guess(10 + i, 10 + i);
    ck_assert_int_eq(guess(1, 2), 100);
}
END_TEST

#define THREADS 8

static void *fail_many(void *counted)
{
    for (int i = 0; i < 1000; i++)
        *(int *)counted += guess(7, 7) == 0;
    return NULL;
}

START_TEST(attempts_at_once_are_as_good_as_one_after_the_other)
{
    pthread_t threads[THREADS];
    int counted[THREADS] = { 0 }, all = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, fail_many, &counted[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        all += counted[i];
    }
    ck_assert_int_eq(all, 3);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, each_failure_beyond_the_free_ones_doubles_the_delay_up_to_the_longest);
    tcase_add_test(tests, failures_are_forgotten_after_so_long_without_another);
    tcase_add_test(tests, an_address_is_delayed_whatever_names_it_tries);
    tcase_add_test(tests, strangers_do_not_keep_out_whoever_has_logged_in_from_there);
    tcase_add_test(tests, what_is_taken_back_does_not_count);
    tcase_add_test(tests, more_names_than_there_is_room_for_do_not_displace_who_has_failed_much);
    tcase_add_test(tests, attempts_at_once_are_as_good_as_one_after_the_other);
}

int main(void)
{
    return suite_run_together("attempts", add);
}
