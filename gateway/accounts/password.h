/* password: argon2id (RFC 9106), PHC string format; bcrypt ("$2b$", by libxcrypt) of imported accounts is verified,
 * never made: it counts the first 72 bytes only, and takes its own time, which delay.h keeps from the client. The work
 * memory (hashing.memory_kib) is kept by each thread that hashes and given back when the thread ends. Any thread; a
 * call blocks for tens of milliseconds, so use the hashing pool. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"

#define PASSWORD_HASH_MAX 160 /* with the NUL */

struct password;

extern const struct setting password_settings[]; /* hashing.memory_kib, hashing.iterations */

MUST_CHECK err password_create(const struct config *config, struct password **ret);
void password_destroy(struct password *p);

MUST_CHECK err password_hash(const struct password *p, struct str clear, char ret_hash[PASSWORD_HASH_MAX]);

/* OK: it matches. REJECT: it does not, or `hash` is neither argon2id nor bcrypt. With an empty hash (nobody has this
 * name) it takes as long and is REJECT. RETRY: no memory. */
MUST_CHECK err password_verify(const struct password *p, struct str clear, struct str hash);

/* A hash that password_hash would make otherwise now (bcrypt, other parameters): make a new one while the password is
 * at hand. */
bool password_is_dated(const struct password *p, struct str hash);

/* One that password_verify can verify, of its form: argon2id, or "$2b$" of a cost up to PASSWORD_BCRYPT_COST_MAX. */
bool password_is_hash(struct str text);
#define PASSWORD_BCRYPT_COST_MAX 16 /* seconds */

/* This thread will not hash for a while: gives its work memory back. */
void password_rest(void);
