/* kafka: librdkafka configuration from our settings, and what every client of it shares. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"

/* A new rd_kafka_conf_t with kafka.bootstrap.servers, the low-latency settings of the design (Nagle off, reconnect
 * back-off capped at 500 ms, log lines as JSON through log_write), client.id = `client_id`, then every kafka.<property>
 * of the configuration. FATAL when librdkafka refuses a property (the message is librdkafka's). The caller owns *ret
 * until a client takes it. */
MUST_CHECK err kafka_conf(const struct config *config, const char *client_id, rd_kafka_conf_t **ret);

/* Sets one property; FATAL when refused. */
MUST_CHECK err kafka_conf_set(rd_kafka_conf_t *conf, const char *property, const char *value);

struct kafka_property {
    const char *name, *value;
};

/* Called by the consumer's polls when partitions come and go. */
typedef void kafka_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t event,
                             rd_kafka_topic_partition_list_t *partitions, void *context);

/* A consumer with kafka_conf and `properties` (ended by name NULL) that commits and stores no offsets by itself; all it
 * has to say comes by rd_kafka_consumer_poll. `rebalance` NULL: its partitions are assigned by hand. *ret is the caller's
 * (kafka_consumer_destroy). */
MUST_CHECK err kafka_consumer_create(const struct config *config, const char *client_id,
                                     const struct kafka_property *properties, kafka_rebalance *rebalance, void *context,
                                     rd_kafka_t **ret);
void kafka_consumer_destroy(rd_kafka_t *consumer); /* leaves its group, which runs `rebalance`; NULL is fine */

/* Our err for a librdkafka code: RETRY for what heals (transport, time-out, leader change), REJECT for the record's
 * fault (too large, invalid), FATAL for authorization, unknown topic and fatal producer errors. */
err kafka_err(rd_kafka_resp_err_t code);
