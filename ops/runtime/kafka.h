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

/* Our err for a librdkafka code: RETRY for what heals (transport, time-out, leader change), REJECT for the record's
 * fault (too large, invalid), FATAL for authorization, unknown topic and fatal producer errors. */
err kafka_err(rd_kafka_resp_err_t code);
