/* decide → append → fold → reply, for the commands at hand, in one pass and one transaction.
 *
 *   1. decode every command; what cannot be decoded is parked
 *   2. what the operations table knows of these commands, but for fresh ones, and what the states lack (one query a
 *      table)
 *   3. in order: the tail's fact, or the recorded outcome, or decide; evolve
 *   4. append the new facts, at the offsets that are expected
 *   5. send PostgreSQL the rows; meanwhile Kafka answers: a fact at another offset says that somebody else wrote
 *   6. cache, commit; 7. reply
 *
 * Nothing is committed before the log has it, nothing answered before COMMIT. A failure anywhere leaves the items where
 * they are and everything stale. */
#include <assert.h>
#include <stdlib.h>

#include "consumers/loop/loop.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

/* --- the outcomes of this batch by command id --- */

struct seen {
    struct operation **slots;
    size_t mask;
};

static void seen_init(struct seen *s, struct arena *arena, size_t count)
{
    size_t size = 16;
    while (size < count * 4)
        size *= 2;
    s->slots = ARENA_ARRAY(arena, struct operation *, size);
    s->mask = size - 1;
}

static struct operation **seen_slot(const struct seen *s, struct uuid id)
{
    uint64_t h;
    memcpy(&h, id.bytes + 8, sizeof h); /* the random half */
    h *= 0x9e3779b97f4a7c15u;
    for (size_t i = (size_t)(h >> 20) & s->mask;; i = (i + 1) & s->mask)
        if (!s->slots[i] || uuid_equal(s->slots[i]->command_id, id))
            return &s->slots[i];
}

static void seen_put(struct seen *s, struct operation *op)
{
    *seen_slot(s, op->command_id) = op;
}

/* --- 1 --- */

static struct str message_key(const rd_kafka_message_t *m)
{
    return (struct str){ m->key, m->key_len };
}

static err park_command(struct worker *w, const struct item *item, const char *cause)
{
    const rd_kafka_message_t *m = item->message;
    const struct parked_record record = {
        .topic = item->partition->worker->stream->commands_topic,
        .partition = item->partition->number,
        .offset = m->offset,
        .key = message_key(m),
        .blocks = false, /* what nobody decided changes nothing for those behind it */
        .cause = arena_printf(&w->arena, "%s", cause),
        .payload = { m->payload, m->len },
    };
    metrics_add(w->metrics, METRIC_PARKED, 1);
    return park(w->parked_keys, w->pg, &w->arena, w->producer, w->definition->name, &record);
}

static err decode_commands(struct worker *w, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct item *item = &w->items[i];
        const struct record_union *commands = &item->partition->worker->stream->command;
        const struct str payload = { item->message->payload, item->message->len };
        *item = (struct item){ .message = item->message, .partition = item->partition };
        struct any_record *command = arena_alloc(&w->arena, commands->size);
        if (commands->decode(w->codec, payload, &w->arena, command) == OK)
            item->command = command;
        else
            TRY(park_command(w, item, err_message()));
    }
    return OK;
}

/* --- 2 --- */

static err look_up(struct worker *w, size_t count, struct seen *seen)
{
    struct uuid *ids = ARENA_ARRAY(&w->arena, struct uuid, count);
    size_t id_count = 0;
    for (size_t i = 0; i < count; i++)
        if (w->items[i].command && !fresh_take(w->fresh, w->items[i].command->meta.command_id))
            ids[id_count++] = w->items[i].command->meta.command_id;
    struct operation *known = NULL;
    size_t known_count = 0;
    metrics_add(w->metrics, METRIC_LOOKED_UP, (int64_t)id_count);
    if (id_count > 0)
        TRY(operation_lookup(w->pg, &w->arena, ids, id_count, &known, &known_count));
    seen_init(seen, &w->arena, count + known_count);
    for (size_t i = 0; i < known_count; i++)
        seen_put(seen, &known[i]);
    return OK;
}

static err load_states(struct worker *w, size_t count)
{
    const struct any_record **records = ARENA_ARRAY(&w->arena, const struct any_record *, count);
    for (size_t s = 0; s < w->stream_count; s++) {
        const struct stream_worker *sw = w->definition->streams[s];
        size_t n = 0;
        for (size_t i = 0; i < count; i++)
            if (w->items[i].command && w->items[i].partition->worker == sw)
                records[n++] = w->items[i].command;
        if (n > 0)
            TRY(sw->load(w->states[s], w->pg, &w->arena, records, n, false));
    }
    return OK;
}

/* --- 3 --- */

static struct operation *new_operation(struct worker *w, const struct item *item, struct seen *seen)
{
    const struct meta *meta = &item->command->meta;
    struct operation *op = ARENA_NEW(&w->arena, struct operation);
    *op = (struct operation){
        .command_id = meta->command_id,
        .actor = meta->actor,
        .stream = str_of(item->partition->worker->stream->name),
        .partition = item->partition->number,
        .fact_offset = -1,
        .request_hash = meta->request_hash,
        .at = meta->at,
        .repeated = *seen_slot(seen, meta->command_id) != NULL,
    };
    seen_put(seen, op);
    return op;
}

/* The fact's id is derived from the command's, so that the same fact appended twice says the same. */
static void fill_meta(const struct item *item, struct any_record *fact)
{
    const struct meta *meta = &item->command->meta;
    fact->meta = (struct meta){
        .id = uuid_v5(meta->command_id, STR("fact")),
        .at = meta->at,
        .actor = meta->actor,
        .command_id = meta->command_id,
        .command_offset = item->message->offset,
        .request_hash = meta->request_hash,
        .trace = meta->trace,
    };
}

static err accept_tail(struct worker *w, struct item *item, const struct tail_fact *tail, struct seen *seen)
{
    const struct record_union *facts = &item->partition->worker->stream->fact;
    item->appended_before = true;
    if (tail->parked)
        return OK; /* its outcome is known when the operator has repaired the key */
    item->fact = arena_alloc(&w->arena, facts->size);
    TRY(facts->decode(w->codec, tail->payload, &w->arena, item->fact));
    item->operation = new_operation(w, item, seen);
    item->operation->fact = tail->payload;
    item->operation->fact_offset = tail->offset;
    return OK;
}

static void repeat(struct worker *w, struct item *item, struct operation *first)
{
    const struct meta *meta = &item->command->meta;
    item->duplicate = true;
    item->operation = first;
    if (str_equal(first->request_hash, meta->request_hash) && uuid_equal(first->actor, meta->actor))
        return;
    /* The key belongs to the first request; this one gets an answer but leaves no row. */
    item->operation = ARENA_NEW(&w->arena, struct operation);
    *item->operation = *first;
    item->operation->rejection = IDEMPOTENCY_KEY_REUSED;
    item->operation->fact = (struct str){ 0 };
    item->operation->fact_offset = -1;
}

static err decide(struct worker *w, struct item *item, struct seen *seen)
{
    struct partition *p = item->partition;
    const struct stream_worker *sw = p->worker;
    const struct stream *stream = sw->stream;
    void *state = w->states[worker_stream_index(w, p)];

    const struct tail_fact *tail = partition_tail_fact(p, item->message->offset);
    if (tail) {
        TRY(accept_tail(w, item, tail, seen));
        if (item->fact)
            sw->evolve(state, item->fact);
        return OK;
    }
    struct operation *first = *seen_slot(seen, item->command->meta.command_id);
    if (first && !(first->recorded && first->rejection == AGGREGATE_PARKED)) {
        repeat(w, item, first);
        return OK;
    }
    struct operation *op = item->operation = new_operation(w, item, seen);
    if (parked_keys_blocks(w->parked_keys, stream->command.key(item->command))) {
        op->rejection = AGGREGATE_PARKED;
        return OK;
    }
    struct any_record *fact = arena_alloc(&w->arena, stream->fact.size);
    op->rejection = sw->decide(state, item->command, fact);
    if (op->rejection != ACCEPTED)
        return OK;
    if (partition_is_behind_tail(p, item->message->offset)) {
        /* Our predecessor went past it without a fact, so it was rejected then (by an older version's rules). */
        op->rejection = OUTCOME_LOST;
        return OK;
    }
    fill_meta(item, fact);
    item->fact = fact;
    sw->evolve(state, fact);
    item->fact_start = w->facts.len;
    TRY(stream->fact.encode(w->codec, fact, &w->facts));
    item->fact_len = w->facts.len - item->fact_start;
    return OK;
}

/* --- 4 --- */

static bool is_new_fact(const struct item *item)
{
    return item->fact && !item->appended_before && !item->duplicate;
}

static err append_facts(struct worker *w, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct item *item = &w->items[i];
        if (!is_new_fact(item))
            continue;
        const struct stream *stream = item->partition->worker->stream;
        item->operation->fact = (struct str){ w->facts.ptr + item->fact_start, item->fact_len };
        item->operation->fact_offset = item->partition->expect++;
        const struct append append = {
            .topic = stream->events_topic,
            .partition = item->partition->number,
            .key = stream->fact.key(item->fact),
            .payload = item->operation->fact,
            .meta = &item->fact->meta,
            .type = stream->fact.name(item->fact->type),
            .opaque = item,
        };
        err e;
        while ((e = producer_append(w->producer, &append)) == RETRY && producer_in_flight(w->producer) > 0)
            producer_poll(w->producer, 10);
        TRY(e);
    }
    return OK;
}

/* --- 5 --- */

static err facts_appended(struct worker *w, size_t count)
{
    TRY(producer_flush(w->producer, (int)config_int(w->config, "producer.message_timeout_ms") + 2000));
    for (size_t i = 0; i < count; i++) {
        const struct item *item = &w->items[i];
        if (!is_new_fact(item))
            continue;
        const char *topic = item->partition->worker->stream->events_topic;
        const int32_t partition = item->partition->number;
        if (!item->delivered || item->delivery != DELIVERED)
            return err_set(RETRY, "a fact of %s/%d was not delivered", topic, partition);
        if (item->delivered_offset != item->operation->fact_offset)
            return err_set(
                RETRY, "%s/%d: a fact got offset %lld where %lld was expected: another owner writes; reading again",
                topic, partition, (long long)item->delivered_offset, (long long)item->operation->fact_offset);
    }
    return OK;
}

static void fill_commit(struct worker *w, struct commit *c, size_t count)
{
    commit_init(w, c, &w->arena, count, count);
    c->evolved = true;
    size_t *slot = ARENA_ARRAY(&w->arena, size_t, w->partition_count);
    for (size_t i = 0; i < count; i++) {
        const struct item *item = &w->items[i];
        const struct partition *p = item->partition;
        size_t index = 0;
        while (w->partitions[index] != p)
            index++;
        if (slot[index] == 0) {
            c->from[c->partition_count] = c->to[c->partition_count] = p->at;
            slot[index] = ++c->partition_count;
        }
        struct checkpoint *to = &c->to[slot[index] - 1];
        to->command_offset = item->message->offset;
        if (item->operation && !item->duplicate) {
            c->operations[c->operation_count++] = item->operation;
            c->repeated |= item->operation->repeated;
        }
        if (!item->fact)
            continue;
        assert(item->operation); /* what has a fact has an outcome */
        commit_add_fact(c, worker_stream_index(w, p), item->fact, p->number, item->operation->fact_offset);
        to->next_offset = item->operation->fact_offset + 1;
    }
}

static err send_rows(struct worker *w, struct commit *commit, size_t count)
{
    fill_commit(w, commit, count);
    TRY(commit_open_facts(w, commit, &w->arena));
    return commit_send(w, commit, &w->arena);
}

/* Kafka is waited for in any case: its callbacks point into items. */
static err append_and_send(struct worker *w, struct commit *commit, size_t count)
{
    const err appending = append_facts(w, count);
    const err sent = appending == OK ? send_rows(w, commit, count) : appending;
    const err appended = facts_appended(w, count);
    if (sent != OK)
        return sent;
    if (appended != OK)
        pg_disconnect(w->pg); /* and with it the rows */
    return appended;
}

/* --- 6 --- */

static void advance(struct worker *w, const struct commit *c)
{
    for (size_t k = 0; k < c->partition_count; k++)
        for (size_t i = 0; i < w->partition_count; i++) {
            struct partition *p = w->partitions[i];
            if (p->number == c->to[k].partition && strcmp(p->worker->stream->name, c->to[k].stream) == 0)
                p->at = c->to[k];
        }
}

/* PostgreSQL refuses a row. Alone in its batch, the fact is the culprit and is parked by the next recovery. */
static err refused(struct worker *w, const struct commit *c)
{
    size_t facts = 0;
    for (size_t s = 0; s < w->stream_count; s++)
        facts += c->fact_count[s];
    if (facts > 1 || w->item_limit > 1) {
        LOG(WARN, "a batch does not fold; running its commands one by one", F_ERR);
        w->item_limit = 1;
        return RETRY;
    }
    if (facts == 0)
        return err_set(FATAL, "PostgreSQL refuses a batch without facts: %s",
                       arena_printf(&w->arena, "%s", err_message()));
    const struct item *item = &w->items[0];
    LOG(ERROR, "a fact does not fold and is parked", F_ERR, F_UUID("command_id", item->operation->command_id),
        F_STRN("trace", item->command->meta.trace));
    partition_refuse(item->partition, item->operation->fact_offset);
    return RETRY;
}

/* --- 7 --- */

#define MAX_CHANNELS 64

struct channel {
    struct str name;
    struct buf frames;
};

struct channel *batch_channels_create(void)
{
    return mem_alloc(MAX_CHANNELS * sizeof(struct channel));
}

void batch_channels_destroy(struct channel *channels)
{
    for (size_t k = 0; channels && k < MAX_CHANNELS; k++)
        buf_finish(&channels[k].frames);
    free(channels);
}

static struct str reply_channel(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t len = 0;
    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_last(headers, "aether-reply-to", &value, &len))
        return (struct str){ 0 };
    return (struct str){ value, len };
}

static err frame_outcome(struct worker *w, const struct item *item, struct buf *frames)
{
    const struct operation *op = item->operation;
    const struct outcome outcome = {
        .command_id = op->command_id,
        .actor = op->actor,
        .rejection = op->rejection,
        .duplicate = item->duplicate,
        .stream = op->stream,
        .partition = op->partition,
        .offset = op->fact_offset,
        .fact = op->fact,
        .request_hash = op->request_hash,
        .at = op->at,
    };
    buf_clear(&w->scratch);
    TRY(outcome_encode(w->codec, &outcome, &w->scratch));
    const uint32_t len = (uint32_t)w->scratch.len;
    const uint8_t prefix[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len };
    buf_append(frames, prefix, sizeof prefix);
    buf_str(frames, buf_view(&w->scratch));
    return OK;
}

/* What Redis says to a PUBLISH is read before the next one: by then it has long been there. */
static err publish(struct worker *w, const struct channel *channels, size_t count)
{
    TRY(redis_flush(w->reply_redis, NULL, NULL));
    for (size_t k = 0; k < count; k++) {
        const struct str argv[] = { STR("PUBLISH"), channels[k].name, buf_view(&channels[k].frames) };
        TRY(redis_add(w->reply_redis, 3, argv));
    }
    return redis_send(w->reply_redis);
}

/* Lost replies cost time, not truth: the gateway asks the operations table. So nothing here fails the batch. */
static void reply(struct worker *w, size_t count)
{
    struct channel *channels = w->channels;
    size_t channel_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct item *item = &w->items[i];
        const struct str name = item->operation ? reply_channel(item->message) : (struct str){ 0 };
        if (name.len == 0)
            continue;
        size_t k = 0;
        while (k < channel_count && !str_equal(channels[k].name, name))
            k++;
        if (k == MAX_CHANNELS)
            continue;
        if (k == channel_count) {
            channels[k].name = name;
            buf_clear(&channels[k].frames);
            channel_count++;
        }
        if (frame_outcome(w, item, &channels[k].frames) != OK)
            LOG(ERROR, "reply not encoded", F_ERR);
    }
    if (channel_count > 0 && publish(w, channels, channel_count) != OK)
        LOG(DEBUG, "replies not sent; gateways will ask", F_ERR);
}

/* --- */

static void count_outcomes(struct worker *w, size_t count)
{
    int64_t accepted = 0, rejected = 0, duplicates = 0;
    for (size_t i = 0; i < count; i++) {
        const struct item *item = &w->items[i];
        if (!item->operation)
            continue;
        duplicates += item->duplicate;
        accepted += !item->duplicate && item->operation->rejection == ACCEPTED;
        rejected += !item->duplicate && item->operation->rejection != ACCEPTED;
    }
    metrics_add(w->metrics, METRIC_ACCEPTED, accepted);
    metrics_add(w->metrics, METRIC_REJECTED, rejected);
    metrics_add(w->metrics, METRIC_DUPLICATES, duplicates);
    metrics_add(w->metrics, METRIC_FOLDED, accepted);
    metrics_add(w->metrics, METRIC_BATCHES, 1);
}

void batch_drop(struct worker *w, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        rd_kafka_message_destroy(w->items[i].message);
    memmove(w->items + first, w->items + first + count, (w->item_count - first - count) * sizeof *w->items);
    w->item_count -= count;
}

/* Commands that another owner has brought to an end meanwhile. */
static void drop_done(struct worker *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->item_count; i++) {
        if (w->items[i].message->offset <= w->items[i].partition->at.command_offset)
            rd_kafka_message_destroy(w->items[i].message);
        else
            w->items[kept++] = w->items[i];
    }
    w->item_count = kept;
}

err batch_run(struct worker *w)
{
    drop_done(w);
    const size_t count = w->item_count < w->item_limit ? w->item_count : w->item_limit;
    if (count == 0)
        return OK;
    arena_reset(&w->arena);
    buf_clear(&w->facts);
    struct seen seen;
    struct commit commit;
    const int64_t began = clock_mono_us();

    TRY(decode_commands(w, count));
    TRY(look_up(w, count, &seen));
    TRY(load_states(w, count));
    for (size_t i = 0; i < count; i++)
        if (w->items[i].command)
            TRY(decide(w, &w->items[i], &seen));
    const int64_t decided = clock_mono_us();

    TRY(append_and_send(w, &commit, count));
    const int64_t appended = clock_mono_us();

    commit_cache(w, &commit, &w->arena);
    const err e = commit_finish(w);
    if (e == REJECT) {
        const err next = refused(w, &commit);
        commit_uncache(w, &w->arena);
        return next;
    }
    TRY(e);
    advance(w, &commit);
    const int64_t committed = clock_mono_us();

    reply(w, count);
    const int64_t replied = clock_mono_us();
    metrics_observe_us(w->metrics, METRIC_LOAD_SECONDS, decided - began);
    metrics_observe_us(w->metrics, METRIC_APPEND_SECONDS, appended - decided);
    metrics_observe_us(w->metrics, METRIC_COMMIT_SECONDS, committed - appended);
    metrics_observe_us(w->metrics, METRIC_REPLY_SECONDS, replied - committed);
    metrics_observe_us(w->metrics, METRIC_BATCH_SECONDS, replied - began);
    count_outcomes(w, count);
    batch_drop(w, 0, count);
    return OK;
}
