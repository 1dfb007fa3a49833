/* users/cache: who may come in, and what GET /users/me shows, in Redis (consumers/projection/epoch_cache.h says how it stays
 * true).
 *
 *     aether:account:<user>            a  session epoch, kept session, roles, suspension
 *                                      j  version, and the account as its person sees it (JSON)
 *     aether:session:<user>:<session>  s  the account's epoch when it started; "x" when it has ended
 * A fact about an account empties its hash, for no fact says all that stands there; the next read fills it again. A
 * session's hash is written whole: who logs out is out as soon as the worker has heard of it. */
#pragma once

#include "consumers/projection/epoch_cache.h"
#include "consumers/users/view.h"

/* The worker's `cache` of the two streams. */
MUST_CHECK err accounts_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts,
                                    size_t count);
MUST_CHECK err sessions_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts,
                                    size_t count);

/* What GET /users/me needs. */
struct account_cache_entry {
    struct uuid user; /* in */
    bool known;
    int64_t version;       /* when known */
    struct str json;       /* ACCOUNT_OWN, in the arena, when known */
    char epoch[EPOCH_LEN]; /* always: for account_cache_refill */
};

/* access_find with Redis before PostgreSQL: one round trip there, one more here for those that Redis does not know, and
 * one to tell it. redis may be NULL; when it fails PostgreSQL answers for all, and *ret_redis_failed is set.
 * `accounts` (may be NULL) has an entry an item, which is filled as account_cache_find would, in the same
 * round trip. */
MUST_CHECK err access_check(struct redis *redis, struct pg *pg, struct arena *arena, struct access *items, size_t count,
                            int64_t now_ms, struct account_cache_entry *accounts, bool *ret_redis_failed);

/* All of a batch in one round trip. */
MUST_CHECK err account_cache_find(struct redis *redis, struct arena *arena, struct account_cache_entry *entries,
                                  size_t count);
/* Queues what was read from PostgreSQL after the entry was; redis_flush it after the last one. */
MUST_CHECK err account_cache_refill(struct redis *redis, struct arena *arena, const struct account_cache_entry *entry,
                                    const struct account_view *account, struct str own_json);
