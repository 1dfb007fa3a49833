/* The connection, its statements and its errors, against a real PostgreSQL. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/runtime/captured.h"
#include "tests/runtime/pg_fixture.h"

static const struct pg_statement is_active = {
    "test_is_active", "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"
};
static const struct pg_statement raise_own = { "test_raise_own", "SELECT runtime_test.raise($1)" };

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

int main(void)
{
    dsn = suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("pg");
    TCase *t = suite_case("statements");
    tcase_add_checked_fixture(t, pg_setup, pg_teardown);
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
    tcase_add_checked_fixture(t, pg_setup, pg_teardown);
    tcase_add_test(t, a_server_that_is_away_is_retry);
    tcase_add_test(t, a_server_that_takes_connections_and_says_nothing_is_given_up);
    tcase_add_test(t, a_connection_that_was_closed_while_idle_is_made_anew);
    tcase_add_test(t, a_transaction_whose_connection_was_closed_is_not_continued_on_a_new_one);
    tcase_add_test(t, a_statement_whose_outcome_is_unknown_is_not_run_again);
    tcase_add_test(t, a_server_that_does_not_answer_in_time_is_given_up);
    tcase_add_test(t, a_table_that_has_changed_heals);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
