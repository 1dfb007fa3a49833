#include "gateway/commands/accepted.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "ops/runtime/log.h"

#define ROWS        4096
#define KEY_SECONDS "86400"
#define OPERATION   "operation"
#define RETRIED     "retriedas"
#define KEY_LEN     (sizeof "aether:" OPERATION ":" - 1 + UUID_TEXT_LEN)

struct row {
    struct uuid command_id, actor, retried_as;
    int64_t at; /* Unix ms */
};

struct accepted {
    pthread_mutex_t lock;
    size_t next;
    struct row rows[ROWS]; /* a ring */
};

struct accepted *accepted_create(void)
{
    struct accepted *a = mem_alloc(sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void accepted_destroy(struct accepted *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* `kind`: OPERATION or RETRIED, which are of one length. */
static void key_format(const char *kind, struct uuid named, char ret[KEY_LEN + 1])
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(named, id);
    snprintf(ret, KEY_LEN + 1, "aether:%s:%s", kind, id);
}

/* --- answering --- */

static void answer(struct request *r, struct uuid command_id)
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(command_id, id);
    struct json j = response_json(r, 202);
    json_open(&j, '{');
    json_field_uuid(&j, "id", command_id);
    json_field_str(&j, "status", STR("pending"));
    json_key(&j, "position");
    json_none(&j);
    json_field_time(&j, "createdAt", r->received_at);
    json_close(&j, '}');
    response_header(r, "Location", "/api/v1/operations/%s", id);
    response_header(r, "Retry-After", "1");
    if (r->respond_async)
        response_header(r, "Preference-Applied", "respond-async");
}

/* The id of whoever may ask, or of the command, and when. */
static err mark(struct redis *redis, struct arena *arena, const char *kind, struct uuid named, struct uuid value,
                int64_t at)
{
    char key[KEY_LEN + 1], id[UUID_TEXT_LEN + 1];
    key_format(kind, named, key);
    uuid_format(value, id);
    const char *text = arena_printf(arena, "%s %lld", id, (long long)at);
    return redis_add(redis, 4, (struct str[]){ STR("SETEX"), { key, KEY_LEN }, STR(KEY_SECONDS), str_of(text) });
}

/* The request's state while it is on its way to be answered. */
static void mark_and_answer(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct redis *redis = pool_redis(thread);
    err e = OK;
    for (size_t i = 0; i < count && redis && e == OK; i++) {
        const struct row *row = requests[i]->state;
        e = mark(redis, &thread->arena, OPERATION, row->command_id, row->actor, row->at);
        if (e == OK && !uuid_is_nil(row->retried_as))
            e = mark(redis, &thread->arena, RETRIED, row->retried_as, row->command_id, row->at);
    }
    if (redis && e == OK)
        e = redis_flush(redis, NULL, NULL);
    if (e != OK)
        pool_redis_failed(thread);
    for (size_t i = 0; i < count; i++)
        answer(requests[i], ((const struct row *)requests[i]->state)->command_id);
}

void accepted_answer(struct request *r, struct uuid command_id, struct uuid actor)
{
    struct accepted *a = r->gateway->accepted;
    struct row *row = ARENA_NEW(&r->arena, struct row);
    *row = (struct row){ command_id, actor, r->retried_as, r->received_at };
    pthread_mutex_lock(&a->lock);
    a->rows[a->next++ % ROWS] = *row;
    pthread_mutex_unlock(&a->lock);
    r->state = row;
    metrics_add(r->gateway->metrics, METRIC_ANSWERED_ACCEPTED, 1);
    if (pool_run_batched(r->gateway->reads, r, mark_and_answer) == REQUEST_SUSPENDED)
        return;
    /* The pool has no place: this gateway knows the operation, that is enough. */
    r->response.header_count = 0;
    r->response.content_type = NULL;
    answer(r, command_id);
    request_resume(r);
}

/* --- finding --- */

struct found {
    struct uuid value;
    int64_t at;
    bool found;
};

static void read_marker(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    struct found *f = context;
    if (reply->type != REDIS_REPLY_STRING || reply->len <= UUID_TEXT_LEN)
        return;
    f->at = strtoll(reply->str + UUID_TEXT_LEN, NULL, 10);
    f->found = uuid_parse((struct str){ reply->str, UUID_TEXT_LEN }, &f->value);
}

static void find_shared(struct pool_thread *thread, const char *kind, struct uuid named, struct found *f)
{
    struct redis *redis = pool_redis(thread);
    if (!redis)
        return;
    char key[KEY_LEN + 1];
    key_format(kind, named, key);
    err e = redis_add(redis, 2, (struct str[]){ STR("GET"), { key, KEY_LEN } });
    if (e == OK)
        e = redis_flush(redis, read_marker, f);
    if (e == RETRY)
        pool_redis_failed(thread);
}

bool accepted_find(struct accepted *a, struct pool_thread *thread, struct uuid command_id, struct uuid *ret_actor,
                   int64_t *ret_at)
{
    struct found f = { .found = false };
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < ROWS && !f.found; i++)
        if (a->rows[i].at != 0 && uuid_equal(a->rows[i].command_id, command_id))
            f = (struct found){ a->rows[i].actor, a->rows[i].at, true };
    pthread_mutex_unlock(&a->lock);
    if (!f.found)
        find_shared(thread, OPERATION, command_id, &f);
    if (f.found) {
        *ret_actor = f.value;
        *ret_at = f.at;
    }
    return f.found;
}

bool accepted_find_retried(struct accepted *a, struct pool_thread *thread, struct uuid retried_as,
                           struct uuid *ret_command_id)
{
    struct found f = { .found = false };
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < ROWS && !f.found; i++)
        if (a->rows[i].at != 0 && uuid_equal(a->rows[i].retried_as, retried_as))
            f = (struct found){ a->rows[i].command_id, a->rows[i].at, true };
    pthread_mutex_unlock(&a->lock);
    if (!f.found)
        find_shared(thread, RETRIED, retried_as, &f);
    if (f.found)
        *ret_command_id = f.value;
    return f.found;
}
