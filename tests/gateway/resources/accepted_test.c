/* 202, and what is known of an operation before its outcome: here, and in a Redis that the linker takes out of the way
 * (--wrap). */
#include <hiredis/hiredis.h>
#include <stdio.h>

#include "gateway/commands/accepted.h"
#include "gateway/gateway.h"
#include "ops/runtime/redis.h"
#include "tests/suite.h"

#define KEPT 4096

static struct gateway gateway;
static struct request r;
static struct pool_thread thread;
static bool pool_is_full, redis_is_there;
static int resumed, failed;
static err flush_says;
static char asked[512]; /* of Redis, its arguments by spaces */
static const char *stored;

/* --- what lies behind --- */

enum request_step __wrap_pool_run_batched(struct pool *pool, struct request *request, pool_batch_job *job);
enum request_step __wrap_pool_run_batched(struct pool *pool, struct request *request, pool_batch_job *job)
{
    (void)pool;
    if (pool_is_full) {
        problem(request, 503, "overloaded", NULL, "Too many wait.");
        response_header(request, "Retry-After", "1");
        return REQUEST_DONE;
    }
    job(&request, 1, &thread);
    request_resume(request);
    return REQUEST_SUSPENDED;
}

struct redis *__wrap_pool_redis(struct pool_thread *t);
struct redis *__wrap_pool_redis(struct pool_thread *t)
{
    (void)t;
    return redis_is_there ? (struct redis *)&gateway : NULL;
}

void __wrap_pool_redis_failed(struct pool_thread *t);
void __wrap_pool_redis_failed(struct pool_thread *t)
{
    (void)t;
    failed++;
}

err __wrap_redis_add(struct redis *redis, size_t argc, const struct str *argv);
err __wrap_redis_add(struct redis *redis, size_t argc, const struct str *argv)
{
    (void)redis;
    asked[0] = '\0';
    for (size_t i = 0; i < argc; i++)
        snprintf(asked + strlen(asked), sizeof asked - strlen(asked), "%s%.*s", i > 0 ? " " : "", (int)argv[i].len,
                 argv[i].ptr);
    return OK;
}

err __wrap_redis_flush(struct redis *redis, redis_each *each, void *context);
err __wrap_redis_flush(struct redis *redis, redis_each *each, void *context)
{
    (void)redis;
    if (flush_says != OK)
        return err_set(flush_says, "Redis is away");
    redisReply reply = { .type = stored ? REDIS_REPLY_STRING : REDIS_REPLY_NIL,
                         .str = (char *)stored,
                         .len = stored ? strlen(stored) : 0 };
    if (each)
        each(context, 0, &reply);
    return OK;
}

/* --- a request --- */

static void count_resumed(struct request *request)
{
    (void)request;
    resumed++;
}

static struct uuid number(unsigned n)
{
    return (struct uuid){ { 0xee, (uint8_t)(n >> 8), (uint8_t)n } };
}

static const struct uuid actor = { { 0xaa } };
static struct uuid found_actor;
static int64_t found_at;

static bool finds(unsigned n)
{
    return accepted_find(gateway.accepted, &thread, number(n), &found_actor, &found_at);
}

static void accept_number(unsigned n)
{
    r.received_at = 1000 + n;
    r.response.status = 0;
    r.response.header_count = 0;
    arena_reset(&r.arena);
    accepted_answer(&r, number(n), actor);
    ck_assert_int_eq(r.response.status, 202);
}

static const char *header(const char *name)
{
    for (size_t i = 0; i < r.response.header_count; i++)
        if (strcmp(r.response.headers[i].name, name) == 0)
            return r.response.headers[i].value;
    return "";
}

static void set_up(void)
{
    memset(&r, 0, sizeof r);
    gateway.metrics = metrics_create(gateway_metrics, GATEWAY_METRICS);
    gateway.accepted = accepted_create();
    arena_init(&r.arena, 0);
    arena_init(&thread.arena, 0);
    r.gateway = &gateway;
    r.resumed = count_resumed;
    pool_is_full = redis_is_there = false;
    resumed = failed = 0;
    flush_says = OK;
    stored = NULL;
    asked[0] = '\0';
}

static void tear_down(void)
{
    accepted_destroy(gateway.accepted);
    metrics_destroy(gateway.metrics);
    arena_finish(&r.arena);
    arena_finish(&thread.arena);
    buf_finish(&r.response.body);
}

START_TEST(who_is_answered_accepted_is_told_where_to_look)
{
    accept_number(1);
    ck_assert_int_eq(resumed, 1);
    ck_assert_str_eq(arena_str(&r.arena, buf_view(&r.response.body)).ptr,
                     "{\"id\":\"ee000100-0000-0000-0000-000000000000\",\"status\":\"pending\",\"position\":null,"
                     "\"createdAt\":\"1970-01-01T00:00:01.001Z\"}");
    ck_assert_str_eq(header("Location"), "/api/v1/operations/ee000100-0000-0000-0000-000000000000");
    ck_assert_str_eq(header("Retry-After"), "1");
    ck_assert_str_eq(header("Preference-Applied"), "");
    ck_assert_int_eq(metrics_read(gateway.metrics, METRIC_ANSWERED_ACCEPTED), 1);
    r.respond_async = true;
    accept_number(2);
    ck_assert_str_eq(header("Preference-Applied"), "respond-async");
}
END_TEST

START_TEST(a_pool_without_a_place_is_no_reason_to_say_anything_else)
{
    pool_is_full = true;
    accept_number(1);
    ck_assert(resumed == 1 && r.response.header_count == 2 && !r.response.content_type);
    ck_assert(memmem(r.response.body.ptr, r.response.body.len, "pending", 7) != NULL);
    ck_assert(finds(1));
}
END_TEST

START_TEST(the_newest_operations_are_known_here)
{
    ck_assert(!finds(0));
    for (unsigned n = 0; n <= KEPT; n++)
        accept_number(n);
    ck_assert_msg(!finds(0), "the oldest one has made room");
    ck_assert(finds(1) && uuid_equal(found_actor, actor) && found_at == 1001);
    ck_assert(finds(KEPT) && found_at == 1000 + KEPT);
    ck_assert(!finds(KEPT + 1));
}
END_TEST

START_TEST(other_gateways_find_them_for_a_day)
{
    redis_is_there = true;
    accept_number(7);
    ck_assert_str_eq(asked, "SETEX aether:operation:ee000700-0000-0000-0000-000000000000 86400 "
                            "aa000000-0000-0000-0000-000000000000 1007");
    ck_assert(!finds(8));
    ck_assert_str_eq(asked, "GET aether:operation:ee000800-0000-0000-0000-000000000000");
    stored = "bb000000-0000-0000-0000-000000000000 1234";
    ck_assert(finds(8) && found_at == 1234 && found_actor.bytes[0] == 0xbb);
    ck_assert(finds(7) && found_at == 1007); /* what is known here is not asked for */
    static const char *const bad[] = { "", "bb000000-0000-0000-0000-000000000000",
                                       "gb000000-0000-0000-0000-000000000000 1" };
    for (size_t i = 0; i < 3; i++) {
        stored = bad[i];
        ck_assert_msg(!finds(8), "%s", bad[i]);
    }
    ck_assert_int_eq(failed, 0);
}
END_TEST

START_TEST(who_tries_again_without_a_key_finds_the_command)
{
    struct uuid command;
    accept_number(1);
    ck_assert(!accepted_find_retried(gateway.accepted, &thread, number(9), &command));
    redis_is_there = true;
    r.retried_as = number(9);
    accept_number(2);
    ck_assert_str_eq(asked, "SETEX aether:retriedas:ee000900-0000-0000-0000-000000000000 86400 "
                            "ee000200-0000-0000-0000-000000000000 1002");
    ck_assert(accepted_find_retried(gateway.accepted, &thread, number(9), &command));
    ck_assert(uuid_equal(command, number(2)));
    stored = "ee000300-0000-0000-0000-000000000000 5";
    ck_assert(accepted_find_retried(gateway.accepted, &thread, number(10), &command));
    ck_assert(uuid_equal(command, number(3)));
}
END_TEST

START_TEST(a_redis_that_is_away_changes_nothing_but_that_it_is_left_alone)
{
    redis_is_there = true;
    flush_says = RETRY;
    accept_number(1);
    ck_assert(failed == 1 && resumed == 1);
    ck_assert(finds(1) && !finds(2));
    ck_assert_int_eq(failed, 2);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, who_is_answered_accepted_is_told_where_to_look);
    tcase_add_test(tests, a_pool_without_a_place_is_no_reason_to_say_anything_else);
    tcase_add_test(tests, the_newest_operations_are_known_here);
    tcase_add_test(tests, other_gateways_find_them_for_a_day);
    tcase_add_test(tests, who_tries_again_without_a_key_finds_the_command);
    tcase_add_test(tests, a_redis_that_is_away_changes_nothing_but_that_it_is_left_alone);
}

int main(void)
{
    return suite_run_together("accepted", add);
}
