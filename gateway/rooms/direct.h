/* direct: the conversation of two people. Its id is derived from theirs, so it is one room, whoever opens it. */
#pragma once

#include "gateway/commands/dispatch.h"
#include "gateway/pool.h"

struct uuid direct_room_id(struct uuid a, struct uuid b);

/* On a pool thread: the room of the person and `peer` into r->ids[0], and whether it is there; when it is not, its key
 * is. *ret_good false: a problem has been filled (no such person). */
MUST_CHECK err direct_room_find(struct request *r, struct pool_thread *thread, struct uuid peer, bool *ret_there,
                                bool *ret_good);
/* Opens r->ids[0], which was not there; `then` also runs when it is by now. */
enum request_step direct_room_open(struct request *r, struct uuid peer, dispatch_then *then);
