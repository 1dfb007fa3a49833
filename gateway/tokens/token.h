/* token: access tokens (JWT, RFC 7519, ES256 with a kid).
 *
 * An access token says iss, aud, sub (user id), sid (session id), roles, typ "access", iat, exp, and in its header
 * which of the keys (keys.h) signed it. libjwt takes it apart; algorithm, key, signature and every claim are checked
 * here (RFC 8725). What was checked once is remembered under the BLAKE2b of the token until it expires or its key is
 * taken out: in the steady state a check is one hash and one comparison, without allocation. Any thread. */
#pragma once

#include "gateway/http/request.h"
#include "ops/runtime/config.h"
#include "ops/runtime/err.h"

struct tokens;

extern const struct setting token_settings[]; /* auth.secret, auth.issuer, auth.audience, auth.…_ttl_s */

MUST_CHECK err tokens_create(const struct config *config, struct tokens **ret);
void tokens_destroy(struct tokens *t);
int64_t token_session_max_s(const struct tokens *t);

/* When a session ends at the latest, Unix ms: auth.session_max_s after it began, which its id (UUIDv7) says. */
int64_t token_session_end(const struct tokens *t, struct uuid session);
/* When a refresh token of the session that is issued now ends. */
int64_t token_refresh_end(const struct tokens *t, struct uuid session, int64_t now_ms);
/* When an access token that is issued now ends, to the second. */
int64_t token_access_end(const struct tokens *t, const struct claims *claims, int64_t now_ms);

/* A key derived from auth.secret for another use; `purpose` has 8 characters. */
void token_derive_key(const struct tokens *t, const char purpose[8], uint8_t ret_key[32]);

/* An access token that ends auth.access_ttl_s after now_ms, or with its session; in the arena. */
MUST_CHECK err token_issue(struct tokens *t, const struct claims *claims, int64_t now_ms, struct arena *arena,
                           struct str *ret);

/* REJECT with a reason that may be shown to the client. */
MUST_CHECK err token_check(struct tokens *t, struct str token, int64_t now_ms, struct claims *ret);

/* Takes the Authorization header: fills r->claims, or a 401 problem with WWW-Authenticate (RFC 6750) and
 * returns false. */
bool token_authenticate(struct request *r);
