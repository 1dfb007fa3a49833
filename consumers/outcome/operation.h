/* operation: what became of a command, by its id. Every worker's PostgreSQL schema has a table operations; the loop
 * writes it in the fold's transaction and reads it to know a command that comes twice; the gateway reads it for GET
 * /operations/{id} and when a reply did not come. All strings live in the arena. RETRY when PostgreSQL is away. */
#pragma once

#include "ops/runtime/pg.h"
#include "schemas/replies.gen.h"

struct operation {
    struct uuid command_id, actor;
    int32_t rejection; /* 0: accepted */
    struct str stream;
    int32_t partition;
    int64_t fact_offset; /* -1: rejected */
    struct str request_hash, fact;
    int64_t at;    /* Unix ms */
    bool recorded; /* read from the table, not made just now */
    bool repeated; /* made just now, and the table has an older outcome of the command */
};

extern const char *const operation_workers[]; /* every worker, from the build; ended by NULL */

/* Finds the outcomes of these commands in the operations table of the worker whose PostgreSQL schema is `worker`
 * ("messages"). *ret has *ret_count rows, in any order; ids that are not there are left out. */
MUST_CHECK err operation_find(struct pg *pg, struct arena *arena, const char *worker, const struct uuid *ids,
                              size_t count, struct outcome **ret, size_t *ret_count);

/* --- for the loop; the connection's search path begins with the worker's schema --- */

MUST_CHECK err operation_lookup(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count,
                                struct operation **ret, size_t *ret_count);
/* Adds the rows to the batch under way. One that is there already fails it (REJECT, SQLSTATE 23505), or, when that is
 * expected (`repeated`, which costs twice as much), stays as it is, but for AGGREGATE_PARKED: a command that met a
 * parked key is decided anew when it is sent again. No two rows may have one command id. */
MUST_CHECK err operation_record(struct pg *pg, struct arena *arena, const struct operation *const *rows, size_t count,
                                bool repeated);
/* Forgets what is older than `before` (Unix ms) in the next few blocks of the table, from *from on, and leaves in it
 * where to go on: the time it takes does not depend on the size of the table. */
MUST_CHECK err operation_expire(struct pg *pg, struct arena *arena, int64_t before, int64_t *from);
