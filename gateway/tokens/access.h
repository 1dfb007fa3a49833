/* access: whether the session behind a token still lives, and which roles its person has now.
 *
 * A token says both for its quarter of an hour; this asks again, so that a session that was ended, a person who was
 * suspended and a role that was taken away count within a second. What was found is remembered for each session, and
 * asked for anew when it is older than auth.recheck_ms (Redis, with PostgreSQL behind it, over the reads pool: never on
 * a connection's thread). While one request asks, the others of the session go on with what is known, for at most as
 * long again: in the steady state a request costs a lock and a comparison. Neither Redis nor PostgreSQL to be had: 503,
 * since nobody could say that the session lives. Any thread. */
#pragma once

#include "consumers/users/view.h"
#include "gateway/pool.h"
#include "ops/runtime/config.h"

struct access_memory;
struct account_cache_entry;

extern const struct setting access_settings[]; /* auth.recheck_ms, auth.refresh_retry_s */

struct access_memory *access_memory_create(const struct config *config);
void access_memory_destroy(struct access_memory *m);

/* The HTTP server's `admit` (server.h): sets r->claims.roles; 401 session_ended, 403 account_suspended, 503. */
enum request_step access_admit(struct request *r);

/* Redis, unless it is doubted or away, and PostgreSQL behind it; a session older than auth.session_max_s is not live.
 * RETRY: neither answers. `accounts` as access_check has
 * them (consumers/users/cache.h), may be NULL. */
MUST_CHECK err access_ask(struct gateway *g, struct pool_thread *thread, struct access *items, size_t count,
                          struct account_cache_entry *accounts);

/* 403 account_suspended. `until` is Unix ms, 0: without end. */
void access_refuse_suspended(struct request *r, int64_t until);

/* --- the memory alone, for its tests --- */

enum access_state { ACCESS_LIVE, ACCESS_ENDED, ACCESS_SUSPENDED };

/* false: ask, and tell what was found. True: *ret_state and, when it is live, *ret_roles hold. */
bool access_recall(struct access_memory *m, struct uuid session, int64_t now_us, enum access_state *ret_state,
                   uint32_t *ret_roles);
/* `asked_us`: from before it was asked. */
void access_remember(struct access_memory *m, struct uuid session, int64_t asked_us, enum access_state state,
                     uint32_t roles);
