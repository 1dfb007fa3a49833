/* refresh_token: what a client hands in for new tokens. base64url of session id, user id, generation (4 bytes), 32
 * secret bytes and 16 bytes of a keyed check (BLAKE2b): whatever we did not issue is told from what we did without a
 * look at any store, so garbage never reaches the log. The log only ever sees the token's BLAKE2b-256.
 *
 * A session is the family of its refresh tokens (RFC 9700, section 4.14.2): generation 0 comes with the session, each
 * refresh gives the next one, and one that was replaced already ends the session. Any thread. */
#pragma once

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

#define REFRESH_TOKEN_LEN  112 /* base64url of 84 bytes */
#define REFRESH_SECRET_LEN 32
#define REFRESH_HASH_LEN   32

struct refresh_tokens; /* the keys */

struct refresh_token {
    struct uuid session_id, user_id;
    uint32_t generation;
    uint8_t secret[REFRESH_SECRET_LEN];
};

struct refresh_tokens *refresh_tokens_create(const uint8_t check_key[32], const uint8_t secret_key[32]);
void refresh_tokens_destroy(struct refresh_tokens *t);

/* The first of a session. */
void refresh_token_draw(struct uuid session_id, struct uuid user_id, struct refresh_token *ret);
/* The one that replaces `presented` (may be `ret`). Its secret is made of the command that introduces it, so that a
 * retried command gives the same answer and nobody else can compute it. */
void refresh_token_next(const struct refresh_tokens *t, const struct refresh_token *presented, struct uuid command_id,
                        struct refresh_token *ret);

void refresh_token_format(const struct refresh_tokens *t, const struct refresh_token *token,
                          char ret_text[REFRESH_TOKEN_LEN + 1]);
/* false: it is none of ours. */
bool refresh_token_parse(const struct refresh_tokens *t, struct str text, struct refresh_token *ret);
void refresh_token_hash(const struct refresh_token *token, uint8_t ret_hash[REFRESH_HASH_LEN]);
