/* topics: the table of topics.def, as data. Read-only, any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/runtime/config.h"

enum topic_cleanup { TOPIC_DELETE, TOPIC_COMPACT };

struct topic {
    const char *name; /* "rooms.events" */
    const char *key;  /* what the key is, in words: "room id" */
    int partitions;   /* fixed number; 0: the setting topics.partitions */
    enum topic_cleanup cleanup;
    int64_t retention_ms; /* -1: for ever */
    const char *doc;
};

extern const struct topic topics[];
extern const size_t topics_count;

/* topics.partitions, topics.replication_factor, topics.min_insync_replicas, topics.max_message_bytes */
extern const struct setting topics_settings[];

const struct topic *topic_find(const char *name); /* NULL when it is not in the table */

/* Partitions of the topic under this configuration. The name must be in the table (asserted). */
int topic_partitions(const struct config *config, const char *name);
