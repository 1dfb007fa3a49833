#include "gateway/commands/replies.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/outcome/deciders.h"
#include "consumers/outcome/operation.h"
#include "gateway/gateway.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/log.h"

#define DOUBT_US       1000000
#define LISTEN_MS      200
#define RETRY_MS       200
#define SILENT_US      150000 /* a reply is late after this */
#define SILENT_DOWN_US 5000   /* … and while Redis is away */
#define POLL_MS        25
#define POLL_DOWN_MS   5
#define POLL_MAX       512
#define WITHDRAWN_MAX  256
#define SWEEP_MS       20
#define SWEEP_MAX      256
#define MEASURE_ROUNDS 25

struct replies {
    struct gateway *gateway;
    struct dispatch *dispatch;
    struct waiting *waiting;
    void (*expired)(const struct waiting_entry *entry);
    atomic_bool up, hurried;
    _Atomic int64_t doubt_until_us; /* see replies_doubted */
    atomic_bool silent; /* the last outcome had to be polled: Redis may hang, or the worker does not reach it */
    pthread_t threads[3];
    int started;
    pthread_mutex_t lock;
    pthread_cond_t stop_asked;
    bool stopping;
    struct uuid withdrawn[WITHDRAWN_MAX]; /* under the lock */
    size_t withdrawn_count;
};

void replies_channel(struct uuid gateway_id, char ret_name[64])
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(gateway_id, id);
    snprintf(ret_name, 64, "aether:reply:%s", id);
}

/* Waits, or returns at once with true when the threads shall end. */
static bool replies_pause(struct replies *r, int ms)
{
    const int64_t until_us = clock_mono_us() + 1000 * (int64_t)ms;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping && ms > 0 && condition_wait_until(&r->stop_asked, &r->lock, until_us))
        ;
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return stopping;
}

/* --- listening --- */

static void read_message(struct replies *r, struct codec *codec, struct arena *arena, struct str message)
{
    while (message.len >= 4) {
        const uint8_t *p = (const uint8_t *)message.ptr;
        size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (len > message.len - 4)
            break;
        struct outcome outcome;
        if (outcome_decode(codec, (struct str){ message.ptr + 4, len }, arena, &outcome) == OK)
            dispatch_outcome(r->dispatch, codec, &outcome, METRIC_OUTCOMES_REPLIED);
        else
            LOG(WARN, "reply unreadable", F_ERR);
        message = (struct str){ message.ptr + 4 + len, message.len - 4 - len };
    }
    if (message.len > 0)
        LOG(WARN, "reply cut short", F_INT("bytes", message.len));
}

static void doubt(struct replies *r)
{
    atomic_store_explicit(&r->doubt_until_us, clock_mono_us() + DOUBT_US, memory_order_relaxed);
}

static void heard(struct replies *r, bool up)
{
    if (!up)
        doubt(r);
    if (atomic_exchange(&r->up, up) == up)
        return;
    if (up)
        LOG(INFO, "replies come over Redis");
    else
        LOG(WARN, "replies are polled from PostgreSQL while Redis is away", F_ERR);
}

static void *listen_loop(void *argument)
{
    struct replies *r = argument;
    const struct config *config = r->gateway->config;
    struct redis *redis =
        redis_create(config_text(config, "redis.url"), (int)config_int(config, "gateway.redis_timeout_ms"));
    struct codec *codec = NULL;
    struct arena arena;
    char channel[64];
    replies_channel(r->gateway->id, channel);
    arena_init(&arena, 256 * 1024);
    if (codec_create(config, &codec) != OK)
        LOG(ERROR, "no codec for replies; they are polled", F_ERR);
    err e = redis_subscribe(redis, str_of(channel)); /* remembered, also when Redis is away now */
    while (codec && !replies_pause(r, 0)) {
        struct str message = { 0 };
        if (e == OK)
            e = redis_next_message(redis, LISTEN_MS, &message);
        heard(r, e == OK);
        if (message.ptr) {
            atomic_store_explicit(&r->silent, false, memory_order_relaxed);
            read_message(r, codec, &arena, message);
            arena_reset(&arena);
        }
        if (e != OK && replies_pause(r, RETRY_MS))
            break;
        e = OK;
    }
    codec_destroy(codec);
    redis_destroy(redis);
    arena_finish(&arena);
    return NULL;
}

/* --- polling --- */

static err poll_worker(struct replies *r, struct pg *pg, struct codec *codec, struct arena *arena, const char *worker,
                       const struct waiting_silent *silent, size_t count)
{
    struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (silent[i].stream && strcmp(decider_of(silent[i].stream), worker) == 0)
            ids[n++] = silent[i].command_id;
    if (n == 0)
        return OK;
    struct outcome *outcomes;
    TRY(operation_find(pg, arena, worker, ids, n, &outcomes, &n));
    if (n > 0) {
        atomic_store_explicit(&r->silent, true, memory_order_relaxed);
        doubt(r);
    }
    for (size_t i = 0; i < n; i++)
        dispatch_outcome(r->dispatch, codec, &outcomes[i], METRIC_OUTCOMES_POLLED);
    return OK;
}

/* Replies are not to be counted on. */
static bool replies_missing(const struct replies *r)
{
    return !replies_up(r) || atomic_load_explicit(&r->silent, memory_order_relaxed);
}

void replies_withdraw(struct replies *r, struct uuid subject)
{
    pthread_mutex_lock(&r->lock);
    bool room = r->withdrawn_count < WITHDRAWN_MAX;
    if (room)
        r->withdrawn[r->withdrawn_count++] = subject;
    pthread_mutex_unlock(&r->lock);
    if (!room) /* it opens nothing that anybody could read */
        LOG(WARN, "the key of something rejected stays in the vault", F_UUID("subject", subject));
}

static err withdraw(struct replies *r, struct pg *pg)
{
    struct uuid subjects[WITHDRAWN_MAX];
    pthread_mutex_lock(&r->lock);
    size_t count = r->withdrawn_count;
    memcpy(subjects, r->withdrawn, count * sizeof *subjects);
    pthread_mutex_unlock(&r->lock);
    if (count == 0)
        return OK;
    TRY(vault_withdraw(r->gateway->vault, pg, subjects, count));
    pthread_mutex_lock(&r->lock);
    r->withdrawn_count -= count; /* more may have come behind them */
    memmove(r->withdrawn, r->withdrawn + count, r->withdrawn_count * sizeof *subjects);
    pthread_mutex_unlock(&r->lock);
    return OK;
}

static void *poll_loop(void *argument)
{
    struct replies *r = argument;
    struct pg *pg = pg_create(config_text(r->gateway->config, "postgres.dsn"), "aether-gateway-poll");
    pg_set_timeout(pg, (int)config_int(r->gateway->config, "gateway.postgres_timeout_ms"));
    struct codec *codec = NULL;
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    if (codec_create(r->gateway->config, &codec) != OK)
        LOG(ERROR, "no codec for operations; late replies are lost", F_ERR);
    bool away = false;
    while (codec && !replies_pause(r, replies_missing(r) ? POLL_DOWN_MS : POLL_MS)) {
        struct waiting_silent silent[POLL_MAX];
        size_t count = waiting_silent(r->waiting, clock_mono_us(), replies_missing(r) ? SILENT_DOWN_US : SILENT_US,
                                      silent, POLL_MAX);
        bool failed = withdraw(r, pg) != OK;
        for (const char *const *worker = operation_workers; *worker && count > 0; worker++)
            if (poll_worker(r, pg, codec, &arena, *worker, silent, count) != OK)
                failed = true;
        if (failed && !away)
            LOG(WARN, "operations cannot be polled", F_ERR);
        away = failed;
        arena_reset(&arena);
        if (failed && replies_pause(r, RETRY_MS))
            break;
    }
    if (withdraw(r, pg) != OK)
        LOG(WARN, "keys of what was rejected stay in the vault", F_ERR);
    codec_destroy(codec);
    pg_destroy(pg);
    arena_finish(&arena);
    return NULL;
}

/* --- deadlines --- */

static void *sweep_loop(void *argument)
{
    struct replies *r = argument;
    for (unsigned round = 0; !replies_pause(r, SWEEP_MS); round++) {
        if (round % MEASURE_ROUNDS == 0)
            gateway_measure(r->gateway);
        struct waiting_entry expired[SWEEP_MAX];
        size_t count;
        do {
            int64_t now_us = atomic_load_explicit(&r->hurried, memory_order_relaxed) ? INT64_MAX : clock_mono_us();
            count = waiting_take_expired(r->waiting, now_us, expired, SWEEP_MAX);
            for (size_t i = 0; i < count; i++)
                r->expired(&expired[i]);
        } while (count == SWEEP_MAX);
    }
    return NULL;
}

/* --- life --- */

err replies_start(struct gateway *g, struct dispatch *d, struct waiting *w,
                  void (*expired)(const struct waiting_entry *entry), struct replies **ret)
{
    static const struct {
        const char *name;
        void *(*loop)(void *);
    } loops[] = { { "replies", listen_loop }, { "poll", poll_loop }, { "deadlines", sweep_loop } };
    struct replies *r = mem_alloc(sizeof *r);
    r->gateway = g;
    r->dispatch = d;
    r->waiting = w;
    r->expired = expired;
    pthread_mutex_init(&r->lock, NULL);
    condition_init(&r->stop_asked);
    *ret = r; /* before the threads: they look at it */
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (pthread_create(&r->threads[i], NULL, loops[i].loop, r) != 0) {
            *ret = NULL;
            replies_stop(r);
            return err_set(FATAL, "the thread %s could not be started; raise the limit of threads", loops[i].name);
        }
        pthread_setname_np(r->threads[i], loops[i].name);
        r->started++;
    }
    return OK;
}

bool replies_doubted(const struct replies *r)
{
    return clock_mono_us() < atomic_load_explicit(&r->doubt_until_us, memory_order_relaxed);
}

bool replies_up(const struct replies *r)
{
    return atomic_load_explicit(&r->up, memory_order_relaxed);
}

void replies_hurry(struct replies *r)
{
    atomic_store_explicit(&r->hurried, true, memory_order_relaxed);
}

void replies_stop(struct replies *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_mutex_unlock(&r->lock);
    pthread_cond_broadcast(&r->stop_asked);
    for (int i = 0; i < r->started; i++)
        pthread_join(r->threads[i], NULL);
    pthread_cond_destroy(&r->stop_asked);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
