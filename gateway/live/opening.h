/* opening: the request that opens the feed, as far as its head tells: WebSocket or server-sent events, who, and from
 * where on. */
#pragma once

#include "consumers/messages/view_feed.h"
#include "gateway/http/request.h"
#include "gateway/live/frame.h"

/* All in the request's arena. */
struct opening {
    enum framing framing;
    struct str ticket; /* when there is no token: r->claims are not filled yet */
    int64_t *seen;     /* Last-Event-ID; NULL: none */
    bool held;         /* a WebSocket that says first what it has seen */
    struct str head;   /* of the answer */
    /* filled by the admission */
    struct feed_person person;
    int64_t *at;
};

/* Checks and authenticates; NULL: a problem has been filled. On the connection's thread. */
struct opening *opening_read(struct request *r, int partitions);
