/* parked: records that could not be decoded or folded wait here, with their cause, for an operator; later records of
 * the same key wait behind them; other keys go on. The row in PostgreSQL is what counts; the record is also appended to
 * <worker>.parked for people with Kafka tools (at least once). */
#pragma once

#include "consumers/loop/partition.h"
#include "consumers/loop/worker.h"
#include "producers/producer.h"

struct parked_keys; /* the keys that are blocked and the records that were discarded, in memory */

struct parked_keys *parked_keys_create(void);
void parked_keys_destroy(struct parked_keys *keys);
bool parked_keys_blocks(const struct parked_keys *keys, struct uuid key);
void parked_keys_block(struct parked_keys *keys, struct uuid key);
/* An operator has discarded this record: it is passed over for good. */
bool parked_keys_discarded(const struct parked_keys *keys, const char *topic, int32_t partition, int64_t offset);
MUST_CHECK err parked_keys_load(struct parked_keys *keys, struct pg *pg); /* anew from the tables */

struct parked_record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    struct str key; /* as in Kafka */
    bool blocks;    /* a fact: later ones of the key must not overtake it */
    const char *cause;
    struct str payload;
    const struct stream_worker *worker;
    const struct any_record *fact; /* for worker->hold; NULL: a command, or it cannot be decoded */
};

/* Unless it is parked already: appends to <worker>.parked and then writes the row (in a transaction of its own: it says
 * the same whoever writes it). Blocks the key in `keys` when the record blocks. */
MUST_CHECK err park(struct parked_keys *keys, struct pg *pg, struct arena *arena, struct producer *producer,
                    const char *worker, const struct parked_record *record);

/* A key that an operator wants retried or discarded. */
struct parked_request {
    struct str topic;
    int32_t partition;
    int64_t offset;
    struct uuid key;
    bool has_key, blocks, discard;
    struct str payload;
};
/* The parked records whose action is set and which came from one of these topics, in order of offset. */
MUST_CHECK err parked_requests(struct pg *pg, struct arena *arena, const char *const *topics, size_t topic_count,
                               struct parked_request **ret, size_t *ret_count);
/* Adds the removal of the row to the batch under way, and when it is discarded, the note that it is. */
MUST_CHECK err parked_remove(struct pg *pg, struct arena *arena, const struct parked_request *request);
/* The operator's wish could not be met: clears it and notes the new cause. */
MUST_CHECK err parked_refuse(struct pg *pg, struct arena *arena, const struct parked_request *request,
                             const char *cause);
