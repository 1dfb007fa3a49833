/* pool: a bounded queue of requests and a few threads that may block. Two of them: reads (PostgreSQL and Redis) and
 * hashing (argon2id). A full queue is a 503 with Retry-After, at once. Allocates nothing per request. */
#pragma once

#include "gateway/http/request.h"
#include "ops/runtime/pg.h"
#include "ops/runtime/redis.h"
#include "schemas/codec.h"

struct pool;

struct pool_thread {
    struct pg *pg;
    struct redis *redis;
    struct codec *codec;
    struct arena arena;           /* reset after each batch */
    struct buf text;              /* of the job that runs, which clears it first; its memory is kept */
    int64_t redis_pause_until_us; /* see pool_redis */
};

/* Runs on a pool thread. Must answer (then request_resume is called for it when REQUEST_DONE is returned) or
 * hand on. */
typedef enum request_step pool_job(struct request *r, struct pool_thread *thread);
/* The same for all queued requests with this job that the thread took at once (at most POOL_BATCH): they share round
 * trips. Fills every response, or hands a request on and puts NULL in its place; the others are resumed afterwards. */
typedef void pool_batch_job(struct request **requests, size_t count, struct pool_thread *thread);

#define POOL_BATCH 64

/* Any thread that owns the request. DONE: the queue is full, a 503 has been filled. */
enum request_step pool_run(struct pool *p, struct request *r, pool_job *job);
enum request_step pool_run_batched(struct pool *p, struct request *r, pool_batch_job *job);

/* The thread's Redis, or NULL while it is left alone after a failure: a Redis that does not answer costs one time-out
 * every two seconds, not one a request. Report a RETRY of it with pool_redis_failed. */
struct redis *pool_redis(struct pool_thread *thread);
void pool_redis_failed(struct pool_thread *thread);

struct pool_options {
    const char *name; /* constant; shows in pg_stat_activity, thread names and metrics */
    int threads, queue;
    const struct config *config;
    bool fair;    /* networks of clients take turns (fair_queue.h); else first come, first served */
    int niceness; /* setpriority(2): threads that give way to all others when both want a core; 0: like the others */
    void (*idle)(void); /* called once on a thread that had nothing to do for a while; may be NULL */
};

MUST_CHECK err pool_create(const struct pool_options *options, struct pool **ret);
/* Finishes what is queued, then ends the threads. */
void pool_stop(struct pool *p);
void pool_destroy(struct pool *p);
size_t pool_waiting(const struct pool *p); /* in the queue now; any thread */
