/* users/state: what decide needs to know of accounts and sessions, in memory. One thread.
 *
 * Entries come from an arena, so forgetting everything is cheap; they also remember what is known not to exist. */
#pragma once

#include "consumers/presence.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

#include <uthash.h>

#define HASH_LEN 32 /* of blind indexes and of refresh tokens: BLAKE2b-256 */

/* --- accounts: which ids, usernames and e-mail addresses are taken --- */

enum claim_kind { CLAIM_ID, CLAIM_USERNAME, CLAIM_EMAIL };

struct claim_key {
    uint8_t kind;            /* enum claim_kind */
    uint8_t value[HASH_LEN]; /* a blind index; an id fills the first 16 bytes */
};

struct claim {
    struct claim_key key;
    enum presence presence;
    UT_hash_handle hh;
};

struct accounts_state {
    struct arena arena;
    struct claim *claims;
};

void *accounts_state_create(void);
void accounts_state_destroy(void *state);
void accounts_state_clear(void *state);
size_t accounts_state_size(const void *state);

/* A value of another length than its kind has is cut or filled with zeros (decide refuses such a command). */
struct claim_key claim_key(enum claim_kind kind, struct str value);
struct claim_key claim_key_id(struct uuid id);

/* NULL: never heard of. */
const struct claim *accounts_state_claim(const struct accounts_state *s, struct claim_key key);
/* Makes the entry, with PRESENCE_UNKNOWN, when there is none. */
struct claim *accounts_state_claim_add(struct accounts_state *s, struct claim_key key);

/* --- sessions --- */

struct session_key {
    struct uuid user, session;
};

struct session {
    struct session_key key;
    int64_t expires_at;             /* Unix ms */
    uint8_t refresh_hash[HASH_LEN]; /* of the one refresh token that is good */
    bool ended;
    enum presence presence;
    UT_hash_handle hh;
};

struct sessions_state {
    struct arena arena;
    struct session *sessions;
};

void *sessions_state_create(void);
void sessions_state_destroy(void *state);
void sessions_state_clear(void *state);
size_t sessions_state_size(const void *state);

const struct session *sessions_state_find(const struct sessions_state *s, struct uuid user, struct uuid session);
struct session *sessions_state_add(struct sessions_state *s, struct uuid user, struct uuid session);

/* Fills in what load and evolve both learn of a session that exists. */
void session_set(struct session *session, struct str refresh_hash, int64_t expires_at, bool ended);
