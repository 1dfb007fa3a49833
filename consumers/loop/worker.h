/* worker: the loop of every worker, once. assign → read the tail → decide → append → fold → reply.
 *
 * A worker is a folder with decide.c, fold.c, view.{h,c}, tables.sql and a main.c that fills struct worker_definition
 * and calls worker_main. Everything here runs on one thread, one batch at a time; callbacks need no locks.
 *
 * For each stream it decides, a worker gives
 *   - a state: what decide needs to know, kept in memory while partitions are owned;
 *   - load: brings into the state what a batch of commands needs and the state lacks, one query a table;
 *   - decide: pure; a command and the state give a fact or a rejection;
 *   - evolve: pure; brings a fact into the state;
 *   - fold: queues the statements that bring a batch of facts into the projection;
 *   - hold: keeps what a parked fact has taken (may be NULL);
 *   - cache: writes absolute values to Redis (may be NULL); with count 0, after a write that failed, it makes sure that
 *     nothing older than the next write is ever read.
 * evolve and fold are two readings of one fact and must agree. */
#pragma once

#include "consumers/outcome/rejection.h"
#include "consumers/projection/fact.h"
#include "consumers/projection/migration.h"
#include "ops/runtime/config.h"
#include "ops/runtime/pg.h"
#include "ops/runtime/redis.h"
#include "schemas/stream.h"

struct stream_worker {
    const struct stream *stream;

    void *(*state_create)(void);
    void (*state_destroy)(void *state);
    /* Forgets everything (partitions moved, or a batch was dropped). Called between batches only. */
    void (*state_clear)(void *state);
    /* About how many entries the state holds; above worker.state_entries the loop clears it between batches. */
    size_t (*state_size)(const void *state);

    /* Loads what these commands (or facts, for the property test and recovery: facts == true) need and the state does
     * not have yet. Plain pg_query or one pg_batch; RETRY when PostgreSQL is away. */
    err (*load)(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records, size_t count,
                bool facts) MUST_CHECK;
    /* 0 (ACCEPTED) and *ret_fact filled but for its meta, which the loop supplies, or a rejection. Pure. The fact may
     * point into the command. */
    int (*decide)(const void *state, const struct any_record *command, struct any_record *ret_fact);
    void (*evolve)(void *state, const struct any_record *fact);
    /* Facts in log order, possibly of several partitions. Adds to the batch that the loop has begun on pg. `state` has
     * evolved by these facts from what the rows say (and so may tell that a row needs no change), or is NULL. */
    err (*fold)(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts,
                size_t count) MUST_CHECK;
    err (*cache)(struct redis *redis, struct arena *arena, const struct placed_fact *facts, size_t count) MUST_CHECK;
    /* A fact that is being parked, its sealed fields not opened: adds to the batch what others must not take until it
     * is retried or discarded, as rows that refer to its row of `parked` (ON DELETE CASCADE). May be NULL. */
    err (*hold)(struct pg *pg, struct arena *arena, const struct placed_fact *fact) MUST_CHECK;
};

/* A signal at its place in its topic. */
struct placed_signal {
    struct str payload; /* framed; one that cannot be decoded is passed over */
    int32_t partition;
    int64_t offset;
};

/* A topic that is folded without being decided: the newest of each key counts (see signals.c). */
struct signal_worker {
    const char *topic; /* has as many partitions as the worker's first stream */
    err (*fold)(struct pg *pg, struct codec *codec, struct arena *arena, const struct placed_signal *signals,
                size_t count) MUST_CHECK;
};

struct worker_definition {
    const char *name;                           /* "messages": PostgreSQL schema, consumer group, parked topic */
    const char *summary;                        /* one line for --help */
    const struct stream_worker *const *streams; /* NULL-terminated */
    const struct signal_worker *signals;        /* may be NULL */
    /* Commands of the first stream that are due at `now_ms` in these partitions, with all of meta but the trace; their
     * ids are derived from what they are about. Those that matter most come first; what is left over is asked for again
     * as soon as some of these are decided (timers.c). May be NULL. */
    err (*due)(struct pg *pg, struct arena *arena, const int32_t *partitions, size_t count, int64_t now_ms,
               struct any_record ***ret, size_t *ret_count) MUST_CHECK;
    /* A due command cannot be sealed, since its person was erased: puts in its place one without sealed fields, so that
     * it is not due for ever. False: nothing is sent. With `due`. */
    bool (*due_of_erased)(struct any_record *command);
    const struct migration *migrations; /* ended by number 0 */
    const struct setting *settings;     /* the worker's own, ended by name NULL; may be NULL */
};

extern const struct setting worker_settings[];
extern const struct migration worker_tables_migrations[]; /* what every worker keeps beside its projection */

/* Runs until SIGTERM; returns the exit status. */
int worker_main(const struct worker_definition *definition, int argc, char **argv);
