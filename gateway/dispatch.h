/* dispatch: from a request to its command's outcome.
 *
 * dispatch_command fills the command's meta, seals it, encodes it, registers the request under the command id and appends
 * the command; the request is suspended. Its outcome comes over Redis (channel "aether:reply:<gateway id>", many outcomes a
 * message), or, when Redis is down or silent, by polling the operations tables. Whoever takes the request out of the table
 * of those that wait (one locked removal) owns it: the reply, the deadline sweep, or a failed delivery.
 *   - outcome: `then` runs on the reply thread with it;
 *   - rejected: then is not called; the rejection's problem is answered (rejections.def);
 *   - deadline, delivery UNKNOWN, or Prefer: respond-async after delivery: 202, Location: /api/v1/operations/{id};
 *   - NOT_APPENDED, queue full, broker away: 503 with Retry-After;
 *   - the same command id waits already: 409 request_in_progress. */
#pragma once

#include "gateway/request.h"
#include "schemas/replies.gen.h"
#include "schemas/stream.h"

struct dispatch;

/* The command was accepted. `fact` is decoded (its stream's fact union, in r->arena, sealed fields not opened); fill the response and return
 * REQUEST_DONE, or go on (another command, a pool) and return REQUEST_SUSPENDED. Aether-Position is set already. */
typedef enum request_step dispatch_then(struct request *r, const struct outcome *outcome, const struct any_record *fact);

/* `command` is the stream's command union, in r->arena, with everything but meta filled. The actor is `actor`. Returns
 * REQUEST_DONE only when it has answered already (503, 409). When a vault key is not cached, it goes over the read pool by
 * itself. */
enum request_step dispatch_command(struct request *r, const struct stream *stream, struct any_record *command, struct uuid actor,
                                   dispatch_then *then);
