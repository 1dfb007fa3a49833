/* fresh: which commands nobody can have decided before, so that PostgreSQL need not be asked for their outcomes.
 *
 * A gateway that is given no Idempotency-Key draws a UUIDv7 for the command (RFC 9562, section 5.7), which tells when.
 * An id that was drawn since this process read its partitions can have been decided by this process only, which
 * remembers the ids of the last seconds. Every other one is looked up: those drawn before, those that are remembered,
 * and those that tell no time (UUIDv5: of an Idempotency-Key, a timer, a policy).
 *
 * The memory is two Bloom filters (Bloom 1970) that take turns, 256 KiB in all: it forgets none, and takes one new id
 * in a thousand for a known one at 15,000 a second. ops/adr/0017-fresh-commands.md. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ops/runtime/uuid.h"

struct fresh;

struct fresh *fresh_create(void); /* nothing is fresh until the first fresh_begin */
void fresh_destroy(struct fresh *f);
/* Whatever was decided up to now (Unix milliseconds) is unknown here. The clocks of gateways may be up to 10 s ahead of
 * this one. */
void fresh_begin(struct fresh *f, int64_t now_ms);
/* True: nobody has decided it; from now on it counts as known. */
bool fresh_take(struct fresh *f, struct uuid command_id);
