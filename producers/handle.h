/* handle: one librdkafka producer, configured as producer.h promises, and its topics. Private to this folder. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"

struct handle_options {
    const struct config *config;
    const char *client_id;
    bool prefix; /* what the log has of a batch is a prefix of it; no record times out alone */
    size_t max_in_flight;
    int message_timeout_ms;
    void (*on_delivery)(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
    void (*on_error)(rd_kafka_t *rk, int code, const char *reason, void *opaque);
    void *opaque;
};

struct topic_handle;

struct handle {
    rd_kafka_t *rk;
    struct topic_handle *topics;
};

/* FATAL when librdkafka refuses a kafka.<property>. Ended by handle_give_up. */
MUST_CHECK err handle_create(const struct handle_options *options, struct handle **ret);

/* Reports everything that is still in flight (callbacks run in here) and destroys the handle, which nobody else can
 * reach any more. NULL is fine. */
void handle_give_up(struct handle *h);

/* Topics are kept: naming a topic in each append would take librdkafka's global lock for writing. find: NULL when it
 * was not added yet; any number of threads. add: one thread, nobody finds meanwhile. */
rd_kafka_topic_t *handle_find_topic(const struct handle *h, const char *name);
void handle_add_topic(struct handle *h, const char *name);
