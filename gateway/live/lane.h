/* lane: a thread with an epoll of its own that serves listeners.
 *
 * Other threads leave parcels: batches of events from the tail, listeners that arrive, what was found for those that
 * catch up, answers to commands. The lane alone touches its listeners, so nothing of theirs is locked.
 *
 * How nothing is missed or repeated: a listener arrives with a snapshot of PostgreSQL, the rooms of its person as of
 * the offsets `at`, one a partition (read in one transaction with the checkpoints). It waits until the feed has come
 * there; then it is told, from the window, what comes after `at` (or after what it has seen, when the window goes back
 * so far), membership evolving event by event; from then on it is in the audience. What lies before the window is
 * catch_up.h's. */
#pragma once

#include "consumers/messages/view_feed.h"
#include "gateway/live/listener.h"
#include "gateway/live/mailbox.h"
#include "gateway/live/tail.h"

struct lane;
struct live;

/* What a listener begins with; made with mem_alloc, the lane's once it is taken. */
struct arrival {
    struct parcel parcel; /* first */
    int fd;
    enum framing framing;
    struct claims claims;
    struct uuid network; /* of who opened it */
    bool counted;        /* else there are too many, and it is told so */
    struct frame *head;  /* the answer's head */
    struct frame *ready; /* the first event */
    int64_t *at;         /* the snapshot's offsets */
    struct feed_room *rooms;
    size_t room_count;
    int64_t *seen; /* the client's position; NULL: it has none, and begins at `at` */
    bool held;     /* it says first what it has seen */
};

struct lane_options {
    struct live *live;
    int partitions;
    size_t window_events, window_bytes;
    struct listener_limits limits;
    int64_t ping_us, hold_us, recheck_us;
    int64_t expiry_warning_ms;
};

MUST_CHECK err lane_start(const struct lane_options *options, struct lane **ret);
/* Closes every connection with `going away`, ends the thread, frees. */
void lane_stop(struct lane *lane);

/* Any thread. */
void lane_put(struct lane *lane, struct parcel *parcel);
void lane_publish(struct lane *lane, struct batch *batch);
void lane_arrive(struct lane *lane, struct arrival *arrival);
/* Bytes that its listeners owe (listener_owes) together, as of a second ago at most. */
size_t lane_owes(const struct lane *lane);

/* --- for what serves listeners; the lane's thread --- */
struct live *lane_live(const struct lane *lane);
int lane_partitions(const struct lane *lane);
const struct listener_limits *lane_limits(const struct lane *lane);
/* Asks whether the session of its claims lives, now and a moment later. */
void lane_recheck(struct listener *l);
/* Takes the frame over; nothing is sent any more when it is about to end. */
void lane_send(struct listener *l, struct frame *frame);
/* Sends a JSON object without its closing brace. */
void lane_tell(struct listener *l, struct str open_json);
/* Says why and ends the connection, when what waits has been sent. */
void lane_close(struct listener *l, enum close_code code, const char *reason);
void lane_begin_stage(struct listener *l, enum listener_stage stage);
/* One more, one less that holds on to it. */
void lane_hold(struct listener *l);
void lane_release(struct listener *l);
/* The listener goes on with these rooms as of these offsets, from what it has seen (arrays that become the lane's). */
void lane_attach(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count, int64_t *seen);
