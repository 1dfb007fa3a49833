#include "topics/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/kafka.h"

#define LEADERS_WAIT_US 15000000
#define LEADERS_POLL_MS 100

struct cluster {
    const struct config *config;
    const char *bootstrap;
    int timeout_ms;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;       /* answers to admin requests */
    rd_kafka_queue_t *group_queue; /* … about consumer groups, which may take a while */
    char reason[256];              /* librdkafka's last word on why no broker answers */
};

/* --- the plan --- */

static void property_set(struct topic_property *p, const char *name, int64_t value)
{
    p->name = name;
    snprintf(p->value, sizeof p->value, "%" PRId64, value);
}

struct topic_plan topic_plan(const struct config *config, const struct topic *topic)
{
    struct topic_plan plan = {
        .topic = topic,
        .partitions = topic_partitions(config, topic->name),
        .replication_factor = (int)config_int(config, "topics.replication_factor"),
    };
    int64_t week = 7LL * 24 * 60 * 60 * 1000;
    /* Only whole segments are deleted, so a record outlives its retention by up to segment.ms. */
    int64_t segment_ms = topic->retention_ms > 0 && topic->retention_ms / 7 < week ? topic->retention_ms / 7 : week;

    plan.properties[0].name = "cleanup.policy";
    snprintf(plan.properties[0].value, sizeof plan.properties[0].value, "%s",
             topic->cleanup == TOPIC_COMPACT ? "compact" : "delete");
    property_set(&plan.properties[1], "retention.ms", topic->retention_ms);
    property_set(&plan.properties[2], "segment.ms", segment_ms);
    property_set(&plan.properties[3], "min.insync.replicas", config_int(config, "topics.min_insync_replicas"));
    property_set(&plan.properties[4], "max.message.bytes", config_int(config, "topics.max_message_bytes"));
    return plan;
}

/* --- the connection --- */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    struct cluster *c = opaque;
    /* "N/N brokers are down" only repeats what the line before it explained. */
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        snprintf(c->reason, sizeof c->reason, "%s", reason);
}

/* What librdkafka would log is said once, by our own message. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *line)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)line;
}

static err no_answer(const struct cluster *c)
{
    return err_set(RETRY, "no Kafka broker answers at %s within %d ms%s%s%s; start it, or set kafka.bootstrap.servers",
                   c->bootstrap, c->timeout_ms, *c->reason ? " (" : "", c->reason, *c->reason ? ")" : "");
}

static err cluster_metadata(struct cluster *c, const struct rd_kafka_metadata **ret)
{
    rd_kafka_resp_err_t code = rd_kafka_metadata(c->rk, 1, NULL, ret, c->timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return OK;
    rd_kafka_poll(c->rk, 0); /* brings the reason */
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return no_answer(c);
    return err_set(kafka_err(code), "Kafka at %s does not tell its topics: %s", c->bootstrap, rd_kafka_err2str(code));
}

err cluster_connect(const struct config *config, int timeout_ms, struct cluster **ret)
{
    rd_kafka_conf_t *conf;
    TRY(kafka_conf(config, "aether-topics", &conf));
    struct cluster *c = mem_alloc(sizeof *c);
    c->config = config;
    c->bootstrap = config_text(config, "kafka.bootstrap.servers");
    c->timeout_ms = timeout_ms;
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    err idempotent = kafka_conf_set(conf, "enable.idempotence", "true"); /* see cluster_prepare_groups */
    if (idempotent != OK) {
        rd_kafka_conf_destroy(conf);
        free(c);
        return idempotent;
    }

    char reason[256];
    c->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!c->rk) {
        rd_kafka_conf_destroy(conf);
        free(c);
        return err_set(FATAL, "no Kafka client: %s; check the kafka.<property> settings", reason);
    }
    c->queue = rd_kafka_queue_new(c->rk);
    c->group_queue = rd_kafka_queue_new(c->rk);

    const struct rd_kafka_metadata *metadata;
    err e = cluster_metadata(c, &metadata);
    if (e != OK) {
        cluster_destroy(c);
        return e;
    }
    rd_kafka_metadata_destroy(metadata);
    *ret = c;
    return OK;
}

void cluster_destroy(struct cluster *c)
{
    if (!c)
        return;
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_queue_destroy(c->group_queue);
    rd_kafka_destroy(c->rk);
    free(c);
}

/* Waits for the answer to one admin request. The caller destroys *ret. */
static err admin_answer(struct cluster *c, const char *what, rd_kafka_event_t **ret)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(c->queue, c->timeout_ms + 1000);
    if (!event)
        return no_answer(c);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        *ret = event;
        return OK;
    }
    err e = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT
                ? no_answer(c)
                : err_set(kafka_err(code), "Kafka does not %s: %s", what, rd_kafka_event_error_string(event));
    rd_kafka_event_destroy(event);
    return e;
}

static rd_kafka_AdminOptions_t *admin_options(struct cluster *c, rd_kafka_admin_op_t op)
{
    char ignored[1];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(c->rk, op);
    rd_kafka_AdminOptions_set_request_timeout(options, c->timeout_ms, ignored, sizeof ignored);
    return options;
}

/* --- compare --- */

static const struct rd_kafka_metadata_topic *metadata_find(const struct rd_kafka_metadata *metadata, const char *name)
{
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, name) == 0 && metadata->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return &metadata->topics[i];
    return NULL;
}

static void report_number(cluster_each *each, void *context, const char *topic, const char *what, int is, int wanted,
                          const char *advice)
{
    if (is == wanted)
        return;
    struct difference d = { .topic = topic, .what = what, .advice = advice };
    snprintf(d.is, sizeof d.is, "%d", is);
    snprintf(d.wanted, sizeof d.wanted, "%d", wanted);
    each(context, &d);
}

static void compare_metadata(const struct topic_plan *plan, const struct rd_kafka_metadata_topic *found,
                             cluster_each *each, void *context)
{
    report_number(each, context, plan->topic->name, "partitions", found->partition_cnt, plan->partitions,
                  plan->topic->partitions
                      ? "this topic cannot work so; replay it into a new topic"
                      : "set topics.partitions to what is there; adding partitions would break the order of every key");
    for (int i = 0; i < found->partition_cnt; i++) {
        if (found->partitions[i].replica_cnt == plan->replication_factor)
            continue;
        report_number(each, context, plan->topic->name, "replication.factor", found->partitions[i].replica_cnt,
                      plan->replication_factor,
                      "reassign with kafka-reassign-partitions, or set topics.replication_factor to what is there");
        return;
    }
}

static void compare_properties(const struct topic_plan *plan, const rd_kafka_ConfigResource_t *resource,
                               cluster_each *each, void *context)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < TOPIC_PROPERTIES; i++) {
        const struct topic_property *wanted = &plan->properties[i];
        const char *is = "";
        for (size_t j = 0; j < count; j++)
            if (strcmp(rd_kafka_ConfigEntry_name(entries[j]), wanted->name) == 0)
                is = rd_kafka_ConfigEntry_value(entries[j]);
        if (is && strcmp(is, wanted->value) == 0)
            continue;
        struct difference d = {
            .topic = plan->topic->name,
            .what = wanted->name,
            .advice = "change it with kafka-configs --alter, or change the table",
        };
        snprintf(d.is, sizeof d.is, "%s", is ? is : "");
        snprintf(d.wanted, sizeof d.wanted, "%s", wanted->value);
        each(context, &d);
    }
}

static const rd_kafka_ConfigResource_t *resource_find(const rd_kafka_ConfigResource_t **resources, size_t count,
                                                      const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigResource_name(resources[i]), name) == 0)
            return resources[i];
    return NULL;
}

/* *ret is NULL when none of the topics exists. */
static err describe_existing(struct cluster *c, const struct rd_kafka_metadata *metadata, rd_kafka_event_t **ret)
{
    rd_kafka_ConfigResource_t **asked = mem_alloc(topics_count * sizeof(*asked));
    size_t count = 0;
    for (size_t i = 0; i < topics_count; i++)
        if (metadata_find(metadata, topics[i].name))
            asked[count++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topics[i].name);
    *ret = NULL;
    err e = OK;
    if (count > 0) {
        rd_kafka_AdminOptions_t *options = admin_options(c, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
        rd_kafka_DescribeConfigs(c->rk, asked, count, options, c->queue);
        rd_kafka_AdminOptions_destroy(options);
        e = admin_answer(c, "describe its topics", ret);
    }
    rd_kafka_ConfigResource_destroy_array(asked, count);
    free(asked);
    return e;
}

err cluster_compare(struct cluster *c, cluster_each *each, void *context)
{
    const struct rd_kafka_metadata *metadata;
    TRY(cluster_metadata(c, &metadata));
    rd_kafka_event_t *event;
    err e = describe_existing(c, metadata, &event);
    if (e != OK) {
        rd_kafka_metadata_destroy(metadata);
        return e;
    }
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources =
        event ? rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count) : NULL;

    for (size_t i = 0; i < topics_count && e == OK; i++) {
        struct topic_plan plan = topic_plan(c->config, &topics[i]);
        const struct rd_kafka_metadata_topic *found = metadata_find(metadata, topics[i].name);
        if (!found) {
            each(context, &(struct difference){
                              .topic = topics[i].name, .what = "missing", .advice = "run: aether-topics apply" });
            continue;
        }
        compare_metadata(&plan, found, each, context);
        const rd_kafka_ConfigResource_t *resource = resource_find(resources, count, topics[i].name);
        rd_kafka_resp_err_t code = resource ? rd_kafka_ConfigResource_error(resource) : RD_KAFKA_RESP_ERR__NOENT;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            compare_properties(&plan, resource, each, context);
        else
            e = err_set(kafka_err(code), "Kafka does not describe %s: %s", topics[i].name, rd_kafka_err2str(code));
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_metadata_destroy(metadata);
    return e;
}

/* --- create --- */

static rd_kafka_NewTopic_t *new_topic(const struct topic_plan *plan)
{
    char reason[256];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(plan->topic->name, plan->partitions, plan->replication_factor, reason, sizeof reason);
    if (!topic)
        return NULL;
    for (size_t i = 0; i < TOPIC_PROPERTIES; i++)
        rd_kafka_NewTopic_set_config(topic, plan->properties[i].name, plan->properties[i].value);
    return topic;
}

static err create(struct cluster *c, const struct topic_plan *plan)
{
    rd_kafka_NewTopic_t *topic = new_topic(plan);
    if (!topic)
        return err_set(FATAL, "librdkafka refuses topic %s with %d partitions", plan->topic->name, plan->partitions);
    rd_kafka_AdminOptions_t *options = admin_options(c, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_CreateTopics(c->rk, &topic, 1, options, c->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);

    rd_kafka_event_t *event = NULL;
    TRY(admin_answer(c, "create topics", &event));
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    err e = OK;
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        /* Somebody else made it in between: that is what was wanted, and comparing tells whether it is as wanted. */
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            continue;
        const char *why = rd_kafka_topic_result_error_string(results[i]);
        e = err_set(kafka_err(code) == RETRY ? RETRY : FATAL, "Kafka does not create %s: %s", plan->topic->name,
                    why ? why : rd_kafka_err2str(code));
    }
    rd_kafka_event_destroy(event);
    return e;
}

static bool has_leaders(const struct topic_plan *plan, const struct rd_kafka_metadata *metadata)
{
    const struct rd_kafka_metadata_topic *found = metadata_find(metadata, plan->topic->name);
    if (!found || found->partition_cnt == 0)
        return false;
    for (int i = 0; i < found->partition_cnt; i++)
        if (found->partitions[i].leader < 0)
            return false;
    return true;
}

static err wait_for_leaders(struct cluster *c)
{
    int64_t until = clock_mono_us() + LEADERS_WAIT_US;
    for (;;) {
        const struct rd_kafka_metadata *metadata;
        TRY(cluster_metadata(c, &metadata));
        const char *without = NULL;
        for (size_t i = 0; i < topics_count && !without; i++) {
            struct topic_plan plan = topic_plan(c->config, &topics[i]);
            if (!has_leaders(&plan, metadata))
                without = topics[i].name;
        }
        rd_kafka_metadata_destroy(metadata);
        if (!without)
            return OK;
        if (clock_mono_us() > until)
            return err_set(RETRY, "%s has no leader yet; see whether all brokers are up and run this again", without);
        rd_kafka_poll(c->rk, LEADERS_POLL_MS);
    }
}

err cluster_create_missing(struct cluster *c, void (*created)(void *context, const struct topic_plan *plan),
                           void *context)
{
    const struct rd_kafka_metadata *metadata;
    TRY(cluster_metadata(c, &metadata));
    err e = OK;
    for (size_t i = 0; i < topics_count && e == OK; i++) {
        if (metadata_find(metadata, topics[i].name))
            continue;
        struct topic_plan plan = topic_plan(c->config, &topics[i]);
        e = create(c, &plan);
        if (e == OK)
            created(context, &plan);
    }
    rd_kafka_metadata_destroy(metadata);
    return e == OK ? wait_for_leaders(c) : e;
}

/* --- consumer groups --- */

void cluster_prepare_groups(struct cluster *c)
{
    const char *const any = "aether-topics"; /* nobody is in it */
    rd_kafka_AdminOptions_t *options = admin_options(c, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_DescribeConsumerGroups(c->rk, (const char **)&any, 1, options, c->group_queue);
    rd_kafka_AdminOptions_destroy(options);
}

static bool has_coordinator(rd_kafka_event_t *event)
{
    if (rd_kafka_event_error(event))
        return false;
    size_t count = 0;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    const rd_kafka_error_t *error = count == 1 ? rd_kafka_ConsumerGroupDescription_error(groups[0]) : NULL;
    return count == 1 && (!error || rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
}

err cluster_wait_for_groups(struct cluster *c)
{
    int64_t until = clock_mono_us() + LEADERS_WAIT_US;
    for (;;) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(c->group_queue, c->timeout_ms + 1000);
        if (!event)
            return no_answer(c);
        bool found = has_coordinator(event);
        rd_kafka_event_destroy(event);
        if (found)
            return OK;
        if (clock_mono_us() > until)
            return err_set(RETRY,
                           "no broker coordinates consumer groups yet; see whether all are up and run this again");
        rd_kafka_poll(c->rk, LEADERS_POLL_MS);
        cluster_prepare_groups(c);
    }
}
