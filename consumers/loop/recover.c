/* From the checkpoint to the end of the events log.
 *
 * A fact behind the checkpoint is one of two things. Where its command is still to be read, it is that command's
 * outcome and goes into the partition's tail: batch.c finds it there instead of deciding again. Where it is not (a
 * projection that is rebuilt from nothing, commands that retention has deleted), it is folded alone, in chunks: while
 * PostgreSQL works on one chunk, the next is read and decoded.
 *
 * A fact whose command offset is not greater than that of the fact before it is a duplicate of a fenced writer:
 * dropped. */
#include <stdatomic.h>
#include <stdlib.h>

#include "consumers/loop/loop.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/kafka.h"
#include "ops/runtime/log.h"
#include "ops/runtime/stop.h"

#define CHUNK_BYTES (4u << 20) /* of records: it is taken up before worker.rebuild_records are in it */

struct chunk {
    struct arena arena;
    struct commit commit;
    size_t *slot; /* by partition index: place in commit.from/to plus one; 0: not in this chunk */
    struct operation *operations;
    size_t facts, bytes;
    bool sent;
};

struct recovery {
    struct worker *w;
    struct chunk chunks[2];
    int filling;               /* the chunk that is being filled; the other one may be under way */
    struct checkpoint *cursor; /* by partition: where the chunks filled so far lead */
    int64_t *last;             /* by partition: command offset of the newest fact that is no duplicate */
    int64_t *commands_low;     /* by partition: the oldest command that can be read */
    bool *ended;
    size_t open;             /* partitions not at their end yet */
    int64_t operations_from; /* facts older than this (Unix ms) leave no operation */
    struct arena arena;
};

bool recover_needed(const struct worker *w)
{
    for (size_t i = 0; i < w->partition_count; i++)
        if (w->partitions[i]->stale)
            return true;
    return false;
}

err recover_open(struct worker *w)
{
    char client_id[96];
    snprintf(client_id, sizeof client_id, "%s-tail", w->definition->name);
    /* The end of a partition is the EOF event. The broker holds an empty fetch for fetch.wait.max.ms before it
     * says so. */
    const struct kafka_property properties[] = {
        { "group.id", client_id },
        { "enable.partition.eof", "true" },
        { "auto.offset.reset", "error" },
        { "fetch.wait.max.ms", "10" },
        { "fetch.min.bytes", "1" },
        { "queued.max.messages.kbytes", "4096" },
        { 0 },
    };
    return kafka_consumer_create(w->config, client_id, properties, NULL, NULL, &w->events);
}

void recover_close(struct worker *w)
{
    kafka_consumer_destroy(w->events);
    w->events = NULL;
}

static err watermarks(struct worker *w, const char *topic, int32_t partition, int64_t *low, int64_t *high)
{
    const rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(w->events, topic, partition, low, high, 5000);
    return code ? err_set(RETRY, "%s/%d: %s", topic, partition, rd_kafka_err2str(code)) : OK;
}

/* Reads the checkpoints anew and positions the events reader on them. */
static err recovery_begin(struct recovery *r)
{
    struct worker *w = r->w;
    const size_t n = w->partition_count;
    struct checkpoint *rows = ARENA_ARRAY(&r->arena, struct checkpoint, n);
    int64_t *ends = ARENA_ARRAY(&r->arena, int64_t, n);
    for (size_t i = 0; i < n; i++) {
        const struct partition *p = w->partitions[i];
        int64_t unused;
        TRY(watermarks(w, p->worker->stream->events_topic, p->number, &unused, &ends[i]));
        TRY(watermarks(w, p->worker->stream->commands_topic, p->number, &r->commands_low[i], &unused));
        rows[i] = (struct checkpoint){ .stream = p->worker->stream->name, .partition = p->number };
    }
    TRY(checkpoint_load(w->read_pg, &r->arena, rows, ends, n));
    TRY(parked_keys_load(w->parked_keys, w->read_pg));

    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    err e = OK;
    for (size_t i = 0; i < n && e == OK; i++) {
        struct partition *p = w->partitions[i];
        if (rows[i].command_offset < p->at.command_offset || rows[i].next_offset < p->at.next_offset)
            e = err_set(
                FATAL,
                "the checkpoint of %s/%d went back: the database was restored or dropped under a running worker; "
                "start it again",
                rows[i].stream, p->number);
        else if (rows[i].next_offset > ends[i])
            e = err_set(
                FATAL,
                "%s/%d ends at offset %lld but the checkpoint stands at %lld: this is not the log the database was "
                "folded from",
                p->worker->stream->events_topic, p->number, (long long)ends[i], (long long)rows[i].next_offset);
        else if (ends[i] - rows[i].next_offset > config_int(w->config, "worker.tail_records") &&
                 rows[i].rebuild_until < ends[i]) {
            /* Far behind (an old backup): the memory of a tail is bounded, so fold what is there without
             * its commands. */
            rows[i].rebuild_until = ends[i];
            e = checkpoint_rebuild(w->read_pg, &r->arena, &rows[i], ends[i]);
        }
        p->at = r->cursor[i] = rows[i];
        r->last[i] = rows[i].command_offset;
        p->tail_count = p->tail_next = 0;
        rd_kafka_topic_partition_list_add(list, p->worker->stream->events_topic, p->number)->offset =
            rows[i].next_offset;
    }
    if (e == OK) {
        const rd_kafka_resp_err_t code = rd_kafka_assign(w->events, list);
        if (code)
            e = err_set(RETRY, "cannot read events: %s", rd_kafka_err2str(code));
    }
    rd_kafka_topic_partition_list_destroy(list);
    return e;
}

static void chunk_begin(struct recovery *r, struct chunk *c)
{
    struct worker *w = r->w;
    arena_reset(&c->arena);
    commit_init(w, &c->commit, &c->arena, w->rebuild_limit, w->rebuild_limit);
    c->slot = ARENA_ARRAY(&c->arena, size_t, w->partition_count);
    c->operations = ARENA_ARRAY(&c->arena, struct operation, w->rebuild_limit);
    c->facts = c->bytes = 0;
    c->sent = false;
}

static err chunk_finish(struct recovery *r, struct chunk *c)
{
    if (!c->sent)
        return OK;
    struct worker *w = r->w;
    c->sent = false;
    const err e = commit_finish(w);
    if (e == OK) {
        for (size_t i = 0; i < w->partition_count; i++)
            if (c->slot[i])
                w->partitions[i]->at = c->commit.to[c->slot[i] - 1];
        metrics_add(w->metrics, METRIC_REBUILT, (int64_t)c->facts);
        return OK;
    }
    if (e == REJECT && c->facts == 1) { /* found: the next recovery parks it */
        for (size_t i = 0; i < w->partition_count; i++)
            if (c->slot[i])
                partition_refuse(w->partitions[i], c->commit.to[c->slot[i] - 1].next_offset - 1);
        w->rebuild_limit = (size_t)config_int(w->config, "worker.rebuild_records");
        return err_set(RETRY, "a fact does not fold and is parked");
    }
    if (e == REJECT) {
        LOG(WARN, "a fact does not fold; looking for it one by one", F_ERR);
        w->rebuild_limit = 1;
        return err_set(RETRY, "looking for the fact that does not fold");
    }
    return e;
}

/* librdkafka 2.0.2 stops fetching while queued.max.messages.kbytes are waiting, and looks again when its broker thread
 * wakes: after up to a second, in which a rebuild would stand still (fetch.queue.backoff.ms came with 2.2). Asking the
 * leader of a partition anything wakes that thread. A failed answer costs nothing but the second. */
static void keep_fetching(struct worker *w, const struct chunk *c)
{
    for (size_t i = 0; i < w->partition_count; i++) {
        int64_t low = 0, high = 0;
        const struct partition *p = w->partitions[i];
        if (c->slot[i])
            (void)watermarks(w, p->worker->stream->events_topic, p->number, &low, &high);
    }
}

/* Sends the chunk that is full and takes up the other one, whose transaction must have ended. */
static err chunk_turn(struct recovery *r)
{
    struct worker *w = r->w;
    struct chunk *full = &r->chunks[r->filling], *other = &r->chunks[!r->filling];
    if (full->commit.partition_count > 0)
        TRY(commit_open_facts(w, &full->commit, &full->arena)); /* while the other is under way */
    TRY(chunk_finish(r, other));
    if (full->commit.partition_count > 0) {
        TRY(commit_send(w, &full->commit, &full->arena));
        TRY(commit_ask(w)); /* the log has it all already: PostgreSQL writes it out while the next chunk is read */
        full->sent = true;
        keep_fetching(w, full);
    }
    chunk_begin(r, other);
    r->filling = !r->filling;

    atomic_store(&w->alive_until_us, clock_mono_us() + 15000000);
    const unsigned epoch = w->assignment_epoch;
    TRY(assignment_collect(w, 0)); /* a rebuild takes long; the group must be served meanwhile */
    if (epoch != w->assignment_epoch)
        return err_set(RETRY, "partitions moved during recovery");
    return stop_requested() ? err_set(RETRY, "stopping") : OK;
}

static size_t partition_index(const struct worker *w, const rd_kafka_message_t *m)
{
    const char *topic = rd_kafka_topic_name(m->rkt);
    for (size_t i = 0; i < w->partition_count; i++)
        if (w->partitions[i]->number == m->partition &&
            strcmp(w->partitions[i]->worker->stream->events_topic, topic) == 0)
            return i;
    return w->partition_count;
}

/* `fact` NULL: it cannot be decoded. */
static err park_fact(struct recovery *r, const struct partition *p, const rd_kafka_message_t *m,
                     const struct any_record *fact, const char *cause)
{
    struct worker *w = r->w;
    const struct parked_record record = {
        .topic = p->worker->stream->events_topic,
        .partition = p->number,
        .offset = m->offset,
        .key = { m->key, m->key_len },
        .blocks = true,
        .cause = arena_printf(&r->arena, "%s", cause),
        .payload = { m->payload, m->len },
        .worker = p->worker,
        .fact = fact,
    };
    metrics_add(w->metrics, METRIC_PARKED, 1);
    return park(w->parked_keys, w->read_pg, &r->arena, w->producer, w->definition->name, &record);
}

/* The place of the partition in the chunk under filling. */
static struct checkpoint *chunk_cursor(struct recovery *r, struct chunk *c, size_t i)
{
    if (c->slot[i] == 0) {
        c->commit.from[c->commit.partition_count] = r->cursor[i];
        c->commit.to[c->commit.partition_count] = r->cursor[i];
        c->slot[i] = ++c->commit.partition_count;
    }
    return &c->commit.to[c->slot[i] - 1];
}

/* A fact on its own: into the chunk. `fact` NULL: the checkpoint moves past a record that was parked or is
 * a duplicate. */
static err fold_alone(struct recovery *r, size_t i, struct any_record *fact, int64_t offset, struct str payload)
{
    struct worker *w = r->w;
    struct chunk *c = &r->chunks[r->filling];
    struct checkpoint *to = chunk_cursor(r, c, i);
    to->next_offset = offset + 1;
    if (fact) {
        struct partition *p = w->partitions[i];
        to->command_offset = fact->meta.command_offset;
        commit_add_fact(&c->commit, worker_stream_index(w, p), fact, p->number, offset);
        if (fact->meta.at >= r->operations_from) {
            struct operation *op = &c->operations[c->commit.operation_count];
            *op = (struct operation){
                .command_id = fact->meta.command_id,
                .actor = fact->meta.actor,
                .stream = str_of(p->worker->stream->name),
                .partition = p->number,
                .fact_offset = offset,
                .request_hash = fact->meta.request_hash,
                .fact = arena_str(&c->arena, payload),
                .at = fact->meta.at,
            };
            c->commit.operations[c->commit.operation_count++] = op;
        }
        c->facts++;
        c->bytes += payload.len;
    }
    r->cursor[i] = *to;
    return c->facts == w->rebuild_limit || c->bytes >= CHUNK_BYTES ? chunk_turn(r) : OK;
}

static err take_fact(struct recovery *r, size_t i, const rd_kafka_message_t *m)
{
    struct worker *w = r->w;
    struct partition *p = w->partitions[i];
    struct chunk *c = &r->chunks[r->filling];
    const struct record_union *facts = &p->worker->stream->fact;
    const struct str payload = { m->payload, m->len };
    struct any_record *fact = arena_alloc(&c->arena, facts->size);
    const bool in_rebuild = m->offset < p->at.rebuild_until;
    const bool discarded = parked_keys_discarded(w->parked_keys, p->worker->stream->events_topic, p->number, m->offset);

    if (facts->decode(w->codec, payload, &c->arena, fact) != OK) {
        if (!discarded)
            TRY(park_fact(r, p, m, NULL, arena_printf(&r->arena, "%s", err_message())));
        return in_rebuild ? fold_alone(r, i, NULL, m->offset, payload) : OK;
    }
    if (fact->meta.command_offset <= r->last[i])
        return in_rebuild ? fold_alone(r, i, NULL, m->offset, payload) : OK;
    r->last[i] = fact->meta.command_offset;

    const bool poison = m->offset == p->poison;
    const bool blocked = discarded || poison || parked_keys_blocks(w->parked_keys, facts->key(fact));
    if (blocked && !discarded)
        TRY(park_fact(r, p, m, fact, poison ? p->refusal : "waits behind a parked record of its key"));
    if (in_rebuild || fact->meta.command_offset < r->commands_low[i])
        return fold_alone(r, i, blocked ? NULL : fact, m->offset, payload);
    partition_push_tail(p, (struct tail_fact){
                               .offset = m->offset,
                               .command_offset = fact->meta.command_offset,
                               .payload = arena_str(&w->tail_arena, payload),
                               .parked = blocked,
                           });
    return OK;
}

static err read_to_end(struct recovery *r)
{
    struct worker *w = r->w;
    const unsigned epoch = w->assignment_epoch;
    int64_t quiet_until = clock_mono_us() + 10000000;
    while (r->open > 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(w->events, 100);
        if (!m) {
            if (stop_requested() || clock_mono_us() > quiet_until)
                return err_set(RETRY, "the events log does not answer");
            TRY(assignment_collect(w, 0));
            if (epoch != w->assignment_epoch)
                return err_set(RETRY, "partitions moved during recovery");
            continue;
        }
        quiet_until = clock_mono_us() + 10000000;
        err e = OK;
        const size_t i = m->rkt ? partition_index(w, m) : w->partition_count;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            if (i < w->partition_count && !r->ended[i]) {
                r->ended[i] = true;
                r->open--;
                w->partitions[i]->expect = m->offset;
            }
        } else if (m->err) {
            e = kafka_err(m->err) == FATAL ? err_set(FATAL, "reading events: %s", rd_kafka_message_errstr(m))
                                           : err_set(RETRY, "reading events: %s", rd_kafka_message_errstr(m));
        } else if (i < w->partition_count && !r->ended[i]) {
            e = take_fact(r, i, m);
        }
        rd_kafka_message_destroy(m);
        if (e != OK)
            return e;
    }
    TRY(chunk_turn(r));
    return chunk_finish(r, &r->chunks[!r->filling]);
}

err recover(struct worker *w)
{
    const size_t n = w->partition_count;
    struct recovery r = {
        .w = w,
        .open = n,
        .operations_from = clock_wall_ms() - config_int(w->config, "worker.operations_hours") * 3600000,
    };
    arena_init(&r.arena, 0);
    arena_init(&r.chunks[0].arena, 1 << 18);
    arena_init(&r.chunks[1].arena, 1 << 18);
    r.cursor = ARENA_ARRAY(&r.arena, struct checkpoint, n);
    r.last = ARENA_ARRAY(&r.arena, int64_t, n);
    r.commands_low = ARENA_ARRAY(&r.arena, int64_t, n);
    r.ended = ARENA_ARRAY(&r.arena, bool, n);
    arena_reset(&w->tail_arena);
    chunk_begin(&r, &r.chunks[0]);
    chunk_begin(&r, &r.chunks[1]);
    metrics_add(w->metrics, METRIC_RECOVERIES, 1);

    const unsigned epoch = w->assignment_epoch;
    const int64_t began = clock_mono_us(), rebuilt_before = metrics_read(w->metrics, METRIC_REBUILT);
    err e = recovery_begin(&r);
    if (e == OK)
        e = read_to_end(&r);
    rd_kafka_assign(w->events, NULL);
    if (e != OK) {
        pg_disconnect(w->pg); /* a chunk may be under way */
    } else if (epoch == w->assignment_epoch) {
        size_t tail = 0;
        fresh_begin(w->fresh, clock_wall_ms());
        for (size_t i = 0; i < n; i++) {
            w->partitions[i]->stale = false;
            tail += w->partitions[i]->tail_count;
        }
        const int64_t rebuilt = metrics_read(w->metrics, METRIC_REBUILT) - rebuilt_before;
        LOG(INFO, "recovered", F_INT("partitions", n), F_INT("tail", tail), F_INT("rebuilt", rebuilt),
            F_INT("ms", (clock_mono_us() - began) / 1000));
    }
    arena_finish(&r.chunks[0].arena);
    arena_finish(&r.chunks[1].arena);
    arena_finish(&r.arena);
    return e;
}
