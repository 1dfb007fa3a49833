/* keys: what access tokens are signed with: ES256, which is ECDSA over P-256 with SHA-256 (RFC 7518 section 3.4).
 *
 * They lie in a folder (auth.keys_folder) as PEM files, one key a file, the same on every gateway. Every key of the
 * folder is good for checking. The one that signs is the last by name that has lain there for auth.key_settle_s, so
 * that every gateway, and whoever keeps our JWKS for its max-age, knows a key before its first token comes along. To
 * rotate is to put a key in, and to take the one before the last out; the folder is looked at every auth.keys_reload_s,
 * nothing restarts. A folder that has become unreadable or has a file that is no such key leaves the keys as they are
 * and says so in the log.
 *
 * A key's id (kid) is its thumbprint (RFC 7638), so two files of one name are two keys. A key that is taken out is not
 * freed, only good for nothing any more: pointers to keys are valid until keys_destroy, without locks.
 *
 * Why libcrypto does this and not libjwt: that reads the PEM anew for every token, 400 us to sign and 360 us to check
 * one where the cryptography takes 20 and 65. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/json.h"

#define KEY_ID_LEN        43 /* base64url of a SHA-256 */
#define KEY_SIGNATURE_LEN 64 /* r and s (RFC 7518 section 3.4) */

struct key;
struct keys;

extern const struct setting keys_settings[];

/* Reads the folder and starts to watch it. FATAL with a line for the operator. */
MUST_CHECK err keys_create(const struct config *config, struct keys **ret);
void keys_destroy(struct keys *k); /* NULL is fine */

/* Any thread: */
const struct key *keys_current(const struct keys *k);
const struct key *keys_find(const struct keys *k, struct str kid); /* NULL: there is none, or it was taken out */
const char *key_id(const struct key *key);
bool key_is_good(const struct key *key); /* still in the folder */
MUST_CHECK err key_sign(const struct key *key, struct str text, uint8_t ret_signature[KEY_SIGNATURE_LEN]);
bool key_verify(const struct key *key, struct str text, const uint8_t signature[KEY_SIGNATURE_LEN]);

/* A JWK set (RFC 7517) of the public halves; `max_age_s` is how long it may be kept. */
void keys_write_jwks(const struct keys *k, struct json *j);
int64_t keys_max_age_s(const struct keys *k);
