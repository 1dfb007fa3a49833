/* tail: follows every partition of rooms.events (and the signal topics), one consumer a gateway, without a group: each
 * gateway tells its own listeners everything.
 *
 * A record is read, decoded and opened once, becomes an event (event.h) and goes to the lanes in batches. Duplicates of
 * a fenced writer are dropped by the rule of DESIGN.md: within a partition meta.command_offset strictly increases. It
 * begins live.window_events before the end, so that a gateway that was restarted can tell who comes back what was
 * missed meanwhile. While the broker or PostgreSQL (the keys of sealed fields) is away it waits: events are late, none
 * is lost.
 */
#pragma once

#include "gateway/live/event.h"
#include "ops/runtime/err.h"

struct gateway;
struct tail;

/* What lies between two moments of the feed. Counted references; released by who reads it. */
struct batch {
    atomic_uint references;
    int64_t *next; /* where each partition stands behind it; -1: not known yet */
    size_t count;
    struct event *events[];
};
void batch_release(struct batch *b);

/* `publish` runs on the tail's thread and takes a reference of its own if it keeps the batch. */
MUST_CHECK err tail_start(struct gateway *g, int partitions, void (*publish)(void *context, struct batch *b),
                          void *context, struct tail **ret);
/* Ends the thread and frees; NULL is fine. */
void tail_stop(struct tail *t);
