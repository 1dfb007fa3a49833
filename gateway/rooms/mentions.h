/* mentions: who is named in a text, as "@username" or, all members, "@room". Names that are nobody's, or of people who
 * are not in the room, are just text. */
#pragma once

#include "gateway/pool.h"

#define MENTIONS_MAX 20 /* more names than this in one message mention nobody */

struct mentions {
    struct uuid *ids; /* in the request's arena */
    size_t count;
    bool room;
};

bool mentions_possible(struct str text); /* there is an '@': it is worth asking */
/* On a pool thread. RETRY: PostgreSQL is away. */
MUST_CHECK err mentions_resolve(struct request *r, struct pool_thread *thread, struct uuid room, struct str text,
                                struct mentions *ret);
