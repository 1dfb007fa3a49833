#include "consumers/projection/migration.h"

#include <inttypes.h>

#include "schemas/vault.h"

/* One lock for every worker, since they share the vault's schema. */
static const struct pg_statement sql_lock = { "migration_lock", "SELECT pg_advisory_xact_lock(4702111234474983745)" };

static const struct pg_statement sql_last = {
    "migration_last", "SELECT coalesce(max(number), 0)::bigint FROM migration WHERE part = $1::text"
};

static const struct pg_statement sql_record = { "migration_record",
                                                "INSERT INTO migration (part, number) VALUES ($1::text, $2::int)" };

static err apply_part(struct pg *pg, const char *part, const struct migration *migrations, int64_t *applied)
{
    struct arena arena;
    arena_init(&arena, 1024);
    _cleanup_result_ PGresult *result = NULL;
    struct pg_args args = pg_args(&arena);
    pg_arg_text(&args, str_of(part));
    err e = pg_query(pg, &sql_last, &args, &result);
    const int64_t last = e == OK ? pg_int(result, 0, 0) : 0;

    int64_t known = 0;
    for (const struct migration *m = migrations; e == OK && m->number; m++) {
        known = m->number;
        if (m->number <= last)
            continue;
        e = pg_script(pg, m->sql);
        if (e != OK)
            break;
        struct pg_args record = pg_args(&arena);
        pg_arg_text(&record, str_of(part));
        pg_arg_int4(&record, m->number);
        e = pg_query(pg, &sql_record, &record, NULL);
        (*applied)++;
    }
    arena_finish(&arena);
    if (e == OK && last > known)
        return err_set(FATAL,
                       "the database has migration %" PRId64 " of '%s', this program knows only %" PRId64
                       ": run the newer program",
                       last, part, known);
    return e;
}

static err apply_all(struct pg *pg, const char *name, const struct migration *common, const struct migration *own,
                     int64_t *applied)
{
    /* `name` is an identifier from the program's own definition, not input. */
    char create[256];
    snprintf(create, sizeof create,
             "CREATE SCHEMA IF NOT EXISTS %s; CREATE TABLE IF NOT EXISTS %s.migration ("
             "part text, number int, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (part, number))",
             name, name);
    TRY(pg_query(pg, &sql_lock, NULL, NULL));
    TRY(pg_script(pg, create));
    TRY(pg_script(pg, vault_schema_sql));
    TRY(apply_part(pg, "worker", common, applied));
    return apply_part(pg, name, own, applied);
}

err migration_apply(struct pg *pg, const char *name, const struct migration *common, const struct migration *own,
                    int64_t *ret_applied)
{
    int64_t applied = 0;
    TRY(pg_query(pg, &pg_sql_begin, NULL, NULL));
    err e = apply_all(pg, name, common, own, &applied);
    if (e == OK)
        e = pg_query(pg, &pg_sql_commit, NULL, NULL);
    if (e != OK) {
        pg_disconnect(pg);
        return e;
    }
    *ret_applied = applied;
    return OK;
}
