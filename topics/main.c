/* aether-topics: brings a Kafka cluster to the table of topics.def, or says what differs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/runtime/json.h"
#include "ops/runtime/log.h"
#include "topics/cluster.h"

#define EXIT_DIFFERS 1 /* the cluster is not as the table says */
#define EXIT_NO_WAY  2 /* no broker answers, or it refuses */
#define EXIT_USAGE   64

static const struct setting own_settings[] = {
    { .name = "topics.timeout_ms",
      .type = SETTING_INT,
      .def = "10000",
      .min = 100,
      .max = 120000,
      .unit = "ms",
      .doc = "How long aether-topics waits for an answer of Kafka." },
    { .name = NULL },
};

static const char summary[] =
    "apply|verify|describe [--json]: the topics of Aether on a Kafka cluster.\n"
    "  apply     creates what is missing with its settings; reports what differs, changes nothing that is there; "
    "waits\n"
    "            until consumer groups can be joined\n"
    "  verify    reports what is missing or differs\n"
    "  describe  prints the table under this configuration; needs no broker\n"
    "Exit status: 0 as the table says, 1 something differs, 2 Kafka does not answer or refuses, 64 wrong usage.";

static int fail(void)
{
    fprintf(stderr, "aether-topics: %s\n", err_message());
    return EXIT_NO_WAY;
}

/* --- describe --- */

static void kept_for(int64_t ms, char ret[24])
{
    const int64_t hour = 60 * 60 * 1000;
    if (ms < 0)
        snprintf(ret, 24, "forever");
    else if (ms % (24 * hour) == 0)
        snprintf(ret, 24, "%" PRId64 " days", ms / (24 * hour));
    else
        snprintf(ret, 24, "%" PRId64 " hours", ms / hour);
}

static void describe_text(const struct config *config)
{
    printf("%-20s %-10s %-8s %10s  %-8s %s\n", "TOPIC", "KEY", "KEPT", "PARTITIONS", "CLEANUP", "HOLDS");
    for (size_t i = 0; i < topics_count; i++) {
        struct topic_plan plan = topic_plan(config, &topics[i]);
        char kept[24];
        kept_for(topics[i].retention_ms, kept);
        printf("%-20s %-10s %-8s %10d  %-8s %s\n", topics[i].name, topics[i].key, kept, plan.partitions,
               plan.properties[0].value, topics[i].doc);
    }
}

static void describe_json(const struct config *config)
{
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    json_open(&j, '[');
    for (size_t i = 0; i < topics_count; i++) {
        struct topic_plan plan = topic_plan(config, &topics[i]);
        json_open(&j, '{');
        json_field_str(&j, "name", str_of(topics[i].name));
        json_field_str(&j, "key", str_of(topics[i].key));
        json_field_int(&j, "partitions", plan.partitions);
        json_field_int(&j, "replicationFactor", plan.replication_factor);
        json_key(&j, "config");
        json_open(&j, '{');
        for (size_t k = 0; k < TOPIC_PROPERTIES; k++)
            json_field_str(&j, plan.properties[k].name, str_of(plan.properties[k].value));
        json_close(&j, '}');
        json_field_str(&j, "doc", str_of(topics[i].doc));
        json_close(&j, '}');
    }
    json_close(&j, ']');
    printf("%.*s\n", (int)out.len, out.ptr);
    buf_finish(&out);
}

/* --- verify, apply --- */

struct report {
    bool as_json;
    size_t differences, created;
    struct buf out;
    struct json json;
};

static void report_created(void *context, const struct topic_plan *plan)
{
    struct report *r = context;
    r->created++;
    if (!r->as_json)
        printf("%s: created with %d partition%s\n", plan->topic->name, plan->partitions,
               plan->partitions == 1 ? "" : "s");
}

static void report_difference(void *context, const struct difference *d)
{
    struct report *r = context;
    r->differences++;
    if (r->as_json) {
        json_open(&r->json, '{');
        json_field_str(&r->json, "topic", str_of(d->topic));
        json_field_str(&r->json, "what", str_of(d->what));
        json_field_str(&r->json, "is", str_of(d->is));
        json_field_str(&r->json, "wanted", str_of(d->wanted));
        json_field_str(&r->json, "advice", str_of(d->advice));
        json_close(&r->json, '}');
    } else if (strcmp(d->what, "missing") == 0) {
        printf("%s: missing; %s\n", d->topic, d->advice);
    } else {
        printf("%s: %s is %s, the table says %s; %s\n", d->topic, d->what, d->is, d->wanted, d->advice);
    }
}

static int compare(const struct config *config, bool apply, bool as_json)
{
    struct cluster *cluster;
    if (cluster_connect(config, (int)config_int(config, "topics.timeout_ms"), &cluster) != OK)
        return fail();

    struct report r = { .as_json = as_json };
    r.json = json_writer(&r.out);
    json_open(&r.json, '[');
    if (apply)
        cluster_prepare_groups(cluster);
    err e = apply ? cluster_create_missing(cluster, report_created, &r) : OK;
    if (apply && e == OK)
        e = cluster_wait_for_groups(cluster);
    if (e == OK)
        e = cluster_compare(cluster, report_difference, &r);
    json_close(&r.json, ']');

    int status = e != OK ? fail() : r.differences ? EXIT_DIFFERS : EXIT_SUCCESS;
    if (as_json && e == OK)
        printf("%.*s\n", (int)r.out.len, r.out.ptr);
    else if (status == EXIT_SUCCESS && r.created == 0)
        printf("all %zu topics are as the table says\n", topics_count);
    buf_finish(&r.out);
    cluster_destroy(cluster);
    return status;
}

int main(int argc, char **argv)
{
    log_init("aether-topics", LOG_LEVEL_WARN);
    const struct setting *const tables[] = { runtime_kafka_settings, topics_settings, own_settings, NULL };
    struct config *config;
    if (config_load("aether-topics", summary, tables, &argc, argv, &config) != OK) {
        (void)fail();
        return EXIT_USAGE;
    }

    const char *command = argc > 1 ? argv[1] : "";
    bool as_json = argc == 3 && strcmp(argv[2], "--json") == 0;
    int status = EXIT_USAGE;
    if (argc > 3 || (argc == 3 && !as_json))
        command = "";
    if (strcmp(command, "apply") == 0)
        status = compare(config, true, as_json);
    else if (strcmp(command, "verify") == 0)
        status = compare(config, false, as_json);
    else if (strcmp(command, "describe") == 0) {
        status = EXIT_SUCCESS;
        if (as_json)
            describe_json(config);
        else
            describe_text(config);
    } else
        fprintf(stderr, "usage: aether-topics %s\n", summary);
    config_destroy(config);
    return status;
}
