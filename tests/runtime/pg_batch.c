/* Pipelines: many statements in one round trip, and what becomes of them when one fails. */
#include <poll.h>
#include <sys/socket.h>

#include "tests/runtime/allocations.h"
#include "tests/runtime/pg_fixture.h"

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
    Suite *suite = suite_create("pg batches");
    TCase *t = suite_case("batches");
    tcase_add_checked_fixture(t, pg_setup, pg_teardown);
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
