/* What is known of sessions: asked for once when it is due, never believed longer than promised. */
#include <pthread.h>

#include <stdio.h>

#include "gateway/tokens/access.h"
#include "tests/settings.h"

#define START 5000000 /* any time on the clock */
#define MS    1000

static const struct setting *const tables[] = { access_settings, NULL };
static struct config *config;
static struct access_memory *memory;
static enum access_state state;
static uint32_t roles;

static struct uuid session_number(unsigned n)
{
    return (struct uuid){
        { [6] = 0x70, [8] = 0x80, [12] = (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)n, (uint8_t)(n >> 8) }
    };
}

static bool recall(unsigned n, int64_t now_us)
{
    return access_recall(memory, session_number(n), now_us, &state, &roles);
}

static void set_up(void)
{
    config = settings_of(tables, (const char *[]){ "auth.recheck_ms=500", NULL });
    memory = access_memory_create(config);
}

static void tear_down(void)
{
    access_memory_destroy(memory);
    config_destroy(config);
}

START_TEST(what_was_found_holds_until_it_is_due)
{
    ck_assert(!recall(1, START));
    access_remember(memory, session_number(1), START, ACCESS_LIVE, 5);
    ck_assert(recall(1, START + 499 * MS));
    ck_assert(state == ACCESS_LIVE && roles == 5);
    ck_assert(!recall(2, START + 1));
    ck_assert(!recall(1, START + 500 * MS));
}
END_TEST

START_TEST(one_asks_and_the_others_go_on_for_as_long_again)
{
    access_remember(memory, session_number(1), START, ACCESS_LIVE, 1);
    ck_assert(!recall(1, START + 600 * MS)); /* this one asks */
    ck_assert(recall(1, START + 601 * MS));
    ck_assert(recall(1, START + 999 * MS));
    ck_assert(!recall(1, START + 1000 * MS)); /* and got no answer */
    ck_assert(!recall(1, START + 1001 * MS)); /* nothing holds any more: everybody asks */
}
END_TEST

START_TEST(the_newest_finding_counts_in_whatever_order_they_come)
{
    access_remember(memory, session_number(1), START + 20, ACCESS_ENDED, 0);
    access_remember(memory, session_number(1), START + 10, ACCESS_LIVE, 1);
    ck_assert(recall(1, START + 30));
    ck_assert_int_eq(state, ACCESS_ENDED);
    access_remember(memory, session_number(1), START + 40, ACCESS_SUSPENDED, 0);
    ck_assert(recall(1, START + 50));
    ck_assert_int_eq(state, ACCESS_SUSPENDED);
}
END_TEST

START_TEST(more_sessions_than_it_holds_are_asked_for_and_never_mixed_up)
{
    enum { MANY = 40000 };
    int known = 0;
    for (unsigned n = 1; n <= MANY; n++)
        access_remember(memory, session_number(n), START + n, n % 3 ? ACCESS_LIVE : ACCESS_ENDED, n % 8);
    for (unsigned n = 1; n <= MANY; n++)
        if (recall(n, START + MANY)) {
            known++;
            ck_assert_int_eq(state, n % 3 ? ACCESS_LIVE : ACCESS_ENDED);
            ck_assert_uint_eq(roles, n % 8);
        }
    ck_assert_int_ge(known, 4000);
    ck_assert(recall(MANY, START + MANY)); /* the newest is there */
}
END_TEST

#define THREADS 4

static pthread_barrier_t at_once;

static void *ask_and_tell(void *mixed_up)
{
    pthread_barrier_wait(&at_once);
    for (unsigned i = 0; i < 2000; i++) {
        const unsigned n = i % 16 + 1;
        enum access_state found;
        uint32_t with;
        if (access_recall(memory, session_number(n), START + i, &found, &with))
            *(int *)mixed_up += with != n;
        access_remember(memory, session_number(n), START + i, ACCESS_LIVE, n);
    }
    return NULL;
}

/* What TSan sees is the test. */
START_TEST(threads_that_ask_for_the_same_sessions_do_not_mix_them_up)
{
    pthread_t threads[THREADS];
    int mixed_up[THREADS] = { 0 };
    pthread_barrier_init(&at_once, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, ask_and_tell, &mixed_up[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(mixed_up[i], 0);
    }
    pthread_barrier_destroy(&at_once);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_was_found_holds_until_it_is_due);
    tcase_add_test(tests, one_asks_and_the_others_go_on_for_as_long_again);
    tcase_add_test(tests, the_newest_finding_counts_in_whatever_order_they_come);
    tcase_add_test(tests, threads_that_ask_for_the_same_sessions_do_not_mix_them_up);
    tcase_add_test(tests, more_sessions_than_it_holds_are_asked_for_and_never_mixed_up);
}

int main(void)
{
    return suite_run_together("access", add);
}
