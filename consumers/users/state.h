/* users/state: what decide needs to know of accounts and sessions, in memory. One thread.
 *
 * Entries come from an arena, so forgetting everything is cheap; they also remember what is known not to exist. */
#pragma once

#include "consumers/loop/presence.h"
#include "consumers/users/roles.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

#include <uthash.h>

#define HASH_LEN 32 /* of blind indexes and of refresh tokens: BLAKE2b-256 */

/* A value of another length is cut or filled with zeros (decide refuses such a command). */
void hash_set(uint8_t ret[HASH_LEN], struct str value);

/* --- accounts: who is there, and which usernames and e-mail addresses are taken --- */

enum claim_kind { CLAIM_USERNAME, CLAIM_EMAIL };

struct claim_key {
    uint8_t kind;            /* enum claim_kind */
    uint8_t value[HASH_LEN]; /* a blind index */
};

#define CLAIM_FOREVER INT64_MAX

/* Who has a name, or has it reserved after giving it up. */
struct claim {
    struct claim_key key;
    struct uuid owner;
    int64_t until; /* Unix ms; CLAIM_FOREVER: the owner's name of today. Later it is free for all. */
    enum presence presence;
    UT_hash_handle hh;
};

struct account {
    struct uuid id;
    uint8_t username_index[HASH_LEN], email_index[HASH_LEN];
    int64_t version, session_epoch;
    uint32_t roles; /* enum account_role */
    bool suspended;
    int64_t suspended_until; /* Unix ms; 0: without end */
    enum presence presence;
    UT_hash_handle hh;
};

struct accounts_state {
    struct arena arena;
    struct claim *claims;
    struct account *accounts;
    bool admins_loaded; /* every account with the role is in `accounts` */
};

void *accounts_state_create(void);
void accounts_state_destroy(void *state);
void accounts_state_clear(void *state);
size_t accounts_state_size(const void *state);

struct claim_key claim_key(enum claim_kind kind, struct str value);

/* NULL: never heard of. */
const struct claim *accounts_state_claim(const struct accounts_state *s, struct claim_key key);
/* Makes the entry, with PRESENCE_UNKNOWN, when there is none. */
struct claim *accounts_state_claim_add(struct accounts_state *s, struct claim_key key);
void claim_set(struct claim *claim, struct uuid owner, int64_t until);

const struct account *accounts_state_account(const struct accounts_state *s, struct uuid id);
struct account *accounts_state_account_add(struct accounts_state *s, struct uuid id);

/* --- sessions --- */

struct session_key {
    struct uuid user, session;
};

struct session {
    struct session_key key;
    int64_t expires_at;             /* Unix ms */
    uint8_t refresh_hash[HASH_LEN]; /* of the one refresh token that is good */
    int64_t generation;             /* of that token: 0 at the log-in, one more a refresh */
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
void session_set(struct session *session, struct str refresh_hash, int64_t generation, int64_t expires_at, bool ended);
