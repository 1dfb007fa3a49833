/* migration: brings a worker's PostgreSQL schema to the version this program knows. */
#pragma once

#include "ops/runtime/pg.h"

struct migration {
    int number;      /* from 1, in order */
    const char *sql; /* from tables.sql, split at lines "-- migration N" by the build */
};

/* Under one lock for all workers: creates the schema `name`, the tables that every worker keeps (`common`), the vault
 * and then the worker's own migrations, each once, in one transaction; both lists end by number 0. Re-runnable. FATAL
 * when the database is newer than this program. The connection's search path must begin with `name`. */
MUST_CHECK err migration_apply(struct pg *pg, const char *name, const struct migration *common,
                               const struct migration *own, int64_t *ret_applied);
