/* dispatch: from a request to its command's outcome.
 *
 * dispatch_command fills the command's meta, seals it, encodes it, registers the request under the command id
 * (waiting.h) and appends the command; the request is suspended. Its outcome comes over Redis (channel
 * "aether:reply:<gateway id>", many outcomes a message), or, when Redis is down or silent, by polling the operations
 * tables (replies.h). Whoever takes the request out of the table of those that wait owns it: the reply, the deadline
 * sweep, or a failed delivery.
 *   - outcome: `then` runs with it, on the thread that brought it;
 *   - rejected: then is not called; the rejection's problem is answered (rejections.def). But for r->tolerated: then
 *     is called without a fact;
 *   - deadline, delivery UNKNOWN, or Prefer: respond-async after delivery (or outcome): 202, Location:
 *     /api/v1/operations/{id};
 *   - NOT_APPENDED, queue full, broker away: 503 with Retry-After;
 *   - the same command id waits already: 409 request_in_progress. */
#pragma once

#include "gateway/http/request.h"
#include "gateway/pool.h"
#include "producers/producer.h"
#include "schemas/replies.gen.h"
#include "schemas/stream.h"

struct dispatch;

/* The command was accepted. `fact` is decoded (its stream's fact union, in r->arena, sealed fields not opened); fill
 * the response and return REQUEST_DONE, or go on (another command, a pool) and return REQUEST_SUSPENDED.
 * Aether-Position (of the request's first fact) is set already. `outcome` is valid during the call only. */
typedef enum request_step dispatch_then(struct request *r, const struct outcome *outcome,
                                        const struct any_record *fact);

dispatch_then dispatch_done; /* 204 */

/* `command` is the stream's command union, in r->arena, with everything but meta filled; its id is r->command_id.
 * Called by whoever owns the request. REQUEST_DONE: it has been answered already (503, 403). When a vault key is not
 * cached, it goes over the read pool by itself. */
enum request_step dispatch_command(struct request *r, const struct stream *stream, struct any_record *command,
                                   struct uuid actor, dispatch_then *then);

/* A handler refuses before its command is sent, for a reason that time or somebody else could have brought about since
 * the request came first: it has filled the problem, and returns what this returns. With an Idempotency-Key that has an
 * outcome, `then` answers by that one, as after dispatch_command with the same stream and actor; one that is still
 * under way is answered 202 or 409; else the problem stands. Without a key, and for whoever is not refused, this costs
 * nothing. `thread` NULL: this thread may not block. */
enum request_step dispatch_refused(struct request *r, struct pool_thread *thread, const struct stream *stream,
                                   struct uuid actor, dispatch_then *then);

/* The same before a problem is known, where finding out takes longer than looking for the outcome. false: nothing is
 * known of the command, and the response is untouched. */
bool dispatch_repeated(struct request *r, struct pool_thread *thread, const struct stream *stream, struct uuid actor,
                       dispatch_then *then, enum request_step *ret);

/* Appends a signal, which nobody decides: 204 with its Aether-Position when it is in the log, 503 when that is not
 * known. `append` is filled but for opaque; its meta's id is new. Called by whoever owns the request, which may be
 * answered and recycled before this returns: what `append` points to must not be the request's. */
enum request_step dispatch_signal(struct request *r, struct append *append);

/* --- for the gateway's assembly --- */

/* Everything but the threads; the gateway's vault and pools exist. */
struct dispatch *dispatch_create(struct gateway *g, size_t max_waiting);
/* Starts the threads of replies.h; the producer exists. */
MUST_CHECK err dispatch_start(struct dispatch *d);
size_t dispatch_waiting(const struct dispatch *d);
/* Redis failed within the last second: read PostgreSQL instead of its caches (replies.h). Any thread. */
bool dispatch_doubts_cache(const struct dispatch *d);
bool dispatch_replies_up(const struct dispatch *d); /* subscribed to Redis now */
void dispatch_hurry(struct dispatch *d);            /* from now on every deadline has passed */
/* Ends the threads and answers 202 to what still waits. */
void dispatch_stop(struct dispatch *d);
void dispatch_destroy(struct dispatch *d);

/* The producer's callback; `context` is the dispatch. */
producer_delivered dispatch_delivered;
/* Hands an outcome to the request that waits for it, if one does. `codec` is the calling thread's; `metric` (of
 * gateway.h) counts the way it came. */
void dispatch_outcome(struct dispatch *d, struct codec *codec, const struct outcome *outcome, size_t metric);
