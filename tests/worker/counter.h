/* counter: a worker of as small a domain as the loop needs. A command counts its key up by one; the fact says the
 * number, and carries the command's label on. (On the wire they are PinMessage and MessagePinned: records with a key,
 * an id and a number. No worker of ours has anything to do with it.)
 *
 * What was folded stands in the table `counted`, in the order of folding and as often as it was folded, so that what
 * the loop does wrong shows. One worker a process and test: `counter` says what is to go wrong. */
#pragma once

#include "consumers/loop/worker.h"
#include "schemas/rooms.gen.h"

/* Labels from 1 to 99 mean nothing. */
#define LABEL_REJECTED 200 /* decide says no */
#define LABEL_REFUSED  201 /* PostgreSQL says no, while the table has its check */

struct uuid counter_id(uint8_t n); /* of a label or a key */

struct counter {
    void (*deciding)(void);     /* called by the next decide, once */
    int failing_folds;          /* so many folds say that PostgreSQL is away */
    int failing_signals;        /* likewise folds of signals */
    bool cache_is_away;         /* the cache takes nothing */
    int cached, emptied;        /* facts that the cache was told of; times it was told that all counts as empty */
    bool cached_before_emptied; /* a fact was told while an older one might have been missing */
};
extern struct counter counter;

/* Fills a definition of a worker of this name, which decides `stream` and follows `signals_topic`; all of them, and
 * `worker`, live as long as it is used. */
struct worker_definition counter_definition(const char *name, struct stream_worker *worker,
                                            const struct stream_worker **streams, const struct stream *stream,
                                            struct signal_worker *signals, const char *signals_topic);
