#include "consumers/outcome/operation.h"

#include "consumers/outcome/rejection.h"

#define COLUMNS "command_id, actor, rejection, stream, partition, fact_offset, request_hash, fact, at"

static const struct pg_statement sql_lookup = { "operation_lookup",
                                                "SELECT " COLUMNS
                                                " FROM operations WHERE command_id = ANY($1::uuid[])" };

#define INSERT                                                                                                         \
    "INSERT INTO operations (" COLUMNS ") "                                                                            \
    "SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::smallint[]), unnest($4::text[]), unnest($5::int[]), "   \
    "       unnest($6::bigint[]), unnest($7::bytea[]), unnest($8::bytea[]), unnest($9::timestamptz[]) "

static const struct pg_statement sql_record = { "operation_record", INSERT };

static const struct pg_statement sql_record_repeated = {
    "operation_record_repeated",
    INSERT "ON CONFLICT (command_id) DO UPDATE "
           "   SET (rejection, partition, fact_offset, fact, at) = "
           "       (EXCLUDED.rejection, EXCLUDED.partition, EXCLUDED.fact_offset, EXCLUDED.fact, EXCLUDED.at) "
           " WHERE operations.rejection = 3" /* AGGREGATE_PARKED */
};

_Static_assert(AGGREGATE_PARKED == 3, "sql_record_repeated knows the number");

#define EXPIRE_BLOCKS 128 /* 1 MiB, some 2,000 outcomes */

static const struct pg_statement sql_blocks = {
    "operation_blocks", "SELECT pg_relation_size('operations') / current_setting('block_size')::bigint"
};

static const struct pg_statement sql_expire = {
    "operation_expire", "DELETE FROM operations WHERE ctid >= format('(%s,0)', $1::bigint)::tid "
                        "AND ctid < format('(%s,0)', $2::bigint)::tid AND at < $3::timestamptz"
};

const char *const operation_workers[] = {
#define WORKER(name) #name,
#include "consumers/workers.gen.def"
#undef WORKER
    NULL,
};

/* The same look-up in every worker's schema; the names come from the build. */
static const struct {
    const char *worker;
    struct pg_statement find;
} workers[] = {
#define WORKER(name)                                                                                                   \
    { #name,                                                                                                           \
      { "operation_find_" #name,                                                                                       \
        "SELECT " COLUMNS " FROM " #name ".operations WHERE command_id = ANY($1::uuid[])" } },
#include "consumers/workers.gen.def"
#undef WORKER
};

static err lookup(struct pg *pg, const struct pg_statement *sql, struct arena *arena, const struct uuid *ids,
                  size_t count, struct operation **ret, size_t *ret_count)
{
    struct pg_array *array = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(array, ids[i]);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, array);
    _cleanup_result_ PGresult *result = NULL;
    TRY(pg_query(pg, sql, &args, &result));
    const int rows = PQntuples(result);
    struct operation *found = ARENA_ARRAY(arena, struct operation, rows);
    for (int i = 0; i < rows; i++)
        found[i] = (struct operation){
            .command_id = pg_uuid(result, i, 0),
            .actor = pg_uuid(result, i, 1),
            .rejection = (int32_t)pg_int(result, i, 2),
            .stream = arena_str(arena, pg_str(result, i, 3)),
            .partition = (int32_t)pg_int(result, i, 4),
            .fact_offset = pg_int(result, i, 5),
            .request_hash = arena_str(arena, pg_str(result, i, 6)),
            .fact = arena_str(arena, pg_str(result, i, 7)),
            .at = pg_time(result, i, 8),
            .recorded = true,
        };
    *ret = found;
    *ret_count = (size_t)rows;
    return OK;
}

err operation_lookup(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count, struct operation **ret,
                     size_t *ret_count)
{
    return lookup(pg, &sql_lookup, arena, ids, count, ret, ret_count);
}

err operation_find(struct pg *pg, struct arena *arena, const char *worker, const struct uuid *ids, size_t count,
                   struct outcome **ret, size_t *ret_count)
{
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++) {
        if (strcmp(workers[w].worker, worker) != 0)
            continue;
        struct operation *found = NULL;
        size_t n = 0;
        TRY(lookup(pg, &workers[w].find, arena, ids, count, &found, &n));
        struct outcome *outcomes = ARENA_ARRAY(arena, struct outcome, n);
        for (size_t i = 0; i < n; i++)
            outcomes[i] = (struct outcome){
                .command_id = found[i].command_id,
                .actor = found[i].actor,
                .rejection = found[i].rejection,
                .stream = found[i].stream,
                .partition = found[i].partition,
                .offset = found[i].fact_offset,
                .fact = found[i].fact,
                .request_hash = found[i].request_hash,
                .at = found[i].at,
            };
        *ret = outcomes;
        *ret_count = n;
        return OK;
    }
    return err_set(FATAL, "there is no worker '%s'", worker);
}

err operation_record(struct pg *pg, struct arena *arena, const struct operation *const *rows, size_t count,
                     bool repeated)
{
    if (count == 0)
        return OK;
    struct pg_array *id = pg_array(arena, PG_UUID, count), *actor = pg_array(arena, PG_UUID, count),
                    *rejection = pg_array(arena, PG_INT2, count), *stream = pg_array(arena, PG_TEXT, count),
                    *partition = pg_array(arena, PG_INT4, count), *offset = pg_array(arena, PG_INT8, count),
                    *hash = pg_array(arena, PG_BYTEA, count), *fact = pg_array(arena, PG_BYTEA, count),
                    *at = pg_array(arena, PG_TIMESTAMPTZ, count);
    for (size_t i = 0; i < count; i++) {
        const struct operation *row = rows[i];
        pg_array_uuid(id, row->command_id);
        pg_array_uuid(actor, row->actor);
        pg_array_int2(rejection, (int16_t)row->rejection);
        pg_array_str(stream, row->stream);
        pg_array_int4(partition, row->partition);
        pg_array_int8(offset, row->fact_offset);
        pg_array_str(hash, row->request_hash);
        pg_array_str(fact, row->fact);
        pg_array_time(at, row->at);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *const columns[] = { id, actor, rejection, stream, partition, offset, hash, fact, at };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, repeated ? &sql_record_repeated : &sql_record, &args);
}

err operation_expire(struct pg *pg, struct arena *arena, int64_t before, int64_t *from)
{
    _cleanup_result_ PGresult *result = NULL;
    TRY(pg_query(pg, &sql_blocks, NULL, &result));
    const int64_t blocks = pg_int(result, 0, 0);
    const int64_t first = *from < blocks ? *from : 0;
    struct pg_args args = pg_args(arena);
    pg_arg_int8(&args, first);
    pg_arg_int8(&args, first + EXPIRE_BLOCKS);
    pg_arg_time(&args, before);
    *from = first + EXPIRE_BLOCKS;
    return pg_query(pg, &sql_expire, &args, NULL);
}
