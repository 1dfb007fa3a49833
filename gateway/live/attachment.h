/* attachment: a listener on its way into the audience. It waits until the feed has come to its snapshot of PostgreSQL,
 * is told from the window what lies between what it has seen and the present, membership evolving event by event, and
 * is live from then on (lane.h tells why that misses and repeats nothing). What lies before the window is catch_up.h's.
 *
 * It is told piece by piece, live.max_pending_bytes at most, the next piece when the last one has been sent; what is
 * still to be told stays in the window, which all share. One that reads so slowly that the window leaves it behind is
 * closed, and comes back with what it saw last. The lane's thread. */
#pragma once

#include "consumers/messages/view_feed.h"
#include "gateway/live/listener.h"
#include "gateway/live/window.h"

struct member_of;

struct attachment {
    struct listener *listener; /* held */
    int64_t *at, *seen;        /* the snapshot's offsets; the client's, from where on it is told (NULL: `at`) */
    struct feed_room *rooms;   /* of the person, at `at` */
    size_t room_count;
    struct attachment *next; /* of those that wait; the lane's */
    /* while it is told */
    int64_t *looked;           /* membership has evolved up to here */
    uint64_t serial;           /* of the next event; 0: not known */
    struct member_of *members; /* the rooms, at `looked` */
};

/* Takes the arrays over. */
struct attachment *attachment_create(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count,
                                     int64_t *seen);
/* true: it waits no longer, and is the listener's or freed; false: again when the feed has come further. */
bool attachment_try(struct attachment *a, const struct window *window, struct audience *audience);
void attachment_destroy(struct attachment *a);

/* The next piece, for a listener in LISTENER_TELLING to whom the last one has been sent. */
void attachment_tell(struct listener *l, const struct window *window, struct audience *audience);
void attachment_abandon(struct listener *l);
