/* The connection, its errors and its pipelines, against a real PostgreSQL. Each test has a schema of its own, dropped
 * with it, so that the same server can serve other tests at the same time. */
#include "ops/runtime/pg_private.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/runtime/allocations.h"
#include "tests/runtime/captured.h"
#include "tests/runtime/suite.h"

static const char *dsn;
static struct pg *pg, *other;
static struct arena arena;

static void ck_ok(err e)
{
    ck_assert_msg(e == OK, "%s: %s", err_name(e), err_message());
}

static void setup(void)
{
    arena_init(&arena, 0);
    pg = pg_create(dsn, "runtime test");
    other = pg_create(dsn, "runtime test, other");
    ck_ok(pg_script(pg, "CREATE SCHEMA IF NOT EXISTS runtime_test; DROP TABLE IF EXISTS runtime_test.t;"
                        "CREATE TABLE runtime_test.t (id int PRIMARY KEY, body text)"));
}

static void teardown(void)
{
    pg_disconnect(pg);
    ck_ok(pg_script(pg, "DROP SCHEMA runtime_test CASCADE"));
    pg_destroy(pg);
    pg_destroy(other);
    arena_finish(&arena);
}

static const struct pg_statement insert_row = { "test_insert", "INSERT INTO runtime_test.t VALUES ($1, $2)" };
static const struct pg_statement count_rows = { "test_count", "SELECT count(*) FROM runtime_test.t" };
static const struct pg_statement backend_pid = { "test_pid", "SELECT pg_backend_pid()" };
static const struct pg_statement terminate = { "test_terminate", "SELECT pg_terminate_backend($1, 5000)" };
static const struct pg_statement is_active = {
    "test_is_active", "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"
};
static const struct pg_statement is_there = { "test_is_there", "SELECT count(*) FROM pg_stat_activity WHERE pid = $1" };
static const struct pg_statement raise_own = { "test_raise_own", "SELECT runtime_test.raise($1)" };

static struct pg_args row_args(int id, const char *body)
{
    struct pg_args args = pg_args(&arena);
    pg_arg_int4(&args, id);
    pg_arg_text(&args, str_of(body));
    return args;
}

static int64_t one_int(struct pg *on, const struct pg_statement *statement, const struct pg_args *args)
{
    PGresult *r = NULL;
    ck_ok(pg_query(on, statement, args, &r));
    const int64_t value = pg_int(r, 0, 0);
    PQclear(r);
    return value;
}

static struct pg_args int4_args(int64_t i)
{
    struct pg_args args = pg_args(&arena);
    pg_arg_int4(&args, (int32_t)i);
    return args;
}

/* Ends the server's side of `victim`'s connection, and waits until it has ended. */
static void terminate_backend(int64_t pid)
{
    const struct pg_args args = int4_args(pid);
    PGresult *r = NULL;
    ck_ok(pg_query(other, &terminate, &args, &r));
    ck_assert(pg_bool(r, 0, 0));
    PQclear(r);
}

/* The DSN with one keyword changed, in keyword=value form. */
static const char *changed_dsn(const char *keyword, const char *value)
{
    static struct buf text;
    buf_clear(&text);
    PQconninfoOption *options = PQconninfoParse(dsn, NULL);
    ck_assert_ptr_nonnull(options);
    for (const PQconninfoOption *o = options; o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            buf_printf(&text, "%s='%s' ", keyword, value);
        else if (o->val)
            buf_printf(&text, "%s='%s' ", o->keyword, o->val);
    PQconninfoFree(options);
    buf_char(&text, '\0');
    return text.ptr;
}

/* --- values --- */

START_TEST(values_of_every_type_come_back)
{
    static const struct pg_statement echo = {
        "test_echo",
        "SELECT $1::bool, $2::int2, $3::int4, $4::int8, $5::text, $6::bytea, $7::uuid, $8::timestamptz, $9::text, "
        "$8::timestamptz AT TIME ZONE 'UTC' = '2024-02-29 12:34:56.789'::timestamp"
    };
    const int64_t at = 1709210096789;
    const struct uuid id = uuid_v7(at);
    struct pg_args args = pg_args(&arena);
    pg_arg_bool(&args, true);
    pg_arg_int2(&args, INT16_MIN);
    pg_arg_int4(&args, INT32_MIN);
    pg_arg_int8(&args, INT64_MAX);
    pg_arg_text(&args, STR("h\xc3\xa9llo"));
    pg_arg_bytes(&args, (struct str){ "\0\xff\1", 3 });
    pg_arg_uuid(&args, id);
    pg_arg_time(&args, at);
    pg_arg_null(&args);
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &echo, &args, &r));
    ck_assert(pg_bool(r, 0, 0));
    ck_assert_int_eq(pg_int(r, 0, 1), INT16_MIN);
    ck_assert_int_eq(pg_int(r, 0, 2), INT32_MIN);
    ck_assert_int_eq(pg_int(r, 0, 3), INT64_MAX);
    ck_assert(str_equal(pg_str(r, 0, 4), STR("h\xc3\xa9llo")));
    ck_assert(str_equal(pg_str(r, 0, 5), (struct str){ "\0\xff\1", 3 }));
    ck_assert(uuid_equal(pg_uuid(r, 0, 6), id));
    ck_assert_int_eq(pg_time(r, 0, 7), at);
    ck_assert(pg_null(r, 0, 8));
    ck_assert(!pg_null(r, 0, 0));
    ck_assert(pg_bool(r, 0, 9)); /* the server reads the time as the same */
    PQclear(r);
}
END_TEST

START_TEST(null_reads_as_nothing)
{
    static const struct pg_statement nulls = {
        "test_nulls", "SELECT NULL::bool, NULL::int8, NULL::text, NULL::uuid, NULL::timestamptz"
    };
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &nulls, NULL, &r));
    for (int i = 0; i < 5; i++)
        ck_assert(pg_null(r, 0, i));
    ck_assert(!pg_bool(r, 0, 0));
    ck_assert_int_eq(pg_int(r, 0, 1), 0);
    ck_assert_uint_eq(pg_str(r, 0, 2).len, 0);
    ck_assert(uuid_is_nil(pg_uuid(r, 0, 3)));
    ck_assert_int_eq(pg_time(r, 0, 4), 0);
    PQclear(r);
}
END_TEST

START_TEST(empty_text_is_not_null)
{
    static const struct pg_statement echo = { "test_echo_text", "SELECT $1::text, $2::bytea" };
    struct pg_args args = pg_args(&arena);
    pg_arg_text(&args, (struct str){ 0 });
    pg_arg_bytes(&args, (struct str){ 0 });
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &echo, &args, &r));
    ck_assert(!pg_null(r, 0, 0));
    ck_assert(!pg_null(r, 0, 1));
    PQclear(r);
}
END_TEST

START_TEST(a_time_is_rounded_down_also_before_1970)
{
    static const struct pg_statement fine = {
        "test_fine", "SELECT '1969-12-31 23:59:59.9995Z'::timestamptz, '1970-01-01 00:00:00.0019Z'::timestamptz"
    };
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &fine, NULL, &r));
    ck_assert_int_eq(pg_time(r, 0, 0), -1);
    ck_assert_int_eq(pg_time(r, 0, 1), 1);
    PQclear(r);
}
END_TEST

START_TEST(times_before_1970_and_without_end_come_back)
{
    static const struct pg_statement echo = { "test_echo_time", "SELECT $1::timestamptz, $1::timestamptz::text" };
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { -1, "1969-12-31 23:59:59.999+00" },
        { -2208988800000, "1900-01-01 00:00:00+00" },
        { INT64_MAX, "infinity" },
        { INT64_MIN, "-infinity" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pg_args args = pg_args(&arena);
        pg_arg_time(&args, rows[i].ms);
        PGresult *r = NULL;
        ck_ok(pg_query(pg, &echo, &args, &r));
        ck_assert_int_eq(pg_time(r, 0, 0), rows[i].ms);
        ck_assert(str_equal(pg_str(r, 0, 1), str_of(rows[i].text)));
        PQclear(r);
    }
}
END_TEST

/* Two elements and a NULL between them, of each type. */
static void fill(struct pg_array *array, enum pg_type type, struct uuid id)
{
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            pg_array_null(array);
            continue;
        }
        switch (type) {
        case PG_BOOL:
            pg_array_bool(array, i == 2);
            break;
        case PG_INT2:
            pg_array_int2(array, (int16_t)(i - 7));
            break;
        case PG_INT4:
            pg_array_int4(array, i - 7);
            break;
        case PG_INT8:
            pg_array_int8(array, i - 7);
            break;
        case PG_TIMESTAMPTZ:
            pg_array_time(array, i - 7);
            break;
        case PG_TEXT:
        case PG_BYTEA:
            pg_array_str(array, i ? STR("two, \"2\"") : (struct str){ 0 });
            break;
        case PG_UUID:
            pg_array_uuid(array, i ? id : uuid_nil);
            break;
        }
    }
}

static void ck_element(const PGresult *r, int row, enum pg_type type, struct uuid id)
{
    if (row == 1) {
        ck_assert(pg_null(r, row, 0));
        return;
    }
    ck_assert(!pg_null(r, row, 0));
    switch (type) {
    case PG_BOOL:
        ck_assert_int_eq(pg_bool(r, row, 0), row == 2);
        break;
    case PG_INT2:
    case PG_INT4:
    case PG_INT8:
        ck_assert_int_eq(pg_int(r, row, 0), row - 7);
        break;
    case PG_TIMESTAMPTZ:
        ck_assert_int_eq(pg_time(r, row, 0), row - 7);
        break;
    case PG_TEXT:
    case PG_BYTEA:
        ck_assert(str_equal(pg_str(r, row, 0), row ? STR("two, \"2\"") : (struct str){ 0 }));
        break;
    case PG_UUID:
        ck_assert(uuid_equal(pg_uuid(r, row, 0), row ? id : uuid_nil));
        break;
    }
}

static const struct {
    enum pg_type type;
    struct pg_statement unnest;
} array_types[] = {
    { PG_BOOL, { "test_a_bool", "SELECT unnest($1::bool[])" } },
    { PG_INT2, { "test_a_int2", "SELECT unnest($1::int2[])" } },
    { PG_INT4, { "test_a_int4", "SELECT unnest($1::int4[])" } },
    { PG_INT8, { "test_a_int8", "SELECT unnest($1::int8[])" } },
    { PG_TEXT, { "test_a_text", "SELECT unnest($1::text[])" } },
    { PG_BYTEA, { "test_a_bytea", "SELECT unnest($1::bytea[])" } },
    { PG_UUID, { "test_a_uuid", "SELECT unnest($1::uuid[])" } },
    { PG_TIMESTAMPTZ, { "test_a_time", "SELECT unnest($1::timestamptz[])" } },
};

START_TEST(an_array_of_every_type_comes_back_with_its_nulls)
{
    const struct uuid id = uuid_v7(clock_wall_ms());
    const enum pg_type type = array_types[_i].type;
    struct pg_array *array = pg_array(&arena, type, 0); /* the hint may be too small */
    fill(array, type, id);
    ck_assert_uint_eq(pg_array_count(array), 3);
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, array);
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &array_types[_i].unnest, &args, &r));
    ck_assert_int_eq(PQntuples(r), 3);
    for (int row = 0; row < 3; row++)
        ck_element(r, row, type, id);
    PQclear(r);
}
END_TEST

START_TEST(an_empty_array_of_every_type_is_empty)
{
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, pg_array(&arena, array_types[_i].type, 8));
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &array_types[_i].unnest, &args, &r));
    ck_assert_int_eq(PQntuples(r), 0);
    PQclear(r);
}
END_TEST

START_TEST(an_array_finds_its_rows)
{
    static const struct pg_statement any = { "test_any",
                                             "SELECT id FROM runtime_test.t WHERE id = ANY($1) ORDER BY id" };
    ck_ok(pg_script(pg, "INSERT INTO runtime_test.t SELECT generate_series(1, 100)"));
    struct pg_array *ids = pg_array(&arena, PG_INT4, 3);
    pg_array_int4(ids, 50);
    pg_array_int4(ids, 7);
    pg_array_int4(ids, 500);
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, ids);
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &any, &args, &r));
    ck_assert_int_eq(PQntuples(r), 2);
    ck_assert_int_eq(pg_int(r, 0, 0), 7);
    ck_assert_int_eq(pg_int(r, 1, 0), 50);
    PQclear(r);
}
END_TEST

/* --- statements --- */

START_TEST(the_session_is_set_up)
{
    static const struct pg_statement show = {
        "test_show", "SELECT current_setting('timezone'), current_setting('application_name'), "
                     "current_setting('client_min_messages'), current_setting('idle_in_transaction_session_timeout')"
    };
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &show, NULL, &r));
    ck_assert(str_equal(pg_str(r, 0, 0), STR("UTC")));
    ck_assert(str_equal(pg_str(r, 0, 1), STR("runtime test")));
    ck_assert(str_equal(pg_str(r, 0, 2), STR("warning")));
    ck_assert(str_equal(pg_str(r, 0, 3), STR("5s")));
    PQclear(r);
}
END_TEST

START_TEST(a_statement_is_prepared_once_a_connection)
{
    static const struct pg_statement prepared = {
        "test_prepared", "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'test_%'"
    };
    ck_assert_int_eq(one_int(pg, &prepared, NULL), 1);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
    ck_assert_int_eq(one_int(pg, &prepared, NULL), 2);
}
END_TEST

#define MANY 300

START_TEST(hundreds_of_statements_are_remembered)
{
    static struct pg_statement statements[MANY];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < MANY; i++) {
            if (round == 0)
                statements[i] =
                    (struct pg_statement){ arena_printf(&arena, "test_%d", i), arena_printf(&arena, "SELECT %d", i) };
            ck_assert_int_eq(one_int(pg, &statements[i], NULL), i);
        }
}
END_TEST

START_TEST(a_script_of_several_statements_runs_and_its_first_error_counts)
{
    ck_ok(pg_script(pg, "INSERT INTO runtime_test.t VALUES (1); INSERT INTO runtime_test.t VALUES (2)"));
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 2);
    ck_assert_int_eq(pg_script(pg, "INSERT INTO runtime_test.t VALUES (3); SELECT 1/0; SELECT nonsense"), REJECT);
    ck_assert_str_eq(pg_sqlstate(pg), "22012");
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 2);
}
END_TEST

/* --- errors --- */

START_TEST(sqlstates_say_what_to_do_next)
{
    static const struct {
        const char *state;
        err expected;
    } rows[] = {
        { "AE001", REJECT }, { "22003", REJECT }, { "23505", REJECT }, { "P0001", REJECT },
        { "54000", REJECT }, { "40001", RETRY },  { "40P01", RETRY },  { "53300", RETRY },
        { "55P03", RETRY },  { "57014", RETRY },  { "58030", RETRY },  { "25006", RETRY },
        { "0A000", RETRY },  { "42P01", FATAL },  { "42601", FATAL },  { "XX000", FATAL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_ok(pg_script(pg,
                        "CREATE OR REPLACE FUNCTION runtime_test.raise(state text) RETURNS void LANGUAGE plpgsql AS "
                        "$$ BEGIN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = 'raised'; END $$"));
        struct pg_args args = pg_args(&arena);
        pg_arg_text(&args, str_of(rows[i].state));
        ck_assert_msg(pg_query(pg, &raise_own, &args, NULL) == rows[i].expected, "%s", rows[i].state);
        ck_assert_str_eq(pg_sqlstate(pg), rows[i].state);
        ck_assert_ptr_nonnull(strstr(err_message(), "raised"));
        ck_assert_ptr_nonnull(strstr(err_message(), rows[i].state));
    }
}
END_TEST

START_TEST(the_message_of_an_error_does_not_quote_a_row)
{
    struct pg_args args = row_args(1, "hunter2");
    ck_ok(pg_script(pg, "CREATE UNIQUE INDEX ON runtime_test.t (body)"));
    ck_ok(pg_query(pg, &insert_row, &args, NULL));
    args = row_args(2, "hunter2");
    ck_assert_int_eq(pg_query(pg, &insert_row, &args, NULL), REJECT);
    ck_assert_str_eq(pg_sqlstate(pg), "23505");
    ck_assert_ptr_nonnull(strstr(err_message(), "test_insert"));
    ck_assert_ptr_null(strstr(err_message(), "hunter2"));
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 1);
    ck_assert_str_eq(pg_sqlstate(pg), ""); /* of the last operation only */
}
END_TEST

START_TEST(a_server_that_is_away_is_retry)
{
    struct pg *nobody = pg_create("host=127.0.0.1 port=1 user=x dbname=x", "test");
    ck_assert_int_eq(pg_connect(nobody), RETRY);
    ck_assert(!pg_is_connected(nobody));
    ck_assert_int_eq(pg_query(nobody, &count_rows, NULL, NULL), RETRY);
    ck_assert_int_eq(pg_batch_begin(nobody), RETRY);
    ck_assert_int_eq(pg_script(nobody, "SELECT 1"), RETRY);
    pg_destroy(nobody);
}
END_TEST

START_TEST(a_server_that_takes_connections_and_says_nothing_is_given_up)
{
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    struct pg *mute =
        pg_create(arena_printf(&arena, "host=127.0.0.1 port=%d user=x dbname=x", ntohs(at.sin_port)), "test");
    const int64_t before = clock_mono_us();
    ck_assert_int_eq(pg_connect(mute), RETRY);
    ck_assert_int_lt(clock_mono_us() - before, 7000000);
    pg_destroy(mute);
    close(listener);
}
END_TEST

START_TEST(a_wrong_dsn_database_or_role_is_fatal)
{
    static const char *const keywords[] = { "dbname", "user" };
    for (size_t i = 0; i < 2; i++) {
        struct pg *wrong = pg_create(changed_dsn(keywords[i], "no such name"), "test");
        ck_assert_msg(pg_connect(wrong) == FATAL, "%s: %s", keywords[i], err_message());
        ck_assert_ptr_nonnull(strstr(err_message(), "FATAL"));
        pg_destroy(wrong);
    }
    struct pg *wrong = pg_create("password=hunter2 nonsense", "test");
    ck_assert_int_eq(pg_connect(wrong), FATAL);
    ck_assert_ptr_null(strstr(err_message(), "hunter2"));
    pg_destroy(wrong);
    pg_destroy(NULL);
}
END_TEST

START_TEST(notices_are_lines_of_the_log)
{
    log_init("test", LOG_LEVEL_INFO);
    struct captured c = capture_begin(STDERR_FILENO);
    ck_ok(pg_script(pg, "DO $$ BEGIN RAISE NOTICE 'quiet'; RAISE WARNING 'loud'; END $$"));
    char *text = capture_end(&c);
    ck_assert_ptr_nonnull(
        strstr(text, "\"event\":\"PostgreSQL notice\",\"connection\":\"runtime test\",\"text\":\"loud\""));
    ck_assert_ptr_null(strstr(text, "quiet"));
    free(text);
}
END_TEST

/* --- lost connections --- */

START_TEST(a_connection_that_was_closed_while_idle_is_made_anew)
{
    for (int i = 0; i < 3; i++) {
        const int64_t pid = one_int(pg, &backend_pid, NULL);
        ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
        terminate_backend(pid);
        ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0); /* prepared again, too */
        ck_assert_int_ne(one_int(pg, &backend_pid, NULL), pid);
    }
    const int64_t pid = one_int(pg, &backend_pid, NULL);
    terminate_backend(pid);
    PGresult *results[1];
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &count_rows, NULL));
    ck_ok(pg_batch_end(pg, results, 1));
    pg_results_clear(results, 1);
}
END_TEST

START_TEST(a_transaction_whose_connection_was_closed_is_not_continued_on_a_new_one)
{
    const struct pg_args one = row_args(1, "first"), two = row_args(2, "second");
    const int64_t pid = one_int(pg, &backend_pid, NULL);
    ck_ok(pg_query(pg, &pg_sql_begin, NULL, NULL));
    ck_ok(pg_query(pg, &insert_row, &one, NULL));
    terminate_backend(pid);
    ck_assert_int_eq(pg_query(pg, &insert_row, &two, NULL), RETRY);
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
    ck_ok(pg_query(pg, &insert_row, &two, NULL));
}
END_TEST

static const struct pg_statement slow_insert = { "test_slow_insert",
                                                 "INSERT INTO runtime_test.t SELECT $1, 'slow' FROM pg_sleep(60)" };

static void *run_slow_insert(void *context)
{
    (void)context;
    static struct arena own;
    arena_init(&own, 0);
    struct pg_args args = pg_args(&own);
    pg_arg_int4(&args, 1);
    const err e = pg_query(pg, &slow_insert, &args, NULL);
    arena_finish(&own);
    return (void *)(uintptr_t)e;
}

START_TEST(a_statement_whose_outcome_is_unknown_is_not_run_again)
{
    const int64_t pid = one_int(pg, &backend_pid, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, run_slow_insert, NULL);
    const struct pg_args args = int4_args(pid);
    while (one_int(other, &is_active, &args) == 0)
        poll(NULL, 0, 5);
    terminate_backend(pid);
    void *result;
    pthread_join(thread, &result);
    ck_assert_int_eq((err)(uintptr_t)result, RETRY);
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
}
END_TEST

START_TEST(a_server_that_does_not_answer_in_time_is_given_up)
{
    const struct pg_args args = int4_args(1);
    for (int batch = 0; batch < 2; batch++) {
        const struct pg_args pid = int4_args(one_int(pg, &backend_pid, NULL));
        const int64_t before = clock_mono_us();
        pg_set_timeout(pg, 100);
        if (batch) {
            ck_ok(pg_batch_begin(pg));
            ck_ok(pg_batch_add(pg, &slow_insert, &args));
            ck_assert_int_eq(pg_batch_end(pg, NULL, 0), RETRY);
        } else {
            ck_assert_int_eq(pg_query(pg, &slow_insert, &args, NULL), RETRY);
        }
        pg_set_timeout(pg, 0);
        ck_assert_int_lt(clock_mono_us() - before, 5000000);
        ck_assert(!pg_is_connected(pg));
        while (one_int(other, &is_there, &pid) > 0) /* the server notices that nobody waits any more */
            poll(NULL, 0, 20);
    }
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
}
END_TEST

START_TEST(a_table_that_has_changed_heals)
{
    static const struct pg_statement star = { "test_star", "SELECT * FROM runtime_test.t" };
    ck_ok(pg_query(pg, &star, NULL, NULL));
    ck_ok(pg_script(other, "ALTER TABLE runtime_test.t ADD COLUMN more int"));
    ck_assert_int_eq(pg_query(pg, &star, NULL, NULL), RETRY);
    ck_ok(pg_query(pg, &star, NULL, NULL));
    ck_ok(pg_script(pg, "DEALLOCATE ALL"));
    ck_assert_int_eq(pg_query(pg, &star, NULL, NULL), RETRY);
    ck_ok(pg_query(pg, &star, NULL, NULL));
}
END_TEST

/* --- batches --- */

static void add_row(int id, const char *body)
{
    const struct pg_args args = row_args(id, body);
    ck_ok(pg_batch_add(pg, &insert_row, &args));
}

START_TEST(a_batch_gives_its_results_in_order)
{
    static const struct pg_statement echo = { "test_echo_int", "SELECT $1::int4" };
    PGresult *results[100];
    for (int round = 0; round < 3; round++) {
        ck_ok(pg_batch_begin(pg));
        for (int i = 0; i < 100; i++) {
            const struct pg_args args = int4_args(i + round);
            ck_ok(pg_batch_add(pg, i % 10 ? &echo : &backend_pid, i % 10 ? &args : NULL));
            if (i == 50)
                ck_ok(pg_batch_flush(pg));
        }
        ck_ok(pg_batch_end(pg, results, 100));
        for (int i = 0; i < 100; i++)
            if (i % 10)
                ck_assert_int_eq(pg_int(results[i], 0, 0), i + round);
        pg_results_clear(results, 100);
        ck_assert_ptr_null(results[0]);
    }
}
END_TEST

START_TEST(an_empty_batch_is_fine)
{
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_end(pg, NULL, 0));
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_flush(pg));
    ck_ok(pg_batch_end(pg, NULL, 0));
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
}
END_TEST

START_TEST(an_error_in_the_middle_undoes_the_batch_and_leaves_the_connection_usable)
{
    static const struct pg_statement later = { "test_later", "SELECT 'prepared after the error'" };
    PGresult *results[4];
    for (int round = 0; round < 3; round++) {
        const int64_t pid = one_int(pg, &backend_pid, NULL);
        ck_ok(pg_batch_begin(pg));
        add_row(1, "one");
        add_row(1, "again");
        add_row(2, "two");
        ck_ok(pg_batch_add(pg, &later, NULL));
        ck_assert_int_eq(pg_batch_end(pg, results, 4), REJECT);
        ck_assert_str_eq(pg_sqlstate(pg), "23505");
        ck_assert_ptr_nonnull(strstr(err_message(), "test_insert"));
        for (int i = 0; i < 4; i++)
            ck_assert_ptr_null(results[i]);
        ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
        ck_assert_int_eq(one_int(pg, &backend_pid, NULL), pid);
    }
    ck_ok(pg_query(pg, &later, NULL, NULL));
}
END_TEST

START_TEST(a_statement_that_cannot_be_prepared_fails_its_batch_only)
{
    static const struct pg_statement wrong = { "test_wrong", "SELECT nothing FROM runtime_test.nowhere" };
    for (int round = 0; round < 2; round++) {
        ck_ok(pg_batch_begin(pg));
        add_row(1, "one");
        ck_ok(pg_batch_add(pg, &wrong, NULL));
        ck_assert_int_eq(pg_batch_end(pg, NULL, 0), FATAL);
        ck_assert_str_eq(pg_sqlstate(pg), "42P01");
    }
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
    ck_ok(pg_script(pg, "CREATE TABLE runtime_test.nowhere (nothing int)"));
    ck_ok(pg_query(pg, &wrong, NULL, NULL));
}
END_TEST

/* With and without a flush between: `_i` says after how many statements. */
START_TEST(an_error_within_a_transaction_leaves_the_connection_outside_of_it)
{
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &pg_sql_begin, NULL));
    for (int i = 0; i < 4; i++) {
        if (i == _i)
            ck_ok(pg_batch_flush(pg));
        add_row(i == 2 ? 0 : i, "row");
    }
    ck_ok(pg_batch_add(pg, &pg_sql_commit, NULL));
    ck_assert_int_eq(pg_batch_end(pg, NULL, 0), REJECT);
    ck_assert_str_eq(pg_sqlstate(pg), "23505");
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
    ck_assert_int_eq(one_int(other, &count_rows, NULL), 0);
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &pg_sql_begin, NULL));
    add_row(7, "row");
    ck_ok(pg_batch_add(pg, &pg_sql_commit, NULL));
    ck_ok(pg_batch_end(pg, NULL, 0));
    ck_assert_int_eq(one_int(other, &count_rows, NULL), 1);
}
END_TEST

START_TEST(an_error_without_a_commit_rolls_back)
{
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &pg_sql_begin, NULL));
    add_row(1, "row");
    add_row(1, "row");
    ck_assert_int_eq(pg_batch_end(pg, NULL, 0), REJECT);
    ck_assert_str_eq(pg_sqlstate(pg), "23505");
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0); /* not 25P02 */
}
END_TEST

START_TEST(a_transaction_may_span_batches_and_queries)
{
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &pg_sql_begin, NULL));
    add_row(1, "row");
    ck_ok(pg_batch_end(pg, NULL, 0));
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 1);
    ck_assert_int_eq(one_int(other, &count_rows, NULL), 0);
    ck_ok(pg_query(pg, &pg_sql_commit, NULL, NULL));
    ck_assert_int_eq(one_int(other, &count_rows, NULL), 1);
}
END_TEST

START_TEST(a_commit_that_rolled_back_is_no_success)
{
    const struct pg_args args = row_args(1, "row");
    ck_ok(pg_query(pg, &pg_sql_begin, NULL, NULL));
    ck_ok(pg_query(pg, &insert_row, &args, NULL));
    ck_assert_int_eq(pg_query(pg, &insert_row, &args, NULL), REJECT);
    ck_assert_int_eq(pg_query(pg, &pg_sql_commit, NULL, NULL), FATAL);
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
}
END_TEST

START_TEST(a_batch_that_is_not_ended_has_no_effect)
{
    ck_ok(pg_batch_begin(pg));
    add_row(1, "row");
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 0);
    ck_ok(pg_batch_begin(pg));
    add_row(2, "row");
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_end(pg, NULL, 0));
    ck_assert_int_eq(one_int(other, &count_rows, NULL), 0);
    ck_assert_int_eq(pg_batch_end(pg, NULL, 0), RETRY);
    ck_assert_int_eq(pg_batch_add(pg, &count_rows, NULL), RETRY);
    ck_assert_int_eq(pg_batch_flush(pg), RETRY);
}
END_TEST

START_TEST(a_batch_whose_connection_is_lost_is_retry_and_the_next_one_works)
{
    const int64_t pid = one_int(pg, &backend_pid, NULL);
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &pg_sql_begin, NULL));
    add_row(1, "row");
    ck_ok(pg_batch_flush(pg));
    terminate_backend(pid);
    err e = OK;
    const struct pg_args args = row_args(2, "row");
    for (int i = 0; e == OK && i < 3; i++)
        e = pg_batch_add(pg, &insert_row, &args);
    PGresult *results[5] = { 0 };
    ck_assert_int_eq(pg_batch_end(pg, results, 5), RETRY);
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_null(results[i]);
    ck_ok(pg_batch_begin(pg));
    add_row(1, "row");
    ck_ok(pg_batch_end(pg, NULL, 0));
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 1);
}
END_TEST

START_TEST(a_paused_process_holds_no_locks)
{
    ck_ok(pg_script(pg, "INSERT INTO runtime_test.t VALUES (1, 'before');"
                        "SET idle_in_transaction_session_timeout = '100ms'"));
    const struct pg_args pid = int4_args(one_int(pg, &backend_pid, NULL));
    static const struct pg_statement update = { "test_update", "UPDATE runtime_test.t SET body = $1 WHERE id = 1" };
    struct pg_args body = pg_args(&arena);
    pg_arg_text(&body, STR("within"));
    ck_ok(pg_batch_begin(pg));
    ck_ok(pg_batch_add(pg, &pg_sql_begin, NULL));
    ck_ok(pg_batch_add(pg, &update, &body));
    ck_ok(pg_batch_flush(pg));
    while (one_int(other, &is_there, &pid) > 0) /* the server ends it by itself */
        poll(NULL, 0, 5);
    ck_ok(pg_query(other, &update, &body, NULL));
    const err added = pg_batch_add(pg, &pg_sql_commit, NULL);
    ck_assert_int_eq(added == OK ? pg_batch_end(pg, NULL, 0) : added, RETRY);
    ck_assert_int_eq(one_int(pg, &count_rows, NULL), 1);
}
END_TEST

#define BIG_ROWS 20000

START_TEST(twenty_thousand_rows_of_several_arrays_go_in_one_batch)
{
    static const struct pg_statement insert = {
        "test_big",
        "INSERT INTO runtime_test.big SELECT * FROM unnest($1::int8[], $2::uuid[], $3::text[], $4::timestamptz[], "
        "$5::bool[]) RETURNING *"
    };
    ck_ok(pg_script(pg, "CREATE TABLE runtime_test.big (n int8, id uuid, body text, at timestamptz, flag bool)"));
    struct pg_array *n = pg_array(&arena, PG_INT8, BIG_ROWS), *id = pg_array(&arena, PG_UUID, BIG_ROWS),
                    *body = pg_array(&arena, PG_TEXT, BIG_ROWS), *at = pg_array(&arena, PG_TIMESTAMPTZ, BIG_ROWS),
                    *flag = pg_array(&arena, PG_BOOL, BIG_ROWS);
    char text[200];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < BIG_ROWS; i++) {
        pg_array_int8(n, i);
        pg_array_uuid(id, uuid_v7(i));
        if (i % 100)
            pg_array_str(body, (struct str){ text, (size_t)(i % 200) });
        else
            pg_array_null(body);
        pg_array_time(at, i);
        pg_array_bool(flag, i % 2);
    }
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, n);
    pg_arg_array(&args, id);
    pg_arg_array(&args, body);
    pg_arg_array(&args, at);
    pg_arg_array(&args, flag);
    PGresult *results[3];
    ck_ok(pg_batch_begin(pg));
    for (int i = 0; i < 3; i++)
        ck_ok(pg_batch_add(pg, &insert, &args));
    ck_ok(pg_batch_end(pg, results, 3));
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(PQntuples(results[k]), BIG_ROWS);
        for (int i = 0; i < BIG_ROWS; i++)
            if (pg_int(results[k], i, 0) != i || uuid_v7_time(pg_uuid(results[k], i, 1)) != i ||
                pg_null(results[k], i, 2) != (i % 100 == 0) ||
                (i % 100 && pg_str(results[k], i, 2).len != (size_t)(i % 200)) || pg_time(results[k], i, 3) != i ||
                pg_bool(results[k], i, 4) != i % 2)
                ck_abort_msg("row %d", i);
    }
    pg_results_clear(results, 3);
}
END_TEST

/* Both sides want to write more than all socket buffers hold: who only writes, or only reads, waits for ever. Ours are
 * made small; the server's grow to some megabytes by themselves. */
START_TEST(a_batch_larger_than_all_buffers_in_both_directions_does_not_lock_up)
{
    static const struct pg_statement echo = { "test_echo_big", "SELECT $1::bytea, repeat('x', 8 << 20)" };
    const size_t size = 1 << 20;
    const int small = 65536;
    char *bytes = arena_alloc(&arena, size);
    PGresult *results[16];
    ck_ok(pg_batch_begin(pg));
    ck_assert_int_eq(setsockopt(PQsocket(pg->conn), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    ck_assert_int_eq(setsockopt(PQsocket(pg->conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (int i = 0; i < 16; i++) {
        bytes[0] = (char)i; /* copied when it is added */
        struct pg_args args = pg_args(&arena);
        pg_arg_bytes(&args, (struct str){ bytes, size });
        ck_ok(pg_batch_add(pg, &echo, &args));
    }
    ck_ok(pg_batch_end(pg, results, 16));
    for (int i = 0; i < 16; i++) {
        ck_assert_uint_eq(pg_str(results[i], 0, 0).len, size);
        ck_assert_int_eq(pg_str(results[i], 0, 0).ptr[0], i);
        ck_assert_uint_eq(pg_str(results[i], 0, 1).len, 8 << 20);
    }
    pg_results_clear(results, 16);
}
END_TEST

START_TEST(batches_after_the_first_allocate_nothing_of_our_own)
{
    static const struct pg_statement upsert = {
        "test_upsert", "INSERT INTO runtime_test.t SELECT * FROM unnest($1::int4[], $2::text[]) "
                       "ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body"
    };
    size_t before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 3)
            before = allocations();
        struct pg_array *ids = pg_array(&arena, PG_INT4, 500), *bodies = pg_array(&arena, PG_TEXT, 500);
        for (int i = 0; i < 500; i++) {
            pg_array_int4(ids, i);
            pg_array_str(bodies, STR("a body that is longer than what the hint was about"));
        }
        struct pg_args args = pg_args(&arena);
        pg_arg_array(&args, ids);
        pg_arg_array(&args, bodies);
        err e = pg_batch_begin(pg);
        e = e == OK ? pg_batch_add(pg, &pg_sql_begin, NULL) : e;
        e = e == OK ? pg_batch_add(pg, &upsert, &args) : e;
        e = e == OK ? pg_batch_add(pg, &pg_sql_commit, NULL) : e;
        e = e == OK ? pg_batch_end(pg, NULL, 0) : e;
        if (e != OK)
            ck_abort_msg("%s", err_message());
        arena_reset(&arena);
    }
    const size_t after = allocations();
    ck_assert_uint_eq(after, before);
}
END_TEST

int main(void)
{
    dsn = suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("pg");
    TCase *t = suite_case("values");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, values_of_every_type_come_back);
    tcase_add_test(t, null_reads_as_nothing);
    tcase_add_test(t, empty_text_is_not_null);
    tcase_add_test(t, a_time_is_rounded_down_also_before_1970);
    tcase_add_test(t, times_before_1970_and_without_end_come_back);
    const int types = sizeof array_types / sizeof *array_types;
    tcase_add_loop_test(t, an_array_of_every_type_comes_back_with_its_nulls, 0, types);
    tcase_add_loop_test(t, an_empty_array_of_every_type_is_empty, 0, types);
    tcase_add_test(t, an_array_finds_its_rows);
    suite_add_tcase(suite, t);

    t = suite_case("statements");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_session_is_set_up);
    tcase_add_test(t, a_statement_is_prepared_once_a_connection);
    tcase_add_test(t, hundreds_of_statements_are_remembered);
    tcase_add_test(t, a_script_of_several_statements_runs_and_its_first_error_counts);
    tcase_add_test(t, sqlstates_say_what_to_do_next);
    tcase_add_test(t, the_message_of_an_error_does_not_quote_a_row);
    tcase_add_test(t, a_wrong_dsn_database_or_role_is_fatal);
    tcase_add_test(t, notices_are_lines_of_the_log);
    suite_add_tcase(suite, t);

    t = suite_case("lost connections");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_server_that_is_away_is_retry);
    tcase_add_test(t, a_server_that_takes_connections_and_says_nothing_is_given_up);
    tcase_add_test(t, a_connection_that_was_closed_while_idle_is_made_anew);
    tcase_add_test(t, a_transaction_whose_connection_was_closed_is_not_continued_on_a_new_one);
    tcase_add_test(t, a_statement_whose_outcome_is_unknown_is_not_run_again);
    tcase_add_test(t, a_server_that_does_not_answer_in_time_is_given_up);
    tcase_add_test(t, a_table_that_has_changed_heals);
    suite_add_tcase(suite, t);

    t = suite_case("batches");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_batch_gives_its_results_in_order);
    tcase_add_test(t, an_empty_batch_is_fine);
    tcase_add_test(t, an_error_in_the_middle_undoes_the_batch_and_leaves_the_connection_usable);
    tcase_add_test(t, a_statement_that_cannot_be_prepared_fails_its_batch_only);
    tcase_add_loop_test(t, an_error_within_a_transaction_leaves_the_connection_outside_of_it, 0, 5);
    tcase_add_test(t, an_error_without_a_commit_rolls_back);
    tcase_add_test(t, a_transaction_may_span_batches_and_queries);
    tcase_add_test(t, a_commit_that_rolled_back_is_no_success);
    tcase_add_test(t, a_batch_that_is_not_ended_has_no_effect);
    tcase_add_test(t, a_batch_whose_connection_is_lost_is_retry_and_the_next_one_works);
    tcase_add_test(t, a_paused_process_holds_no_locks);
    tcase_add_test(t, twenty_thousand_rows_of_several_arrays_go_in_one_batch);
    tcase_add_test(t, a_batch_larger_than_all_buffers_in_both_directions_does_not_lock_up);
    tcase_add_test(t, batches_after_the_first_allocate_nothing_of_our_own);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
