/* owner: who decides each partition now. A worker that has recovered a partition, and whose producer reaches Kafka,
 * says so every second in the table owners of its PostgreSQL schema; a row holds for OWNER_HOLDS_S. A gateway asks
 * there whether a command sent now would be decided at once. Nothing but readiness depends on it: what fences a writer
 * is the checkpoint. */
#pragma once

#include "ops/runtime/pg.h"

#define OWNER_HOLDS_S 4

struct owned {
    const char *stream;
    int32_t partition;
    int32_t partitions; /* how many the stream has */
};

/* For workers; the connection's search path begins with the worker's schema. RETRY when PostgreSQL is away. */
MUST_CHECK err owner_tell(struct pg *pg, struct arena *arena, int64_t instance, const struct owned *owned,
                          size_t count);
/* This instance owns nothing: what it, or its predecessor, has said holds no longer. */
MUST_CHECK err owner_leave(struct pg *pg, struct arena *arena, int64_t instance);

/* For gateways: looks through every stream of every worker, and writes into `ret_missing` (size bytes, cut off there)
 * what has no owner, as "rooms: 3 of 6 partitions have no messages worker; …"; "" when all have one. */
MUST_CHECK err owner_missing(struct pg *pg, char *ret_missing, size_t size);
