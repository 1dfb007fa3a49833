#include "tests/runtime/pg_fixture.h"

const char *dsn;
struct pg *pg, *other;
struct arena arena;

void pg_setup(void)
{
    arena_init(&arena, 0);
    pg = pg_create(dsn, "runtime test");
    other = pg_create(dsn, "runtime test, other");
    ck_ok(pg_script(pg, "CREATE SCHEMA IF NOT EXISTS runtime_test; DROP TABLE IF EXISTS runtime_test.t;"
                        "CREATE TABLE runtime_test.t (id int PRIMARY KEY, body text)"));
}

void pg_teardown(void)
{
    pg_disconnect(pg);
    ck_ok(pg_script(pg, "DROP SCHEMA runtime_test CASCADE"));
    pg_destroy(pg);
    pg_destroy(other);
    arena_finish(&arena);
}

const struct pg_statement insert_row = { "test_insert", "INSERT INTO runtime_test.t VALUES ($1, $2)" };
const struct pg_statement count_rows = { "test_count", "SELECT count(*) FROM runtime_test.t" };
const struct pg_statement backend_pid = { "test_pid", "SELECT pg_backend_pid()" };
static const struct pg_statement terminate = { "test_terminate", "SELECT pg_terminate_backend($1, 5000)" };
const struct pg_statement is_there = { "test_is_there", "SELECT count(*) FROM pg_stat_activity WHERE pid = $1" };

struct pg_args row_args(int id, const char *body)
{
    struct pg_args args = pg_args(&arena);
    pg_arg_int4(&args, id);
    pg_arg_text(&args, str_of(body));
    return args;
}

int64_t one_int(struct pg *on, const struct pg_statement *statement, const struct pg_args *args)
{
    PGresult *r = NULL;
    ck_ok(pg_query(on, statement, args, &r));
    const int64_t value = pg_int(r, 0, 0);
    PQclear(r);
    return value;
}

struct pg_args int4_args(int64_t i)
{
    struct pg_args args = pg_args(&arena);
    pg_arg_int4(&args, (int32_t)i);
    return args;
}

void terminate_backend(int64_t pid)
{
    const struct pg_args args = int4_args(pid);
    PGresult *r = NULL;
    ck_ok(pg_query(other, &terminate, &args, &r));
    ck_assert(pg_bool(r, 0, 0));
    PQclear(r);
}
