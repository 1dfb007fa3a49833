/* Signals: a topic without commands and decisions, where the newest record of a key counts. The owner of partition p of
 * the worker's first stream follows partition p of the topic.
 *
 * A fold of signals says for each key "unless something newer is there", so it may run twice, or in two processes at
 * once while a partition moves: nothing fences it and nothing has to. Where reading goes on is a row of `followed`, in
 * the fold's transaction. */
#include "consumers/loop/loop.h"
#include "ops/runtime/kafka.h"
#include "ops/runtime/log.h"

#define BATCH_MAX 500

struct signals {
    rd_kafka_t *consumer;
    unsigned epoch; /* of the assignment that it follows */
    bool assigned;
    struct arena arena;
};

static const struct pg_statement load_followed = {
    "signals_load_followed",
    "SELECT next_offset FROM followed WHERE topic = $1::text AND partition = $2::int",
};

static const struct pg_statement advance_followed = {
    "signals_advance_followed",
    "INSERT INTO followed AS f (topic, partition, next_offset)"
    " SELECT $1::text, unnest($2::int[]), unnest($3::bigint[])"
    " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = GREATEST(f.next_offset, excluded.next_offset)",
};

err signals_open(struct worker *w)
{
    if (!w->definition->signals)
        return OK;
    char client_id[96];
    snprintf(client_id, sizeof client_id, "%s-signals", w->definition->name);
    const struct kafka_property properties[] = {
        { "group.id", client_id },  { "auto.offset.reset", "earliest" }, /* retention and compaction may have taken the record we stood at */
        { "fetch.min.bytes", "1" }, { "queued.max.messages.kbytes", "4096" }, { 0 },
    };
    rd_kafka_t *consumer;
    TRY(kafka_consumer_create(w->config, client_id, properties, NULL, NULL, &consumer));
    w->signals = mem_alloc(sizeof *w->signals);
    w->signals->consumer = consumer;
    arena_init(&w->signals->arena, 0);
    return OK;
}

void signals_close(struct worker *w)
{
    if (!w->signals)
        return;
    kafka_consumer_destroy(w->signals->consumer);
    arena_finish(&w->signals->arena);
    free(w->signals);
}

/* The partitions that are ours now, each from where its fold stands. */
static err follow_assignment(struct worker *w)
{
    struct signals *s = w->signals;
    const char *topic = w->definition->signals->topic;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)w->partition_count);
    err e = OK;
    for (size_t i = 0; i < w->partition_count && e == OK; i++) {
        if (w->partitions[i]->worker != w->definition->streams[0])
            continue;
        struct pg_args args = pg_args(&s->arena);
        pg_arg_text(&args, str_of(topic));
        pg_arg_int4(&args, w->partitions[i]->number);
        _cleanup_result_ PGresult *r = NULL;
        e = pg_query(w->read_pg, &load_followed, &args, &r);
        if (e != OK)
            break;
        rd_kafka_topic_partition_list_add(list, topic, w->partitions[i]->number)->offset =
            PQntuples(r) == 1 ? pg_int(r, 0, 0) : RD_KAFKA_OFFSET_BEGINNING;
    }
    if (e == OK && rd_kafka_assign(s->consumer, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        e = err_set(RETRY, "cannot follow %s", topic);
    rd_kafka_topic_partition_list_destroy(list);
    if (e == OK) {
        s->epoch = w->assignment_epoch;
        s->assigned = true;
    }
    return e;
}

static err fold(struct worker *w, rd_kafka_message_t *const *messages, size_t count)
{
    struct signals *s = w->signals;
    const struct signal_worker *signals = w->definition->signals;
    struct placed_signal *placed = ARENA_ARRAY(&s->arena, struct placed_signal, count);
    struct pg_array *partitions = pg_array(&s->arena, PG_INT4, count), *next = pg_array(&s->arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        placed[i] = (struct placed_signal){
            .payload = { messages[i]->payload, messages[i]->len },
            .partition = messages[i]->partition,
            .offset = messages[i]->offset,
        };
        bool is_last = true; /* of its partition in this batch */
        for (size_t k = i + 1; k < count && is_last; k++)
            is_last = messages[k]->partition != messages[i]->partition;
        if (!is_last)
            continue;
        pg_array_int4(partitions, messages[i]->partition);
        pg_array_int8(next, messages[i]->offset + 1);
    }
    struct pg_args args = pg_args(&s->arena);
    pg_arg_text(&args, str_of(signals->topic));
    pg_arg_array(&args, partitions);
    pg_arg_array(&args, next);
    TRY(pg_batch_begin(w->pg));
    TRY(pg_batch_add(w->pg, &pg_sql_begin, NULL));
    TRY(signals->fold(w->pg, w->codec, &s->arena, placed, count));
    TRY(pg_batch_add(w->pg, &advance_followed, &args));
    TRY(pg_batch_add(w->pg, &pg_sql_commit, NULL));
    return pg_batch_end(w->pg, NULL, 0);
}

err signals_turn(struct worker *w)
{
    struct signals *s = w->signals;
    if (!s || w->partition_count == 0)
        return OK;
    arena_reset(&s->arena);
    if (!s->assigned || s->epoch != w->assignment_epoch)
        TRY(follow_assignment(w));
    rd_kafka_message_t *messages[BATCH_MAX];
    size_t count = 0;
    while (count < BATCH_MAX) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(s->consumer, 0);
        if (!message)
            break;
        if (message->err)
            rd_kafka_message_destroy(message);
        else
            messages[count++] = message;
    }
    const err e = count > 0 ? fold(w, messages, count) : OK;
    for (size_t i = 0; i < count; i++)
        rd_kafka_message_destroy(messages[i]);
    if (e != OK)
        s->assigned = false; /* read again from where the fold stands */
    return e;
}
