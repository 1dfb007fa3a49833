#include "gateway/commands/accepted.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "ops/runtime/log.h"

#define ROWS        4096
#define KEY_SECONDS "86400"
#define KEY_LEN     (sizeof "aether:operation:" - 1 + UUID_TEXT_LEN)

struct row {
    struct uuid command_id, actor;
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

static void key_format(struct uuid command_id, char ret[KEY_LEN + 1])
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(command_id, id);
    snprintf(ret, KEY_LEN + 1, "aether:operation:%s", id);
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

/* The request's state while it is on its way to be answered. */
static void mark_and_answer(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct redis *redis = pool_redis(thread);
    err e = OK;
    for (size_t i = 0; i < count && redis && e == OK; i++) {
        const struct row *row = requests[i]->state;
        char key[KEY_LEN + 1], id[UUID_TEXT_LEN + 1];
        key_format(row->command_id, key);
        uuid_format(row->actor, id);
        const char *value = arena_printf(&thread->arena, "%s %lld", id, (long long)row->at);
        e = redis_add(redis, 4, (struct str[]){ STR("SETEX"), { key, KEY_LEN }, STR(KEY_SECONDS), str_of(value) });
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
    *row = (struct row){ command_id, actor, r->received_at };
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
    struct row *row;
    bool found;
};

static void read_marker(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    struct found *f = context;
    if (reply->type != REDIS_REPLY_STRING || reply->len <= UUID_TEXT_LEN)
        return;
    f->row->at = strtoll(reply->str + UUID_TEXT_LEN, NULL, 10);
    f->found = uuid_parse((struct str){ reply->str, UUID_TEXT_LEN }, &f->row->actor);
}

bool accepted_find(struct accepted *a, struct pool_thread *thread, struct uuid command_id, struct uuid *ret_actor,
                   int64_t *ret_at)
{
    struct row row = { 0 };
    struct found f = { .row = &row };
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < ROWS && !f.found; i++) {
        if (a->rows[i].at != 0 && uuid_equal(a->rows[i].command_id, command_id)) {
            row = a->rows[i];
            f.found = true;
        }
    }
    pthread_mutex_unlock(&a->lock);
    struct redis *redis = pool_redis(thread);
    if (!f.found && redis) {
        char key[KEY_LEN + 1];
        key_format(command_id, key);
        err e = redis_add(redis, 2, (struct str[]){ STR("GET"), { key, KEY_LEN } });
        if (e == OK)
            e = redis_flush(redis, read_marker, &f);
        if (e == RETRY)
            pool_redis_failed(thread);
    }
    if (f.found) {
        *ret_actor = row.actor;
        *ret_at = row.at;
    }
    return f.found;
}
