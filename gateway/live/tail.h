/* tail: follows every partition of rooms.events (and the signal topics), one consumer a gateway, without a group: each
 * gateway tells its own listeners everything.
 *
 * A record is read, decoded and opened once, becomes an event (event.h) and goes to the lanes in batches. Duplicates of
 * a fenced writer are dropped by the rule of DESIGN.md: within a partition meta.command_offset strictly increases. It
 * begins live.window_events before the end, so that a gateway that was restarted can tell who comes back what was
 * missed meanwhile; it is awake when it has read these. While the broker or PostgreSQL (the keys of sealed fields) is
 * away it waits: events are late, none is lost.
 *
 * While nobody listens it rests: it has no consumer at all, so posting pays nothing for the feed. Who is to be let in
 * wakes it first (tail_wake) and is looked at afterwards: what happens from then on is heard. It begins again as after
 * a restart, live.window_events before the end, and the lanes forget what they had: nothing is ever told across a gap.
 * It rests when nobody has listened for live.linger_s. (Pausing the partitions, or assigning none, would spare the few
 * milliseconds of a new consumer; but librdkafka 2.0.2 may fetch nothing for a second, or at all, after a quick turn of
 * either.) */
#pragma once

#include "gateway/live/event.h"
#include "ops/runtime/err.h"

struct gateway;
struct tail;

/* What lies between two moments of the feed. Counted references; released by who reads it. */
struct batch {
    atomic_uint references;
    int64_t *next; /* where each partition stands behind it; -1: not known yet */
    bool rests;    /* it is the last one before a gap: what was told before is not joined to what comes */
    size_t count;
    struct event *events[];
};
void batch_release(struct batch *b);

struct tail_options {
    struct gateway *gateway;
    int partitions;
    int64_t linger_us;
    void *context;
    /* Runs on the tail's thread and takes a reference of its own if it keeps the batch. */
    void (*publish)(void *context, struct batch *b);
    bool (*anybody)(void *context); /* whether somebody listens; any thread */
};

/* It rests at first. */
MUST_CHECK err tail_start(const struct tail_options *options, struct tail **ret);
/* It is awake soon, and for live.linger_s. Any thread. */
void tail_want(struct tail *t);
/* The same. From when it returns OK everything that happens is heard. Waits, for up to
 * `patience_us`, when it rested. RETRY: the log cannot be read now. */
MUST_CHECK err tail_wake(struct tail *t, int64_t patience_us);
bool tail_is_awake(const struct tail *t); /* any thread */
/* Nobody waits for it any more. */
void tail_give_up(struct tail *t);
/* Ends the thread and frees; NULL is fine. */
void tail_stop(struct tail *t);
