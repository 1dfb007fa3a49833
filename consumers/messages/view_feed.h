/* messages/view_feed: what the live feed reads of the projection: who is where, and what was said since. All strings
 * live in the arena. RETRY: PostgreSQL is away. */
#pragma once

#include "consumers/messages/view.h"

/* A person's rooms, in order of their ids. */
struct feed_room {
    struct uuid id;
    int64_t last_seq;
};
struct feed_person {
    struct uuid user; /* in */
    struct feed_room *rooms;
    size_t count;
};

/* The rooms of these persons, and for each of `partitions` of the stream rooms the offset up to which
 * its facts are in them, in one snapshot. */
MUST_CHECK err feed_snapshot(struct pg *pg, struct arena *arena, struct feed_person *persons, size_t count,
                             int64_t *ret_next, int partitions);
