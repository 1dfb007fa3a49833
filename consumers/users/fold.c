/* Brings a batch of facts of the streams accounts and sessions into the projection: at most three statements, whatever
 * the batch's size. The checkpoint keeps a fact from being folded twice; a row that is there already is an error and
 * must surface. */
#include "consumers/text.h"
#include "consumers/users/streams.h"

/* The table that adds up lives in the batch's arena: no malloc a batch. */
#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(size)        arena_alloc_raw(arena, (size))
#define uthash_free(pointer, size) ((void)(pointer))

/* $9: the roles of each account, with commas between. */
static const struct pg_statement insert_accounts = {
    "users_insert_accounts",
    "INSERT INTO users.accounts (user_id, username, username_index, email, email_index, first_name, last_name,"
    "                            password_hash, roles, created_at, position)"
    " SELECT user_id, username, username_index, email, email_index, first_name, last_name, password_hash,"
    "        string_to_array(roles, ','), created_at, position"
    "   FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[],"
    "               $9::text[], $10::timestamptz[], $11::bigint[])"
    "        AS a (user_id, username, username_index, email, email_index, first_name, last_name, password_hash, roles,"
    "              created_at, position)",
};

static const struct pg_statement insert_sessions = {
    "users_insert_sessions",
    "INSERT INTO users.sessions (session_id, user_id, refresh_hash, expires_at, device, address, created_at, "
    "refreshed_at,"
    "                            ended_at)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::bytea[]), unnest($4::timestamptz[]), "
    "unnest($5::text[]),"
    "        unnest($6::text[]), unnest($7::timestamptz[]), unnest($8::timestamptz[]), unnest($9::timestamptz[])",
};

static const struct pg_statement update_sessions = {
    "users_update_sessions",
    "UPDATE users.sessions s"
    "   SET refresh_hash = COALESCE(c.refresh_hash, s.refresh_hash), expires_at = COALESCE(c.expires_at, s.expires_at),"
    "       refreshed_at = COALESCE(c.refreshed_at, s.refreshed_at), ended_at = COALESCE(c.ended_at, s.ended_at)"
    "  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])"
    "       AS c (session_id, user_id, refresh_hash, expires_at, refreshed_at, ended_at)"
    " WHERE s.user_id = c.user_id AND s.session_id = c.session_id",
};

/* --- accounts --- */

static struct str roles_joined(struct arena *arena, const struct account_registered *account)
{
    size_t len = 0;
    for (size_t i = 0; i < account->roles.count; i++)
        len += account->roles.items[i].len + 1;
    char *text = arena_alloc_raw(arena, len + 1);
    size_t at = 0;
    for (size_t i = 0; i < account->roles.count; i++) {
        const struct str role = account->roles.items[i];
        if (i)
            text[at++] = ',';
        memcpy(text + at, role.ptr, role.len);
        at += role.len;
    }
    return text_storable(arena, (struct str){ text, at });
}

err accounts_fold(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, count);
    struct pg_array *usernames = pg_array(arena, PG_TEXT, count), *username_indexes = pg_array(arena, PG_BYTEA, count);
    struct pg_array *emails = pg_array(arena, PG_TEXT, count), *email_indexes = pg_array(arena, PG_BYTEA, count);
    struct pg_array *first_names = pg_array(arena, PG_TEXT, count), *last_names = pg_array(arena, PG_TEXT, count);
    struct pg_array *passwords = pg_array(arena, PG_TEXT, count), *roles = pg_array(arena, PG_TEXT, count);
    struct pg_array *times = pg_array(arena, PG_TIMESTAMPTZ, count), *at = pg_array(arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        const struct accounts_fact *f = (const struct accounts_fact *)facts[i].fact;
        if (f->type != ACCOUNTS_ACCOUNT_REGISTERED)
            continue;
        const struct account_registered *account = &f->account_registered;
        pg_array_uuid(ids, account->user_id);
        text_sealed(usernames, arena, &account->username);
        pg_array_str(username_indexes, account->username_index);
        text_sealed(emails, arena, &account->email);
        pg_array_str(email_indexes, account->email_index);
        text_sealed(first_names, arena, &account->first_name);
        text_sealed(last_names, arena, &account->last_name);
        text_sealed(passwords, arena, &account->password_hash);
        pg_array_str(roles, roles_joined(arena, account));
        pg_array_time(times, account->meta.at);
        pg_array_int8(at, facts[i].offset);
    }
    if (pg_array_count(ids) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { ids,         usernames,  username_indexes, emails, email_indexes,
                                   first_names, last_names, passwords,        roles,  times,
                                   at };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &insert_accounts, &args);
}

/* --- sessions --- */

/* What a session became within the batch, so that its row is written once. */
struct session_change {
    struct session_key key;
    const struct session_started *started;     /* NULL: the session was there before the batch */
    const struct session_refreshed *refreshed; /* the newest; NULL: none */
    const struct session_ended *ended;
    struct session_change *next; /* in the order of first mention */
    UT_hash_handle hh;
};

struct session_changes {
    struct session_change *by_key, *first, **end;
    size_t started, updated;
};

static struct session_change *changes_of(struct session_changes *c, struct arena *arena, struct uuid user,
                                         struct uuid session)
{
    const struct session_key key = { user, session };
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

static void changes_add(struct session_changes *c, struct arena *arena, const struct sessions_fact *f)
{
    switch ((enum sessions_fact_type)f->type) {
    case SESSIONS_SESSION_STARTED: {
        struct session_change *change = changes_of(c, arena, f->session_started.user_id, f->session_started.session_id);
        if (!change->started) {
            c->started++;
            c->updated--;
        }
        change->started = &f->session_started;
        break;
    }
    case SESSIONS_SESSION_REFRESHED:
        changes_of(c, arena, f->session_refreshed.user_id, f->session_refreshed.session_id)->refreshed =
            &f->session_refreshed;
        break;
    case SESSIONS_SESSION_ENDED:
        changes_of(c, arena, f->session_ended.user_id, f->session_ended.session_id)->ended = &f->session_ended;
        break;
    case SESSIONS_FACT_NONE:
        break;
    }
}

static void array_time_or_null(struct pg_array *column, const struct meta *meta)
{
    if (meta)
        pg_array_time(column, meta->at);
    else
        pg_array_null(column);
}

static err fold_started(struct pg *pg, struct arena *arena, const struct session_changes *c)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, c->started), *users = pg_array(arena, PG_UUID, c->started);
    struct pg_array *hashes = pg_array(arena, PG_BYTEA, c->started),
                    *expiries = pg_array(arena, PG_TIMESTAMPTZ, c->started);
    struct pg_array *devices = pg_array(arena, PG_TEXT, c->started), *addresses = pg_array(arena, PG_TEXT, c->started);
    struct pg_array *created = pg_array(arena, PG_TIMESTAMPTZ, c->started),
                    *refreshed = pg_array(arena, PG_TIMESTAMPTZ, c->started),
                    *ended = pg_array(arena, PG_TIMESTAMPTZ, c->started);
    for (const struct session_change *change = c->first; change; change = change->next) {
        const struct session_started *started = change->started;
        if (!started)
            continue;
        pg_array_uuid(ids, started->session_id);
        pg_array_uuid(users, started->user_id);
        pg_array_str(hashes, change->refreshed ? change->refreshed->refresh_hash : started->refresh_hash);
        pg_array_time(expiries, change->refreshed ? change->refreshed->expires_at : started->expires_at);
        text_sealed(devices, arena, &started->device);
        text_sealed(addresses, arena, &started->address);
        pg_array_time(created, started->meta.at);
        array_time_or_null(refreshed, change->refreshed ? &change->refreshed->meta : NULL);
        array_time_or_null(ended, change->ended ? &change->ended->meta : NULL);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { ids, users, hashes, expiries, devices, addresses, created, refreshed, ended };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &insert_sessions, &args);
}

static err fold_updated(struct pg *pg, struct arena *arena, const struct session_changes *c)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, c->updated), *users = pg_array(arena, PG_UUID, c->updated);
    struct pg_array *hashes = pg_array(arena, PG_BYTEA, c->updated),
                    *expiries = pg_array(arena, PG_TIMESTAMPTZ, c->updated);
    struct pg_array *refreshed = pg_array(arena, PG_TIMESTAMPTZ, c->updated),
                    *ended = pg_array(arena, PG_TIMESTAMPTZ, c->updated);
    for (const struct session_change *change = c->first; change; change = change->next) {
        if (change->started)
            continue;
        pg_array_uuid(ids, change->key.session);
        pg_array_uuid(users, change->key.user);
        if (change->refreshed) {
            pg_array_str(hashes, change->refreshed->refresh_hash);
            pg_array_time(expiries, change->refreshed->expires_at);
        } else {
            pg_array_null(hashes);
            pg_array_null(expiries);
        }
        array_time_or_null(refreshed, change->refreshed ? &change->refreshed->meta : NULL);
        array_time_or_null(ended, change->ended ? &change->ended->meta : NULL);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { ids, users, hashes, expiries, refreshed, ended };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &update_sessions, &args);
}

err sessions_fold(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    struct session_changes changes = { .end = &changes.first };
    for (size_t i = 0; i < count; i++)
        changes_add(&changes, arena, (const struct sessions_fact *)facts[i].fact);
    if (changes.started)
        TRY(fold_started(pg, arena, &changes));
    if (changes.updated)
        TRY(fold_updated(pg, arena, &changes));
    return OK;
}
