/* Listeners that come in together, in the pool that lets them in: one snapshot for all that wait, what fails for one is
 * that one's alone, and nobody waits for everybody of another address. Sessions and the snapshot are the test's own. */
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "gateway/gateway.h"
#include "gateway/http/server.h"
#include "gateway/live/intake.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/settings.h"

#define MOST 256

static const struct setting *const tables[] = { http_settings, gateway_settings, runtime_settings, codec_settings,
                                                NULL };

static struct caller {
    struct request request; /* first */
    int place;              /* when it was answered, from 1 on; 0: not yet */
} callers[MOST];

static struct config *config;
static struct pool *pool;
static struct intake intake;
static atomic_int answered;
static sem_t one_answered;
static sem_t held, let_go; /* of the first one's snapshot */
static int snapshots, snapshot_of[MOST];
static const struct caller *ended, *broken; /* whose session has ended; with whom the query fails */
static err away;                            /* what every snapshot gives */

static size_t check(struct request **requests, size_t count, struct pool_thread *thread, struct request **ret)
{
    size_t n = 0;
    (void)thread;
    for (size_t i = 0; i < count; i++) {
        if ((const struct caller *)requests[i] == ended)
            problem(requests[i], 401, "session_ended", NULL, "The session has ended.");
        else
            ret[n++] = requests[i];
    }
    return n;
}

static err snapshot(struct request **requests, size_t count, struct pool_thread *thread)
{
    (void)thread;
    snapshot_of[snapshots++] = (int)count;
    if (requests[0] == &callers[0].request) {
        sem_post(&held);
        sem_wait(&let_go);
    }
    if (away != OK && requests[0] != &callers[0].request)
        return err_set(away, "PostgreSQL is away");
    for (size_t i = 0; i < count; i++)
        if ((const struct caller *)requests[i] == broken)
            return err_set(REJECT, "a row cannot be read");
    for (size_t i = 0; i < count; i++)
        requests[i]->response.status = 101;
    return OK;
}

static void admit(struct request **requests, size_t count, struct pool_thread *thread)
{
    intake_admit(&intake, requests, count, thread);
}

static void on_resumed(struct request *r)
{
    ((struct caller *)r)->place = atomic_fetch_add(&answered, 1) + 1;
    sem_post(&one_answered);
}

/* Comes from the address with this number. */
static void come(int i, uint8_t address)
{
    struct request *r = &callers[i].request;
    callers[i].place = 0;
    memset(r, 0, sizeof *r);
    arena_init(&r->arena, 1024);
    r->client.address = (struct address){ { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = address } };
    r->resumed = on_resumed;
    ck_assert_int_eq(pool_run_batched(pool, r, admit), REQUEST_SUSPENDED);
}

static void wait_for_answers(int count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    while (atomic_load(&answered) < count)
        ck_assert_msg(sem_timedwait(&one_answered, &until) == 0, "%d of %d are answered", atomic_load(&answered),
                      count);
}

/* The first one is being let in, and keeps the others waiting. */
static void start(int64_t each_us)
{
    config = settings_of(tables, (const char *[]){ "postgres.dsn=host=127.0.0.1 port=1",
                                                   "redis.url=redis://127.0.0.1:1/0", "log.level=error", NULL });
    intake = (struct intake){ .each_us = each_us, .check = check, .snapshot = snapshot };
    atomic_store(&answered, 0);
    snapshots = 0;
    ended = broken = NULL;
    away = OK;
    sem_init(&one_answered, 0, 0);
    sem_init(&held, 0, 0);
    sem_init(&let_go, 0, 0);
    ck_ok(pool_create(
        &(struct pool_options){ .name = "live", .threads = 1, .queue = MOST, .config = config, .fair = true }, &pool));
    come(0, 1);
    sem_wait(&held);
}

/* Lets the first one go, and ends when all have their answers. */
static void finish(int count)
{
    sem_post(&let_go);
    wait_for_answers(count);
    pool_destroy(pool);
    config_destroy(config);
}

static void forget(int count)
{
    for (int i = 0; i < count; i++) {
        arena_finish(&callers[i].request.arena);
        buf_finish(&callers[i].request.response.body);
    }
}

static void each_comes_in(int from, int until)
{
    for (int i = from; i < until; i++)
        ck_assert_int_eq(callers[i].request.response.status, 101);
}

START_TEST(all_that_wait_come_in_by_one_snapshot_in_the_order_in_which_they_came)
{
    start(1);
    for (int i = 1; i <= POOL_BATCH + 10; i++)
        come(i, 1);
    finish(POOL_BATCH + 11);
    ck_assert_int_eq(snapshots, 3);
    ck_assert_int_eq(snapshot_of[1], POOL_BATCH);
    ck_assert_int_eq(snapshot_of[2], 10);
    each_comes_in(0, POOL_BATCH + 11);
    for (int i = 0; i < POOL_BATCH + 11; i++)
        ck_assert_int_eq(callers[i].place, i + 1);
    forget(POOL_BATCH + 11);
}
END_TEST

START_TEST(one_whose_session_has_ended_is_refused_and_the_others_come_in)
{
    start(1);
    ended = &callers[3];
    for (int i = 1; i < 10; i++)
        come(i, 1);
    finish(10);
    ck_assert_int_eq(snapshots, 2);
    ck_assert_int_eq(snapshot_of[1], 8);
    each_comes_in(0, 3);
    ck_assert_int_eq(callers[3].request.response.status, 401);
    each_comes_in(4, 10);
    forget(10);
}
END_TEST

START_TEST(when_all_are_refused_nothing_is_asked)
{
    start(1);
    ended = &callers[1];
    come(1, 1);
    finish(2);
    ck_assert_int_eq(snapshots, 1);
    ck_assert_int_eq(callers[1].request.response.status, 401);
    forget(2);
}
END_TEST

START_TEST(where_the_query_fails_for_one_the_others_come_in)
{
    start(1);
    broken = &callers[37];
    for (int i = 1; i <= POOL_BATCH; i++)
        come(i, 1);
    finish(POOL_BATCH + 1);
    each_comes_in(0, 37);
    ck_assert_int_eq(callers[37].request.response.status, 400);
    ck_assert_ptr_nonnull(strstr(callers[37].request.why, "a row cannot be read"));
    each_comes_in(38, POOL_BATCH + 1);
    ck_assert_int_eq(snapshots, 2 + 2 * 6); /* 64, and twice 32, 16, 8, 4, 2, 1 */
    forget(POOL_BATCH + 1);
}
END_TEST

START_TEST(a_postgres_that_is_away_is_asked_once_and_all_are_told_to_come_again)
{
    start(1);
    away = RETRY;
    for (int i = 1; i < 20; i++)
        come(i, 1);
    finish(20);
    ck_assert_int_eq(snapshots, 2);
    for (int i = 1; i < 20; i++) {
        ck_assert_int_eq(callers[i].request.response.status, 503);
        ck_assert_str_eq(callers[i].request.response.headers[0].name, "Retry-After");
    }
    forget(20);
}
END_TEST

START_TEST(what_is_wrong_for_all_is_asked_once)
{
    start(1);
    away = FATAL;
    for (int i = 1; i < 20; i++)
        come(i, 1);
    finish(20);
    ck_assert_int_eq(snapshots, 2);
    for (int i = 1; i < 20; i++)
        ck_assert_int_eq(callers[i].request.response.status, 500);
    forget(20);
}
END_TEST

START_TEST(who_comes_alone_is_let_in_before_the_crowd_of_another_address)
{
    start(1);
    for (int i = 1; i <= 3 * POOL_BATCH; i++)
        come(i, 1);
    come(3 * POOL_BATCH + 1, 2);
    finish(3 * POOL_BATCH + 2);
    ck_assert_int_le(callers[3 * POOL_BATCH + 1].place, 3); /* behind the first, and one of the crowd */
    for (int i = 1; i <= 3 * POOL_BATCH; i++)
        ck_assert_int_gt(callers[i].place, callers[i - 1].place);
    forget(3 * POOL_BATCH + 2);
}
END_TEST

START_TEST(not_more_than_so_many_a_second_come_in)
{
    int64_t began_us = clock_mono_us();
    start(2000);
    for (int i = 1; i <= 100; i++)
        come(i, 1);
    finish(101);
    ck_assert_int_ge(clock_mono_us() - began_us, (1 + POOL_BATCH) * 2000); /* those before the last batch */
    forget(101);
}
END_TEST

START_TEST(a_batch_waits_for_each_that_came_before_it)
{
    struct intake in = { .each_us = 1000 };
    ck_assert_int_eq(intake_wait_us(&in, 5000000, 64), 0);
    ck_assert_int_eq(intake_wait_us(&in, 5000000, 10), 64000);
    ck_assert_int_eq(intake_wait_us(&in, 5064000, 1), 10000);
    ck_assert_int_eq(intake_wait_us(&in, 5075000, 1), 0);
    ck_assert_int_eq(intake_wait_us(&in, 9000000, 64), 0); /* what was not used is lost */
    ck_assert_int_eq(intake_wait_us(&in, 9000000, 1), 64000);
}
END_TEST

START_TEST(the_thread_rests_as_long_as_a_snapshot_took_and_not_for_ever)
{
    struct intake in = { .each_us = 1000 };
    ck_assert_int_eq(intake_wait_us(&in, 5000000, 10), 0);
    intake_rest(&in, 5002000, 2000); /* the pace alone is slower */
    ck_assert_int_eq(in.next_at_us, 5010000);
    intake_rest(&in, 5030000, 30000);
    ck_assert_int_eq(intake_wait_us(&in, 5030000, 1), 30000);
    intake_rest(&in, 9000000, 4000000);
    ck_assert_int_eq(intake_wait_us(&in, 9000000, 1), INTAKE_REST_US);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, all_that_wait_come_in_by_one_snapshot_in_the_order_in_which_they_came);
    tcase_add_test(tests, one_whose_session_has_ended_is_refused_and_the_others_come_in);
    tcase_add_test(tests, when_all_are_refused_nothing_is_asked);
    tcase_add_test(tests, where_the_query_fails_for_one_the_others_come_in);
    tcase_add_test(tests, a_postgres_that_is_away_is_asked_once_and_all_are_told_to_come_again);
    tcase_add_test(tests, what_is_wrong_for_all_is_asked_once);
    tcase_add_test(tests, who_comes_alone_is_let_in_before_the_crowd_of_another_address);
    tcase_add_test(tests, not_more_than_so_many_a_second_come_in);
    tcase_add_test(tests, a_batch_waits_for_each_that_came_before_it);
    tcase_add_test(tests, the_thread_rests_as_long_as_a_snapshot_took_and_not_for_ever);
}

int main(void)
{
    return suite_run_together("live intake", add);
}
