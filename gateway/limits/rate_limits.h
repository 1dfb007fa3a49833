/* rate_limits: how many requests one address, and one person, may send (GCRA, gcra.h), agreed between gateways through
 * Redis.
 *
 * Nobody waits for Redis. Each gateway decides by its own count, so that alone it is exact. What it lets through it
 * tells Redis from a thread of its own, in pipelines; one Lua script adds that to the key's TAT there and answers how
 * far it is ahead, which contains what the other gateways let through; the later TAT of the two is what counts from
 * then on. A key is told at once when it has not been for a second, or when an eighth of what was left of it has been
 * used since; what is untold then, once a second. So another gateway may be behind by an eighth of what is left, for a
 * second; near the end of a quota by one request. What came through too much is counted all the same and comes off what
 * follows. Redis away: each gateway's own count is the limit, nothing else changes.
 *
 * Keys live in a table of fixed size, sets of eight; a new key takes the place of the one that has used the least.
 * Whoever fills it with addresses displaces those who owe nothing, and what was told to Redis is not lost.
 *
 * What counts against what is decided by the route: what strangers may ask under /api/v1/auth/ counts against the limit
 * "auth" of the address, all else against "address"; whoever is logged in, or shows a refresh token of ours, also has
 * "user". Health and metrics are free. */
#pragma once

#include "gateway/http/request.h"
#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/metrics.h"

struct rate_limits;

extern const struct setting rate_limits_settings[];

/* Starts the thread. `metrics` are gateway_metrics. */
MUST_CHECK err rate_limits_create(const struct config *config, struct metrics *metrics, struct rate_limits **ret);
void rate_limits_destroy(struct rate_limits *l); /* NULL is fine */

/* For admission: fills r->rates, or a 429 problem and returns false. Called twice: by address as soon as the route is
 * known (or known to be none), by user when it is known who asks (r->claims.user_id). */
bool rate_limits_admit(struct request *r, enum limit_by by);
