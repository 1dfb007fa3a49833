#include "consumers/loop/parked.h"

#include <stdlib.h>
#include <uthash.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define PARK_TIMEOUT_MS 10000

struct blocked {
    struct uuid key;
    UT_hash_handle hh;
};

struct discarded {
    struct place {
        char topic[64];
        int32_t partition;
        int64_t offset;
    } place;
    UT_hash_handle hh;
};

struct parked_keys {
    struct blocked *table;
    struct discarded *discarded;
};

static const struct pg_statement sql_discarded = { "parked_discarded",
                                                   "SELECT topic, partition, \"offset\" FROM operator.discarded" };

static const struct pg_statement sql_discard = { "parked_discard",
                                                 "INSERT INTO operator.discarded (topic, partition, \"offset\") VALUES "
                                                 "($1::text, $2::int, $3::bigint) ON CONFLICT DO NOTHING" };

static const struct pg_statement sql_keys = { "parked_keys",
                                              "SELECT DISTINCT key FROM parked WHERE blocks AND key IS NOT NULL" };

static const struct pg_statement sql_park = {
    "parked_insert",
    "INSERT INTO parked (topic, partition, \"offset\", key, blocks, cause, payload) "
    "VALUES ($1::text, $2::int, $3::bigint, $4::uuid, $5::boolean, $6::text, $7::bytea) ON CONFLICT DO NOTHING"
};

static const struct pg_statement sql_is_parked = {
    "parked_is", "SELECT 1 FROM parked WHERE topic = $1::text AND partition = $2::int AND \"offset\" = $3::bigint"
};

static const struct pg_statement sql_requests = {
    "parked_requests",
    /* What waits behind a record with an action is folded (or discarded, when it says so itself) together with it. */
    "SELECT p.topic, p.partition, p.\"offset\", p.key, p.blocks, p.payload, "
    "       coalesce(p.action = 'discard', false) "
    "  FROM parked p LEFT JOIN LATERAL (SELECT q.action FROM parked q "
    "                                    WHERE p.blocks AND q.blocks AND q.key = p.key AND q.action IS NOT NULL LIMIT "
    "1) k ON true "
    " WHERE p.topic = ANY($1::text[]) AND (p.action IS NOT NULL OR k.action IS NOT NULL) "
    " ORDER BY p.topic, p.partition, p.\"offset\" LIMIT 10000"
};

static const struct pg_statement sql_remove = {
    "parked_remove", "DELETE FROM parked WHERE topic = $1::text AND partition = $2::int AND \"offset\" = $3::bigint"
};

static const struct pg_statement sql_refuse = {
    "parked_refuse", "UPDATE parked SET action = NULL, cause = $2::text WHERE key = $1::uuid"
};

struct parked_keys *parked_keys_create(void)
{
    return mem_alloc(sizeof(struct parked_keys));
}

static void parked_keys_clear(struct parked_keys *keys)
{
    struct blocked *b, *next;
    HASH_ITER(hh, keys->table, b, next)
    {
        HASH_DEL(keys->table, b);
        free(b);
    }
    struct discarded *d, *next_discarded;
    HASH_ITER(hh, keys->discarded, d, next_discarded)
    {
        HASH_DEL(keys->discarded, d);
        free(d);
    }
}

void parked_keys_destroy(struct parked_keys *keys)
{
    if (!keys)
        return;
    parked_keys_clear(keys);
    free(keys);
}

bool parked_keys_blocks(const struct parked_keys *keys, struct uuid key)
{
    struct blocked *b = NULL;
    HASH_FIND(hh, keys->table, &key, sizeof key, b);
    return b != NULL;
}

void parked_keys_block(struct parked_keys *keys, struct uuid key)
{
    if (parked_keys_blocks(keys, key))
        return;
    struct blocked *b = mem_alloc(sizeof *b);
    b->key = key;
    HASH_ADD(hh, keys->table, key, sizeof b->key, b);
}

static struct place place_of(struct str topic, int32_t partition, int64_t offset)
{
    struct place place;
    memset(&place, 0, sizeof place); /* padding is hashed too */
    memcpy(place.topic, topic.ptr, topic.len < sizeof place.topic ? topic.len : sizeof place.topic - 1);
    place.partition = partition;
    place.offset = offset;
    return place;
}

bool parked_keys_discarded(const struct parked_keys *keys, const char *topic, int32_t partition, int64_t offset)
{
    if (!keys->discarded)
        return false;
    const struct place place = place_of(str_of(topic), partition, offset);
    struct discarded *d = NULL;
    HASH_FIND(hh, keys->discarded, &place, sizeof place, d);
    return d != NULL;
}

err parked_keys_load(struct parked_keys *keys, struct pg *pg)
{
    _cleanup_result_ PGresult *blocked = NULL, *discarded = NULL;
    TRY(pg_query(pg, &sql_keys, NULL, &blocked));
    TRY(pg_query(pg, &sql_discarded, NULL, &discarded));
    parked_keys_clear(keys);
    for (int i = 0; i < PQntuples(blocked); i++)
        parked_keys_block(keys, pg_uuid(blocked, i, 0));
    for (int i = 0; i < PQntuples(discarded); i++) {
        struct discarded *d = mem_alloc(sizeof *d);
        d->place = place_of(pg_str(discarded, i, 0), (int32_t)pg_int(discarded, i, 1), pg_int(discarded, i, 2));
        HASH_ADD(hh, keys->discarded, place, sizeof d->place, d);
    }
    return OK;
}

static err is_parked(struct pg *pg, struct arena *arena, const struct parked_record *record, bool *ret)
{
    struct pg_args args = pg_args(arena);
    pg_arg_text(&args, str_of(record->topic));
    pg_arg_int4(&args, record->partition);
    pg_arg_int8(&args, record->offset);
    _cleanup_result_ PGresult *result = NULL;
    TRY(pg_query(pg, &sql_is_parked, &args, &result));
    *ret = PQntuples(result) == 1;
    return OK;
}

static err write_row(struct pg *pg, struct arena *arena, const struct parked_record *record, const struct uuid *key)
{
    struct pg_args args = pg_args(arena);
    pg_arg_text(&args, str_of(record->topic));
    pg_arg_int4(&args, record->partition);
    pg_arg_int8(&args, record->offset);
    if (key)
        pg_arg_uuid(&args, *key);
    else
        pg_arg_null(&args);
    pg_arg_bool(&args, record->blocks && key);
    pg_arg_text(&args, str_of(record->cause));
    pg_arg_bytes(&args, record->payload);
    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &sql_park, &args));
    if (key && record->fact && record->worker->hold)
        TRY(record->worker->hold(pg, arena, &(struct placed_fact){ record->fact, record->partition, record->offset }));
    return pg_batch_end(pg, NULL, 0);
}

err park(struct parked_keys *keys, struct pg *pg, struct arena *arena, struct producer *producer, const char *worker,
         const struct parked_record *record)
{
    struct uuid key = uuid_nil;
    const bool has_key = uuid_parse(record->key, &key);
    if (record->blocks && has_key)
        parked_keys_block(keys, key);
    bool known = false;
    TRY(is_parked(pg, arena, record, &known));
    if (known)
        return OK;
    const int64_t now = clock_wall_ms();
    const struct meta meta = { .id = uuid_v7(now), .at = now };
    const struct append append = {
        .topic = arena_printf(arena, "%s.parked", worker),
        .partition = -1,
        .key = key,
        .payload = record->payload,
        .meta = &meta,
        .type = arena_printf(arena, "%s/%d@%lld: %s", record->topic, record->partition, (long long)record->offset,
                             record->cause),
    };
    TRY(producer_append(producer, &append));
    TRY(producer_flush(producer, PARK_TIMEOUT_MS));
    TRY(write_row(pg, arena, record, has_key ? &key : NULL));
    LOG(ERROR, "record parked", F_STR("topic", record->topic), F_INT("partition", record->partition),
        F_INT("offset", record->offset), F_UUID("key", key), F_STR("cause", record->cause));
    return OK;
}

err parked_requests(struct pg *pg, struct arena *arena, const char *const *topics, size_t topic_count,
                    struct parked_request **ret, size_t *ret_count)
{
    struct pg_array *names = pg_array(arena, PG_TEXT, topic_count);
    for (size_t i = 0; i < topic_count; i++)
        pg_array_str(names, str_of(topics[i]));
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, names);
    _cleanup_result_ PGresult *result = NULL;
    TRY(pg_query(pg, &sql_requests, &args, &result));
    const int rows = PQntuples(result);
    *ret = ARENA_ARRAY(arena, struct parked_request, rows);
    *ret_count = (size_t)rows;
    for (int i = 0; i < rows; i++)
        (*ret)[i] = (struct parked_request){
            .topic = arena_str(arena, pg_str(result, i, 0)),
            .partition = (int32_t)pg_int(result, i, 1),
            .offset = pg_int(result, i, 2),
            .has_key = !pg_null(result, i, 3),
            .key = pg_null(result, i, 3) ? uuid_nil : pg_uuid(result, i, 3),
            .blocks = pg_bool(result, i, 4),
            .payload = arena_str(arena, pg_str(result, i, 5)),
            .discard = pg_bool(result, i, 6),
        };
    return OK;
}

static void arg_place(struct pg_args *args, const struct parked_request *request)
{
    pg_arg_text(args, request->topic);
    pg_arg_int4(args, request->partition);
    pg_arg_int8(args, request->offset);
}

err parked_remove(struct pg *pg, struct arena *arena, const struct parked_request *request)
{
    struct pg_args args = pg_args(arena);
    arg_place(&args, request);
    if (request->discard)
        TRY(pg_batch_add(pg, &sql_discard, &args));
    return pg_batch_add(pg, &sql_remove, &args);
}

err parked_refuse(struct pg *pg, struct arena *arena, const struct parked_request *request, const char *cause)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, request->key);
    pg_arg_text(&args, str_of(cause));
    return pg_query(pg, &sql_refuse, &args, NULL);
}
