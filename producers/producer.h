/* producer: append a record to the log and learn its offset; nothing else.
 *
 * Idempotent (acks=all, enable.idempotence), linger 0, bounded in flight (producer.max_in_flight records). After a
 * fatal idempotence error the inner rd_kafka_t is recreated; what was in flight is reported as unknown. Records carry
 * CloudEvents 1.0 headers of the Kafka binary binding (ce_id, ce_type, ce_source, ce_specversion, ce_time),
 * content-type and traceparent.
 *
 * Two ways to learn the outcome:
 *   - own_thread (the gateway): a callback on the producer's own poll thread. Each record has a time-out of its own,
 *     producer.message_timeout_ms; a record may be appended though an earlier one of its partition was not.
 *   - without (a worker): producer_poll and producer_flush run callbacks on the caller's thread. What is appended
 *     between two moments with nothing in flight is a batch, and what the log holds of a batch is, in each partition, a
 *     prefix of it: no record times out alone. A batch that is not answered producer.message_timeout_ms after its first
 *     append is given up as a whole, and so is one of which a record fails: by the poll or flush that runs then, which
 *     reports every record still in flight (UNKNOWN when it was sent, NOT_APPENDED when not). A record that was sent
 *     may still be appended after that.
 * Facts are decided on top of each other, commands are not; hence the two.
 *
 * producer_append may be called from any thread, from within the callback too; producer_poll and producer_flush, when
 * there is no own thread, from one thread. Nothing is allocated for an append but the record inside librdkafka. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"
#include "schemas/stream.h"

struct producer;

/* What became of an append. */
enum delivery {
    DELIVERED,    /* in the log, at partition and offset (-1: known to be there, but a retry hid where) */
    NOT_APPENDED, /* certainly not in the log: the same append may be tried again */
    UNKNOWN,      /* may be in the log, now or later, or not: only the same command id may be tried again */
};

struct append {
    const char *topic;
    int32_t partition;       /* -1: by key (murmur2_random) */
    struct uuid key;         /* sent as text */
    struct str payload;      /* framed; copied */
    const struct meta *meta; /* for the headers */
    const char *type;        /* ce_type */
    struct str reply_to;     /* header aether-reply-to: the channel of the gateway that waits; empty: none */
    void *opaque;            /* handed to the callback */
};

/* Called once for each accepted append, on the thread that polls. `err_message()` says why when not DELIVERED. */
typedef void producer_delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset);

extern const struct setting producer_settings[]; /* producer.max_in_flight, producer.message_timeout_ms */

/* With own_thread a poll thread runs callbacks; without, callbacks run inside producer_flush and producer_poll.
 * `config` must outlive the producer. FATAL when librdkafka refuses a kafka.<property>. */
MUST_CHECK err producer_create(const struct config *config, const char *client_id, bool own_thread,
                               producer_delivered *delivered, void *context, struct producer **ret);
/* Waits up to message_timeout_ms for what is in flight; every accepted append has had its callback then. NULL
 * is fine. */
void producer_destroy(struct producer *p);

/* RETRY: the queue is full or the broker has been away since the last append failed (nothing appended, callback not
 * called). REJECT: too large. FATAL: topic or partition does not exist, not authorized. */
MUST_CHECK err producer_append(struct producer *p, const struct append *append);

/* Asks for the topic's leaders now, so that the first append to it need not wait for them. Waits for nothing. */
void producer_expect(struct producer *p, const char *name);

/* Runs callbacks that are due, waiting at most timeout_ms for the first. Without own_thread only. */
void producer_poll(struct producer *p, int timeout_ms);
/* Runs callbacks (with own_thread: waits) until nothing is in flight. RETRY after timeout_ms. */
MUST_CHECK err producer_flush(struct producer *p, int timeout_ms);

/* The broker answered within the last few seconds; for /health. Any thread. */
bool producer_is_up(const struct producer *p);
size_t producer_in_flight(const struct producer *p); /* any thread */
