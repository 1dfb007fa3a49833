/* delay: answers that are kept back, so that how long they took tells nothing.
 *
 * A wrong password is looked up and verified like a right one, but not in one time for all: a hash that was imported
 * takes longer than ours, and ours longer than a dated one. So a refusal goes out at the end of the span of
 * login.refusal_ms in which it was ready, counted from when the request came: all that take less than one span take
 * exactly one, whatever was done for them. It stands in a list meanwhile, not on a thread. */
#pragma once

#include "gateway/http/request.h"
#include "ops/runtime/config.h"

struct delays;

extern const struct setting delay_settings[]; /* login.refusal_ms */

MUST_CHECK err delays_create(const struct config *config, struct delays **ret);
/* Everything goes out at once from here on. */
void delays_stop(struct delays *d);
void delays_destroy(struct delays *d);

/* The request is suspended and its answer filled; begun_us is of clock_mono_us. SUSPENDED: it is resumed in time. DONE:
 * at once, since the list is full (more than the hashing threads could fill) or the gateway stops. Any thread. */
enum request_step delay_answer(struct delays *d, struct request *r, int64_t begun_us);
