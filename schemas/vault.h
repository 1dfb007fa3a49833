/* vault: the keys that sealed fields are encrypted with, one a subject (a person, or a room for its name).
 *
 * Table vault.keys (subject uuid primary key, wrapped bytea, master smallint, created_at, erased_at) holds each key
 * wrapped (crypto_secretbox) by a key derived from the master key, which can be changed while everything runs
 * (masters.h). It is the one table that is not derived from the log: erasing a subject takes the key away, which erases
 * every sealed field about that subject, in the log too. The row stays without a key, so that no new one is made for
 * who was erased. Keys are cached in the process for at most vault.cache_seconds (60), about vault.cache_keys of them,
 * in memory that is locked as far as the process's limit allows, and wiped when it is given back.
 *
 * A sealed value: 0x01, 24 bytes nonce, ciphertext with tag (XChaCha20-Poly1305-IETF, libsodium). Associated data: the
 * subject's 16 bytes and the field's name, so a fact may carry its command's ciphertext on unchanged.
 *
 * A blind index is BLAKE2b-256 keyed with a key derived from the master (crypto_kdf, context "aeindex1"); it does not
 * change when the master is rotated, since it is derived from vault.index_key.
 *
 * Thread-safe: one vault a process, any thread; the pg handle passed in belongs to the calling thread. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/pg.h"
#include "ops/runtime/uuid.h"

#define VAULT_KEY_LEN   32
#define VAULT_INDEX_LEN 32
#define SEALED_OVERHEAD (1 + 24 + 16)

struct vault;

extern const struct setting vault_settings[]; /* vault.master_key (base64, SECRET), vault.index_key, vault.cache_… */
extern const char vault_schema_sql[]; /* re-runnable DDL of vault.keys; run by workers under their migration lock */

MUST_CHECK err vault_create(const struct config *config, struct vault **ret);
void vault_destroy(struct vault *v);

/* Puts the keys of these subjects into the cache with one query for those that are not there. A subject without a key
 * is remembered as erased for the cache's time. RETRY when PostgreSQL is away. */
MUST_CHECK err vault_fetch(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count);

/* As vault_fetch, and makes a key for each subject that never had one. Idempotent across processes. */
MUST_CHECK err vault_ensure(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count);

enum vault_lookup { VAULT_UNKNOWN, VAULT_ERASED, VAULT_FOUND }; /* unknown: not cached, fetch first */
enum vault_lookup vault_key(struct vault *v, struct uuid subject, uint8_t ret_key[VAULT_KEY_LEN]);

/* Deletes the key: erases the subject everywhere. Other processes forget it within vault.cache_seconds. */
MUST_CHECK err vault_erase(struct vault *v, struct pg *pg, struct uuid subject);

/* Takes away keys that were made for what then never came to be (a registration that was rejected): rows and all, as if
 * vault_ensure had not been called. Never for a subject that a fact is about. */
MUST_CHECK err vault_withdraw(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count);

void vault_blind_index(const struct vault *v, struct str normalised, uint8_t ret_index[VAULT_INDEX_LEN]);

/* A field that is marked sealed, in a generated struct. To write: set `clear`, call <record>_seal; or copy a sealed
 * field whose `cipher` is set and it is written on as it is. To read: after decoding `cipher` is set and `state` is
 * SEALED; <union>_open sets `clear` (in the arena) and OPEN, or leaves clear empty with ERASED when the key is gone or
 * the value does not open (tampered). */
struct sealed {
    struct str cipher;
    struct str clear;
    enum sealed_state { SEALED, OPEN, ERASED } state;
};

/* Used by the generated code. seal: RETRY when the key is VAULT_UNKNOWN, REJECT when it is erased. open: RETRY when
 * unknown. */
MUST_CHECK err sealed_seal(struct vault *v, struct uuid subject, struct str field, struct sealed *s,
                           struct arena *arena);
MUST_CHECK err sealed_open(struct vault *v, struct uuid subject, struct str field, struct sealed *s,
                           struct arena *arena);
