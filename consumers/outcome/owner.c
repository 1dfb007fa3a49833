#include "consumers/outcome/owner.h"

#include <stdio.h>

#include "consumers/outcome/deciders.h"
#include "consumers/outcome/operation.h"

#define UNDEFINED_TABLE "42P01" /* SQLSTATE */
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)
#define HOLDS           "interval '" TEXT(OWNER_HOLDS_S) " s'"

/* $1 streams, $2 partitions, $3 how many there are of each stream, $4 instance */
static const struct pg_statement sql_tell = {
    "owner_tell",
    "INSERT INTO owners AS o (stream, partition, partitions, instance, until) "
    "SELECT stream, partition, partitions, $4::int, now() + " HOLDS
    "  FROM unnest($1::text[], $2::int[], $3::int[]) AS t (stream, partition, partitions) "
    "ON CONFLICT (stream, partition) DO UPDATE "
    "SET partitions = excluded.partitions, instance = excluded.instance, until = excluded.until",
};

static const struct pg_statement sql_leave = { "owner_leave", "DELETE FROM owners WHERE instance = $1::int" };

/* The same look in every worker's schema; the names come from the build. */
static const struct {
    const char *worker;
    struct pg_statement sql;
} owners_of[] = {
#define WORKER(name)                                                                                                   \
    { #name,                                                                                                           \
      { "owner_of_" #name,                                                                                             \
        "SELECT stream, count(*), max(partitions) FROM " #name ".owners WHERE until > now() GROUP BY stream" } },
#include "consumers/workers.gen.def"
#undef WORKER
};

err owner_tell(struct pg *pg, struct arena *arena, int64_t instance, const struct owned *owned, size_t count)
{
    struct pg_array *streams = pg_array(arena, PG_TEXT, count), *partitions = pg_array(arena, PG_INT4, count),
                    *all = pg_array(arena, PG_INT4, count);
    for (size_t i = 0; i < count; i++) {
        pg_array_str(streams, str_of(owned[i].stream));
        pg_array_int4(partitions, owned[i].partition);
        pg_array_int4(all, owned[i].partitions);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, streams);
    pg_arg_array(&args, partitions);
    pg_arg_array(&args, all);
    pg_arg_int4(&args, (int32_t)instance);
    return pg_query(pg, &sql_tell, &args, NULL);
}

err owner_leave(struct pg *pg, struct arena *arena, int64_t instance)
{
    struct pg_args args = pg_args(arena);
    pg_arg_int4(&args, (int32_t)instance);
    return pg_query(pg, &sql_leave, &args, NULL);
}

static void append_missing(struct buf *missing, const struct decider *d, const PGresult *owners)
{
    int64_t owned = 0, partitions = 0;
    for (int i = 0; i < PQntuples(owners); i++) {
        if (!str_equal(pg_str(owners, i, 0), str_of(d->stream->name)))
            continue;
        owned = pg_int(owners, i, 1);
        partitions = pg_int(owners, i, 2);
    }
    if (owned > 0 && owned >= partitions)
        return;
    const char *and = missing->len > 0 ? "; " : "";
    if (owned == 0)
        buf_printf(missing, "%s%s: no partition has a %s worker", and, d->stream->name, d->worker);
    else
        buf_printf(missing, "%s%s: %d of %d partitions have no %s worker", and, d->stream->name,
                   (int)(partitions - owned), (int)partitions, d->worker);
}

/* A worker that has never run has no tables: then none of its streams has an owner. */
static err missing_of(struct pg *pg, size_t worker, struct buf *missing)
{
    _cleanup_result_ PGresult *owners = NULL;
    const err e = pg_query(pg, &owners_of[worker].sql, NULL, &owners);
    if (e != OK && strcmp(pg_sqlstate(pg), UNDEFINED_TABLE) != 0)
        return e;
    for (const struct decider *d = deciders; d->stream; d++)
        if (strcmp(d->worker, owners_of[worker].worker) == 0)
            append_missing(missing, d, owners);
    return OK;
}

err owner_missing(struct pg *pg, char *ret_missing, size_t size)
{
    struct buf missing = { 0 };
    err e = OK;
    for (size_t i = 0; i < sizeof owners_of / sizeof *owners_of && e == OK; i++)
        e = missing_of(pg, i, &missing);
    if (e == OK)
        snprintf(ret_missing, size, "%.*s", (int)missing.len, missing.len > 0 ? missing.ptr : "");
    buf_finish(&missing);
    return e;
}
