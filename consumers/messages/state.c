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
    HASH_CLEAR(hh, s->messages);
    HASH_CLEAR(hh, s->reactions);
    HASH_CLEAR(hh, s->scheduled);
    HASH_CLEAR(hh, s->agendas);
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
    return HASH_COUNT(s->rooms) + HASH_COUNT(s->members) + HASH_COUNT(s->messages) + HASH_COUNT(s->reactions) +
           HASH_COUNT(s->scheduled) + HASH_COUNT(s->agendas);
}

/* --- finding --- */

struct room *rooms_state_room(const struct rooms_state *s, struct uuid room)
{
    struct room *found;
    HASH_FIND(hh, s->rooms, &room, sizeof room, found);
    return found;
}

struct member *rooms_state_member(const struct rooms_state *s, struct uuid room, struct uuid user)
{
    const struct member_key key = { room, user };
    struct member *found;
    HASH_FIND(hh, s->members, &key, sizeof key, found);
    return found;
}

struct message *rooms_state_message(const struct rooms_state *s, struct uuid room, int64_t seq)
{
    const struct message_key key = { room, seq };
    struct message *found;
    HASH_FIND(hh, s->messages, &key, sizeof key, found);
    return found;
}

struct reaction *rooms_state_reaction(const struct rooms_state *s, const struct reaction_key *key)
{
    struct reaction *found;
    HASH_FIND(hh, s->reactions, key, sizeof *key, found);
    return found;
}

struct scheduled *rooms_state_scheduled(const struct rooms_state *s, struct uuid message)
{
    struct scheduled *found;
    HASH_FIND(hh, s->scheduled, &message, sizeof message, found);
    return found;
}

struct agenda *rooms_state_agenda(const struct rooms_state *s, struct uuid room, struct uuid user)
{
    const struct member_key key = { room, user };
    struct agenda *found;
    HASH_FIND(hh, s->agendas, &key, sizeof key, found);
    return found;
}

/* --- claiming --- */

struct room *rooms_state_claim_room(struct rooms_state *s, struct uuid room)
{
    struct room *found = rooms_state_room(s, room);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct room);
        found->id = room;
        HASH_ADD(hh, s->rooms, id, sizeof found->id, found);
    }
    return found;
}

struct member *rooms_state_claim_member(struct rooms_state *s, struct uuid room, struct uuid user)
{
    struct member *found = rooms_state_member(s, room, user);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct member);
        found->key = (struct member_key){ room, user };
        HASH_ADD(hh, s->members, key, sizeof found->key, found);
    }
    return found;
}

struct message *rooms_state_claim_message(struct rooms_state *s, struct uuid room, int64_t seq)
{
    struct message *found = rooms_state_message(s, room, seq);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct message);
        found->key = (struct message_key){ room, seq };
        HASH_ADD(hh, s->messages, key, sizeof found->key, found);
    }
    return found;
}

struct reaction *rooms_state_claim_reaction(struct rooms_state *s, const struct reaction_key *key)
{
    struct reaction *found = rooms_state_reaction(s, key);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct reaction);
        found->key = *key;
        HASH_ADD(hh, s->reactions, key, sizeof found->key, found);
    }
    return found;
}

struct scheduled *rooms_state_claim_scheduled(struct rooms_state *s, struct uuid message)
{
    struct scheduled *found = rooms_state_scheduled(s, message);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct scheduled);
        found->id = message;
        HASH_ADD(hh, s->scheduled, id, sizeof found->id, found);
    }
    return found;
}

struct agenda *rooms_state_claim_agenda(struct rooms_state *s, struct uuid room, struct uuid user)
{
    struct agenda *found = rooms_state_agenda(s, room, user);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct agenda);
        found->key = (struct member_key){ room, user };
        HASH_ADD(hh, s->agendas, key, sizeof found->key, found);
    }
    return found;
}

/* --- what is planned --- */

void rooms_state_plan(struct rooms_state *s, struct agenda *agenda, struct uuid message, int64_t send_at)
{
    if (agenda->count == agenda->capacity) {
        const size_t capacity = agenda->capacity ? 2 * agenda->capacity : 8;
        struct planned *planned = ARENA_ARRAY(&s->arena, struct planned, capacity);
        if (agenda->count)
            memcpy(planned, agenda->planned, agenda->count * sizeof *planned);
        agenda->planned = planned;
        agenda->capacity = capacity;
    }
    agenda->planned[agenda->count++] = (struct planned){ message, send_at };
}

void agenda_strike(struct agenda *agenda, struct uuid message)
{
    for (size_t i = 0; i < agenda->count; i++)
        if (uuid_equal(agenda->planned[i].message, message)) {
            agenda->planned[i] = agenda->planned[--agenda->count];
            return;
        }
}

bool emoji_is_sound(struct str emoji)
{
    return emoji.len > 0 && emoji.len <= EMOJI_MAX && !memchr(emoji.ptr, 0, emoji.len);
}

struct reaction_key reaction_key(struct uuid room, int64_t seq, struct uuid user, struct str emoji)
{
    struct reaction_key key;
    memset(&key, 0, sizeof key);
    key.room = room;
    key.seq = seq;
    key.user = user;
    if (emoji.len)
        memcpy(key.emoji, emoji.ptr, emoji.len < EMOJI_MAX ? emoji.len : EMOJI_MAX);
    return key;
}
