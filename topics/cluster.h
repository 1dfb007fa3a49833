/* cluster: what a live Kafka cluster has of the table of topics, and how it is brought there. One thread. */
#pragma once

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "topics/topics.h"

/* A topic's configuration, name and value as Kafka writes them. */
#define TOPIC_PROPERTIES 5

struct topic_property {
    const char *name; /* "retention.ms" */
    char value[24];
};

/* What the table and the settings want of a topic. */
struct topic_plan {
    const struct topic *topic;
    int partitions;
    int replication_factor;
    struct topic_property properties[TOPIC_PROPERTIES];
};

struct topic_plan topic_plan(const struct config *config, const struct topic *topic);

/* One thing in which the cluster differs from the plan. */
struct difference {
    const char *topic;
    const char *what; /* "partitions", "retention.ms"; "missing" when the topic is not there */
    char is[64];
    char wanted[64];
    const char *advice; /* what to do about it */
};

struct cluster;

/* RETRY when no broker answers within timeout_ms. The caller destroys *ret. */
MUST_CHECK err cluster_connect(const struct config *config, int timeout_ms, struct cluster **ret);
void cluster_destroy(struct cluster *c);

/* Calls `each` for every difference, in the order of the table. RETRY when the cluster does not answer. */
typedef void cluster_each(void *context, const struct difference *difference);
MUST_CHECK err cluster_compare(struct cluster *c, cluster_each *each, void *context);

/* Creates the topics that are missing, telling `created` of each, and waits until every topic of the table has its
 * leaders. Existing ones are left as they are. RETRY: no answer; FATAL: the cluster refuses. */
MUST_CHECK err cluster_create_missing(struct cluster *c, void (*created)(void *context, const struct topic_plan *plan),
                                      void *context);

/* A broker makes the topic of consumer groups' offsets when it is first asked who coordinates a group, and its first
 * producer ids when a producer first asks. A member that joins before that asks again after seconds; so this is asked
 * for ahead of the first member. Returns at once. */
void cluster_prepare_groups(struct cluster *c);
/* Waits until that is done. RETRY: no answer in time. */
MUST_CHECK err cluster_wait_for_groups(struct cluster *c);
