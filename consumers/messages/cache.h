/* messages/cache: the newest messages and the members of a room in Redis.
 *
 * One hash a room, key "aether:room:<uuid>":
 *     e           the epoch this hash was written in (below)
 *     v           offset of the newest fact that was written here; a write that is older is ignored
 *     h           last_seq of the room
 *     k           kind, 1 byte
 *     s<seq%128>  "<seq>:" and the message as JSON (message_json): a ring of the newest 128; empty: changed since it
 *                 was written, to be read from PostgreSQL
 *     m<16 bytes> membership of a person: "1" or "0"
 *
 * The worker writes absolute values before COMMIT: ahead of PostgreSQL by facts that are durable, never behind. The
 * gateway fills gaps from PostgreSQL with the row's position as version, so it never puts something old over something
 * new. Who leaves is written as "0", never deleted. Text of a person whose key was erased is not written.
 *
 * Why epochs: a write that Redis missed (it was away, or the worker died) would leave an old hash behind that looks
 * complete. "aether:rooms:tail:<partition>" is the offset up to which the facts of a partition were written; a batch
 * that does not join on to it changes "aether:rooms:epoch", and every hash of another epoch counts as empty. A batch
 * that ends before the tail (a fenced worker's, or a recovery's) leaves nothing in a room's hash but its version, below
 * which nothing is filled in. An emptied Redis has no epoch and no hashes: it refills by reads and writes. */
#pragma once

#include "consumers/loop/worker.h"
#include "consumers/messages/view.h"
#include "ops/runtime/redis.h"

#define ROOM_CACHE_RING      128
#define ROOM_CACHE_EPOCH_LEN 24

/* The worker's `cache`. With count 0 it only starts a new epoch: call it as soon as Redis answers again after a write
 * failed, since the failed batch may be the last one for a long time. */
MUST_CHECK err room_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts,
                                size_t count);

/* What a read needs to know first; all heads of a batch of reads in one round trip. */
struct room_cache_head {
    struct uuid room, viewer; /* in */
    bool known;               /* out: v, h and k are there, of this epoch */
    int64_t version, last_seq;
    enum room_kind kind;
    enum { ROOM_CACHE_UNKNOWN, ROOM_CACHE_MEMBER, ROOM_CACHE_STRANGER } membership;
    char epoch[ROOM_CACHE_EPOCH_LEN]; /* out, always: hand it to room_cache_refill */
};
MUST_CHECK err room_cache_heads(struct redis *redis, struct arena *arena, struct room_cache_head *heads, size_t count);

/* The JSON of the messages from..to (inclusive, at most ROOM_CACHE_RING), ascending, in the arena, for many rooms in
 * one round trip. complete is false when one is missing: read PostgreSQL instead. */
struct room_cache_page {
    struct uuid room;  /* in */
    int64_t from, to;  /* in */
    bool complete;     /* out */
    struct str *items; /* out, to - from + 1 of them */
};
MUST_CHECK err room_cache_pages(struct redis *redis, struct arena *arena, struct room_cache_page *pages, size_t count);

/* Queues what was read from PostgreSQL after `head` was read, and sends it. Ignored by Redis when the room has moved on
 * since or another epoch began. room->is_member is the membership of head->viewer. */
MUST_CHECK err room_cache_refill(struct redis *redis, struct arena *arena, const struct room_cache_head *head,
                                 const struct room_view *room, const struct message_view *messages, size_t count);
