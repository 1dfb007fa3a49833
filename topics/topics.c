#include "topics/topics.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
const struct topic topics[] = {
#define TOPIC(name_, key_, partitions_, cleanup_, retention_, doc_) \
    { .name = (name_), .key = (key_), .partitions = (partitions_), .cleanup = (cleanup_), .retention_ms = (retention_), .doc = (doc_) },
#include "topics/topics.def"
#undef TOPIC
};
/* clang-format on */

const size_t topics_count = sizeof topics / sizeof *topics;

const struct setting topics_settings[] = {
    { .name = "topics.partitions",
      .type = SETTING_INT,
      .def = "6",
      .min = 1,
      .max = 1000,
      .doc = "Partitions of each topic that does not fix its number, when it is created. Never changed afterwards." },
    { .name = "topics.replication_factor",
      .type = SETTING_INT,
      .def = "1",
      .min = 1,
      .max = 9,
      .doc = "Copies of each partition; 3 in production." },
    { .name = "topics.min_insync_replicas",
      .type = SETTING_INT,
      .def = "1",
      .min = 1,
      .max = 9,
      .doc = "Copies that must have a record before it is acknowledged; 2 in production." },
    { .name = "topics.max_message_bytes",
      .type = SETTING_INT,
      .def = "1048576",
      .min = 1048576,
      .max = 67108864,
      .unit = "bytes",
      .doc = "Largest batch of records the broker takes (max.message.bytes); a producer packs up to 1,000,000 bytes "
             "into one." },
    { .name = NULL },
};

const struct topic *topic_find(const char *name)
{
    for (size_t i = 0; i < topics_count; i++)
        if (strcmp(topics[i].name, name) == 0)
            return &topics[i];
    return NULL;
}

int topic_partitions(const struct config *config, const char *name)
{
    const struct topic *topic = topic_find(name);
    assert(topic);
    return topic->partitions ? topic->partitions : (int)config_int(config, "topics.partitions");
}
