/* migration: brings a worker's PostgreSQL schema to the version this program knows. */
#pragma once

#include "consumers/worker.h"

/* Under one lock for all workers: creates the schema `name`, the loop's own tables, the vault and then the worker's
 * migrations, each once, in one transaction. Re-runnable. FATAL when the database is newer than this program. The
 * connection's search path must begin with `name`. */
MUST_CHECK err migration_apply(struct pg *pg, const char *name, const struct migration *own, int64_t *ret_applied);
