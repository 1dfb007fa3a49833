#include "gateway/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/after.h"
#include "gateway/fair_queue.h"
#include "gateway/gateway.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/config.h"
#include "ops/runtime/log.h"

#define IDLE_SECONDS   2
#define REDIS_PAUSE_US 2000000

struct entry {
    struct request *request;
    pool_job *job; /* or */
    pool_batch_job *batch_job;
};

struct pool {
    struct pool_options options;
    pthread_mutex_t lock;
    pthread_cond_t queued;
    atomic_size_t promised; /* places of the queue that are taken or about to be; never above options.queue */
    struct entry *ring;     /* options.queue of them */
    size_t head, count;
    struct fair_queue *turns; /* of the places in the ring; NULL: they come in its order */
    int sleeping;
    atomic_bool stopping; /* changed under the lock */
    struct pool_member {
        struct pool *pool;
        struct pool_thread thread;
        pthread_t id;
        bool started;
    } * members;
};

struct redis *pool_redis(struct pool_thread *thread)
{
    return clock_mono_us() < thread->redis_pause_until_us ? NULL : thread->redis;
}

void pool_redis_failed(struct pool_thread *thread)
{
    thread->redis_pause_until_us = clock_mono_us() + REDIS_PAUSE_US;
}

/* --- queue --- */

static void put(struct pool *p, struct entry entry)
{
    size_t at = (p->head + p->count) % (size_t)p->options.queue;
    if (p->turns) {
        struct address network = client_network(entry.request->client.address);
        at = fair_queue_add(p->turns, network.bytes);
    }
    p->ring[at] = entry;
    p->count++;
}

static const struct entry *next_entry(const struct pool *p)
{
    return &p->ring[p->turns ? fair_queue_next(p->turns) : p->head];
}

static void drop_next(struct pool *p)
{
    if (p->turns)
        fair_queue_take(p->turns);
    else
        p->head = (p->head + 1) % (size_t)p->options.queue;
    p->count--;
}

static void pool_refuse(struct pool *p, struct request *r)
{
    atomic_fetch_sub_explicit(&p->promised, 1, memory_order_relaxed);
    problem(r, 503, "overloaded", NULL, "Too many requests are waiting (%s); try again shortly.", p->options.name);
    response_header(r, "Retry-After", "1");
}

static enum request_step pool_push(struct pool *p, struct entry entry)
{
    struct request *r = entry.request;
    bool full = atomic_fetch_add_explicit(&p->promised, 1, memory_order_relaxed) >= (size_t)p->options.queue;
    if (full || atomic_load_explicit(&p->stopping, memory_order_relaxed)) {
        pool_refuse(p, r);
        return REQUEST_DONE;
    }
    request_suspend(r);
    pthread_mutex_lock(&p->lock);
    if (p->stopping) {
        pthread_mutex_unlock(&p->lock);
        pool_refuse(p, r);
        request_resume(r);
        return REQUEST_SUSPENDED;
    }
    put(p, entry);
    bool wake = p->sleeping > 0;
    pthread_mutex_unlock(&p->lock);
    if (wake)
        pthread_cond_signal(&p->queued);
    return REQUEST_SUSPENDED;
}

enum request_step pool_run(struct pool *p, struct request *r, pool_job *job)
{
    if (r->gateway && after_wanted(r))
        return after_wait(r->gateway->after, r, p, job, NULL);
    return pool_push(p, (struct entry){ .request = r, .job = job });
}

enum request_step pool_run_batched(struct pool *p, struct request *r, pool_batch_job *job)
{
    if (r->gateway && after_wanted(r))
        return after_wait(r->gateway->after, r, p, NULL, job);
    return pool_push(p, (struct entry){ .request = r, .batch_job = job });
}

/* Waits for work; false: stop. Takes the first entry, and with a batch job those right behind it that want the same. */
static bool pool_take(struct pool *p, struct entry *ret_first, struct request *ret_requests[POOL_BATCH],
                      size_t *ret_count)
{
    bool rested = false;
    pthread_mutex_lock(&p->lock);
    while (p->count == 0 && !p->stopping) {
        p->sleeping++;
        if (!p->options.idle || rested) {
            pthread_cond_wait(&p->queued, &p->lock);
            p->sleeping--;
            continue;
        }
        const bool woken =
            condition_wait_until(&p->queued, &p->lock, clock_mono_us() + IDLE_SECONDS * INT64_C(1000000));
        p->sleeping--;
        if (!woken && p->count == 0) {
            rested = true;
            pthread_mutex_unlock(&p->lock);
            p->options.idle();
            pthread_mutex_lock(&p->lock);
        }
    }
    if (p->count == 0) {
        pthread_mutex_unlock(&p->lock);
        return false;
    }
    size_t n = 0;
    *ret_first = *next_entry(p);
    do {
        ret_requests[n++] = next_entry(p)->request;
        drop_next(p);
    } while (ret_first->batch_job && n < POOL_BATCH && p->count > 0 &&
             next_entry(p)->batch_job == ret_first->batch_job);
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_sub_explicit(&p->promised, n, memory_order_relaxed);
    *ret_count = n;
    return true;
}

/* The first request of a thread need not wait for its connections. What is away now is connected when it is asked. */
static void connect_ahead(struct pool_thread *thread)
{
    if (pg_connect(thread->pg) != OK || redis_connect(thread->redis) != OK)
        LOG(DEBUG, "connected later", F_ERR);
}

static void *pool_loop(void *argument)
{
    struct pool_member *member = argument;
    struct pool_thread *thread = &member->thread;
    struct entry first;
    struct request *requests[POOL_BATCH];
    size_t count;
    connect_ahead(thread);
    if (member->pool->options.niceness > 0) /* of this thread alone, in Linux */
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), member->pool->options.niceness);
    while (pool_take(member->pool, &first, requests, &count)) {
        if (first.batch_job) {
            first.batch_job(requests, count, thread);
            for (size_t i = 0; i < count; i++)
                if (requests[i])
                    request_resume(requests[i]);
        } else {
            struct request *r = first.request;
            log_context(r->request_id, NULL, r->trace);
            if (first.job(r, thread) == REQUEST_DONE)
                request_resume(r);
            log_context(NULL, NULL, NULL);
        }
        arena_reset(&thread->arena);
    }
    return NULL;
}

/* --- life --- */

static err pool_start(struct pool *p)
{
    const struct config *config = p->options.config;
    for (int i = 0; i < p->options.threads; i++) {
        struct pool_member *member = &p->members[i];
        char name[32];
        snprintf(name, sizeof name, "aether-gateway-%s", p->options.name);
        member->pool = p;
        member->thread.pg = pg_create(config_text(config, "postgres.dsn"), name);
        pg_set_timeout(member->thread.pg, (int)config_int(config, "gateway.postgres_timeout_ms"));
        member->thread.redis =
            redis_create(config_text(config, "redis.url"), (int)config_int(config, "gateway.redis_timeout_ms"));
        arena_init(&member->thread.arena, 64 * 1024);
        TRY(codec_create(config, &member->thread.codec));
        if (pthread_create(&member->id, NULL, pool_loop, member) != 0)
            return err_set(FATAL, "a thread of the %s pool could not be started; raise the limit of threads",
                           p->options.name);
        member->started = true;
        pthread_setname_np(member->id, p->options.name);
    }
    return OK;
}

err pool_create(const struct pool_options *options, struct pool **ret)
{
    struct pool *p = mem_alloc(sizeof *p);
    p->options = *options;
    p->ring = mem_alloc(sizeof *p->ring * (size_t)options->queue);
    p->members = mem_alloc(sizeof *p->members * (size_t)options->threads);
    p->turns = options->fair ? fair_queue_create((size_t)options->queue) : NULL;
    pthread_mutex_init(&p->lock, NULL);
    condition_init(&p->queued);
    err e = pool_start(p);
    if (e != OK) {
        pool_destroy(p);
        return e;
    }
    *ret = p;
    return OK;
}

void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_broadcast(&p->queued);
    for (int i = 0; i < p->options.threads; i++) {
        if (p->members[i].started)
            pthread_join(p->members[i].id, NULL);
        p->members[i].started = false;
    }
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    pool_stop(p);
    for (int i = 0; i < p->options.threads; i++) {
        struct pool_thread *thread = &p->members[i].thread;
        pg_destroy(thread->pg);
        redis_destroy(thread->redis);
        codec_destroy(thread->codec);
        arena_finish(&thread->arena);
        buf_finish(&thread->text);
    }
    pthread_cond_destroy(&p->queued);
    pthread_mutex_destroy(&p->lock);
    fair_queue_destroy(p->turns);
    free(p->members);
    free(p->ring);
    free(p);
}

size_t pool_waiting(const struct pool *p)
{
    return atomic_load_explicit(&p->promised, memory_order_relaxed);
}
