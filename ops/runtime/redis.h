/* redis: a Redis connection with pipelining. One connection belongs to one thread. RETRY when the server is away; the
 * next call tries to reconnect, at most once in 200 ms so that a dead Redis costs nothing. Redis is never the truth. */
#pragma once

#include <hiredis/hiredis.h>

#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"

struct redis;

/* url: redis://[[user]:password@]host[:port][/database]; a wrong one is FATAL at the first use. Connects lazily.
 * `timeout_ms` bounds connect and each reply. SIGPIPE must be ignored (stop_init). */
struct redis *redis_create(const char *url, int timeout_ms);
void redis_destroy(struct redis *r);
bool redis_is_up(const struct redis *r);
MUST_CHECK err redis_connect(struct redis *r); /* now, and not with the first command; nothing may be queued */

/* Queues a command; arguments are binary-safe and copied into the output buffer. Nothing is sent before redis_flush.
 * After an error nothing is queued any more. */
MUST_CHECK err redis_add(struct redis *r, size_t argc, const struct str *argv);
void redis_discard(struct redis *r); /* forgets what is queued (and the connection with it) */

/* Sends what is queued and reads one reply for each queued command, in order; `each` (may be NULL) sees all of them,
 * also error replies, of which the first one is returned as well: RETRY for what heals (LOADING, NOSCRIPT, OOM, …),
 * FATAL for a wrong password, else REJECT. A reply is valid only during the call of `each`. After an I/O error (RETRY)
 * it is unknown which commands ran. */
typedef void redis_each(void *context, size_t index, const redisReply *reply);
MUST_CHECK err redis_flush(struct redis *r, redis_each *each, void *context);

/* Sends what is queued and does not wait; the replies are read by the next redis_flush, which sees them first. */
MUST_CHECK err redis_send(struct redis *r);

/* Lua: EVALSHA with the script loaded at need. Queued like redis_add; the first `keys` of argv are KEYS, the rest ARGV.
 * A Redis that has forgotten its scripts is RETRY once; the other commands of that flush ran. */
struct redis_script {
    const char *body; /* a constant: known by its address */
};
MUST_CHECK err redis_add_script(struct redis *r, const struct redis_script *script, size_t keys, size_t argc,
                                const struct str *argv);

/* Pub/sub on a connection of its own: subscribes again after a reconnect. Waits up to timeout_ms for one message; OK
 * with ret->ptr NULL: none came. The message is valid until the next call. RETRY: not connected now. */
MUST_CHECK err redis_subscribe(struct redis *r, struct str channel);
MUST_CHECK err redis_next_message(struct redis *r, int timeout_ms, struct str *ret);
