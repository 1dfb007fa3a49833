/* Parked records that an operator wants retried or discarded (ops/parked sets the action; the owner of the partition
 * acts).
 *
 * A command is retried by appending it again. Facts of a key are folded in order, together, in one transaction with a
 * checkpoint that stays where it is (the compare-and-swap still proves that we are the owner). What was discarded stays
 * out of the projection; the log keeps it. */
#include "consumers/loop/loop.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

struct repair {
    struct worker *w;
    struct arena arena;
    struct parked_request *requests;
    size_t count;
};

static struct partition *owner(struct worker *w, const struct parked_request *request)
{
    for (size_t i = 0; i < w->partition_count; i++) {
        struct partition *p = w->partitions[i];
        const struct stream *stream = p->worker->stream;
        if (p->number == request->partition && (str_equal(request->topic, str_of(stream->events_topic)) ||
                                                str_equal(request->topic, str_of(stream->commands_topic))))
            return p;
    }
    return NULL;
}

static bool is_command(const struct partition *p, const struct parked_request *request)
{
    return str_equal(request->topic, str_of(p->worker->stream->commands_topic));
}

static err remove_row(struct repair *r, const struct parked_request *request)
{
    TRY(pg_batch_begin(r->w->pg));
    TRY(parked_remove(r->w->pg, &r->arena, request));
    return pg_batch_end(r->w->pg, NULL, 0);
}

static err retry_command(struct repair *r, const struct partition *p, const struct parked_request *request)
{
    const int64_t now = clock_wall_ms();
    const struct meta meta = { .id = uuid_v7(now), .at = now };
    const struct append append = {
        .topic = p->worker->stream->commands_topic,
        .partition = p->number,
        .key = request->key,
        .payload = request->payload,
        .meta = &meta,
        .type = "retried by an operator",
    };
    TRY(producer_append(r->w->producer, &append));
    TRY(producer_flush(r->w->producer, 10000));
    return remove_row(r, request);
}

static bool same_key(const struct parked_request *a, const struct parked_request *b)
{
    return a->has_key == b->has_key && uuid_equal(a->key, b->key) && a->partition == b->partition &&
           str_equal(a->topic, b->topic);
}

/* Every parked fact of the key from `first` on: folded, unless it is discarded, and removed. */
static err settle_facts(struct repair *r, struct partition *p, size_t first)
{
    struct worker *w = r->w;
    const struct parked_request *head = &r->requests[first];
    const struct record_union *facts = &p->worker->stream->fact;
    struct commit c;
    commit_init(w, &c, &r->arena, r->count, r->count);
    c.from[0] = c.to[0] = p->at;
    c.partition_count = 1;
    c.repeated = true;
    for (size_t i = first; i < r->count; i++) {
        const struct parked_request *request = &r->requests[i];
        if (!same_key(head, request) || request->discard)
            continue;
        struct any_record *fact = arena_alloc(&r->arena, facts->size);
        TRY(facts->decode(w->codec, request->payload, &r->arena, fact));
        struct operation *op = ARENA_NEW(&r->arena, struct operation);
        *op = (struct operation){
            .command_id = fact->meta.command_id,
            .actor = fact->meta.actor,
            .stream = str_of(p->worker->stream->name),
            .partition = p->number,
            .fact_offset = request->offset,
            .request_hash = fact->meta.request_hash,
            .fact = request->payload,
            .at = fact->meta.at,
        };
        c.operations[c.operation_count++] = op;
        commit_add_fact(&c, worker_stream_index(w, p), fact, p->number, request->offset);
    }
    TRY(commit_open_facts(w, &c, &r->arena));
    TRY(commit_send(w, &c, &r->arena));
    for (size_t i = first; i < r->count; i++)
        if (same_key(head, &r->requests[i]))
            TRY(parked_remove(w->pg, &r->arena, &r->requests[i]));
    commit_cache(w, &c, &r->arena);
    return commit_finish(w);
}

static bool is_first_of_key(const struct repair *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same_key(&r->requests[k], &r->requests[i]))
            return false;
    return true;
}

static err settle(struct repair *r, size_t i)
{
    struct worker *w = r->w;
    const struct parked_request *request = &r->requests[i];
    struct partition *p = owner(w, request);
    if (!p)
        return OK;
    if (is_command(p, request))
        return request->discard ? remove_row(r, request) : retry_command(r, p, request);
    if (!request->has_key)
        return remove_row(r, request); /* it holds nobody up and belongs to nobody */
    if (!is_first_of_key(r, i))
        return OK;
    const err e = settle_facts(r, p, i);
    if (e == OK) {
        LOG(INFO, "parked records settled", F_UUID("key", request->key));
        worker_forget(w); /* the states know nothing of it, and the key is free again */
        return OK;
    }
    const char *cause = arena_printf(&r->arena, "%s", err_message());
    commit_uncache(w, &r->arena);
    if (e == RETRY)
        return err_set(RETRY, "%s", cause);
    pg_disconnect(w->pg);
    LOG(ERROR, "parked records still do not fold", F_UUID("key", request->key), F_STR("cause", cause));
    return parked_refuse(w->pg, &r->arena, request, cause);
}

err repair(struct worker *w)
{
    if (w->partition_count == 0 || recover_needed(w))
        return OK;
    struct repair r = { .w = w };
    arena_init(&r.arena, 0);
    const char *topics[WORKER_MAX_STREAMS * 2];
    size_t topic_count = 0;
    for (size_t s = 0; s < w->stream_count; s++) {
        topics[topic_count++] = w->definition->streams[s]->stream->events_topic;
        topics[topic_count++] = w->definition->streams[s]->stream->commands_topic;
    }
    err e = parked_requests(w->pg, &r.arena, topics, topic_count, &r.requests, &r.count);
    for (size_t i = 0; i < r.count && e == OK; i++)
        e = settle(&r, i);
    arena_finish(&r.arena);
    return e;
}
