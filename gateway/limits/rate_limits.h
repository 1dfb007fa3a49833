/* rate_limits: how many requests one address, and one person, may send (GCRA, gcra.h), agreed between gateways through
 * Redis.
 *
 * Nobody waits for Redis. Each gateway decides by what it knows, and a thread of its own asks Redis, in pipelines; one Lua
 * script keeps the TAT of each key. A gateway lets through
 *   - what Redis has granted it: a lease of requests that are in the TAT there before they come. It asks for the next one
 *     when half of it is used: a quarter of what is left, at least a credit. One that is not used for a second is given
 *     back;
 *   - without a grant: a credit, which is an eighth of the quota, at least five. What came on credit is told to Redis at
 *     once, and counts until Redis has answered;
 *   - never more than its own count allows, whatever Redis says.
 * So N gateways let through at most the quota and N credits, however slow the machine, the thread or Redis is, until
 * Redis does not answer within gateway.redis_timeout_ms: then it is away, each gateway's own count is the limit, and the
 * bound is N quotas. What came through too much is counted all the same and comes off what follows. A request for which
 * neither lease nor credit is left is refused although something is left of the quota (RateLimit says so): Retry-After: 1.
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
