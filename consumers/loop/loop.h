/* loop: what the parts of the worker's loop share. Private to consumers/; one thread.
 *
 *     worker.c   starts everything, then: collect → recover what is stale → batch_run → idle chores
 *     assignment.c  the consumer group: which partitions are ours; reading commands
 *     recover.c  from the checkpoint to the end of the events log: the tail, or a rebuild
 *     batch.c    decide → append → fold → reply for the commands at hand
 *     commit.c   one transaction: checkpoints, rows, operations; used by batch, recover and repair
 *     repair.c   parked records that an operator wants retried or discarded
 *
 * Nothing decided in memory survives a failure: every partition goes stale, the states are cleared, and the same
 * commands (kept in `items`) are run again behind a fresh recovery. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "consumers/loop/fresh.h"
#include "consumers/loop/parked.h"
#include "consumers/loop/partition.h"
#include "consumers/loop/worker.h"
#include "consumers/outcome/operation.h"
#include "ops/runtime/metrics.h"
#include "producers/producer.h"

#define WORKER_MAX_STREAMS 4
#define ITEM_SLACK         1024 /* what may still arrive after fetching was paused */

enum worker_metric {
    METRIC_ACCEPTED,
    METRIC_REJECTED,
    METRIC_DUPLICATES,
    METRIC_LOOKED_UP,
    METRIC_PARKED,
    METRIC_FOLDED,
    METRIC_REBUILT,
    METRIC_BATCHES,
    METRIC_RECOVERIES,
    METRIC_FAILURES,
    METRIC_PARTITIONS,
    METRIC_REBUILDING,
    METRIC_LAG,
    METRIC_CACHE_DOWN,
    METRIC_LOAD_SECONDS,
    METRIC_APPEND_SECONDS,
    METRIC_COMMIT_SECONDS,
    METRIC_REPLY_SECONDS,
    METRIC_BATCH_SECONDS,
    WORKER_METRICS,
};

/* A command on its way through a batch. */
struct item {
    rd_kafka_message_t *message;
    struct partition *partition;
    struct any_record *command;  /* NULL: parked */
    struct any_record *fact;     /* set when accepted */
    struct operation *operation; /* its outcome; shared by duplicates in the batch; NULL: none (parked) */
    bool duplicate;
    bool appended_before;        /* the fact was in the tail */
    size_t fact_start, fact_len; /* the framed fact in worker.facts */
    enum delivery delivery;
    bool delivered;
    int64_t delivered_offset; /* the offset that Kafka told */
};

struct worker {
    const struct worker_definition *definition;
    struct config *config;
    struct metrics *metrics;

    struct pg *pg;             /* the fold's transaction */
    struct pg *read_pg;        /* vault and recovery reads, so that a batch may be under way on pg */
    struct redis *redis;       /* the cache */
    struct redis *reply_redis; /* replies: published without waiting */
    struct vault *vault;
    struct codec *codec;
    struct producer *producer;
    rd_kafka_t *commands; /* member of the group */
    rd_kafka_t *events;   /* reads tails and rebuilds; assigned by hand */

    size_t stream_count;
    void *states[WORKER_MAX_STREAMS];
    struct partition *partitions[1024];
    size_t partition_count;
    struct parked_keys *parked_keys;
    struct fresh *fresh;

    struct item *items; /* the batch at hand, kept until committed */
    size_t item_count, item_capacity;
    size_t item_limit;         /* 1 while a fact that does not fold is being looked for; else item_capacity */
    size_t rebuild_limit;      /* the same for facts that are folded without their commands */
    bool repeated;             /* an operation that was thought new had a row */
    bool commit_asked;         /* what was sent has its COMMIT behind it */
    int64_t expire_from;       /* block of the operations table where the look for old outcomes goes on */
    unsigned assignment_epoch; /* changes with every rebalance */
    unsigned counted_epoch;    /* the one that `stream_partitions` was asked for in */
    int32_t stream_partitions[WORKER_MAX_STREAMS];
    bool paused; /* commands are not fetched: items is full */
    bool failed; /* the exit status is not 0 */

    /* The turn before this one, see worker_turn. */
    int pause_ms;           /* before what failed is tried again; grows */
    int64_t chores_at_us;   /* clock_mono_us */
    size_t committed_alone; /* batches of one command since a fact that did not fold was met */
    size_t last_count;      /* commands in the last batch */
    int64_t last_us;        /* how long it took */
    struct metrics_server *server;

    struct arena arena;      /* of the batch */
    struct arena tail_arena; /* payloads of the tails */
    struct buf facts;        /* framed facts of the batch */
    struct buf scratch;
    struct channel *channels; /* replies by gateway, see batch.c */
    struct signals *signals;  /* NULL: this worker follows none */
    struct timers *timers;

    _Atomic int64_t alive_until_us;
};

/* --- assignment.c --- */
MUST_CHECK err assignment_open(struct worker *w);
void assignment_close(struct worker *w); /* leaves the group */
/* Reads commands into items: waits up to timeout_ms for the first when there is none yet, then takes what is there.
 * Serves rebalances: partitions may come (stale) and go (their items are dropped). FATAL: fenced by another process of
 * this name and instance, or the log is not the one we know. */
MUST_CHECK err assignment_collect(struct worker *w, int timeout_ms);
void assignment_commit_offsets(struct worker *w); /* for people who watch lag with Kafka's tools; we never read them */
int64_t assignment_lag(struct worker *w);
/* Tells gateways which partitions are decided here, unless Kafka is out of reach (owner.h). */
MUST_CHECK err assignment_tell(struct worker *w);
size_t worker_stream_index(const struct worker *w, const struct partition *p);

/* --- recover.c --- */
MUST_CHECK err recover_open(struct worker *w);
/* Brings every stale partition to the end of its events log. */
MUST_CHECK err recover(struct worker *w);
bool recover_needed(const struct worker *w);
void recover_close(struct worker *w);

/* --- batch.c --- */
/* Runs the first item_limit items. OK: they are committed and answered, and removed from items. */
MUST_CHECK err batch_run(struct worker *w);
void batch_drop(struct worker *w, size_t first, size_t count); /* destroys items, closes the gap */

struct channel *batch_channels_create(void);
void batch_channels_destroy(struct channel *channels);

/* --- commit.c --- */
struct commit {
    struct checkpoint *from, *to; /* one each for the partitions that move */
    size_t partition_count;
    struct placed_fact *facts[WORKER_MAX_STREAMS]; /* opened; in log order within a partition */
    size_t fact_count[WORKER_MAX_STREAMS];
    const struct operation **operations;
    size_t operation_count;
    bool evolved;  /* the states have evolved by these facts */
    bool repeated; /* an operation may have a row already */
};
void commit_init(struct worker *w, struct commit *c, struct arena *arena, size_t max_facts, size_t max_operations);
void commit_add_fact(struct commit *c, size_t stream, const struct any_record *fact, int32_t partition, int64_t offset);
/* Opens the sealed fields of every fact (keys by read_pg). */
MUST_CHECK err commit_open_facts(struct worker *w, struct commit *c, struct arena *arena);
/* Queues BEGIN, the compare-and-swap, the folds and the operations, and sends them without waiting. */
MUST_CHECK err commit_send(struct worker *w, struct commit *c, struct arena *arena);
/* Absolute values to Redis; a Redis that is down is noted, not an error. c NULL: only makes good for an earlier
 * failure. */
void commit_cache(struct worker *w, struct commit *c, struct arena *arena);
/* What commit_cache wrote will not be committed as it is (a fact does not fold): all that is cached counts as empty. */
void commit_uncache(struct worker *w, struct arena *arena);
/* Asks for the COMMIT of what was sent, without waiting. */
MUST_CHECK err commit_ask(struct worker *w);
/* Waits for the COMMIT, and asks for it before when commit_ask has not. REJECT: PostgreSQL refuses a row. RETRY:
 * nothing is committed (or it is not known: the checkpoint tells). */
MUST_CHECK err commit_finish(struct worker *w);

/* --- signals.c --- */
MUST_CHECK err signals_open(struct worker *w);
/* Folds what has come; does not wait. */
MUST_CHECK err signals_turn(struct worker *w);
void signals_close(struct worker *w);

/* --- timers.c --- */
struct timers *timers_create(void);
void timers_destroy(struct timers *t);
/* Sends the commands that are due and were not sent a moment ago, when it is time to look. */
MUST_CHECK err timers_turn(struct worker *w);

/* --- repair.c --- */
MUST_CHECK err repair(struct worker *w);

/* --- worker.c --- */
/* Opens everything; `definition` and `config` (which is the worker's from here on) are set, all else is zero. Waits for
 * PostgreSQL. Whatever it says, worker_finish ends it. */
MUST_CHECK err worker_start(struct worker *w);
/* One turn of the loop: collects commands, recovers what is stale, runs a batch, folds signals, does chores when they
 * are due. What may heal is tried again by the next turn. FATAL: the process has to end. */
MUST_CHECK err worker_turn(struct worker *w);
void worker_finish(struct worker *w);
void worker_pause(int ms);            /* or until the program is asked to stop */
void worker_forget(struct worker *w); /* everything stale, states cleared */
