/* Whose turn it is: first come, first served under each key, and keys by turns. */
#include <sodium.h>
#include <string.h>

#include "gateway/fair_queue.h"
#include "tests/suite.h"

#define SIZE 64

struct key {
    uint8_t bytes[FAIR_QUEUE_KEY];
};

static struct key key_of(uint32_t number)
{
    struct key key = { 0 };
    memcpy(key.bytes, &number, sizeof number);
    return key;
}

static int waits[SIZE];

static struct fair_queue *begin(void)
{
    memset(waits, 0, sizeof waits);
    return fair_queue_create(SIZE);
}

static void add(struct fair_queue *q, uint32_t key, int what)
{
    struct key k = key_of(key);
    size_t place = fair_queue_add(q, k.bytes);
    ck_assert_uint_lt(place, SIZE);
    ck_assert_int_eq(waits[place], 0); /* it was free */
    waits[place] = what;
}

static int take(struct fair_queue *q)
{
    size_t place = fair_queue_next(q);
    int what = waits[place];
    waits[place] = 0;
    fair_queue_take(q);
    return what;
}

START_TEST(one_key_is_served_in_the_order_in_which_it_came)
{
    struct fair_queue *q = begin();
    for (int i = 1; i <= SIZE; i++)
        add(q, 7, i);
    for (int i = 1; i <= SIZE; i++)
        ck_assert_int_eq(take(q), i);
    fair_queue_destroy(q);
}
END_TEST

START_TEST(who_comes_alone_waits_for_one_of_each_other_key)
{
    struct fair_queue *q = begin();
    for (int i = 1; i <= 30; i++)
        add(q, 1, 100 + i);
    for (int i = 1; i <= 20; i++)
        add(q, 2, 200 + i);
    add(q, 3, 301);
    ck_assert_int_eq(take(q), 101);
    ck_assert_int_eq(take(q), 201);
    ck_assert_int_eq(take(q), 301);
    ck_assert_int_eq(take(q), 102);
    ck_assert_int_eq(take(q), 202);
    add(q, 3, 302); /* comes again: behind those whose turn it is */
    ck_assert_int_eq(take(q), 103);
    ck_assert_int_eq(take(q), 203);
    ck_assert_int_eq(take(q), 302);
    fair_queue_destroy(q);
}
END_TEST

/* Keys that come and go, the queue full and empty by turns: everything is taken once, in order under its key, and no
 * key is taken again before all others that waited with it. */
START_TEST(whatever_comes_is_taken_once_and_no_key_is_passed_over)
{
    enum { KEYS = 9, STEPS = 20000 };
    struct fair_queue *q = begin();
    int count = 0, next_in[KEYS] = { 0 }, next_out[KEYS] = { 0 }, passed[KEYS] = { 0 };
    for (int step = 0; step < STEPS; step++) {
        bool fill = step / 500 % 2 == 0;
        if (count < SIZE && (count == 0 || randombytes_uniform(4) < (fill ? 3 : 1))) {
            int key = (int)randombytes_uniform(KEYS);
            add(q, (uint32_t)key, key * STEPS + ++next_in[key]);
            count++;
            continue;
        }
        int what = take(q), key = what / STEPS;
        count--;
        ck_assert_int_eq(what % STEPS, ++next_out[key]);
        passed[key] = 0;
        for (int other = 0; other < KEYS; other++)
            if (other != key && next_in[other] > next_out[other])
                ck_assert_int_lt(++passed[other], KEYS);
    }
    while (count-- > 0) {
        int what = take(q), key = what / STEPS;
        ck_assert_int_eq(what % STEPS, ++next_out[key]);
    }
    fair_queue_destroy(q);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, one_key_is_served_in_the_order_in_which_it_came);
    tcase_add_test(tests, who_comes_alone_waits_for_one_of_each_other_key);
    tcase_add_test(tests, whatever_comes_is_taken_once_and_no_key_is_passed_over);
}

int main(void)
{
    return suite_run_together("fair queue", add_tests);
}
