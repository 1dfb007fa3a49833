/* Pipelines, their replies, scripts. */
#include <poll.h>

#include "tests/runtime/allocations.h"
#include "tests/runtime/redis_fixture.h"

/* --- pipelines --- */

START_TEST(replies_come_in_the_order_of_the_commands)
{
    struct seen s = { 0 };
    ck_ok(ADD("DEL", "runtime_test:n"));
    for (int i = 0; i < 20; i++)
        ck_ok(ADD("INCR", "runtime_test:n"));
    ck_ok(ADD("GET", "runtime_test:n"));
    ck_ok(ADD("GET", "runtime_test:none"));
    ck_ok(redis_flush(r, see, &s));
    ck_assert_uint_eq(s.count, 23);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(s.integers[1 + i], i + 1);
    ck_assert_str_eq(s.texts[21], "20");
    ck_assert_int_eq(s.types[22], REDIS_REPLY_NIL);
    ck_assert(redis_is_up(r));
    ck_ok(redis_flush(r, see, &s)); /* nothing is queued */
    ck_assert_uint_eq(s.count, 23);
}
END_TEST

static void same_bytes(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    const struct str *expected = context;
    if (reply->type == REDIS_REPLY_STRING)
        ck_assert(str_equal((struct str){ reply->str, reply->len }, *expected));
}

START_TEST(any_bytes_are_stored_as_they_are)
{
    struct str value = { "a\0b\r\n\xff", 6 };
    for (int i = 0; i < 2; i++) {
        ck_ok(redis_add(r, 3, (const struct str[]){ STR("SET"), STR("runtime_test:bytes"), value }));
        ck_ok(redis_add(r, 2, (const struct str[]){ STR("GET"), STR("runtime_test:bytes") }));
        ck_ok(redis_flush(r, same_bytes, &value));
        value = (struct str){ 0 };
    }
}
END_TEST

START_TEST(nothing_is_sent_before_the_flush)
{
    struct seen s;
    ASK(&s, "SET", "runtime_test:k", "before");
    ck_ok(ADD("SET", "runtime_test:k", "after"));
    redis_discard(r);
    ck_ok(redis_flush(r, NULL, NULL));
    while (ADD("PING") != OK) /* connected anew, after the pause between two attempts */
        poll(NULL, 0, 10);
    ck_ok(redis_flush(r, NULL, NULL));
    ASK(&s, "GET", "runtime_test:k");
    ck_assert_str_eq(s.texts[0], "before");
}
END_TEST

START_TEST(an_error_reply_is_seen_and_returned_and_the_others_count)
{
    struct seen s = { 0 };
    ck_ok(ADD("SET", "runtime_test:text", "no number"));
    ck_ok(ADD("INCR", "runtime_test:text"));
    ck_ok(ADD("GET", "runtime_test:text"));
    ck_assert_int_eq(redis_flush(r, see, &s), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "not an integer"));
    ck_assert_int_eq(s.types[1], REDIS_REPLY_ERROR);
    ck_assert_str_eq(s.texts[2], "no number");
    ck_assert(redis_is_up(r));
    ck_ok(ADD("NO_SUCH_COMMAND"));
    ck_assert_int_eq(redis_flush(r, NULL, NULL), REJECT);
    ck_ok(ADD("PING"));
    ck_ok(redis_flush(r, NULL, NULL));
}
END_TEST

START_TEST(a_large_pipeline_goes_through)
{
    char value[2000];
    memset(value, 'x', sizeof value);
    for (int i = 0; i < 20000; i++)
        ck_ok(redis_add(r, 2, (const struct str[]){ STR("ECHO"), { value, sizeof value } }));
    struct str expected = { value, sizeof value };
    ck_ok(redis_flush(r, same_bytes, &expected));
}
END_TEST

START_TEST(pipelines_after_the_first_allocate_nothing_of_our_own)
{
    size_t before = 0;
    for (int round = 0; round < 50; round++) {
        if (round == 2)
            before = allocations();
        for (int i = 0; i < 200; i++)
            if (redis_add(r, 3, (const struct str[]){ STR("SET"), STR("runtime_test:k"), STR("value") }) != OK ||
                add_increment("1") != OK)
                ck_abort_msg("%s", err_message());
        if (redis_flush(r, NULL, NULL) != OK)
            ck_abort_msg("%s", err_message());
    }
    const size_t after = allocations();
    ck_assert_uint_eq(after, before);
}
END_TEST

/* --- scripts --- */

static const struct redis_script shout = { "return string.upper(ARGV[1])" };

static long long calls_of(const char *command)
{
    redisContext *c = redisConnect("127.0.0.1", server.port);
    freeReplyObject(redisCommand(c, "AUTH s@cret"));
    redisReply *reply = redisCommand(c, "INFO commandstats");
    char row[64];
    snprintf(row, sizeof row, "cmdstat_%s:calls=", command);
    const char *at = strstr(reply->str, row);
    const long long calls = at ? atoll(at + strlen(row)) : 0;
    freeReplyObject(reply);
    redisFree(c);
    return calls;
}

START_TEST(a_script_is_sent_once_a_connection_and_called_by_its_hash)
{
    struct seen s = { 0 };
    ck_ok(add_increment("5"));
    ck_ok(redis_add_script(r, &shout, 0, 1, (const struct str[]){ STR("loud") }));
    ck_ok(add_increment("2"));
    ck_ok(redis_flush(r, see, &s));
    ck_assert_uint_eq(s.count, 3);
    ck_assert_int_eq(s.integers[0], 5);
    ck_assert_str_eq(s.texts[1], "LOUD");
    ck_assert_int_eq(s.integers[2], 7);
    const long long in_full = calls_of("eval");
    for (int i = 0; i < 10; i++) {
        s.count = 0;
        ck_ok(add_increment("1"));
        ck_ok(redis_flush(r, see, &s));
        ck_assert_int_eq(s.integers[0], 8 + i);
    }
    ck_assert_int_eq(calls_of("eval"), in_full);
    ck_assert_int_eq(calls_of("evalsha"), 10);
}
END_TEST

START_TEST(a_server_that_has_forgotten_its_scripts_gets_them_again)
{
    struct seen s;
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
    ASK(&s, "SCRIPT", "FLUSH");
    ck_ok(ADD("SET", "runtime_test:k", "it ran"));
    ck_ok(add_increment("1"));
    ck_assert_int_eq(redis_flush(r, NULL, NULL), RETRY);
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
    ASK(&s, "GET", "runtime_test:n");
    ck_assert_str_eq(s.texts[0], "3");
    ASK(&s, "GET", "runtime_test:k");
    ck_assert_str_eq(s.texts[0], "it ran");
}
END_TEST

START_TEST(the_error_of_a_script_is_reject)
{
    static const struct redis_script wrong = { "return redis.call('INCR', 'a', 'b')" };
    for (int i = 0; i < 3; i++) {
        ck_ok(redis_add_script(r, &wrong, 0, 0, NULL));
        ck_assert_int_eq(redis_flush(r, NULL, NULL), REJECT);
    }
    static const struct redis_script no_lua = { "this is no Lua" };
    for (int i = 0; i < 3; i++) {
        ck_ok(redis_add_script(r, &no_lua, 0, 0, NULL));
        ck_assert_int_eq(redis_flush(r, NULL, NULL), REJECT);
    }
}
END_TEST

START_TEST(what_heals_is_retry_and_what_does_not_is_fatal)
{
    static const struct redis_script fail = { "return redis.error_reply(ARGV[1] .. ' says the server')" };
    static const struct {
        const char *word;
        err expected;
    } replies[] = {
        { "LOADING", RETRY },    { "BUSY", RETRY },       { "READONLY", RETRY },  { "OOM", RETRY },
        { "MASTERDOWN", RETRY }, { "NOREPLICAS", RETRY }, { "MISCONF", RETRY },   { "TRYAGAIN", RETRY },
        { "NOAUTH", FATAL },     { "NOPERM", FATAL },     { "WRONGPASS", FATAL }, { "WRONGTYPE", REJECT },
        { "ERR", REJECT },       { "OOMPH", REJECT },
    };
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        ck_ok(redis_add_script(r, &fail, 0, 1, (const struct str[]){ str_of(replies[i].word) }));
        const err e = redis_flush(r, NULL, NULL);
        ck_assert_msg(e == replies[i].expected, "%s is %s", replies[i].word, err_name(e));
        ck_assert_ptr_nonnull(strstr(err_message(), replies[i].word));
        ck_assert(redis_is_up(r));
    }
}
END_TEST

START_TEST(a_wrong_url_is_fatal)
{
    static const char *const wrong[] = {
        "",
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://host:port",
        "redis://host:99999",
        "redis://host/x",
        "redis://host:1x/0",
        "redis://[::1",
        "redis://[::1]x",
        "redis://:6379",
        "redis://:hunter2@:1/0",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct redis *w = redis_create(wrong[i], TIMEOUT_MS);
        ck_assert_msg(redis_add(w, 1, (const struct str[]){ STR("PING") }) == FATAL, "%s", wrong[i]);
        ck_assert_ptr_null(strstr(err_message(), "hunter2"));
        redis_destroy(w);
    }
    redis_destroy(NULL);
}
END_TEST

int main(void)
{
    url = suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("redis");
    TCase *t = suite_case("shared server");
    tcase_add_checked_fixture(t, redis_setup, redis_teardown);
    tcase_add_test(t, replies_come_in_the_order_of_the_commands);
    tcase_add_test(t, any_bytes_are_stored_as_they_are);
    tcase_add_test(t, nothing_is_sent_before_the_flush);
    tcase_add_test(t, an_error_reply_is_seen_and_returned_and_the_others_count);
    tcase_add_test(t, a_large_pipeline_goes_through);
    tcase_add_test(t, pipelines_after_the_first_allocate_nothing_of_our_own);
    tcase_add_test(t, the_error_of_a_script_is_reject);
    tcase_add_test(t, what_heals_is_retry_and_what_does_not_is_fatal);
    tcase_add_test(t, a_wrong_url_is_fatal);
    suite_add_tcase(suite, t);

    t = suite_case("own server");
    tcase_add_checked_fixture(t, redis_setup_own, redis_teardown);
    tcase_add_test(t, a_script_is_sent_once_a_connection_and_called_by_its_hash);
    tcase_add_test(t, a_server_that_has_forgotten_its_scripts_gets_them_again);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
