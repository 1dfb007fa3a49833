/* text: what a decrypted field must be before a table or a JSON document takes it. */
#pragma once

#include "ops/runtime/pg.h"
#include "schemas/vault.h"

/* The text itself when it is valid UTF-8 (RFC 3629, section 4) without NUL; else a copy in the arena with each byte
 * that is neither replaced by U+FFFD. The gateway refuses such text, but the log is for ever and others may write to
 * it: one bad record must not stop the fold of those around it. */
struct str text_storable(struct arena *arena, struct str text);

/* Appends an opened field (asserted) to a column of texts; NULL when the person's key was erased. */
void text_sealed(struct pg_array *column, struct arena *arena, const struct sealed *field);
