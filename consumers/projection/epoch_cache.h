/* epoch_cache: hashes in Redis that are ahead of PostgreSQL or empty, never behind.
 *
 * A hash has beside its own fields
 *     e   the epoch it was written in; a hash of another epoch counts as empty
 *     v   offset of the newest fact that is in it; a write that is older is ignored
 * The worker writes before COMMIT, with what it knows for certain: all of the fields, or none, which says no more than
 * that what is older than v is out of date. Readers fill gaps from PostgreSQL with the row's position as version.
 *
 * Why epochs: a write that Redis missed (it was away, or the worker died) would leave an old hash behind that looks
 * complete. <tail>:<partition> is the offset up to which the facts of a partition were written; a batch that does not
 * join on to it changes the epoch. A batch that ends before the tail (a fenced worker's, or a recovery's) writes
 * versions only. An emptied Redis has no epoch and no hashes: it refills by reads and writes. */
#pragma once

#include "consumers/projection/fact.h"
#include "ops/runtime/redis.h"

#define EPOCH_LEN 24

struct epoch_cache {
    const char *epoch_key;   /* "aether:sessions:epoch" */
    const char *tail_prefix; /* "aether:sessions:tail" */
};

/* What was written of this cache can no longer be trusted (a write failed): everything counts as empty. Sends. */
MUST_CHECK err epoch_cache_renew(struct redis *redis, const struct epoch_cache *cache);

/* Queues that these facts of a batch are written from now on; before the first epoch_cache_write of the batch. */
MUST_CHECK err epoch_cache_advance(struct redis *redis, const struct epoch_cache *cache, struct arena *arena,
                                   const struct placed_fact *facts, size_t count);
/* Queues a hash as `placed` leaves it: `count` fields and values in turn, in place of all it had; 0: it has none.
 * `last` is the batch's last fact of that partition. */
MUST_CHECK err epoch_cache_write(struct redis *redis, const struct epoch_cache *cache, struct arena *arena,
                                 struct str key, const struct placed_fact *placed, int64_t last,
                                 const struct str *fields, size_t count);
/* The offset of the last fact of this partition. */
int64_t epoch_cache_last(const struct placed_fact *facts, size_t count, int32_t partition);

/* Queues GET of the epoch: hand the answer to epoch_cache_refill. */
MUST_CHECK err epoch_cache_ask(struct redis *redis, const struct epoch_cache *cache);
/* "" when there is none. */
void epoch_cache_answer(const redisReply *reply, char ret_epoch[EPOCH_LEN]);

/* Queues fields that were read from PostgreSQL after `epoch` was; they join those that the hash has. Ignored by Redis
 * when the hash has moved on since, or another epoch began. At most EPOCH_REFILL_FIELDS fields and values. */
#define EPOCH_REFILL_FIELDS 16
MUST_CHECK err epoch_cache_refill(struct redis *redis, const struct epoch_cache *cache, struct arena *arena,
                                  struct str key, const char *epoch, int64_t version, const struct str *fields,
                                  size_t count);
