/* attachment: a listener on its way into the audience: it waits until the feed has come to its snapshot of PostgreSQL,
 * is told from the window what lies between what it has seen and the present, membership evolving event by event, and
 * is live from then on (lane.h tells why that misses and repeats nothing). What lies before the window is catch_up.h's.
 * The lane's thread. */
#pragma once

#include "consumers/messages/view_feed.h"
#include "gateway/live/listener.h"
#include "gateway/live/window.h"

struct attachment {
    struct listener *listener; /* held */
    int64_t *at, *seen;        /* the snapshot's offsets; what it has seen, or NULL; both the attachment's */
    struct feed_room *rooms;
    size_t room_count;
    struct attachment *next;
};

/* true: it is dealt with; false: again when the feed has come further. */
bool attachment_try(struct attachment *a, const struct window *window, struct audience *audience);
void attachment_free(struct attachment *a);
