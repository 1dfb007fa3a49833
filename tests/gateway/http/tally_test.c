/* How many each holds: so many and no more, whoever else holds some. */
#include <pthread.h>
#include <stdlib.h>

#include "gateway/http/tally.h"
#include "ops/runtime/mem.h"
#include "tests/suite.h"

#define THREADS 4
#define EACH    16
#define LOOPS   20000

static const uint8_t *key_of(unsigned n, uint8_t ret[TALLY_KEY])
{
    memset(ret, 0, TALLY_KEY);
    memcpy(ret, &n, sizeof n);
    return ret;
}

START_TEST(a_key_has_so_many_and_one_more_for_each_that_it_gives_back)
{
    uint8_t a[TALLY_KEY], b[TALLY_KEY];
    struct tally *t = tally_create(100);
    key_of(1, a), key_of(2, b);
    for (int i = 0; i < 3; i++)
        ck_assert(tally_take(t, a, 3));
    ck_assert(!tally_take(t, a, 3));
    ck_assert_int_eq(tally_of(t, a), 3);
    ck_assert_int_eq(tally_of(t, b), 0);
    ck_assert(tally_take(t, b, 3));
    tally_give(t, a);
    ck_assert(tally_take(t, a, 3));
    ck_assert(!tally_take(t, a, 3));
    ck_assert(tally_take(t, a, 0)); /* no limit */
    ck_assert_int_eq(tally_of(t, a), 4);
    tally_destroy(t);
}
END_TEST

START_TEST(all_together_have_no_more_than_there_is_room_for)
{
    uint8_t key[TALLY_KEY];
    struct tally *t = tally_create(64);
    for (int round = 0; round < 3; round++) { /* other keys each time: those that hold nothing take no room */
        for (unsigned i = 0; i < 64; i++)
            ck_assert(tally_take(t, key_of((unsigned)round * 1000 + i, key), 1));
        ck_assert(!tally_take(t, key_of(9999, key), 1));
        ck_assert_int_eq(tally_of(t, key), 0);
        for (unsigned i = 0; i < 64; i++)
            tally_give(t, key_of((unsigned)round * 1000 + i, key));
    }
    tally_destroy(t);
}
END_TEST

static struct tally *shared;
static int most_seen[THREADS];

static void *take_and_give(void *argument)
{
    int *most = argument;
    unsigned seed = (unsigned)(size_t)argument;
    uint8_t key[TALLY_KEY];
    for (int i = 0; i < LOOPS; i++) {
        key_of((unsigned)rand_r(&seed) % 3, key);
        if (!tally_take(shared, key, 2))
            continue;
        int count = tally_of(shared, key);
        *most = count > *most ? count : *most;
        tally_give(shared, key);
    }
    return NULL;
}

START_TEST(threads_together_have_no_more_than_one_may)
{
    pthread_t threads[THREADS];
    uint8_t key[TALLY_KEY];
    shared = tally_create(EACH);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, &most_seen[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_le(most_seen[i], 2);
    }
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(tally_of(shared, key_of(i, key)), 0);
    tally_destroy(shared);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, a_key_has_so_many_and_one_more_for_each_that_it_gives_back);
    tcase_add_test(tests, all_together_have_no_more_than_there_is_room_for);
    tcase_add_test(tests, threads_together_have_no_more_than_one_may);
}

int main(void)
{
    return suite_run_together("tally", add);
}
