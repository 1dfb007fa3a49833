/* masters: the master keys that wrap the vault's keys, by number, and how one takes the place of another while every
 * program runs.
 *
 * A program is configured with one master key (vault.master_key). Table vault.masters says which number it has and
 * leads to the other one that is in use:
 *     number       1, 2, …; the highest is the newest, which wraps every key that is made from now on
 *     fingerprint  by which a program knows its own
 *     from_below   the newest one's wrapping key, wrapped by that of the number below: whoever was started with the old
 *                  key gets the new one
 *     to_below     the other way round: whoever is started with the new key opens what is not wrapped anew yet
 * An empty table, as before the first rotation, means that there is one master, number 1. What is stored are wrapping
 * keys (crypto_kdf of the master, context "aevault1"), never a master.
 *
 * A rotation: masters_begin makes the newest number and both bridges; from its commit on nobody can insert a key that
 * is wrapped by an older one. masters_rewrap goes through vault.keys in batches. Programs learn of the new number from
 * the first row that has it. When every program has been given the new key, masters_retire takes the bridges away; from
 * then on the old master key opens nothing. Each step may be repeated after it was cut short. One thread at a time. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/pg.h"
#include "ops/runtime/uuid.h"

#define MASTER_LEN  32 /* also that of a wrapping key, and of what it wraps */
#define WRAPPED_LEN (24 + 16 + MASTER_LEN)

#define MASTERS_SCHEMA_SQL                                                                                             \
    "CREATE TABLE IF NOT EXISTS vault.masters (\n"                                                                     \
    "    number      smallint PRIMARY KEY,\n"                                                                          \
    "    fingerprint bytea NOT NULL UNIQUE,\n"                                                                         \
    "    from_below  bytea,\n" /* NULL: the first one, or the one below it was retired */                              \
    "    to_below    bytea,\n"                                                                                         \
    "    created_at  timestamptz NOT NULL DEFAULT now(),\n"                                                            \
    "    CHECK ((from_below IS NULL) = (to_below IS NULL))\n"                                                          \
    ");\n"

struct master {
    int number;
    uint8_t key[MASTER_LEN]; /* the wrapping key */
};

struct masters {
    struct master own;     /* the configured one; number 1 until the table says otherwise */
    struct master held[2]; /* those in use, the newest first */
    size_t count;
    bool loaded; /* what the table says is known */
};

/* `master` is what vault.master_key says. */
void masters_init(struct masters *m, const uint8_t master[MASTER_LEN]);
/* The setting's 32 bytes; FATAL when they are not. */
MUST_CHECK err master_setting(const struct config *config, const char *name, uint8_t ret[MASTER_LEN]);

/* What the table says now. FATAL when the configured key is not (any more) one of those in use. */
MUST_CHECK err masters_load(struct masters *m, struct pg *pg, struct arena *arena);
const struct master *masters_find(const struct masters *m, int64_t number); /* NULL: not held, load first */
static inline const struct master *masters_newest(const struct masters *m)
{
    return &m->held[0];
}

void master_wrap(const struct master *m, const uint8_t key[MASTER_LEN], uint8_t ret[WRAPPED_LEN]);
bool master_unwrap(const struct master *m, struct str wrapped, uint8_t ret_key[MASTER_LEN]);

/* --- a rotation --- */

/* Makes `next` (the new vault.master_key) the newest, unless it is that already; m holds both afterwards. REJECT when a
 * rotation before this one was not retired yet. */
MUST_CHECK err masters_begin(struct masters *m, struct pg *pg, struct arena *arena, const uint8_t next[MASTER_LEN]);
/* Wraps up to `limit` keys anew whose subject is above *after, and moves *after; *ret_found: how many it came by, 0 at
 * the end. */
MUST_CHECK err masters_rewrap(const struct masters *m, struct pg *pg, struct arena *arena, struct uuid *after,
                              int limit, size_t *ret_found);
/* REJECT while a key is wrapped by an older one, or when the configured key is not the newest. */
MUST_CHECK err masters_retire(struct masters *m, struct pg *pg, struct arena *arena);
