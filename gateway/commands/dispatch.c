#include "gateway/commands/dispatch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/outcome/deciders.h"
#include "consumers/outcome/operation.h"
#include "consumers/outcome/rejection.h"
#include "gateway/commands/accepted.h"
#include "gateway/commands/replies.h"
#include "gateway/commands/waiting.h"
#include "gateway/gateway.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

/* A codec and a buffer, lent to the thread that encodes a command just now. */
struct encoder {
    struct encoder *next;
    struct codec *codec;
    struct buf payload;
};

struct dispatch {
    struct gateway *gateway;
    struct waiting *waiting;
    struct replies *replies;
    char channel[64];
    pthread_mutex_t lock;
    struct encoder *encoders; /* those not lent; as many exist as threads ever encoded at once */
};

/* What dispatch_command was called with, while the request is on its way through the read pool for its keys. */
struct call {
    const struct stream *stream;
    struct any_record *command;
    dispatch_then *then;
    void *state; /* the handler's r->state */
};

/* --- sending --- */

static err encoder_borrow(struct dispatch *d, struct encoder **ret)
{
    pthread_mutex_lock(&d->lock);
    struct encoder *e = d->encoders;
    if (e)
        d->encoders = e->next;
    pthread_mutex_unlock(&d->lock);
    if (!e) {
        struct codec *codec;
        TRY(codec_create(d->gateway->config, &codec));
        e = mem_alloc(sizeof *e);
        e->codec = codec;
    }
    buf_clear(&e->payload);
    *ret = e;
    return OK;
}

static void encoder_return(struct dispatch *d, struct encoder *e)
{
    pthread_mutex_lock(&d->lock);
    e->next = d->encoders;
    d->encoders = e;
    pthread_mutex_unlock(&d->lock);
}

static void unavailable(struct request *r, const char *code, const char *detail)
{
    problem(r, 503, code, NULL, "%s", detail);
    response_header(r, "Retry-After", "1");
}

static void in_progress(struct request *r)
{
    problem(r, 409, "request_in_progress", NULL, "A request with this Idempotency-Key is still under way.");
    response_header(r, "Retry-After", "1");
}

/* Nothing came of the command, and nothing will. */
static void withdraw_subject(struct dispatch *d, struct request *r)
{
    if (!uuid_is_nil(r->fresh_subject))
        replies_withdraw(d->replies, r->fresh_subject);
    r->fresh_subject = uuid_nil;
}

/* The request is registered before its command is appended, since the reply may be faster than this function. From then
 * on it may be answered and recycled at any moment: only the ticket tells whether it is still ours. */
static enum request_step register_and_append(struct request *r, struct dispatch *d, const struct call *call,
                                             const struct encoder *encoder)
{
    const struct record_union *commands = &call->stream->command;
    struct meta meta = call->command->meta;
    char trace[sizeof r->trace];
    memcpy(trace, r->trace, sizeof trace);
    meta.trace = str_of(trace);
    meta.request_hash = (struct str){ 0 };
    struct append append = {
        .topic = call->stream->commands_topic,
        .partition = -1,
        .key = commands->key(call->command),
        .payload = buf_view(&encoder->payload),
        .meta = &meta,
        .type = commands->name(call->command->type),
        .reply_to = str_of(d->channel),
    };
    struct waiting_entry entry = {
        .request = r,
        .command_id = meta.command_id,
        .actor = meta.actor,
        .stream = call->stream,
        .then = call->then,
        .respond_async = r->respond_async,
        .at = meta.at,
        .deadline_us = r->deadline_us,
        .added_us = clock_mono_us(),
    };
    memcpy(entry.request_hash, call->command->meta.request_hash.ptr, sizeof entry.request_hash);
    waiting_ticket ticket;
    request_suspend(r);
    switch (waiting_add(d->waiting, &entry, &ticket)) {
    case WAITING_FULL:
        withdraw_subject(d, r);
        unavailable(r, "overloaded", "Too many commands are under way; try again shortly.");
        request_resume(r);
        return REQUEST_SUSPENDED;
    case WAITING_TWICE:
        withdraw_subject(d, r);
        in_progress(r);
        request_resume(r);
        return REQUEST_SUSPENDED;
    case WAITING_ADDED:
        break;
    }
    append.opaque = (void *)(uintptr_t)ticket;
    err e = producer_append(d->gateway->producer, &append);
    if (e != OK && waiting_take_ticket(d->waiting, ticket, false, &entry)) {
        withdraw_subject(d, r);
        problem_err(r, e);
        request_resume(r);
    }
    return REQUEST_SUSPENDED;
}

static enum request_step fetch_keys(struct request *r, struct pool_thread *thread);

/* `thread` NULL: this thread may not block. */
static enum request_step command_send(struct request *r, struct call *call, struct pool_thread *thread)
{
    struct dispatch *d = r->gateway->dispatch;
    err e = call->stream->command.seal(call->command, r->gateway->vault, &r->arena);
    if (e == RETRY && !thread) {
        struct call *kept = ARENA_NEW(&r->arena, struct call);
        *kept = *call;
        r->state = kept;
        return pool_run(r->gateway->reads, r, fetch_keys);
    }
    if (e == REJECT) {
        problem(r, 403, "account_erased", NULL, "This account has been erased.");
        return dispatch_refused(r, thread, call->stream, call->command->meta.actor, call->then);
    }
    struct encoder *encoder;
    if (e == OK)
        e = encoder_borrow(d, &encoder);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    enum request_step step = REQUEST_DONE;
    e = call->stream->command.encode(encoder->codec, call->command, &encoder->payload);
    if (e == OK)
        step = register_and_append(r, d, call, encoder);
    else
        problem_err(r, e);
    encoder_return(d, encoder);
    return step;
}

static enum request_step fetch_keys(struct request *r, struct pool_thread *thread)
{
    struct call *call = r->state;
    struct uuid subjects[8];
    r->state = call->state;
    size_t count = call->stream->command.subjects(call->command, subjects);
    err e = vault_fetch(r->gateway->vault, thread->pg, subjects, count);
    if (e == OK)
        return command_send(r, call, thread);
    problem_err(r, e);
    return REQUEST_DONE;
}

enum request_step dispatch_command(struct request *r, const struct stream *stream, struct any_record *command,
                                   struct uuid actor, dispatch_then *then)
{
    command->meta = (struct meta){
        .id = r->command_id,
        .at = r->received_at,
        .actor = actor,
        .command_id = r->command_id,
        .command_offset = -1,
        .request_hash = { (const char *)r->hash, sizeof r->hash },
        .trace = str_of(r->trace),
    };
    struct call call = { .stream = stream, .command = command, .then = then, .state = r->state };
    return command_send(r, &call, NULL);
}

enum request_step dispatch_signal(struct request *r, struct append *append)
{
    struct dispatch *d = r->gateway->dispatch;
    struct waiting_entry entry = {
        .request = r,
        .command_id = append->meta->id,
        .actor = append->meta->actor,
        .signal_topic = append->topic,
        .respond_async = true, /* its delivery is all that is waited for */
        .deadline_us = r->deadline_us,
        .added_us = clock_mono_us(),
    };
    waiting_ticket ticket;
    request_suspend(r);
    if (waiting_add(d->waiting, &entry, &ticket) != WAITING_ADDED) {
        unavailable(r, "overloaded", "Too many commands are under way; try again shortly.");
        request_resume(r);
        return REQUEST_SUSPENDED;
    }
    append->opaque = (void *)(uintptr_t)ticket;
    const err e = producer_append(d->gateway->producer, append);
    if (e != OK && waiting_take_ticket(d->waiting, ticket, false, &entry)) {
        problem_err(r, e);
        request_resume(r);
    }
    return REQUEST_SUSPENDED;
}

/* --- outcomes --- */

/* A signal that is not known to be in the log: it may be sent again, the newest counts. */
static void answer_accepted(const struct waiting_entry *entry)
{
    struct request *r = entry->request;
    if (!entry->stream) {
        unavailable(r, "log_unavailable", "The log does not answer. Try again shortly.");
        request_resume(r);
        return;
    }
    accepted_answer(r, entry->command_id, entry->actor);
}

static void answer_rejected(struct request *r, int number)
{
    const struct rejection *rejection = rejection_find(number);
    if (!rejection) {
        problem(r, 409, "rejected", NULL, "The command was not accepted (reason %d).", number);
        return;
    }
    const char *field = number == USERNAME_TAKEN ? "username" : number == EMAIL_TAKEN ? "email" : NULL;
    problem(r, rejection->status, rejection->code, field, "%s", rejection->title);
    if (rejection->status == 401)
        response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
    if (rejection->status == 503)
        response_header(r, "Retry-After", "30");
}

static bool has_header(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->response.header_count; i++)
        if (strcmp(r->response.headers[i].name, name) == 0)
            return true;
    return false;
}

static enum request_step answer_outcome(struct dispatch *d, const struct waiting_entry *entry, struct codec *codec,
                                        const struct outcome *outcome)
{
    struct request *r = entry->request;
    const struct record_union *facts = &entry->stream->fact;
    int rejection = outcome->rejection;
    /* The outcome of an earlier request that had the same key and another body. */
    if (outcome->request_hash.len == sizeof entry->request_hash &&
        memcmp(outcome->request_hash.ptr, entry->request_hash, sizeof entry->request_hash) != 0)
        rejection = IDEMPOTENCY_KEY_REUSED;
    /* A row of the operations does not say whether it was found or made by this command, but it has the first one's
     * time. */
    bool replayed = r->has_idempotency_key && (outcome->duplicate || outcome->at != entry->at);
    /* Who wants no outcome gets none, also when it is faster than the delivery report; only that the key is not theirs
     * they must know, since the operation is not theirs either. */
    if (entry->respond_async && rejection != IDEMPOTENCY_KEY_REUSED) {
        accepted_answer(r, entry->command_id, entry->actor);
        return REQUEST_SUSPENDED;
    }
    if (rejection != ACCEPTED && rejection == r->tolerated)
        return entry->then(r, outcome, NULL);
    if (rejection != ACCEPTED) {
        if (rejection != AGGREGATE_PARKED) /* the same command is decided anew when it is sent again, or has been */
            withdraw_subject(d, r);
        answer_rejected(r, rejection);
        if (replayed && rejection != IDEMPOTENCY_KEY_REUSED)
            response_header(r, "Idempotency-Replayed", "true");
        return REQUEST_DONE;
    }
    struct any_record *fact = arena_alloc(&r->arena, facts->size);
    if (facts->decode(codec, outcome->fact, &r->arena, fact) != OK) {
        /* It is in the log all the same: the client can look the operation up. */
        LOG(ERROR, "fact in a reply unreadable", F_ERR, F_UUID("command_id", entry->command_id));
        answer_accepted(entry);
        return REQUEST_SUSPENDED;
    }
    if (!uuid_equal(r->fresh_subject, facts->key(fact))) /* the same had been made before */
        withdraw_subject(d, r);
    r->fresh_subject = uuid_nil;
    if (!has_header(r, "Aether-Position"))
        response_header(r, "Aether-Position", "%.*s/%d@%lld", (int)outcome->stream.len, outcome->stream.ptr,
                        outcome->partition, (long long)outcome->offset);
    if (replayed && !has_header(r, "Idempotency-Replayed"))
        response_header(r, "Idempotency-Replayed", "true");
    return entry->then(r, outcome, fact);
}

enum request_step dispatch_done(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    buf_clear(&r->response.body);
    r->response.status = 204;
    return REQUEST_DONE;
}

/* --- requests that came before --- */

static err find_outcome(struct request *r, struct pool_thread *thread, const struct stream *stream, struct uuid actor,
                        struct outcome **ret)
{
    struct outcome *outcome;
    size_t count;
    *ret = NULL;
    TRY(operation_find(thread->pg, &thread->arena, decider_of(stream), &r->command_id, 1, &outcome, &count));
    /* What met a parked aggregate is decided again when it is sent again. */
    if (count == 1 && uuid_equal(outcome->actor, actor) && outcome->rejection != AGGREGATE_PARKED)
        *ret = outcome;
    return OK;
}

bool dispatch_repeated(struct request *r, struct pool_thread *thread, const struct stream *stream, struct uuid actor,
                       dispatch_then *then, enum request_step *ret)
{
    struct dispatch *d = r->gateway->dispatch;
    struct outcome *outcome;
    struct uuid accepted_by;
    int64_t accepted_at;
    if (!r->has_idempotency_key)
        return false;
    const err e = find_outcome(r, thread, stream, actor, &outcome);
    *ret = REQUEST_DONE;
    if (e != OK) {
        problem_err(r, e);
        return true;
    }
    if (outcome) {
        struct waiting_entry entry = {
            .request = r,
            .command_id = r->command_id,
            .actor = actor,
            .stream = stream,
            .then = then,
            .respond_async = r->respond_async,
            .at = r->received_at,
        };
        memcpy(entry.request_hash, r->hash, sizeof entry.request_hash);
        outcome->duplicate = true;
        buf_clear(&r->response.body);
        r->response.header_count = 0;
        r->response.content_type = NULL;
        *ret = answer_outcome(d, &entry, thread->codec, outcome);
        return true;
    }
    if (waiting_has(d->waiting, r->command_id)) {
        in_progress(r);
        return true;
    }
    if (!accepted_find(r->gateway->accepted, thread, r->command_id, &accepted_by, &accepted_at) ||
        !uuid_equal(accepted_by, actor))
        return false;
    accepted_answer(r, r->command_id, actor);
    *ret = REQUEST_SUSPENDED;
    return true;
}

struct refusal {
    const struct stream *stream;
    struct uuid actor;
    dispatch_then *then;
    void *state; /* the handler's */
};

static enum request_step refused(struct request *r, struct pool_thread *thread)
{
    const struct refusal *refusal = r->state;
    enum request_step step;
    r->state = refusal->state;
    const bool repeated = dispatch_repeated(r, thread, refusal->stream, refusal->actor, refusal->then, &step);
    return repeated ? step : REQUEST_DONE;
}

enum request_step dispatch_refused(struct request *r, struct pool_thread *thread, const struct stream *stream,
                                   struct uuid actor, dispatch_then *then)
{
    if (!r->has_idempotency_key)
        return REQUEST_DONE;
    struct refusal *refusal = ARENA_NEW(&r->arena, struct refusal);
    *refusal = (struct refusal){ stream, actor, then, r->state };
    r->state = refusal;
    if (thread)
        return refused(r, thread);
    return pool_run(r->gateway->reads, r, refused);
}

void dispatch_outcome(struct dispatch *d, struct codec *codec, const struct outcome *outcome, size_t metric)
{
    struct waiting_entry entry;
    bool hashed = outcome->request_hash.len == sizeof entry.request_hash;
    const uint8_t *hash = (const uint8_t *)outcome->request_hash.ptr;
    /* "Reused" names the hash of the request that came first. Is it that of the one that waits here, then this reply is
     * for somebody else with the same key, and the first one's outcome is still to come. */
    const uint8_t *unless = hashed && outcome->rejection == IDEMPOTENCY_KEY_REUSED ? hash : NULL;
    if (!waiting_take(d->waiting, outcome->command_id, unless, &entry)) {
        /* Answered already: by the poll, the deadline, or another delivery of the same reply. */
        metrics_add(d->gateway->metrics, METRIC_OUTCOMES_LATE, 1);
        return;
    }
    metrics_add(d->gateway->metrics, metric, 1);
    metrics_observe_us(d->gateway->metrics, METRIC_COMMAND_SECONDS, clock_mono_us() - entry.added_us);
    if (answer_outcome(d, &entry, codec, outcome) == REQUEST_DONE)
        request_resume(entry.request);
}

void dispatch_delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    struct dispatch *d = context;
    struct waiting_entry entry;
    if (!waiting_take_ticket(d->waiting, (waiting_ticket)(uintptr_t)opaque, delivery == DELIVERED, &entry))
        return;
    if (delivery == NOT_APPENDED) {
        withdraw_subject(d, entry.request);
        unavailable(entry.request, "log_unavailable",
                    "The log cannot be reached; nothing was written. Try again shortly.");
        request_resume(entry.request);
    } else if (!entry.stream && delivery == DELIVERED) {
        struct request *r = entry.request;
        r->response.status = 204;
        response_header(r, "Aether-Position", "%.*s/%d@%lld", (int)strcspn(entry.signal_topic, "."), entry.signal_topic,
                        (int)partition, (long long)offset);
        request_resume(r);
    } else {
        answer_accepted(&entry);
    }
}

/* --- life --- */

struct dispatch *dispatch_create(struct gateway *g, size_t max_waiting)
{
    struct dispatch *d = mem_alloc(sizeof *d);
    d->gateway = g;
    d->waiting = waiting_create(max_waiting);
    replies_channel(g->id, d->channel);
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

err dispatch_start(struct dispatch *d)
{
    return replies_start(d->gateway, d, d->waiting, answer_accepted, &d->replies);
}

size_t dispatch_waiting(const struct dispatch *d)
{
    return waiting_count(d->waiting);
}

bool dispatch_doubts_cache(const struct dispatch *d)
{
    return d->replies && replies_doubted(d->replies);
}

bool dispatch_replies_up(const struct dispatch *d)
{
    return d->replies && replies_up(d->replies);
}

void dispatch_hurry(struct dispatch *d)
{
    if (d->replies)
        replies_hurry(d->replies);
}

void dispatch_stop(struct dispatch *d)
{
    replies_stop(d->replies);
    d->replies = NULL;
    struct waiting_entry entry;
    while (waiting_take_expired(d->waiting, INT64_MAX, &entry, 1) == 1)
        answer_accepted(&entry);
}

void dispatch_destroy(struct dispatch *d)
{
    if (!d)
        return;
    dispatch_stop(d);
    waiting_destroy(d->waiting);
    while (d->encoders) {
        struct encoder *e = d->encoders;
        d->encoders = e->next;
        codec_destroy(e->codec);
        buf_finish(&e->payload);
        free(e);
    }
    pthread_mutex_destroy(&d->lock);
    free(d);
}
