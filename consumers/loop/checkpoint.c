#include "consumers/loop/checkpoint.h"

static const struct pg_statement sql_load = {
    "checkpoint_load",
    /* $1 streams, $2 partitions, $3 rebuild_until of rows that are made now */
    "WITH wanted AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) "
    "                WITH ORDINALITY AS w (stream, partition, events_end, place)), "
    "made AS (INSERT INTO checkpoint (stream, partition, next_offset, command_offset, rebuild_until) "
    "         SELECT stream, partition, 0, -1, events_end FROM wanted ON CONFLICT DO NOTHING "
    "         RETURNING stream, partition, next_offset, command_offset, rebuild_until) "
    "SELECT coalesce(c.next_offset, m.next_offset), coalesce(c.command_offset, m.command_offset), "
    "       coalesce(c.rebuild_until, m.rebuild_until) "
    "  FROM wanted w LEFT JOIN checkpoint c USING (stream, partition) LEFT JOIN made m USING (stream, partition) "
    " ORDER BY w.place"
};

static const struct pg_statement sql_rebuild = {
    "checkpoint_rebuild",
    "UPDATE checkpoint SET rebuild_until = $3::bigint WHERE stream = $1::text AND partition = $2::int"
};

static const struct pg_statement sql_advance = {
    "checkpoint_advance",
    "SELECT checkpoint_advance($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])"
};

err checkpoint_load(struct pg *pg, struct arena *arena, struct checkpoint *checkpoints, const int64_t *events_end,
                    size_t count)
{
    struct pg_array *streams = pg_array(arena, PG_TEXT, count), *partitions = pg_array(arena, PG_INT4, count),
                    *ends = pg_array(arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        pg_array_str(streams, str_of(checkpoints[i].stream));
        pg_array_int4(partitions, checkpoints[i].partition);
        pg_array_int8(ends, events_end[i]);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, streams);
    pg_arg_array(&args, partitions);
    pg_arg_array(&args, ends);
    _cleanup_result_ PGresult *result = NULL;
    TRY(pg_query(pg, &sql_load, &args, &result));
    err e = OK;
    if (PQntuples(result) != (int)count)
        e = err_set(FATAL, "the checkpoint table gave %d rows for %zu partitions", PQntuples(result), count);
    for (int i = 0; e == OK && i < (int)count; i++) {
        if (pg_null(result, i, 0)) { /* made by another process between our snapshot and our insert */
            e = err_set(RETRY, "another worker is making the same checkpoint");
            break;
        }
        checkpoints[i].next_offset = pg_int(result, i, 0);
        checkpoints[i].command_offset = pg_int(result, i, 1);
        checkpoints[i].rebuild_until = pg_int(result, i, 2);
    }
    return e;
}

err checkpoint_rebuild(struct pg *pg, struct arena *arena, const struct checkpoint *at, int64_t until)
{
    struct pg_args args = pg_args(arena);
    pg_arg_text(&args, str_of(at->stream));
    pg_arg_int4(&args, at->partition);
    pg_arg_int8(&args, until);
    return pg_query(pg, &sql_rebuild, &args, NULL);
}

err checkpoint_advance(struct pg *pg, struct arena *arena, const struct checkpoint *expected,
                       const struct checkpoint *next, size_t count)
{
    struct pg_array *streams = pg_array(arena, PG_TEXT, count), *partitions = pg_array(arena, PG_INT4, count);
    struct pg_array *offsets[4];
    for (int k = 0; k < 4; k++)
        offsets[k] = pg_array(arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        pg_array_str(streams, str_of(expected[i].stream));
        pg_array_int4(partitions, expected[i].partition);
        pg_array_int8(offsets[0], expected[i].next_offset);
        pg_array_int8(offsets[1], expected[i].command_offset);
        pg_array_int8(offsets[2], next[i].next_offset);
        pg_array_int8(offsets[3], next[i].command_offset);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, streams);
    pg_arg_array(&args, partitions);
    for (int k = 0; k < 4; k++)
        pg_arg_array(&args, offsets[k]);
    return pg_batch_add(pg, &sql_advance, &args);
}
