/* checkpoint: where the fold of each partition stands, in PostgreSQL. */
#pragma once

#include "ops/runtime/pg.h"

struct checkpoint {
    const char *stream;     /* in */
    int32_t partition;      /* in */
    int64_t next_offset;    /* first fact of <stream>.events[partition] that is not folded */
    int64_t command_offset; /* last command with an outcome; -1: none */
    int64_t rebuild_until;  /* facts before it are folded without their commands */
};

/* Fills the rows for `count` partitions. One that has no row yet gets it, at 0 and -1 with rebuild_until as given in
 * events_end[i]: a projection that is not there is rebuilt from the facts alone. One statement. */
MUST_CHECK err checkpoint_load(struct pg *pg, struct arena *arena, struct checkpoint *checkpoints,
                               const int64_t *events_end, size_t count);

/* Makes the partition be rebuilt from facts alone up to `until`. */
MUST_CHECK err checkpoint_rebuild(struct pg *pg, struct arena *arena, const struct checkpoint *at, int64_t until);

/* Adds the compare-and-swap to the batch under way: fails the batch with REJECT and SQLSTATE AE001 (CHECKPOINT_MOVED)
 * unless every partition stands at expected[i]. */
MUST_CHECK err checkpoint_advance(struct pg *pg, struct arena *arena, const struct checkpoint *expected,
                                  const struct checkpoint *next, size_t count);

#define CHECKPOINT_MOVED "AE001"
