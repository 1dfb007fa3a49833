/* after: reads that wait for a position. "Aether-After: rooms/3@1234" on a GET holds it until the projection has folded
 * that record: who has a write's Aether-Position reads that write at any gateway, and reads a receipt back.
 *
 * A read that has to wait stands in a list, not on a thread; one thread asks PostgreSQL every few milliseconds how far
 * the folds are while anybody waits, and hands those whose position is there to the pool. One that waits to its
 * deadline is answered 503 with Retry-After. */
#pragma once

#include "gateway/pool.h"

struct after;

MUST_CHECK err after_create(const struct config *config, struct after **ret);
/* Answers 503 to what still waits. The pools' threads must still run. */
void after_stop(struct after *a);
void after_destroy(struct after *a);

/* On the thread that parses the request, for a GET: whether it names a position that it has not waited for yet. A wrong
 * one fills a problem (and r->response.status). */
bool after_wanted(struct request *r);
/* What it waits with, once, in place of going into the pool. Exactly one of the jobs. */
enum request_step after_wait(struct after *a, struct request *r, struct pool *pool, pool_job *job,
                             pool_batch_job *batch_job);
