/* operation: what became of a command, by its id. Every worker's PostgreSQL schema has a table operations; the loop writes
 * it in the fold's transaction, the gateway reads it for GET /operations/{id} and when a reply did not come. */
#pragma once

#include "ops/runtime/pg.h"
#include "schemas/replies.gen.h"

/* Finds the outcomes of these commands in the operations table of the PostgreSQL schema `worker` ("messages"). *ret has
 * *ret_count rows, in any order, in the arena; ids that are not there are left out. RETRY when PostgreSQL is away. */
MUST_CHECK err operation_find(struct pg *pg, struct arena *arena, const char *worker, const struct uuid *ids, size_t count,
                              struct outcome **ret, size_t *ret_count);
