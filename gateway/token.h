/* token: access tokens (JWT, RFC 7519, HS256 through libjwt) and refresh tokens (opaque).
 *
 * An access token says iss, aud, sub (user id), sid (session id), roles, typ "access", iat, exp. libjwt takes the
 * algorithm from the token and checks no claim, so all of that is checked here. What was checked once is remembered
 * under the BLAKE2b of the token until it expires: in the steady state a check is one hash and one comparison, without
 * allocation.
 *
 * A refresh token is base64url of session id, user id and 32 secret bytes; the log only ever sees its BLAKE2b-256. Any
 * thread. */
#pragma once

#include "gateway/request.h"
#include "ops/runtime/config.h"
#include "ops/runtime/err.h"

#define REFRESH_TOKEN_LEN  86 /* base64url of 64 bytes */
#define REFRESH_SECRET_LEN 32
#define REFRESH_HASH_LEN   32

struct tokens;

extern const struct setting token_settings[]; /* auth.jwt_secret, auth.issuer, auth.audience, auth.…_ttl_s */

MUST_CHECK err tokens_create(const struct config *config, struct tokens **ret);
void tokens_destroy(struct tokens *t);
int64_t token_access_ttl_s(const struct tokens *t);
int64_t token_refresh_ttl_s(const struct tokens *t);

/* A key derived from auth.jwt_secret for another use; `purpose` has 8 characters. */
void token_derive_key(const struct tokens *t, const char purpose[8], uint8_t ret_key[32]);

/* An access token that ends auth.access_ttl_s after now_ms; in the arena. */
MUST_CHECK err token_issue(struct tokens *t, const struct claims *claims, int64_t now_ms, struct arena *arena,
                           struct str *ret);

/* REJECT with a reason that may be shown to the client. */
MUST_CHECK err token_check(struct tokens *t, struct str token, int64_t now_ms, struct claims *ret);

/* Takes the Authorization header: fills r->claims, or a 401 problem with WWW-Authenticate (RFC 6750) and returns false.
 */
bool token_authenticate(struct request *r);

struct refresh_token {
    struct uuid session_id, user_id;
    uint8_t secret[REFRESH_SECRET_LEN];
};

void refresh_token_format(const struct refresh_token *t, char ret_text[REFRESH_TOKEN_LEN + 1]);
bool refresh_token_parse(struct str text, struct refresh_token *ret);
void refresh_token_hash(const struct refresh_token *t, uint8_t ret_hash[REFRESH_HASH_LEN]);
/* A new secret that the server can make again from the command that introduced it, so that a retried command gives the
 * same answer and nobody else can compute it. */
void refresh_token_secret(const struct tokens *t, struct uuid command_id,
                          const uint8_t presented_hash[REFRESH_HASH_LEN], uint8_t ret_secret[REFRESH_SECRET_LEN]);
