/* vault: keys by subject, in PostgreSQL for good and in a cache for a minute.
 *
 * The cache is two generations of one open-addressing table. Keys enter the young one; when the young one is half of
 * vault.cache_keys, or a vault.cache_seconds old, the old one is wiped and the generations change places. So the cache
 * is bounded, nothing is kept in memory for more than two minutes, and wiping needs no list of who was used last. They
 * change places only at the start of a fetch, and a fetch brings every key it was asked for into the young one: what
 * one call has fetched, that call cannot push out.
 *
 * One mutex guards the cache; it is never held across a query. */
#include "schemas/vault.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "schemas/masters.h"

static_assert(VAULT_KEY_LEN == MASTER_LEN, "what a master key wraps");

const struct setting vault_settings[] = {
    { "vault.master_key", SETTING_SECRET, .min = 43, .max = 44,
      .doc = "Wraps the keys that personal data is sealed with: 32 random bytes in base64. Lost, and every sealed "
             "field is lost." },
    { "vault.index_key", SETTING_SECRET, .min = 43, .max = 44,
      .doc = "Keys the blind indexes of usernames and e-mail addresses: 32 random bytes in base64. Never changes." },
    { "vault.cache_seconds", SETTING_INT, .def = "60", .min = 1, .max = 60, .unit = "s",
      .doc =
          "How long a process may use a key without asking the vault again: an erasure is complete after this time." },
    { "vault.cache_keys", SETTING_INT, .def = "200000", .min = 1000, .max = 10000000, .unit = "keys",
      .doc = "About how many keys a process keeps (up to 170 bytes each)." },
    { .name = NULL },
};

const char vault_schema_sql[] = "CREATE SCHEMA IF NOT EXISTS vault;\n"
                                "CREATE TABLE IF NOT EXISTS vault.keys (\n"
                                "    subject    uuid PRIMARY KEY,\n"
                                "    wrapped    bytea,\n" /* NULL: erased; the row stays so that no key is made again */
                                "    master     smallint NOT NULL DEFAULT 1,\n"
                                "    created_at timestamptz NOT NULL DEFAULT now(),\n"
                                "    erased_at  timestamptz,\n"
                                "    CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))\n"
                                ");\n" MASTERS_SCHEMA_SQL;

static const struct pg_statement sql_fetch = {
    "vault_fetch", "SELECT subject, wrapped, master FROM vault.keys WHERE subject = ANY($1::uuid[])"
};

/* $1 subjects, $2 wrapped keys, $3 master */
static const struct pg_statement sql_ensure = {
    "vault_ensure",
    "INSERT INTO vault.keys (subject, wrapped, master) "
    "SELECT subject, wrapped, $3::int2 FROM unnest($1::uuid[], $2::bytea[]) AS fresh (subject, wrapped) "
    " WHERE NOT EXISTS (SELECT FROM vault.masters WHERE number > $3::int2) " /* see masters.h */
    "ORDER BY subject " /* always in one order: two processes cannot deadlock */
    "ON CONFLICT (subject) DO NOTHING"
};

static const struct pg_statement sql_erase = {
    "vault_erase",
    "INSERT INTO vault.keys (subject, wrapped, master, erased_at) VALUES ($1::uuid, NULL, $2::int2, now()) "
    "ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, erased_at = coalesce(vault.keys.erased_at, now())"
};

static const struct pg_statement sql_withdraw = {
    "vault_withdraw", "DELETE FROM vault.keys WHERE subject = ANY ($1::uuid[]) AND erased_at IS NULL"
};

/* --- the cache --- */

enum entry_state { ENTRY_FREE, ENTRY_KEY, ENTRY_ERASED, ENTRY_ABSENT };

struct entry {
    struct uuid subject;
    uint8_t key[VAULT_KEY_LEN];
    int64_t fetched_us; /* clock_mono_us */
    enum entry_state state;
};

struct generation {
    struct entry *entries; /* a power of two of them, linear probing; NULL: none yet */
    size_t slots, count;
};

struct vault {
    struct masters masters; /* under the lock */
    uint8_t index_key[crypto_generichash_KEYBYTES];
    int64_t keep_us;
    size_t generation_max;
    size_t hash_seed;

    pthread_mutex_t lock;
    struct generation young, old;
    int64_t young_since_us;
};

static struct entry *slot_of(const struct vault *v, const struct generation *g, struct uuid subject)
{
    uint64_t halves[2];
    memcpy(halves, subject.bytes, sizeof halves);
    /* The tail of a UUIDv7 is random; the seed keeps those who choose ids from choosing slots. */
    uint64_t hash = (halves[0] ^ v->hash_seed) * 0x9e3779b97f4a7c15U ^ halves[1];
    hash *= 0xd6e8feb86659fd93U;
    hash ^= hash >> 32;
    for (size_t i = hash & (g->slots - 1);; i = (i + 1) & (g->slots - 1)) {
        struct entry *e = &g->entries[i];
        if (e->state == ENTRY_FREE || uuid_equal(e->subject, subject))
            return e;
    }
}

static struct entry *generation_find(const struct vault *v, const struct generation *g, struct uuid subject)
{
    if (g->count == 0)
        return NULL;
    struct entry *e = slot_of(v, g, subject);
    return e->state == ENTRY_FREE ? NULL : e;
}

static void generation_wipe(struct generation *g)
{
    if (g->entries) {
        sodium_munlock(g->entries, g->slots * sizeof *g->entries); /* wipes, too */
        free(g->entries);
    }
    *g = (struct generation){ 0 };
}

static void generation_put(const struct vault *v, struct generation *g, const struct entry *fresh)
{
    if (g->count * 2 >= g->slots) {
        struct generation bigger = { .slots = g->slots ? g->slots * 2 : 1024, .count = g->count };
        bigger.entries = mem_alloc(bigger.slots * sizeof *bigger.entries);
        /* Out of swap and core dumps as far as RLIMIT_MEMLOCK allows; a process that may lock nothing still runs. */
        (void)sodium_mlock(bigger.entries, bigger.slots * sizeof *bigger.entries);
        for (size_t i = 0; i < g->slots; i++)
            if (g->entries[i].state != ENTRY_FREE)
                *slot_of(v, &bigger, g->entries[i].subject) = g->entries[i];
        generation_wipe(g);
        *g = bigger;
    }
    struct entry *e = slot_of(v, g, fresh->subject);
    if (e->state == ENTRY_FREE)
        g->count++;
    *e = *fresh;
}

static struct entry *cache_find(const struct vault *v, struct uuid subject)
{
    struct entry *e = generation_find(v, &v->young, subject);
    return e ? e : generation_find(v, &v->old, subject);
}

/* At the start of a fetch of `coming` keys. */
static void cache_age(struct vault *v, size_t coming, int64_t now_us)
{
    bool full = v->young.count > 0 && v->young.count + coming > v->generation_max;
    if (!full && now_us - v->young_since_us < v->keep_us)
        return;
    generation_wipe(&v->old);
    v->old = v->young;
    v->young = (struct generation){ 0 };
    v->young_since_us = now_us;
}

/* --- creating --- */

err vault_create(const struct config *config, struct vault **ret)
{
    uint8_t master[MASTER_LEN], index[MASTER_LEN];
    if (sodium_init() < 0)
        return err_set(FATAL, "libsodium could not be initialised");
    TRY(master_setting(config, "vault.master_key", master));
    TRY(master_setting(config, "vault.index_key", index));

    struct vault *v = mem_alloc(sizeof *v);
    (void)sodium_mlock(v, sizeof *v);
    masters_init(&v->masters, master);
    crypto_kdf_derive_from_key(v->index_key, sizeof v->index_key, 1, "aeindex1", index);
    sodium_memzero(master, sizeof master);
    sodium_memzero(index, sizeof index);
    v->keep_us = config_int(config, "vault.cache_seconds") * 1000000;
    v->generation_max = (size_t)config_int(config, "vault.cache_keys") / 2;
    v->young_since_us = clock_mono_us();
    randombytes_buf(&v->hash_seed, sizeof v->hash_seed);
    pthread_mutex_init(&v->lock, NULL);
    *ret = v;
    return OK;
}

void vault_destroy(struct vault *v)
{
    if (!v)
        return;
    generation_wipe(&v->young);
    generation_wipe(&v->old);
    pthread_mutex_destroy(&v->lock);
    sodium_munlock(v, sizeof *v);
    free(v);
}

/* --- master keys --- */

static err masters_reload(struct vault *v, struct pg *pg, struct arena *arena)
{
    pthread_mutex_lock(&v->lock);
    struct masters masters = v->masters;
    pthread_mutex_unlock(&v->lock);
    err e = masters_load(&masters, pg, arena);
    pthread_mutex_lock(&v->lock);
    if (e == OK)
        v->masters = masters;
    pthread_mutex_unlock(&v->lock);
    sodium_memzero(&masters, sizeof masters);
    return e;
}

/* Before the first row is opened, and when one is of another master key than those held: a rotation has begun. */
static err masters_cover(struct vault *v, struct pg *pg, struct arena *arena, const PGresult *rows)
{
    pthread_mutex_lock(&v->lock);
    bool held = v->masters.loaded || PQntuples(rows) == 0;
    for (int row = 0; row < PQntuples(rows) && held; row++)
        held = pg_null(rows, row, 1) || masters_find(&v->masters, pg_int(rows, row, 2));
    pthread_mutex_unlock(&v->lock);
    return held ? OK : masters_reload(v, pg, arena);
}

/* Under the lock. */
static err unwrap(const struct vault *v, struct str wrapped, int64_t number, uint8_t ret_key[VAULT_KEY_LEN])
{
    const struct master *master = masters_find(&v->masters, number);
    if (!master)
        return err_set(FATAL, "vault.keys has keys wrapped by master key %d, which vault.master_key does not lead to",
                       (int)number);
    if (!master_unwrap(master, wrapped, ret_key))
        return err_set(
            FATAL, "a key in vault.keys does not open with vault.master_key; is it the master key of this database?");
    return OK;
}

/* --- fetching --- */

/* The subjects that must be asked for: not cached, about to go stale (a key must not expire between the fetch and its
 * use), or, to be ensured, without a row when they were last asked for. The others move to the young generation. */
static struct uuid *missing(struct vault *v, struct arena *arena, const struct uuid *subjects, size_t count,
                            bool ensure, size_t *ret_count)
{
    struct uuid *ret = NULL; /* most often nothing is missing, and nothing is allocated */
    size_t n = 0;
    pthread_mutex_lock(&v->lock);
    int64_t now_us = clock_mono_us();
    cache_age(v, count, now_us);
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = cache_find(v, subjects[i]);
        if (!e || now_us - e->fetched_us > v->keep_us / 2 || (ensure && e->state == ENTRY_ABSENT)) {
            if (!ret)
                ret = ARENA_ARRAY(arena, struct uuid, count - i);
            ret[n++] = subjects[i];
        } else if (!generation_find(v, &v->young, subjects[i])) {
            struct entry copy = *e;
            generation_put(v, &v->young, &copy);
            sodium_memzero(&copy, sizeof copy);
        }
    }
    pthread_mutex_unlock(&v->lock);
    *ret_count = n;
    return ret;
}

static err query(struct vault *v, struct pg *pg, struct arena *arena, const struct uuid *subjects, size_t count)
{
    struct pg_args args = pg_args(arena);
    struct pg_array *ids = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(ids, subjects[i]);
    pg_arg_array(&args, ids);
    /* From before the query: an erasure that it did not see yet must still be seen a cache's time later. */
    int64_t fetched_us = clock_mono_us();
    _cleanup_result_ PGresult *rows = NULL;
    TRY(pg_query(pg, &sql_fetch, &args, &rows));

    err e = masters_cover(v, pg, arena, rows);
    struct entry entry = { .state = ENTRY_ABSENT, .fetched_us = fetched_us };
    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < count && e == OK; i++) {
        entry.subject = subjects[i];
        generation_put(v, &v->young, &entry);
    }
    for (int row = 0; row < PQntuples(rows) && e == OK; row++) {
        entry.subject = pg_uuid(rows, row, 0);
        entry.state = pg_null(rows, row, 1) ? ENTRY_ERASED : ENTRY_KEY;
        if (entry.state == ENTRY_KEY)
            e = unwrap(v, pg_str(rows, row, 1), pg_int(rows, row, 2), entry.key);
        else
            sodium_memzero(entry.key, sizeof entry.key);
        if (e == OK)
            generation_put(v, &v->young, &entry);
    }
    pthread_mutex_unlock(&v->lock);
    sodium_memzero(&entry, sizeof entry);
    return e;
}

static err insert(struct vault *v, struct pg *pg, struct arena *arena, const struct uuid *subjects, size_t count)
{
    struct pg_args args = pg_args(arena);
    pthread_mutex_lock(&v->lock);
    struct master newest = *masters_newest(&v->masters);
    pthread_mutex_unlock(&v->lock);
    struct pg_array *ids = pg_array(arena, PG_UUID, count), *keys = pg_array(arena, PG_BYTEA, count);
    for (size_t i = 0; i < count; i++) {
        uint8_t key[VAULT_KEY_LEN], wrapped[WRAPPED_LEN];
        randombytes_buf(key, sizeof key);
        master_wrap(&newest, key, wrapped);
        sodium_memzero(key, sizeof key);
        pg_array_uuid(ids, subjects[i]);
        pg_array_str(keys, (struct str){ (const char *)wrapped, sizeof wrapped });
    }
    pg_arg_array(&args, ids);
    pg_arg_array(&args, keys);
    pg_arg_int2(&args, (int16_t)newest.number);
    sodium_memzero(&newest, sizeof newest);
    return pg_query(pg, &sql_ensure, &args, NULL);
}

/* Keeps those of `subjects` that have no row, as far as is known. */
static size_t absent_of(struct vault *v, struct uuid *subjects, size_t count)
{
    size_t absent = 0;
    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < count; i++) {
        const struct entry *found = cache_find(v, subjects[i]);
        if (!found || found->state == ENTRY_ABSENT)
            subjects[absent++] = subjects[i];
    }
    pthread_mutex_unlock(&v->lock);
    return absent;
}

/* Only those without a row: an INSERT that conflicts costs a dead tuple's worth of work each time. When a rotation has
 * begun since the newest master key was asked for, nothing is inserted the first time. */
static err make(struct vault *v, struct pg *pg, struct arena *arena, struct uuid *subjects, size_t count)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        count = absent_of(v, subjects, count);
        if (count == 0)
            return OK;
        if (attempt > 0)
            TRY(masters_reload(v, pg, arena));
        TRY(insert(v, pg, arena, subjects, count));
        TRY(query(v, pg, arena, subjects, count));
    }
    return absent_of(v, subjects, count) == 0 ? OK : err_set(RETRY, "the master key is being changed; try again");
}

static err fetch(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count, bool ensure)
{
    struct arena arena;
    arena_init(&arena, 0);
    size_t asked;
    struct uuid *ask = missing(v, &arena, subjects, count, ensure, &asked);
    err e = OK;
    if (asked > 0) {
        e = query(v, pg, &arena, ask, asked);
        if (e == OK && ensure)
            e = make(v, pg, &arena, ask, asked);
    }
    arena_finish(&arena);
    return e;
}

err vault_fetch(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count)
{
    return fetch(v, pg, subjects, count, false);
}

err vault_ensure(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count)
{
    return fetch(v, pg, subjects, count, true);
}

enum vault_lookup vault_key(struct vault *v, struct uuid subject, uint8_t ret_key[VAULT_KEY_LEN])
{
    enum vault_lookup found = VAULT_UNKNOWN;
    pthread_mutex_lock(&v->lock);
    const struct entry *e = cache_find(v, subject);
    if (e && clock_mono_us() - e->fetched_us <= v->keep_us) {
        found = e->state == ENTRY_KEY ? VAULT_FOUND : VAULT_ERASED;
        if (found == VAULT_FOUND)
            memcpy(ret_key, e->key, VAULT_KEY_LEN);
    }
    pthread_mutex_unlock(&v->lock);
    return found;
}

/* Under the lock. */
static void cache_erase(struct vault *v, struct uuid subject)
{
    struct entry erased = { .subject = subject, .state = ENTRY_ERASED, .fetched_us = clock_mono_us() };
    struct entry *old = generation_find(v, &v->old, subject);
    if (old)
        *old = erased;
    generation_put(v, &v->young, &erased);
}

err vault_withdraw(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct pg_array *array = pg_array(&arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(array, subjects[i]);
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, array);
    err e = pg_query(pg, &sql_withdraw, &args, NULL);
    arena_finish(&arena);
    if (e != OK)
        return e;
    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < count; i++)
        cache_erase(v, subjects[i]);
    pthread_mutex_unlock(&v->lock);
    return OK;
}

err vault_erase(struct vault *v, struct pg *pg, struct uuid subject)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct pg_args args = pg_args(&arena);
    pg_arg_uuid(&args, subject);
    pg_arg_int2(&args, 0); /* it wraps nothing */
    err e = pg_query(pg, &sql_erase, &args, NULL);
    arena_finish(&arena);
    if (e != OK)
        return e;
    pthread_mutex_lock(&v->lock);
    cache_erase(v, subject);
    pthread_mutex_unlock(&v->lock);
    return OK;
}

void vault_blind_index(const struct vault *v, struct str normalised, uint8_t ret_index[VAULT_INDEX_LEN])
{
    crypto_generichash(ret_index, VAULT_INDEX_LEN, (const uint8_t *)normalised.ptr, normalised.len, v->index_key,
                       sizeof v->index_key);
}
