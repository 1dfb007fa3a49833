#include "gateway/after.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/http/route.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/log.h"

#define WAITING_MAX  4096
#define ASK_EVERY_US 4000
#define LEFT_US      50000 /* before the deadline: what is left for the answer */

static const struct pg_statement folded = {
    "after_folded",
    "SELECT stream, partition, next_offset FROM messages.checkpoint"
    " UNION ALL SELECT stream, partition, next_offset FROM users.checkpoint"
    " UNION ALL SELECT 'receipts', partition, next_offset FROM messages.followed WHERE topic = 'receipts.signals'",
};

static const char *const streams[] = { "rooms", "receipts", "accounts", "sessions" };
enum { STREAMS = sizeof streams / sizeof *streams };

struct position {
    int stream;
    int64_t partition, offset;
};

struct waiter {
    struct request *request;
    struct pool *pool;
    pool_job *job;
    pool_batch_job *batch_job;
    struct position position;
};

struct after {
    pthread_mutex_t lock;
    pthread_cond_t came;
    pthread_t thread;
    bool started, stopping;
    struct pg *pg;
    struct waiter waiters[WAITING_MAX];
    size_t count;
};

/* --- the header --- */

static bool parse_number(const char **at, int64_t *ret)
{
    const char *start = *at;
    *ret = 0;
    while (**at >= '0' && **at <= '9' && *at - start < 18)
        *ret = 10 * *ret + (*(*at)++ - '0');
    return *at > start;
}

/* "rooms/3@1234" */
static bool parse_position(const char *text, struct position *ret)
{
    for (ret->stream = 0; ret->stream < STREAMS; ret->stream++) {
        const size_t len = strlen(streams[ret->stream]);
        if (strncmp(text, streams[ret->stream], len) != 0 || text[len] != '/')
            continue;
        const char *at = text + len + 1;
        return parse_number(&at, &ret->partition) && *at++ == '@' && parse_number(&at, &ret->offset) && *at == '\0';
    }
    return false;
}

bool after_wanted(struct request *r)
{
    if (r->after_done || !r->connection || r->route->method != GET)
        return false;
    r->after_done = true;
    const char *text = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Aether-After");
    if (!text)
        return false;
    struct position *position = ARENA_NEW(&r->arena, struct position);
    if (!parse_position(text, position)) {
        problem(r, 400, "bad_header", "Aether-After",
                "must be a position as Aether-Position gives it, like rooms/3@1234.");
        return true;
    }
    r->after = position;
    return true;
}

/* --- waiting --- */

enum request_step after_wait(struct after *a, struct request *r, struct pool *pool, pool_job *job,
                             pool_batch_job *batch_job)
{
    if (r->response.status != 0)
        return REQUEST_DONE;
    request_suspend(r);
    pthread_mutex_lock(&a->lock);
    const bool taken = a->count < WAITING_MAX && !a->stopping;
    if (taken) {
        a->waiters[a->count++] = (struct waiter){ r, pool, job, batch_job, *(const struct position *)r->after };
        pthread_cond_signal(&a->came);
    }
    pthread_mutex_unlock(&a->lock);
    if (taken)
        return REQUEST_SUSPENDED;
    problem(r, 503, "overloaded", NULL, "Too many requests wait for a position; try again shortly.");
    response_header(r, "Retry-After", "1");
    request_resume(r);
    return REQUEST_SUSPENDED;
}

/* How far a partition is folded; -1: nothing is known of it. */
static int64_t folded_of(const PGresult *rows, const struct position *position)
{
    for (int row = 0; rows && row < PQntuples(rows); row++)
        if (str_equal(pg_str(rows, row, 0), str_of(streams[position->stream])) &&
            pg_int(rows, row, 1) == position->partition)
            return pg_int(rows, row, 2);
    return -1;
}

static void go_on(const struct waiter *w)
{
    const enum request_step step =
        w->job ? pool_run(w->pool, w->request, w->job) : pool_run_batched(w->pool, w->request, w->batch_job);
    if (step == REQUEST_DONE)
        request_resume(w->request);
}

static void give_up(const struct waiter *w)
{
    problem(w->request, 503, "unavailable", "Aether-After", "This position is not there yet; try again shortly.");
    response_header(w->request, "Retry-After", "1");
    request_resume(w->request);
}

/* Takes out whose position is there, or whose time is over. */
static void look(struct after *a, const PGresult *rows, bool all)
{
    const int64_t now = clock_mono_us();
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->count;) {
        const struct waiter w = a->waiters[i];
        const bool there = folded_of(rows, &w.position) > w.position.offset;
        if (!there && !all && now < w.request->deadline_us - LEFT_US) {
            i++;
            continue;
        }
        a->waiters[i] = a->waiters[--a->count];
        pthread_mutex_unlock(&a->lock);
        if (there)
            go_on(&w);
        else
            give_up(&w);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
}

static void *after_loop(void *argument)
{
    struct after *a = argument;
    pthread_mutex_lock(&a->lock);
    while (!a->stopping) {
        if (a->count == 0) {
            pthread_cond_wait(&a->came, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        _cleanup_result_ PGresult *rows = NULL;
        if (pg_query(a->pg, &folded, NULL, &rows) != OK)
            LOG(DEBUG, "positions are not known", F_ERR);
        look(a, rows, false);
        pthread_mutex_lock(&a->lock);
        if (a->count > 0 && !a->stopping)
            (void)condition_wait_until(&a->came, &a->lock, clock_mono_us() + ASK_EVERY_US);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* --- life --- */

err after_create(const struct config *config, struct after **ret)
{
    struct after *a = mem_alloc(sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    condition_init(&a->came);
    a->pg = pg_create(config_text(config, "postgres.dsn"), "aether-gateway-after");
    pg_set_timeout(a->pg, (int)config_int(config, "gateway.postgres_timeout_ms"));
    if (pthread_create(&a->thread, NULL, after_loop, a) != 0) {
        after_destroy(a);
        return err_set(FATAL, "the thread after could not be started; raise the limit of threads");
    }
    pthread_setname_np(a->thread, "after");
    a->started = true;
    *ret = a;
    return OK;
}

void after_stop(struct after *a)
{
    if (!a || !a->started)
        return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_signal(&a->came);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    a->started = false;
    look(a, NULL, true);
}

void after_destroy(struct after *a)
{
    if (!a)
        return;
    after_stop(a);
    pg_destroy(a->pg);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->came);
    free(a);
}
