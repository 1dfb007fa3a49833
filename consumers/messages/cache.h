/* messages/cache: the newest messages and the members of a room in Redis.
 *
 * One hash a room, key "aether:room:<uuid>":
 *     v           offset of the newest fact that was written here; writes with a smaller one are ignored (a Lua script
 *                 compares), so a paused, fenced worker cannot bring old values back
 *     h           last_seq of the room
 *     k           kind, 1 byte
 *     s<seq%128>  "<seq>:" and the message as JSON (message_json): a ring of the newest 128
 *     m<16 bytes> membership of a person: "1" or "0"
 * The worker writes absolute values before COMMIT: ahead of PostgreSQL by facts that are durable, never behind. The gateway
 * fills gaps from PostgreSQL with HSETNX, so what the worker writes always wins; removal writes "0", never deletes. An
 * emptied Redis refills by reads and writes. Text of a person whose key was erased is not written. */
#pragma once

#include "consumers/messages/view.h"
#include "consumers/worker.h"
#include "ops/runtime/redis.h"

#define ROOM_CACHE_RING 128

/* The worker's `cache`. */
MUST_CHECK err room_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts, size_t count);

/* What a read needs to know first; all heads of a batch of reads in one round trip. */
struct room_cache_head {
    struct uuid room, viewer; /* in */
    bool known;               /* out: v, h and k are there */
    int64_t version, last_seq;
    enum room_kind kind;
    enum { ROOM_CACHE_UNKNOWN, ROOM_CACHE_MEMBER, ROOM_CACHE_STRANGER } membership;
};
MUST_CHECK err room_cache_heads(struct redis *redis, struct arena *arena, struct room_cache_head *heads, size_t count);

/* The JSON of the messages from..to (inclusive, at most ROOM_CACHE_RING), ascending, in the arena, for many rooms in one round
 * trip. complete is false when one is missing: read PostgreSQL instead. */
struct room_cache_page {
    struct uuid room; /* in */
    int64_t from, to; /* in */
    bool complete;    /* out */
    struct str *items; /* out, to - from + 1 of them */
};
MUST_CHECK err room_cache_pages(struct redis *redis, struct arena *arena, struct room_cache_page *pages, size_t count);

/* Puts what was read from PostgreSQL where nothing is (HSETNX). `viewer_is_member` is remembered too. */
MUST_CHECK err room_cache_refill(struct redis *redis, struct arena *arena, const struct room_view *room, struct uuid viewer,
                                 const struct message_view *messages, size_t count);
