#include "producers/handle.h"

#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/kafka.h"

#define PURGE_WAIT_US 10000000

struct topic_handle {
    struct topic_handle *next;
    rd_kafka_topic_t *topic;
    char name[];
};

/* Wrong names and values were refused by kafka_conf already, so what is refused here cannot be. */
static void set_given(void *conf, const char *property, const char *value)
{
    rd_kafka_conf_set(conf, property, value, NULL, 0);
}

static err conf_create(const struct handle_options *o, rd_kafka_conf_t **ret)
{
    char queue[24], timeout[24];
    snprintf(queue, sizeof queue, "%zu",
             o->max_in_flight + 1024); /* our own count decides; librdkafka counts a little longer */
    snprintf(timeout, sizeof timeout, "%d", o->message_timeout_ms);
    const struct property {
        const char *name, *value;
    } defaults[] = {
        { "linger.ms", "0" },
        /* Measured: ops/adr/0002-producer-in-flight.md. */
        { "max.in.flight.requests.per.connection", "5" },
        { "queue.buffering.max.kbytes", "65536" },
        { "retry.backoff.ms", "50" },
        { "reconnect.backoff.max.ms", "250" },
        { "enable.sparse.connections", "false" }, /* connected before the first append */
        /* How long a topic may be missing from metadata before its records fail: it was just made, or it is not there. */
        { "topic.metadata.propagation.max.ms", "2000" },
    }, fixed[] = {
        { "enable.idempotence", "true" },
        { "acks", "all" },
        { "partitioner", "murmur2_random" },
        { "queue.buffering.max.messages", queue },
        { "request.timeout.ms", timeout },
        /* Records of a batch share their fate: none times out alone, and one that fails stops those behind it (producer.h). */
        { "message.timeout.ms", o->prefix ? "0" : timeout },
    };

    rd_kafka_conf_t *conf;
    TRY(kafka_conf(o->config, o->client_id, &conf));
    err e = OK;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults && e == OK; i++)
        e = kafka_conf_set(conf, defaults[i].name, defaults[i].value);
    config_each_kafka(o->config, set_given, conf);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && e == OK; i++)
        e = kafka_conf_set(conf, fixed[i].name, fixed[i].value);
    if (o->prefix && e == OK)
        e = kafka_conf_set(conf, "enable.gapless.guarantee", "true");
    if (e != OK) {
        rd_kafka_conf_destroy(conf);
        return e;
    }
    rd_kafka_conf_set_opaque(conf, o->opaque);
    rd_kafka_conf_set_dr_msg_cb(conf, o->on_delivery);
    rd_kafka_conf_set_error_cb(conf, o->on_error);
    *ret = conf;
    return OK;
}

err handle_create(const struct handle_options *o, struct handle **ret)
{
    rd_kafka_conf_t *conf;
    TRY(conf_create(o, &conf));

    /* No warnings while it starts: librdkafka warns of the properties of consumers, and that the guarantee is young. */
    char log_level[16] = "6", reason[256];
    size_t size = sizeof log_level;
    (void)rd_kafka_conf_get(conf, "log_level", log_level, &size);
    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(FATAL, "no Kafka producer: %s; check the kafka.<property> settings", reason);
    }
    /* NOLINTNEXTLINE(cert-err34-c): librdkafka has taken it */
    rd_kafka_set_log_level(rk, atoi(log_level));
    *ret = mem_alloc(sizeof **ret);
    (*ret)->rk = rk;
    return OK;
}

void handle_give_up(struct handle *h)
{
    if (!h)
        return;
    rd_kafka_set_log_level(h->rk, -1); /* it would report the purge as a fatal error of its own */
    rd_kafka_purge(h->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    int64_t until = clock_mono_us() + PURGE_WAIT_US;
    while (rd_kafka_outq_len(h->rk) > 0 && clock_mono_us() < until)
        rd_kafka_poll(h->rk, 100);
    while (h->topics) {
        struct topic_handle *first = h->topics;
        h->topics = first->next;
        rd_kafka_topic_destroy(first->topic);
        free(first);
    }
    rd_kafka_destroy(h->rk);
    free(h);
}

rd_kafka_topic_t *handle_find_topic(const struct handle *h, const char *name)
{
    for (const struct topic_handle *t = h->topics; t; t = t->next)
        if (strcmp(t->name, name) == 0)
            return t->topic;
    return NULL;
}

void handle_add_topic(struct handle *h, const char *name)
{
    size_t size = strlen(name) + 1;
    struct topic_handle *t = mem_alloc(sizeof *t + size);
    memcpy(t->name, name, size);
    t->topic = rd_kafka_topic_new(h->rk, name, NULL);
    t->next = h->topics;
    h->topics = t;
}
