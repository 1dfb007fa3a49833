#include "schemas/masters.h"

#include <assert.h>
#include <sodium.h>

#define FINGERPRINT_LEN 16

static const struct pg_statement sql_load = {
    "masters_load",
    "SELECT number, fingerprint, from_below, to_below FROM vault.masters ORDER BY number DESC LIMIT 2",
};
enum { NUMBER, FINGERPRINT, FROM_BELOW, TO_BELOW };

/* Waits for inserts under way, which may not know of the new master yet; those that come wait for the commit. */
static const struct pg_statement sql_lock = {
    "masters_lock",
    "LOCK TABLE vault.keys IN SHARE ROW EXCLUSIVE MODE",
};

static const struct pg_statement sql_any_key = {
    "masters_any_key",
    "SELECT wrapped, master FROM vault.keys WHERE wrapped IS NOT NULL LIMIT 1",
};

/* $1 number, $2 fingerprint, $3 from_below, $4 to_below */
static const struct pg_statement sql_add = {
    "masters_add",
    "INSERT INTO vault.masters (number, fingerprint, from_below, to_below) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (number) DO NOTHING",
};

/* $1 subject to go on behind, $2 the newest number, $3 how many */
static const struct pg_statement sql_older = {
    "masters_older",
    "SELECT subject, wrapped, master FROM vault.keys"
    " WHERE subject > $1 AND master < $2::int2 AND wrapped IS NOT NULL ORDER BY subject LIMIT $3",
};

/* $1 subjects, $2 wrapped so far, $3 wrapped anew, $4 the newest number. A key that was erased meanwhile stays so. */
static const struct pg_statement sql_rewrap = {
    "masters_rewrap",
    "UPDATE vault.keys k SET wrapped = n.wrapped, master = $4::int2"
    "  FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (subject, was, wrapped)"
    " WHERE k.subject = n.subject AND k.wrapped = n.was",
};

static const struct pg_statement sql_left = {
    "masters_left",
    "SELECT count(*) FROM vault.keys WHERE master < $1::int2 AND wrapped IS NOT NULL",
};

static const struct pg_statement sql_retire = {
    "masters_retire",
    "UPDATE vault.masters SET from_below = NULL, to_below = NULL WHERE from_below IS NOT NULL",
};

/* --- keys --- */

err master_setting(const struct config *config, const char *name, uint8_t ret[MASTER_LEN])
{
    const char *text = config_text(config, name);
    size_t text_len = strlen(text), len = 0;
    bool padded = text_len > 0 && text[text_len - 1] == '=';
    int variant = padded ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    const char *end = NULL;
    if (sodium_base642bin(ret, MASTER_LEN, text, text_len, NULL, &len, &end, variant) != 0 || end != text + text_len ||
        len != MASTER_LEN)
        return err_set(FATAL, "%s must be 32 bytes in base64, as `head -c 32 /dev/urandom | base64` prints", name);
    return OK;
}

static struct master master_of(const uint8_t bytes[MASTER_LEN])
{
    static_assert(MASTER_LEN == crypto_kdf_KEYBYTES && MASTER_LEN == crypto_secretbox_KEYBYTES, "one length for all");
    static_assert(WRAPPED_LEN == crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + MASTER_LEN, "wrapped");
    struct master m = { .number = 1 };
    crypto_kdf_derive_from_key(m.key, sizeof m.key, 1, "aevault1", bytes);
    return m;
}

void masters_init(struct masters *m, const uint8_t master[MASTER_LEN])
{
    *m = (struct masters){ .own = master_of(master), .count = 1 };
    m->held[0] = m->own;
}

static void fingerprint(const struct master *m, uint8_t ret[FINGERPRINT_LEN])
{
    static const uint8_t what[] = "aether master key fingerprint";
    crypto_generichash(ret, FINGERPRINT_LEN, what, sizeof what - 1, m->key, sizeof m->key);
}

void master_wrap(const struct master *m, const uint8_t key[MASTER_LEN], uint8_t ret[WRAPPED_LEN])
{
    randombytes_buf(ret, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(ret + crypto_secretbox_NONCEBYTES, key, MASTER_LEN, ret, m->key);
}

bool master_unwrap(const struct master *m, struct str wrapped, uint8_t ret_key[MASTER_LEN])
{
    const uint8_t *bytes = (const uint8_t *)wrapped.ptr;
    return wrapped.len == WRAPPED_LEN &&
           crypto_secretbox_open_easy(ret_key, bytes + crypto_secretbox_NONCEBYTES,
                                      WRAPPED_LEN - crypto_secretbox_NONCEBYTES, bytes, m->key) == 0;
}

const struct master *masters_find(const struct masters *m, int64_t number)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->held[i].number == number)
            return &m->held[i];
    return NULL;
}

/* --- the table --- */

static bool has_fingerprint(const PGresult *rows, int row, const struct master *m)
{
    uint8_t print[FINGERPRINT_LEN];
    fingerprint(m, print);
    return row < PQntuples(rows) &&
           str_equal(pg_str(rows, row, FINGERPRINT), (struct str){ (const char *)print, sizeof print });
}

/* The rows are those of sql_load: the newest, and the one below it. */
static err masters_take(struct masters *m, const PGresult *rows)
{
    struct masters found = { .own = m->own, .loaded = true };
    if (PQntuples(rows) == 0) {
        found.own.number = 1;
        found.held[found.count++] = found.own;
    } else if (has_fingerprint(rows, 0, &m->own)) {
        found.own.number = (int)pg_int(rows, 0, NUMBER);
        found.held[found.count++] = found.own;
        struct master below = { .number = found.own.number - 1 };
        if (!pg_null(rows, 0, TO_BELOW) && master_unwrap(&found.own, pg_str(rows, 0, TO_BELOW), below.key))
            found.held[found.count++] = below;
        sodium_memzero(&below, sizeof below);
    } else if (has_fingerprint(rows, 1, &m->own)) {
        found.own.number = (int)pg_int(rows, 1, NUMBER);
        struct master newest = { .number = (int)pg_int(rows, 0, NUMBER) };
        if (pg_null(rows, 0, FROM_BELOW) || !master_unwrap(&found.own, pg_str(rows, 0, FROM_BELOW), newest.key))
            return err_set(FATAL, "vault.master_key is number %d, which was retired; set it to number %d",
                           found.own.number, newest.number);
        found.held[found.count++] = newest;
        found.held[found.count++] = found.own;
        sodium_memzero(&newest, sizeof newest);
    } else {
        return err_set(FATAL, "vault.master_key is not among the master keys in use; set it to number %d",
                       (int)pg_int(rows, 0, NUMBER));
    }
    *m = found;
    sodium_memzero(&found, sizeof found);
    return OK;
}

err masters_load(struct masters *m, struct pg *pg, struct arena *arena)
{
    struct pg_args args = pg_args(arena);
    _cleanup_result_ PGresult *rows = NULL;
    TRY(pg_query(pg, &sql_load, &args, &rows));
    err e = masters_take(m, rows);
    return e;
}

/* --- a rotation --- */

static err masters_add(struct pg *pg, struct arena *arena, const struct master *m, const struct master *below)
{
    uint8_t print[FINGERPRINT_LEN], from_below[WRAPPED_LEN], to_below[WRAPPED_LEN];
    struct pg_args args = pg_args(arena);
    fingerprint(m, print);
    pg_arg_int2(&args, (int16_t)m->number);
    pg_arg_bytes(&args, (struct str){ (const char *)print, sizeof print });
    if (below) {
        master_wrap(below, m->key, from_below);
        master_wrap(m, below->key, to_below);
        pg_arg_bytes(&args, (struct str){ (const char *)from_below, sizeof from_below });
        pg_arg_bytes(&args, (struct str){ (const char *)to_below, sizeof to_below });
    } else {
        pg_arg_null(&args);
        pg_arg_null(&args);
    }
    return pg_query(pg, &sql_add, &args, NULL);
}

/* Before the first rotation nothing says that the configured key is this database's but the keys it opens. */
static err must_open_a_key(const struct master *m, struct pg *pg, struct arena *arena)
{
    struct pg_args args = pg_args(arena);
    _cleanup_result_ PGresult *rows = NULL;
    uint8_t key[MASTER_LEN];
    TRY(pg_query(pg, &sql_any_key, &args, &rows));
    bool opens = PQntuples(rows) == 0 || master_unwrap(m, pg_str(rows, 0, 0), key);
    sodium_memzero(key, sizeof key);
    return opens ? OK : err_set(FATAL, "vault.master_key opens no key of this database");
}

static err begin_locked(struct masters *m, struct pg *pg, struct arena *arena, const uint8_t next[MASTER_LEN])
{
    struct pg_args args = pg_args(arena);
    struct master newest = master_of(next);
    _cleanup_result_ PGresult *rows = NULL;
    TRY(pg_query(pg, &sql_lock, &args, NULL));
    TRY(pg_query(pg, &sql_load, &args, &rows));
    bool first = PQntuples(rows) == 0, bridged = !first && !pg_null(rows, 0, FROM_BELOW);
    bool begun = has_fingerprint(rows, 0, &newest);
    if (!begun) {
        TRY(masters_load(m, pg, arena));
        if (bridged)
            return err_set(REJECT, "master key %d is not retired yet; give every program number %d, then retire it",
                           masters_newest(m)->number - 1, masters_newest(m)->number);
        if (sodium_memcmp(newest.key, m->own.key, sizeof newest.key) == 0)
            return err_set(REJECT, "vault.new_master_key is the one that is in use");
        if (first) {
            TRY(must_open_a_key(&m->own, pg, arena));
            TRY(masters_add(pg, arena, &m->own, NULL));
        }
        newest.number = m->own.number + 1;
        TRY(masters_add(pg, arena, &newest, &m->own));
    }
    sodium_memzero(&newest, sizeof newest);
    return masters_load(m, pg, arena);
}

static err in_transaction(struct pg *pg, struct arena *arena, err outcome)
{
    struct pg_args args = pg_args(arena);
    if (outcome == OK)
        return pg_query(pg, &pg_sql_commit, &args, NULL);
    pg_disconnect(pg); /* which rolls back; the message stays that of the failure */
    return outcome;
}

err masters_begin(struct masters *m, struct pg *pg, struct arena *arena, const uint8_t next[MASTER_LEN])
{
    struct pg_args args = pg_args(arena);
    TRY(pg_query(pg, &pg_sql_begin, &args, NULL));
    return in_transaction(pg, arena, begin_locked(m, pg, arena, next));
}

err masters_rewrap(const struct masters *m, struct pg *pg, struct arena *arena, struct uuid *after, int limit,
                   size_t *ret_found)
{
    const struct master *newest = masters_newest(m);
    struct pg_args args = pg_args(arena);
    _cleanup_result_ PGresult *rows = NULL;
    pg_arg_uuid(&args, *after);
    pg_arg_int2(&args, (int16_t)newest->number);
    pg_arg_int8(&args, limit);
    TRY(pg_query(pg, &sql_older, &args, &rows));

    size_t count = (size_t)PQntuples(rows);
    struct pg_array *subjects = pg_array(arena, PG_UUID, count), *was = pg_array(arena, PG_BYTEA, count),
                    *wrapped = pg_array(arena, PG_BYTEA, count);
    err e = OK;
    for (int row = 0; row < (int)count && e == OK; row++) {
        uint8_t key[MASTER_LEN], anew[WRAPPED_LEN];
        const struct master *old = masters_find(m, pg_int(rows, row, 2));
        if (old && master_unwrap(old, pg_str(rows, row, 1), key)) {
            master_wrap(newest, key, anew);
            pg_array_uuid(subjects, pg_uuid(rows, row, 0));
            pg_array_str(was, pg_str(rows, row, 1));
            pg_array_str(wrapped, (struct str){ (const char *)anew, sizeof anew });
        } else {
            e = err_set(FATAL, "a key in vault.keys does not open with master key %d", (int)pg_int(rows, row, 2));
        }
        sodium_memzero(key, sizeof key);
    }
    if (e == OK && count > 0) {
        args = pg_args(arena);
        pg_arg_array(&args, subjects);
        pg_arg_array(&args, was);
        pg_arg_array(&args, wrapped);
        pg_arg_int2(&args, (int16_t)newest->number);
        e = pg_query(pg, &sql_rewrap, &args, NULL);
        if (e == OK)
            *after = pg_uuid(rows, (int)count - 1, 0);
    }
    if (e == OK)
        *ret_found = count;
    return e;
}

static err retire_locked(struct masters *m, struct pg *pg, struct arena *arena)
{
    struct pg_args args = pg_args(arena);
    _cleanup_result_ PGresult *rows = NULL;
    TRY(pg_query(pg, &sql_lock, &args, NULL));
    TRY(masters_load(m, pg, arena));
    int newest = masters_newest(m)->number;
    if (m->own.number != newest)
        return err_set(REJECT, "vault.master_key is number %d here; set it to number %d everywhere, then retire %d",
                       m->own.number, newest, m->own.number);
    pg_arg_int2(&args, (int16_t)newest);
    TRY(pg_query(pg, &sql_left, &args, &rows));
    int64_t left = pg_int(rows, 0, 0);
    if (left > 0)
        return err_set(REJECT, "%lld keys are still wrapped by an older master key; finish the rotation first",
                       (long long)left);
    args = pg_args(arena);
    return pg_query(pg, &sql_retire, &args, NULL);
}

err masters_retire(struct masters *m, struct pg *pg, struct arena *arena)
{
    struct pg_args args = pg_args(arena);
    TRY(pg_query(pg, &pg_sql_begin, &args, NULL));
    TRY(in_transaction(pg, arena, retire_locked(m, pg, arena)));
    return masters_load(m, pg, arena);
}
