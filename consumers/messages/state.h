/* messages/state: what decide needs to know of the rooms of this process's partitions, in memory.
 *
 * Two tables: rooms, and members by (room, person). Both also remember what is known not to exist. Entries come from
 * one arena, so forgetting everything is cheap and a known room or member costs no allocation. One thread. */
#pragma once

#include "consumers/presence.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"
#include "schemas/rooms.gen.h"

#include <uthash.h>

struct room {
    struct uuid id;
    int64_t last_seq;
    enum room_kind kind;
    enum presence presence;
    UT_hash_handle hh;
};

struct member_key {
    struct uuid room, user;
};

struct member {
    struct member_key key;
    enum presence presence;
    UT_hash_handle hh;
};

struct rooms_state {
    struct arena arena;
    struct room *rooms;
    struct member *members;
};

void *rooms_state_create(void);
void rooms_state_destroy(void *state);
void rooms_state_clear(void *state);
size_t rooms_state_size(const void *state);

/* NULL: never heard of. */
const struct room *rooms_state_room(const struct rooms_state *s, struct uuid room);
const struct member *rooms_state_member(const struct rooms_state *s, struct uuid room, struct uuid user);

/* Makes the entry, with PRESENCE_UNKNOWN, when there is none. The pointer is good until rooms_state_clear. */
struct room *rooms_state_claim_room(struct rooms_state *s, struct uuid room);
struct member *rooms_state_claim_member(struct rooms_state *s, struct uuid room, struct uuid user);
