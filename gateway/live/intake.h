/* intake: listeners on their way in. Those that wait are taken together, POOL_BATCH at most: each is checked, and those
 * that may come in share one snapshot of PostgreSQL, one query and one round trip, as of one position of the log.
 *
 * The pace protects posting from a storm of reconnects. It has two bounds: so many listeners a second, and half of the
 * time, since the thread rests after each snapshot for as long as that took (INTAKE_REST_US at most). The second one
 * holds where a listener is expensive: whoever is in hundreds of rooms costs ten times as much as whoever is in one.
 *
 * What fails for one does not fail the others: one that is refused is left out, and where PostgreSQL refuses the query
 * of all for what is in it (REJECT), halves of them are asked for, down to the one that it is about. A PostgreSQL that
 * is away, or has no tables, is not asked again: all get that answer. The pool's thread. */
#pragma once

#include "gateway/pool.h"

#define INTAKE_REST_US 100000

struct intake {
    int64_t each_us; /* between two that come in */
    int64_t next_at_us;
    /* Answers those that may not come in, and gives the others, in order. */
    size_t (*check)(struct request **requests, size_t count, struct pool_thread *thread, struct request **ret);
    /* One query for all; RETRY: PostgreSQL is away. Touches none of them when it fails. */
    err (*snapshot)(struct request **requests, size_t count, struct pool_thread *thread);
};

/* Every one has an answer then, or what its listener begins with. */
void intake_admit(struct intake *in, struct request **requests, size_t count, struct pool_thread *thread);

/* --- the pace alone; pure --- */

/* How long `count` more have to wait. */
int64_t intake_wait_us(struct intake *in, int64_t now_us, size_t count);
/* After a snapshot that took so long. */
void intake_rest(struct intake *in, int64_t now_us, int64_t took_us);
