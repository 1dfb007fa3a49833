/* What the tests on a projection share: a database of the test's own, and facts that are folded into it one by one. */
#pragma once

#include "tests/consumers/database.h"
#include "tests/consumers/values.h"
#include "tests/suite.h"

extern struct database db;
extern struct arena arena;
extern int64_t position; /* the next fact's offset */

/* Before and after each test: the tables of one worker, empty. */
void story_begin(const struct worker_definition *worker);
void story_end(void);

/* Folds a fact of the worker's nth stream at the next offset. */
void story_fold(const struct worker_definition *worker, size_t stream, const struct any_record *fact,
                int32_t partition);

/* What was written, in the arena. */
static inline const char *rendered(const struct buf *b)
{
    return arena_str(&arena, buf_view(b)).ptr;
}
