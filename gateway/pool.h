/* pool: a bounded queue of requests and a few threads that may block. Two of them: reads (PostgreSQL and Redis) and hashing
 * (argon2id). A full queue is a 503 with Retry-After, at once. */
#pragma once

#include "gateway/request.h"
#include "ops/runtime/pg.h"
#include "ops/runtime/redis.h"

struct pool;

struct pool_thread {
    struct pg *pg;
    struct redis *redis;
    struct codec *codec;
    struct arena arena; /* reset after each batch */
};

/* Runs on a pool thread. Must answer (then request_resume is called for it when REQUEST_DONE is returned) or hand on. */
typedef enum request_step pool_job(struct request *r, struct pool_thread *thread);
/* The same for all queued requests with this job that the thread took at once (at most 64): they share round trips.
 * Fills every response; all are resumed afterwards. */
typedef void pool_batch_job(struct request **requests, size_t count, struct pool_thread *thread);

enum request_step pool_run(struct pool *p, struct request *r, pool_job *job);             /* DONE: queue full, answered 503 */
enum request_step pool_run_batched(struct pool *p, struct request *r, pool_batch_job *job);
