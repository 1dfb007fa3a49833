/* messages/view_feed: what the live feed reads of the projection: who is where, and what was said since. All strings
 * live in the arena. RETRY: PostgreSQL is away. */
#pragma once

#include "consumers/messages/view.h"

/* A person's rooms, in order of their ids. */
struct feed_room {
    struct uuid id;
    int64_t last_seq;   /* number of the newest message */
    int64_t joined_seq; /* what it was when the person joined */
    int64_t position;   /* offset of the newest fact of the room */
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

/* What happened to messages of a room between two offsets, or since a number. */
struct feed_gap {
    struct uuid room;
    int32_t partition;
    int64_t after;       /* only numbers above this one */
    int64_t from, until; /* offsets: from (0: `after` says it) to before until */
};
struct feed_missed {
    const struct feed_gap *gap;
    int64_t position;            /* of the fact that posted it, or of the newest that changed it */
    bool changed;                /* it was posted before, and is another now */
    struct message_view message; /* as it is now */
};

/* The first `limit` of them, in order of partition and offset. Reads what it returns and little more. */
MUST_CHECK err feed_missed(struct pg *pg, struct arena *arena, const struct feed_gap *gaps, size_t count, int limit,
                           struct feed_missed **ret, size_t *ret_count);
