#include "tests/worker/counter.h"

#include <assert.h>
#include <stdlib.h>
#include <uthash.h>

struct counter counter;

struct uuid counter_id(uint8_t n)
{
    struct uuid id = { .bytes = { [6] = 0x40, [8] = 0x80 } };
    id.bytes[15] = n;
    return id;
}

/* --- the state: the number of each key --- */

struct number {
    struct uuid key;
    int64_t value;
    UT_hash_handle hh;
};

struct numbers {
    struct number *table;
};

static void *numbers_create(void)
{
    return mem_alloc(sizeof(struct numbers));
}

static void numbers_clear(void *state)
{
    struct numbers *numbers = state;
    struct number *n, *next;
    HASH_ITER(hh, numbers->table, n, next)
    {
        HASH_DEL(numbers->table, n);
        free(n);
    }
}

static void numbers_destroy(void *state)
{
    if (state)
        numbers_clear(state);
    free(state);
}

static size_t numbers_size(const void *state)
{
    return HASH_COUNT(((const struct numbers *)state)->table);
}

static struct number *numbers_find(const struct numbers *numbers, struct uuid key)
{
    struct number *n;
    HASH_FIND(hh, numbers->table, &key, sizeof key, n);
    return n;
}

static struct number *numbers_add(struct numbers *numbers, struct uuid key)
{
    struct number *n = mem_alloc(sizeof *n);
    n->key = key;
    HASH_ADD(hh, numbers->table, key, sizeof n->key, n);
    return n;
}

static err load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records, size_t count,
                bool facts)
{
    static const struct pg_statement sql = { "counter_load",
                                             "SELECT coalesce(max(number), 0) FROM counted WHERE key = $1::uuid" };
    struct numbers *numbers = state;
    assert(!facts);
    for (size_t i = 0; i < count; i++) {
        const struct uuid key = rooms_stream.command.key(records[i]);
        if (numbers_find(numbers, key))
            continue;
        struct pg_args args = pg_args(arena);
        pg_arg_uuid(&args, key);
        PGresult *r = NULL;
        TRY(pg_query(pg, &sql, &args, &r));
        numbers_add(numbers, key)->value = pg_int(r, 0, 0);
        PQclear(r);
    }
    return OK;
}

/* --- rules --- */

static int decide(const void *state, const struct any_record *command, struct any_record *ret_fact)
{
    const struct pin_message *c = &((const struct rooms_command *)command)->pin_message;
    const struct number *n = numbers_find(state, c->room_id);
    assert(n);
    void (*deciding)(void) = counter.deciding;
    counter.deciding = NULL;
    if (deciding)
        deciding();
    if (uuid_equal(c->message_id, counter_id(LABEL_REJECTED)))
        return COMMAND_INVALID;
    *(struct rooms_fact *)ret_fact = (struct rooms_fact){
        .type = ROOMS_MESSAGE_PINNED,
        .message_pinned = { .room_id = c->room_id, .message_id = c->message_id, .seq = n->value + 1 },
    };
    return ACCEPTED;
}

static void evolve(void *state, const struct any_record *fact)
{
    const struct message_pinned *f = &((const struct rooms_fact *)fact)->message_pinned;
    struct number *n = numbers_find(state, f->room_id);
    if (!n)
        n = numbers_add(state, f->room_id);
    n->value = f->seq;
}

static err fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts, size_t count)
{
    static const struct pg_statement sql = {
        "counter_fold", "INSERT INTO counted (key, number, label, partition, \"offset\")"
                        " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::int[], $5::bigint[])"
    };
    (void)state;
    if (counter.failing_folds > 0) {
        counter.failing_folds--;
        return err_set(RETRY, "the test wants this fold to fail");
    }
    struct pg_array *keys = pg_array(arena, PG_UUID, count), *numbers = pg_array(arena, PG_INT8, count),
                    *labels = pg_array(arena, PG_UUID, count), *partitions = pg_array(arena, PG_INT4, count),
                    *offsets = pg_array(arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        const struct message_pinned *f = &((const struct rooms_fact *)facts[i].fact)->message_pinned;
        pg_array_uuid(keys, f->room_id);
        pg_array_int8(numbers, f->seq);
        pg_array_uuid(labels, f->message_id);
        pg_array_int4(partitions, facts[i].partition);
        pg_array_int8(offsets, facts[i].offset);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *const columns[] = { keys, numbers, labels, partitions, offsets };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &sql, &args);
}

static err cache(struct redis *redis, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    static bool lacking; /* something was not told */
    (void)redis, (void)arena, (void)facts;
    if (counter.cache_is_away) {
        lacking = true;
        return err_set(RETRY, "the test wants the cache to be away");
    }
    if (count == 0) {
        counter.emptied++;
        lacking = false;
    }
    counter.cached_before_emptied |= lacking;
    counter.cached += (int)count;
    return OK;
}

static err fold_signals(struct pg *pg, struct codec *codec, struct arena *arena, const struct placed_signal *signals,
                        size_t count)
{
    static const struct pg_statement sql = {
        "counter_signals", "INSERT INTO signalled (partition, \"offset\") SELECT * FROM unnest($1::int[], $2::bigint[])"
                           " ON CONFLICT DO NOTHING"
    };
    (void)codec;
    if (counter.failing_signals > 0) {
        counter.failing_signals--;
        return err_set(RETRY, "the test wants this fold to fail");
    }
    struct pg_array *partitions = pg_array(arena, PG_INT4, count), *offsets = pg_array(arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        pg_array_int4(partitions, signals[i].partition);
        pg_array_int8(offsets, signals[i].offset);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, partitions);
    pg_arg_array(&args, offsets);
    return pg_batch_add(pg, &sql, &args);
}

/* --- the definition --- */

static const struct migration migrations[] = {
    { 1, "CREATE TABLE counted (position bigint GENERATED ALWAYS AS IDENTITY, key uuid, number bigint, label uuid"
         " CONSTRAINT taken CHECK (label <> '00000000-0000-4000-8000-0000000000c9'), partition int, \"offset\" bigint);"
         "CREATE INDEX ON counted (key);"
         "CREATE TABLE signalled (partition int, \"offset\" bigint, PRIMARY KEY (partition, \"offset\"))" },
    { 0, NULL },
};

struct worker_definition counter_definition(const char *name, struct stream_worker *worker,
                                            const struct stream_worker **streams, const struct stream *stream,
                                            struct signal_worker *signals, const char *signals_topic)
{
    *worker = (struct stream_worker){
        .stream = stream,
        .state_create = numbers_create,
        .state_destroy = numbers_destroy,
        .state_clear = numbers_clear,
        .state_size = numbers_size,
        .load = load,
        .decide = decide,
        .evolve = evolve,
        .fold = fold,
        .cache = cache,
    };
    streams[0] = worker;
    streams[1] = NULL;
    *signals = (struct signal_worker){ .topic = signals_topic, .fold = fold_signals };
    return (struct worker_definition){
        .name = name, .summary = "counts", .streams = streams, .signals = signals, .migrations = migrations
    };
}
