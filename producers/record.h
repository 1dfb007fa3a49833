/* record: an append as a Kafka record. Private to this folder. Any thread. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "producers/producer.h"

/* Key, headers and value to librdkafka's queue. NULL when it was taken; else the caller destroys the error. `source`:
 * ce_source. */
rd_kafka_error_t *record_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, struct str source,
                                 const struct append *append);
