/* A throw-away database for a test, made in the server of AETHER_TEST_POSTGRES_DSN (a role that may
 * create databases). */
#pragma once

#include "consumers/loop/worker.h"

struct database {
    struct pg *pg;
    char name[64];
};

/* Creates the database and applies the migrations of every worker and of the definitions (NULL-terminated) each in its
 * own schema. Any
 * failure ends the program. */
void database_create(struct database *d, const struct worker_definition *const *definitions);
void database_destroy(struct database *d);

/* How a program connects to it; in the arena. */
const char *database_dsn(const struct database *d, struct arena *arena);
/* One more connection to it; the caller's (pg_destroy). Commits do not wait for the disk. */
struct pg *database_connect(const struct database *d);

void database_run(struct database *d, const char *sql);
/* The one value of the one row of a query, in the arena; "" when it is NULL. */
struct str database_value(struct database *d, struct arena *arena, const char *sql);

/* Folds the facts in one transaction, in calls of `size` facts (0: all at once). */
void database_fold(struct database *d, const struct stream_worker *worker, const struct placed_fact *facts,
                   size_t count, size_t size);
/* With a state that has evolved by them. */
void database_fold_evolved(struct database *d, const struct stream_worker *worker, const void *state,
                           const struct placed_fact *facts, size_t count, size_t size);
