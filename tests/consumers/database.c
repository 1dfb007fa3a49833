#include "tests/consumers/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/suite.h"

#define MUST(expression)                                                                                               \
    do {                                                                                                               \
        if ((expression) != OK) {                                                                                      \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, err_message());                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The server's DSN, as keywords or as a URI, with another database. */
static void with_database(const char *dsn, const char *name, struct buf *out)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(dsn, &message);
    if (!options) {
        fprintf(stderr, "AETHER_TEST_POSTGRES_DSN: %s", message);
        exit(1);
    }
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (!o->val || strcmp(o->keyword, "dbname") == 0)
            continue;
        buf_printf(out, "%s='", o->keyword);
        for (const char *c = o->val; *c; c++) {
            if (*c == '\'' || *c == '\\')
                buf_char(out, '\\');
            buf_char(out, *c);
        }
        buf_printf(out, "' ");
    }
    PQconninfoFree(options);
    buf_printf(out, "dbname='%s'", name);
    buf_char(out, '\0');
}

static struct pg *server(void)
{
    struct pg *pg = pg_create(suite_server("AETHER_TEST_POSTGRES_DSN"), "aether-test");
    MUST(pg_connect(pg));
    return pg;
}

const char *database_dsn(const struct database *d, struct arena *arena)
{
    struct buf dsn = { 0 };
    with_database(suite_server("AETHER_TEST_POSTGRES_DSN"), d->name, &dsn);
    const char *copy = arena_printf(arena, "%s", dsn.ptr);
    buf_finish(&dsn);
    return copy;
}

struct pg *database_connect(const struct database *d)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct pg *pg = pg_create(database_dsn(d, &arena), "aether-test");
    arena_finish(&arena);
    MUST(pg_connect(pg));
    MUST(pg_script(pg, "SET synchronous_commit = off"));
    return pg;
}

void database_create(struct database *d, const struct worker_definition *const *definitions)
{
    static int made;
    snprintf(d->name, sizeof d->name, "aether_test_%ld_%d", (long)getpid(), made++);
    struct buf text = { 0 };
    buf_printf(&text, "CREATE DATABASE %s", d->name);
    struct pg *pg = server();
    MUST(pg_script(pg, text.ptr));
    pg_destroy(pg);

    d->pg = database_connect(d);
    database_run(d, "CREATE FUNCTION test_value(query text) RETURNS text LANGUAGE plpgsql AS"
                    " 'DECLARE value text; BEGIN EXECUTE query INTO value; RETURN value; END'");
    for (size_t i = 0; definitions[i]; i++) {
        buf_clear(&text);
        buf_printf(&text, "CREATE SCHEMA %s; SET search_path = %s", definitions[i]->name, definitions[i]->name);
        database_run(d, text.ptr);
        for (const struct migration *m = worker_tables_migrations; m->number; m++)
            database_run(d, m->sql);
        database_run(d, "RESET search_path");
        for (const struct migration *m = definitions[i]->migrations; m->number; m++)
            database_run(d, m->sql);
    }
    buf_finish(&text);
}

void database_destroy(struct database *d)
{
    pg_destroy(d->pg);
    struct buf text = { 0 };
    buf_printf(&text, "DROP DATABASE %s WITH (FORCE)", d->name);
    struct pg *pg = server();
    MUST(pg_script(pg, text.ptr));
    pg_destroy(pg);
    buf_finish(&text);
}

void database_run(struct database *d, const char *sql)
{
    MUST(pg_script(d->pg, sql));
}

struct str database_value(struct database *d, struct arena *arena, const char *sql)
{
    static const struct pg_statement statement = { "test_value", "SELECT test_value($1)" };
    struct pg_args args = pg_args(arena);
    pg_arg_text(&args, str_of(sql));
    PGresult *r;
    MUST(pg_query(d->pg, &statement, &args, &r));
    struct str value = pg_null(r, 0, 0) ? STR("") : arena_str(arena, pg_str(r, 0, 0));
    PQclear(r);
    return value;
}

void database_fold(struct database *d, const struct stream_worker *worker, const struct placed_fact *facts,
                   size_t count, size_t size)
{
    database_fold_evolved(d, worker, NULL, facts, count, size);
}

void database_fold_evolved(struct database *d, const struct stream_worker *worker, const void *state,
                           const struct placed_fact *facts, size_t count, size_t size)
{
    struct arena arena;
    arena_init(&arena, 0);
    MUST(pg_batch_begin(d->pg));
    MUST(pg_batch_add(d->pg, &pg_sql_begin, NULL));
    for (size_t at = 0; at < count; at += size) {
        if (size == 0 || size > count - at)
            size = count - at;
        MUST(worker->fold(d->pg, &arena, state, facts + at, size));
    }
    MUST(pg_batch_add(d->pg, &pg_sql_commit, NULL));
    MUST(pg_batch_end(d->pg, NULL, 0));
    arena_finish(&arena);
}
