#include "ops/runtime/kafka.h"

#include <string.h>

#include "ops/runtime/log.h"
#include "tests/runtime/captured.h"
#include "tests/suite.h"

static struct config *configured(const char *setting, const char *other)
{
    const struct setting *const tables[] = { runtime_kafka_settings, NULL };
    const char *const args[] = { "program", "--set", setting, "--set", other, NULL };
    char *argv[6];
    memcpy(argv, args, sizeof args); /* config_load only moves them */
    int argc = 5;
    struct config *config = NULL;
    ck_assert_msg(config_load("program", "", tables, &argc, argv, &config) == OK, "%s", err_message());
    return config;
}

static void ck_property(const rd_kafka_conf_t *conf, const char *property, const char *expected)
{
    char value[512];
    size_t size = sizeof value;
    ck_assert_int_eq(rd_kafka_conf_get(conf, property, value, &size), RD_KAFKA_CONF_OK);
    ck_assert_str_eq(value, expected);
}

START_TEST(the_configuration_has_our_settings_and_then_the_given_ones)
{
    struct config *config = configured("kafka.bootstrap.servers=one:1,two:2", "kafka.reconnect.backoff.max.ms=700");
    rd_kafka_conf_t *conf = NULL;
    ck_assert_int_eq(kafka_conf(config, "gateway-1", &conf), OK);
    ck_property(conf, "bootstrap.servers", "one:1,two:2");
    ck_property(conf, "client.id", "gateway-1");
    ck_property(conf, "socket.nagle.disable", "true");
    ck_property(conf, "reconnect.backoff.max.ms", "700");
    rd_kafka_conf_destroy(conf);
    config_destroy(config);
}
END_TEST

START_TEST(a_property_that_is_refused_is_named)
{
    struct config *config = configured("kafka.linger.ms=many", "kafka.client.rack=r");
    rd_kafka_conf_t *conf = NULL;
    ck_assert_int_eq(kafka_conf(config, "x", &conf), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "kafka.linger.ms"));
    ck_assert_ptr_null(conf);
    config_destroy(config);
    config = configured("kafka.no.such.property=1", "kafka.client.rack=r");
    ck_assert_int_eq(kafka_conf(config, "x", &conf), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "no.such.property"));
    config_destroy(config);
}
END_TEST

START_TEST(a_refused_secret_is_not_shown)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    ck_assert_int_eq(kafka_conf_set(conf, "ssl.key.pem.password.wrong", "hunter2"), FATAL);
    ck_assert_ptr_null(strstr(err_message(), "hunter2"));
    rd_kafka_conf_destroy(conf);
}
END_TEST

START_TEST(what_librdkafka_logs_is_a_line_of_json)
{
    log_init("test", LOG_LEVEL_DEBUG);
    struct config *config = configured("kafka.bootstrap.servers=127.0.0.1:1", "kafka.debug=conf");
    rd_kafka_conf_t *conf = NULL;
    ck_assert_int_eq(kafka_conf(config, "x", &conf), OK);
    struct captured c = capture_begin(STDERR_FILENO);
    char reason[256];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    ck_assert_ptr_nonnull(rk);
    rd_kafka_destroy(rk);
    char *text = capture_end(&c);
    ck_assert_int_eq(strncmp(text, "{\"time\":", 8), 0);
    ck_assert_ptr_nonnull(strstr(text, "\"event\":\"librdkafka\",\"client\":\"x#producer-1\""));
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        ck_assert_int_eq(line[0], '{');
    free(text);
    config_destroy(config);
}
END_TEST

START_TEST(codes_say_what_to_do_next)
{
    ck_assert_int_eq(kafka_err(RD_KAFKA_RESP_ERR_NO_ERROR), OK);
    static const rd_kafka_resp_err_t heals[] = {
        RD_KAFKA_RESP_ERR__TRANSPORT,          RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
        RD_KAFKA_RESP_ERR__TIMED_OUT,          RD_KAFKA_RESP_ERR__QUEUE_FULL,
        RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,   RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__PURGE_QUEUE,
    };
    static const rd_kafka_resp_err_t rejects[] = { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
                                                   RD_KAFKA_RESP_ERR_INVALID_MSG };
    static const rd_kafka_resp_err_t ends[] = {
        RD_KAFKA_RESP_ERR__FATAL,          RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR__AUTHENTICATION,
    };
    for (size_t i = 0; i < sizeof heals / sizeof *heals; i++)
        ck_assert_int_eq(kafka_err(heals[i]), RETRY);
    for (size_t i = 0; i < sizeof rejects / sizeof *rejects; i++)
        ck_assert_int_eq(kafka_err(rejects[i]), REJECT);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        ck_assert_int_eq(kafka_err(ends[i]), FATAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka");
    TCase *t = suite_case("kafka");
    tcase_add_test(t, the_configuration_has_our_settings_and_then_the_given_ones);
    tcase_add_test(t, a_property_that_is_refused_is_named);
    tcase_add_test(t, a_refused_secret_is_not_shown);
    tcase_add_test(t, what_librdkafka_logs_is_a_line_of_json);
    tcase_add_test(t, codes_say_what_to_do_next);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
