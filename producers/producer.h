/* producer: append a record to the log and learn its offset; nothing else.
 *
 * Idempotent (acks=all, enable.idempotence), linger 0, bounded in flight (producer.max_in_flight records). After a fatal
 * idempotence error the inner rd_kafka_t is recreated; what was in flight is reported as unknown. Records carry CloudEvents
 * 1.0 headers of the Kafka binary binding (ce_id, ce_type, ce_source, ce_specversion, ce_time), content-type and traceparent.
 *
 * Two ways to learn the outcome: a callback on the producer's own poll thread (the gateway), or producer_flush on the
 * caller's thread (a worker appends a batch and waits). producer_append may be called from any thread. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"
#include "schemas/stream.h"

struct producer;

/* What became of an append. */
enum delivery {
    DELIVERED,    /* in the log, at partition and offset */
    NOT_APPENDED, /* certainly not in the log: the same append may be tried again */
    UNKNOWN,      /* may be in the log or not: only the same command id may be tried again */
};

struct append {
    const char *topic;
    int32_t partition; /* -1: by key (murmur2_random) */
    struct uuid key;   /* sent as text */
    struct str payload; /* framed; copied */
    const struct meta *meta; /* for the headers */
    const char *type;  /* ce_type */
    struct str reply_to; /* header aether-reply-to: the channel of the gateway that waits; empty: none */
    void *opaque;      /* handed to the callback */
};

/* Called once for each accepted append, on the thread that polls. `err_message()` says why when not DELIVERED. */
typedef void producer_delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset);

extern const struct setting producer_settings[]; /* producer.max_in_flight, producer.message_timeout_ms, … */

/* With own_thread a poll thread runs callbacks; without, callbacks run inside producer_flush and producer_poll. */
MUST_CHECK err producer_create(const struct config *config, const char *client_id, bool own_thread, producer_delivered *delivered,
                               void *context, struct producer **ret);
void producer_destroy(struct producer *p); /* waits up to message_timeout_ms for what is in flight */

/* RETRY: the queue is full or the broker has been away since the last append failed (nothing appended, callback not
 * called). REJECT: too large. FATAL: topic or partition does not exist, not authorized. */
MUST_CHECK err producer_append(struct producer *p, const struct append *append);

void producer_poll(struct producer *p, int timeout_ms);
/* Runs callbacks until nothing is in flight. RETRY after timeout_ms. */
MUST_CHECK err producer_flush(struct producer *p, int timeout_ms);

/* The broker answered within the last few seconds; for /health. */
bool producer_is_up(const struct producer *p);
size_t producer_in_flight(const struct producer *p);
