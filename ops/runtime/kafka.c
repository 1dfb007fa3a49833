#include "ops/runtime/kafka.h"

#include <string.h>
#include <syslog.h>

#include "ops/runtime/log.h"

static void on_log(const rd_kafka_t *rk, int severity, const char *facility, const char *text)
{
    /* What librdkafka calls an error is mostly a broker that is away: it goes on by itself, so it is no error
     * of ours. */
    const enum log_level level = severity <= LOG_CRIT      ? LOG_LEVEL_ERROR
                                 : severity <= LOG_WARNING ? LOG_LEVEL_WARN
                                 : severity <= LOG_INFO    ? LOG_LEVEL_INFO
                                                           : LOG_LEVEL_DEBUG;
    const struct log_field fields[] = {
        F_STR("client", rk ? rd_kafka_name(rk) : ""),
        F_STR("facility", facility),
        F_STR("text", text),
    };
    log_write(level, "librdkafka", fields, sizeof fields / sizeof *fields);
}

static bool is_secret(const char *property)
{
    static const char *const marks[] = { "password", "secret", "jaas", ".pem", ".key", "oauthbearer.config" };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strstr(property, marks[i]))
            return true;
    return false;
}

err kafka_conf_set(rd_kafka_conf_t *conf, const char *property, const char *value)
{
    char reason[256];
    if (rd_kafka_conf_set(conf, property, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return OK;
    if (is_secret(property)) /* the reason may quote the value */
        return err_set(FATAL, "kafka.%s is refused by librdkafka", property);
    return err_set(FATAL, "kafka.%s: %s", property, reason);
}

struct passing {
    rd_kafka_conf_t *conf;
    err err;
};

static void pass_on(void *context, const char *property, const char *value)
{
    struct passing *p = context;
    if (p->err == OK)
        p->err = kafka_conf_set(p->conf, property, value);
}

static err fill(rd_kafka_conf_t *conf, const struct config *config, const char *client_id)
{
    /* Nagle's algorithm delays a small request by 40 ms. A broker that was restarted is found again within half a
     * second. */
    static const struct {
        const char *property, *value;
    } ours[] = {
        { "socket.nagle.disable", "true" },    { "socket.keepalive.enable", "true" }, { "reconnect.backoff.ms", "50" },
        { "reconnect.backoff.max.ms", "500" }, { "log.connection.close", "false" },
    };
    TRY(kafka_conf_set(conf, "bootstrap.servers", config_text(config, "kafka.bootstrap.servers")));
    TRY(kafka_conf_set(conf, "client.id", client_id));
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        TRY(kafka_conf_set(conf, ours[i].property, ours[i].value));
    struct passing passing = { conf, OK };
    config_each_kafka(config, pass_on, &passing);
    return passing.err;
}

err kafka_conf(const struct config *config, const char *client_id, rd_kafka_conf_t **ret)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    const err e = fill(conf, config, client_id);
    if (e != OK)
        rd_kafka_conf_destroy(conf);
    else
        *ret = conf;
    return e;
}

static err set_all(rd_kafka_conf_t *conf, const struct kafka_property *properties)
{
    for (const struct kafka_property *p = properties; p->name; p++)
        TRY(kafka_conf_set(conf, p->name, p->value));
    return OK;
}

err kafka_consumer_create(const struct config *config, const char *client_id, const struct kafka_property *properties,
                          kafka_rebalance *rebalance, void *context, rd_kafka_t **ret)
{
    static const struct kafka_property of_all[] = {
        { "enable.auto.commit", "false" },
        { "enable.auto.offset.store", "false" },
        { 0 },
    };
    rd_kafka_conf_t *conf;
    TRY(kafka_conf(config, client_id, &conf));
    err e = set_all(conf, of_all);
    if (e == OK)
        e = set_all(conf, properties);
    if (e != OK) {
        rd_kafka_conf_destroy(conf);
        return e;
    }
    rd_kafka_conf_set_opaque(conf, context);
    if (rebalance)
        rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    char reason[256];
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (!consumer) {
        rd_kafka_conf_destroy(conf);
        return err_set(FATAL, "Kafka consumer %s: %s", client_id, reason);
    }
    rd_kafka_poll_set_consumer(consumer);
    *ret = consumer;
    return OK;
}

void kafka_consumer_destroy(rd_kafka_t *consumer)
{
    if (!consumer)
        return;
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

err kafka_err(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return OK;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
        return REJECT;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR__FENCED:
        return FATAL;
    default:
        return RETRY; /* away, timed out, moving, full: librdkafka's other codes heal */
    }
}
