#include "consumers/messages/state.h"

void *rooms_state_create(void)
{
    struct rooms_state *s = mem_alloc(sizeof *s);
    arena_init(&s->arena, 64 * 1024);
    return s;
}

void rooms_state_clear(void *state)
{
    struct rooms_state *s = state;
    HASH_CLEAR(hh, s->rooms);
    HASH_CLEAR(hh, s->members);
    arena_reset(&s->arena);
}

void rooms_state_destroy(void *state)
{
    struct rooms_state *s = state;
    if (!s)
        return;
    rooms_state_clear(s);
    arena_finish(&s->arena);
    free(s);
}

size_t rooms_state_size(const void *state)
{
    const struct rooms_state *s = state;
    return HASH_COUNT(s->rooms) + HASH_COUNT(s->members);
}

const struct room *rooms_state_room(const struct rooms_state *s, struct uuid room)
{
    struct room *found;
    HASH_FIND(hh, s->rooms, &room, sizeof room, found);
    return found;
}

const struct member *rooms_state_member(const struct rooms_state *s, struct uuid room, struct uuid user)
{
    const struct member_key key = { room, user };
    struct member *found;
    HASH_FIND(hh, s->members, &key, sizeof key, found);
    return found;
}

struct room *rooms_state_claim_room(struct rooms_state *s, struct uuid room)
{
    struct room *found;
    HASH_FIND(hh, s->rooms, &room, sizeof room, found);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct room);
        found->id = room;
        HASH_ADD(hh, s->rooms, id, sizeof found->id, found);
    }
    return found;
}

struct member *rooms_state_claim_member(struct rooms_state *s, struct uuid room, struct uuid user)
{
    const struct member_key key = { room, user };
    struct member *found;
    HASH_FIND(hh, s->members, &key, sizeof key, found);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct member);
        found->key = key;
        HASH_ADD(hh, s->members, key, sizeof found->key, found);
    }
    return found;
}
