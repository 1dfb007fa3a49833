#include "consumers/users/state.h"

void hash_set(uint8_t ret[HASH_LEN], struct str value)
{
    memset(ret, 0, HASH_LEN);
    if (value.len)
        memcpy(ret, value.ptr, value.len < HASH_LEN ? value.len : HASH_LEN);
}

/* --- accounts --- */

void *accounts_state_create(void)
{
    struct accounts_state *s = mem_alloc(sizeof *s);
    arena_init(&s->arena, 64 * 1024);
    return s;
}

void accounts_state_clear(void *state)
{
    struct accounts_state *s = state;
    HASH_CLEAR(hh, s->claims);
    HASH_CLEAR(hh, s->accounts);
    s->admins_loaded = false;
    arena_reset(&s->arena);
}

void accounts_state_destroy(void *state)
{
    struct accounts_state *s = state;
    if (!s)
        return;
    accounts_state_clear(s);
    arena_finish(&s->arena);
    free(s);
}

size_t accounts_state_size(const void *state)
{
    const struct accounts_state *s = state;
    return HASH_COUNT(s->claims) + HASH_COUNT(s->accounts);
}

struct claim_key claim_key(enum claim_kind kind, struct str value)
{
    struct claim_key key = { .kind = (uint8_t)kind };
    hash_set(key.value, value);
    return key;
}

const struct claim *accounts_state_claim(const struct accounts_state *s, struct claim_key key)
{
    struct claim *found;
    HASH_FIND(hh, s->claims, &key, sizeof key, found);
    return found;
}

struct claim *accounts_state_claim_add(struct accounts_state *s, struct claim_key key)
{
    struct claim *found;
    HASH_FIND(hh, s->claims, &key, sizeof key, found);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct claim);
        found->key = key;
        HASH_ADD(hh, s->claims, key, sizeof found->key, found);
    }
    return found;
}

void claim_set(struct claim *claim, struct uuid owner, int64_t until)
{
    claim->presence = PRESENCE_PRESENT;
    claim->owner = owner;
    claim->until = until;
}

const struct account *accounts_state_account(const struct accounts_state *s, struct uuid id)
{
    struct account *found;
    HASH_FIND(hh, s->accounts, &id, sizeof id, found);
    return found;
}

struct account *accounts_state_account_add(struct accounts_state *s, struct uuid id)
{
    struct account *found;
    HASH_FIND(hh, s->accounts, &id, sizeof id, found);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct account);
        found->id = id;
        HASH_ADD(hh, s->accounts, id, sizeof found->id, found);
    }
    return found;
}

/* --- sessions --- */

void *sessions_state_create(void)
{
    struct sessions_state *s = mem_alloc(sizeof *s);
    arena_init(&s->arena, 64 * 1024);
    return s;
}

void sessions_state_clear(void *state)
{
    struct sessions_state *s = state;
    HASH_CLEAR(hh, s->sessions);
    arena_reset(&s->arena);
}

void sessions_state_destroy(void *state)
{
    struct sessions_state *s = state;
    if (!s)
        return;
    sessions_state_clear(s);
    arena_finish(&s->arena);
    free(s);
}

size_t sessions_state_size(const void *state)
{
    return HASH_COUNT(((const struct sessions_state *)state)->sessions);
}

const struct session *sessions_state_find(const struct sessions_state *s, struct uuid user, struct uuid session)
{
    const struct session_key key = { user, session };
    struct session *found;
    HASH_FIND(hh, s->sessions, &key, sizeof key, found);
    return found;
}

struct session *sessions_state_add(struct sessions_state *s, struct uuid user, struct uuid session)
{
    const struct session_key key = { user, session };
    struct session *found;
    HASH_FIND(hh, s->sessions, &key, sizeof key, found);
    if (!found) {
        found = ARENA_NEW(&s->arena, struct session);
        found->key = key;
        HASH_ADD(hh, s->sessions, key, sizeof found->key, found);
    }
    return found;
}

void session_set(struct session *session, struct str refresh_hash, int64_t generation, int64_t expires_at, bool ended)
{
    session->presence = PRESENCE_PRESENT;
    session->generation = generation;
    session->expires_at = expires_at;
    session->ended = ended;
    hash_set(session->refresh_hash, refresh_hash);
}
