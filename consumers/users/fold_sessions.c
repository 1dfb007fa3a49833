/* Brings a batch of facts of the stream sessions into the projection: at most three statements, whatever the batch's
 * size. The checkpoint keeps a fact from being folded twice; a row that is there already is an error and
 * must surface. */
#include "consumers/projection/text.h"
#include "consumers/users/audit.h"
#include "consumers/users/row.h"
#include "consumers/users/streams.h"

/* The table that adds up lives in the batch's arena: no malloc a batch. */
#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(size)        arena_alloc_raw(arena, (size))
#define uthash_free(pointer, size) ((void)(pointer))

static const struct pg_statement insert_sessions = {
    "users_insert_sessions",
    "INSERT INTO users.sessions (session_id, user_id, refresh_hash, generation, expires_at, device, address, "
    "account_epoch,"
    "                            created_at, refreshed_at, ended_at, end_reason, position)"
    " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bigint[], $5::timestamptz[], $6::text[], "
    "$7::text[],"
    "                      $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::smallint[],"
    "                      $13::bigint[])",
};

static const struct pg_statement update_sessions = {
    "users_update_sessions",
    "UPDATE users.sessions s"
    "   SET refresh_hash = COALESCE(c.refresh_hash, s.refresh_hash), generation = COALESCE(c.generation, s.generation),"
    "       expires_at = COALESCE(c.expires_at, s.expires_at), device = COALESCE(c.device, s.device),"
    "       address = COALESCE(c.address, s.address), refreshed_at = COALESCE(c.refreshed_at, s.refreshed_at),"
    "       ended_at = COALESCE(c.ended_at, s.ended_at), end_reason = COALESCE(c.end_reason, s.end_reason),"
    "       position = c.position"
    "  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bigint[], $5::timestamptz[], $6::text[], $7::text[],"
    "              $8::timestamptz[], $9::timestamptz[], $10::smallint[], $11::bigint[])"
    "       AS c (session_id, user_id, refresh_hash, generation, expires_at, device, address, refreshed_at, ended_at,"
    "             end_reason, position)"
    " WHERE s.user_id = c.user_id AND s.session_id = c.session_id",
};

/* What a session became within the batch, so that its row is written once. */
struct session_change {
    struct session_key key;
    const struct session_started *started;     /* NULL: the session was there before the batch */
    const struct session_refreshed *refreshed; /* the newest; NULL: none */
    const struct sealed *device, *address;     /* the newest that are told; NULL: none in this batch */
    int64_t ended_at, position;                /* ended_at 0: not in this batch */
    int16_t end_reason;
    struct session_change *next; /* in the order of first mention */
    UT_hash_handle hh;
};

struct session_changes {
    struct session_change *by_key, *first, **end;
    size_t started, updated;
};

static struct session_change *changes_of(struct session_changes *c, struct arena *arena, struct session_key key)
{
    struct session_change *change;
    HASH_FIND(hh, c->by_key, &key, sizeof key, change);
    if (change)
        return change;
    change = ARENA_NEW(arena, struct session_change);
    change->key = key;
    HASH_ADD(hh, c->by_key, key, sizeof change->key, change);
    *c->end = change;
    c->end = &change->next;
    c->updated++;
    return change;
}

/* From where a session is used is what its newest fact says that says it: facts of before they said so do not. */
static void used_from(struct session_change *change, const struct sealed *device, const struct sealed *address)
{
    if (device->state != ERASED)
        change->device = device;
    if (address->state != ERASED)
        change->address = address;
}

static void ended(struct session_change *change, const struct meta *meta, int16_t reason)
{
    change->ended_at = meta->at;
    change->end_reason = reason;
}

static void changes_add(struct session_changes *c, struct arena *arena, const struct placed_fact *placed)
{
    const struct sessions_fact *f = (const struct sessions_fact *)placed->fact;
    struct session_key key;
    if (!session_of_fact(f, &key))
        return;
    struct session_change *change = changes_of(c, arena, key);
    change->position = placed->offset;
    switch ((enum sessions_fact_type)f->type) {
    case SESSIONS_SESSION_STARTED:
        if (!change->started) {
            c->started++;
            c->updated--;
        }
        change->started = &f->session_started;
        used_from(change, &f->session_started.device, &f->session_started.address);
        break;
    case SESSIONS_SESSION_REFRESHED:
        change->refreshed = &f->session_refreshed;
        used_from(change, &f->session_refreshed.device, &f->session_refreshed.address);
        break;
    case SESSIONS_SESSION_ENDED:
        ended(change, &f->meta, f->session_ended.reason == SESSION_END_REVOKED ? ROW_END_REVOKED : ROW_END_LOGOUT);
        break;
    case SESSIONS_REFRESH_TOKEN_REPLAYED:
        ended(change, &f->meta, ROW_END_REPLAYED);
        break;
    case SESSIONS_FACT_NONE:
        break;
    }
}

static void sealed_or_null(struct pg_array *column, struct arena *arena, const struct sealed *field)
{
    if (field)
        text_sealed(column, arena, field);
    else
        pg_array_null(column);
}

/* The columns that every fact may bring, NULL for what it does not. */
static void changed_columns(struct pg_array *refreshed, struct pg_array *ended_at, struct pg_array *reasons,
                            struct pg_array *positions, const struct session_change *change)
{
    if (change->refreshed)
        pg_array_time(refreshed, change->refreshed->meta.at);
    else
        pg_array_null(refreshed);
    if (change->end_reason) {
        pg_array_time(ended_at, change->ended_at);
        pg_array_int2(reasons, change->end_reason);
    } else {
        pg_array_null(ended_at);
        pg_array_null(reasons);
    }
    pg_array_int8(positions, change->position);
}

static err send(struct pg *pg, struct arena *arena, const struct pg_statement *statement,
                struct pg_array *const *columns, size_t count)
{
    struct pg_args args = pg_args(arena);
    for (size_t i = 0; i < count; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, statement, &args);
}

static err fold_started(struct pg *pg, struct arena *arena, const struct session_changes *c)
{
    static const enum pg_type types[] = { PG_UUID,        PG_UUID, PG_BYTEA, PG_INT8,        PG_TIMESTAMPTZ,
                                          PG_TEXT,        PG_TEXT, PG_INT8,  PG_TIMESTAMPTZ, PG_TIMESTAMPTZ,
                                          PG_TIMESTAMPTZ, PG_INT2, PG_INT8 };
    enum { COLUMNS = sizeof types / sizeof *types };
    struct pg_array *columns[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = pg_array(arena, types[i], c->started);
    for (const struct session_change *change = c->first; change; change = change->next) {
        const struct session_started *started = change->started;
        if (!started)
            continue;
        const struct session_refreshed *refreshed = change->refreshed;
        pg_array_uuid(columns[0], started->session_id);
        pg_array_uuid(columns[1], started->user_id);
        pg_array_str(columns[2], refreshed ? refreshed->refresh_hash : started->refresh_hash);
        pg_array_int8(columns[3], refreshed ? refreshed->generation : 0);
        pg_array_time(columns[4], refreshed ? refreshed->expires_at : started->expires_at);
        sealed_or_null(columns[5], arena, change->device);
        sealed_or_null(columns[6], arena, change->address);
        pg_array_int8(columns[7], started->account_epoch);
        pg_array_time(columns[8], started->meta.at);
        changed_columns(columns[9], columns[10], columns[11], columns[12], change);
    }
    return send(pg, arena, &insert_sessions, columns, COLUMNS);
}

static err fold_updated(struct pg *pg, struct arena *arena, const struct session_changes *c)
{
    static const enum pg_type types[] = { PG_UUID, PG_UUID,        PG_BYTEA,       PG_INT8, PG_TIMESTAMPTZ, PG_TEXT,
                                          PG_TEXT, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ, PG_INT2, PG_INT8 };
    enum { COLUMNS = sizeof types / sizeof *types };
    struct pg_array *columns[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = pg_array(arena, types[i], c->updated);
    for (const struct session_change *change = c->first; change; change = change->next) {
        if (change->started)
            continue;
        pg_array_uuid(columns[0], change->key.session);
        pg_array_uuid(columns[1], change->key.user);
        if (change->refreshed) {
            pg_array_str(columns[2], change->refreshed->refresh_hash);
            pg_array_int8(columns[3], change->refreshed->generation);
            pg_array_time(columns[4], change->refreshed->expires_at);
        } else {
            pg_array_null(columns[2]);
            pg_array_null(columns[3]);
            pg_array_null(columns[4]);
        }
        sealed_or_null(columns[5], arena, change->device);
        sealed_or_null(columns[6], arena, change->address);
        changed_columns(columns[7], columns[8], columns[9], columns[10], change);
    }
    return send(pg, arena, &update_sessions, columns, COLUMNS);
}

err sessions_fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts, size_t count)
{
    (void)state;
    struct session_changes changes = { .end = &changes.first };
    for (size_t i = 0; i < count; i++)
        changes_add(&changes, arena, &facts[i]);
    if (changes.started)
        TRY(fold_started(pg, arena, &changes));
    if (changes.updated)
        TRY(fold_updated(pg, arena, &changes));
    return sessions_audit(pg, arena, facts, count);
}
