/* The producer against a broker that fails in a chosen way: librdkafka's mock cluster injects what a real one does
 * rarely. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/log/deliveries.h"
#include "tests/suite.h"

#define TOPIC         "rooms.events"
#define PRODUCE       0 /* ApiKey */
#define INIT_PRODUCER 22
#define IN_FLIGHT_1   "kafka.max.in.flight.requests.per.connection=1"
#define BROKER        1
#define LONG_MS       15000 /* waits end when the condition holds; this is when they are called failed */

static rd_kafka_t *host; /* the mock cluster lives in a client */
static rd_kafka_mock_cluster_t *cluster;
static const char *bootstrap;

static void cluster_start(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    cluster = rd_kafka_mock_cluster_new(host, 1);
    bootstrap = rd_kafka_mock_cluster_bootstraps(cluster);
    rd_kafka_mock_topic_create(cluster, TOPIC, 2, 1);
}

static void cluster_stop(void)
{
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
}

/* A first record through, so that metadata and the producer id are there and faults hit what they are meant for. */
static void warm_up(struct deliveries *d)
{
    ck_assert(deliveries_append_within(d, TOPIC, 0, 0, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 0).delivery, DELIVERED);
    ck_assert_int_eq(deliveries_of(d, 0).offset, 0);
}

static void next_produce(rd_kafka_resp_err_t code, int rtt_ms)
{
    rd_kafka_mock_broker_push_request_error_rtts(cluster, BROKER, PRODUCE, 1, code, rtt_ms);
}

/* True when the mock cluster has met the faults that next_produce prepared. Does not poll. */
static bool faults_met(int timeout_ms)
{
    int64_t until = clock_mono_us() + timeout_ms * 1000LL;
    size_t left = 1;
    while (left && clock_mono_us() < until) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        rd_kafka_mock_broker_error_stack_cnt(cluster, BROKER, PRODUCE, &left);
    }
    return left == 0;
}

START_TEST(records_learn_consecutive_offsets_of_their_partition)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    for (size_t n = 0; n < 200; n++)
        ck_assert(deliveries_append_within(d, TOPIC, (int32_t)(n % 2), n, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_uint_eq(producer_in_flight(d->producer), 0);
    for (size_t n = 0; n < 200; n++) {
        struct delivery_seen seen = deliveries_of(d, n);
        ck_assert_int_eq(seen.delivery, DELIVERED);
        ck_assert_int_eq(seen.partition, (int32_t)(n % 2));
        ck_assert_int_eq(seen.offset, (int64_t)(n / 2));
    }
    ck_assert(producer_is_up(d->producer));
    deliveries_finish(d);
}
END_TEST

START_TEST(a_full_queue_turns_away_until_records_are_delivered)
{
    struct deliveries *d = deliveries_start(bootstrap, true, (const char *[]){ "producer.max_in_flight=3", NULL });
    warm_up(d);
    next_produce(0, 700);
    for (size_t n = 1; n <= 3; n++)
        ck_assert_int_eq(deliveries_append(d, TOPIC, 0, n), OK);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 4), RETRY);
    ck_assert_ptr_nonnull(strstr(err_message(), "producer.max_in_flight"));
    ck_assert_uint_eq(producer_in_flight(d->producer), 3);
    ck_assert(deliveries_wait(d, 4, LONG_MS));
    ck_assert(deliveries_append_within(d, TOPIC, 0, 5, 100));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 5).offset, 4);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_record_that_was_sent_and_not_answered_has_an_unknown_outcome)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, (const char *[]){ "producer.message_timeout_ms=500", NULL });
    warm_up(d);
    next_produce(0, 4000);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert(deliveries_wait(d, 2, 3500));
    ck_assert_int_eq(deliveries_of(d, 1).delivery, UNKNOWN);
    ck_assert_ptr_nonnull(strstr(deliveries_of(d, 1).message, TOPIC));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_record_that_could_not_be_sent_is_not_appended)
{
    const char *const with[] = { "producer.message_timeout_ms=500", IN_FLIGHT_1, NULL };
    struct deliveries *d = deliveries_start(bootstrap, _i, with);
    warm_up(d);
    next_produce(0, 3000);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert(faults_met(LONG_MS));
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 2), OK); /* waits behind the first: one request in flight */
    ck_assert(deliveries_wait(d, 3, 2800));
    ck_assert_int_eq(deliveries_of(d, 1).delivery, UNKNOWN);
    ck_assert_int_eq(deliveries_of(d, 2).delivery, NOT_APPENDED);
    deliveries_finish(d);
}
END_TEST

START_TEST(while_the_broker_is_away_appends_are_turned_away_at_once_and_taken_soon_after_it_is_back)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, (const char *[]){ "producer.message_timeout_ms=500", NULL });
    warm_up(d);
    ck_assert(producer_is_up(d->producer));
    rd_kafka_mock_broker_set_down(cluster, BROKER);

    int64_t until = clock_mono_us() + LONG_MS * 1000LL;
    err e = OK;
    size_t n = 1;
    while (e == OK && clock_mono_us() < until && n < 1000) {
        e = deliveries_append(d, TOPIC, 0, n);
        n += e == OK;
        deliveries_wait(d, SIZE_MAX, 10);
    }
    ck_assert_int_eq(e, RETRY);
    ck_assert(!producer_is_up(d->producer));
    ck_assert(deliveries_wait(d, n, LONG_MS)); /* what was accepted is answered */

    for (int i = 0; i < 1000; i++) { /* the state holds: nothing is let through */
        int64_t before = clock_mono_us();
        ck_assert_int_eq(deliveries_append(d, TOPIC, 0, n), RETRY);
        ck_assert_int_lt(clock_mono_us() - before, 50000);
    }
    rd_kafka_mock_broker_set_up(cluster, BROKER);
    ck_assert(deliveries_append_within(d, TOPIC, 0, n, 1000));
    ck_assert(producer_is_up(d->producer));
    ck_assert(deliveries_wait(d, n + 1, LONG_MS));
    ck_assert_int_eq(deliveries_of(d, n).delivery, DELIVERED);
    deliveries_finish(d);
}
END_TEST

START_TEST(after_a_fatal_idempotence_error_the_producer_is_usable_again)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    warm_up(d);
    next_produce(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 200);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert(faults_met(LONG_MS));
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 2), OK);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 1, 3), OK);
    ck_assert(deliveries_wait(d, 4, LONG_MS));
    ck_assert_int_ne(deliveries_of(d, 1).delivery, DELIVERED);

    ck_assert(deliveries_append_within(d, TOPIC, 1, 4, LONG_MS));
    ck_assert(deliveries_wait(d, 5, LONG_MS));
    ck_assert_int_eq(deliveries_of(d, 4).delivery, DELIVERED);
    deliveries_finish(d);
}
END_TEST

/* That a batch leaves nothing behind a record that failed is tested on a real broker: the mock one checks
 * no sequences. */
START_TEST(with_an_own_thread_a_record_that_fails_does_not_stop_the_others)
{
    struct deliveries *d = deliveries_start(bootstrap, true, (const char *[]){ IN_FLIGHT_1, NULL });
    warm_up(d);
    next_produce(RD_KAFKA_RESP_ERR_INVALID_RECORD, 300);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert(faults_met(LONG_MS));
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 2), OK);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 3), OK);
    ck_assert(deliveries_wait(d, 4, LONG_MS));
    ck_assert_int_eq(deliveries_of(d, 1).delivery, NOT_APPENDED);
    ck_assert_int_eq(deliveries_of(d, 2).delivery, DELIVERED);
    ck_assert_int_eq(deliveries_of(d, 3).delivery, DELIVERED);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_batch_that_is_not_answered_is_given_up_as_a_whole)
{
    struct deliveries *d =
        deliveries_start(bootstrap, false, (const char *[]){ IN_FLIGHT_1, "producer.message_timeout_ms=500", NULL });
    warm_up(d);
    next_produce(0, 5000);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert(faults_met(LONG_MS));
    for (size_t n = 2; n <= 20; n++)
        ck_assert_int_eq(deliveries_append(d, TOPIC, 0, n), OK);
    int64_t before = clock_mono_us();
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_lt(clock_mono_us() - before, 3000000);
    ck_assert_int_eq(deliveries_of(d, 1).delivery, UNKNOWN);
    for (size_t n = 2; n <= 20; n++)
        ck_assert_int_eq(deliveries_of(d, n).delivery, NOT_APPENDED);
    ck_assert(deliveries_append_within(d, TOPIC, 1, 21, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 21).delivery, DELIVERED);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_flush_that_runs_out_of_time_leaves_the_batch_to_the_next)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    warm_up(d);
    next_produce(0, 500);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert_int_eq(producer_flush(d->producer, 100), RETRY);
    ck_assert_uint_eq(producer_in_flight(d->producer), 1);
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 1).delivery, DELIVERED);
    deliveries_finish(d);
}
END_TEST

/* That the retry leaves one copy, in order, is the broker's check of sequence numbers; the mock has none. The test of a
 * broker that dies under load (broker_death_test.py) looks at that. */
START_TEST(a_lost_connection_is_retried)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    warm_up(d);
    next_produce(RD_KAFKA_RESP_ERR__TRANSPORT, 0);
    for (size_t n = 1; n <= 10; n++)
        ck_assert(deliveries_append_within(d, TOPIC, 0, n, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    for (size_t n = 1; n <= 10; n++) {
        ck_assert_int_eq(deliveries_of(d, n).delivery, DELIVERED);
        ck_assert_int_ge(deliveries_of(d, n).offset, 1);
    }
    deliveries_finish(d);
}
END_TEST

START_TEST(a_record_that_is_too_large_is_rejected_and_the_next_one_taken)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, (const char *[]){ "kafka.message.max.bytes=100000", NULL });
    warm_up(d);
    static char large[200000];
    struct meta meta = { .at = clock_wall_ms() };
    struct append append = { .topic = TOPIC, .payload = { large, sizeof large }, .meta = &meta, .type = "t" };
    ck_assert_int_eq(producer_append(d->producer, &append), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "200000 bytes"));
    ck_assert_uint_eq(producer_in_flight(d->producer), 0);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 0, 1), OK);
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 1).offset, 1);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_partition_that_does_not_exist_is_fatal)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    warm_up(d);
    ck_assert_int_eq(deliveries_append(d, TOPIC, 17, 1), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "17"));
    ck_assert_uint_eq(producer_in_flight(d->producer), 0);
    deliveries_finish(d);
}
END_TEST

static size_t reported;

static void count_reported(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    (void)context, (void)opaque, (void)delivery, (void)partition, (void)offset;
    reported++;
}

START_TEST(destroying_reports_everything_that_was_accepted)
{
    char servers[256];
    snprintf(servers, sizeof servers, "kafka.bootstrap.servers=%s", bootstrap);
    struct config *config = deliveries_settings((const char *[]){ servers, "producer.message_timeout_ms=500", NULL });
    struct producer *p;
    reported = 0;
    ck_assert_int_eq(producer_create(config, "test", _i, count_reported, NULL, &p), OK);
    rd_kafka_mock_broker_set_rtt(cluster, BROKER, 5000);
    size_t accepted = 0;
    for (int i = 0; i < 50; i++) {
        struct meta meta = { .at = clock_wall_ms() };
        struct append append = { .topic = TOPIC, .partition = -1, .payload = STR("x"), .meta = &meta, .type = "t" };
        accepted += producer_append(p, &append) == OK;
    }
    ck_assert_uint_gt(accepted, 0);
    producer_destroy(p);
    ck_assert_uint_eq(reported, accepted);
    config_destroy(config);
    rd_kafka_mock_broker_set_rtt(cluster, BROKER, 0);
}
END_TEST

struct appender {
    struct deliveries *deliveries;
    size_t first;
};

#define THREADS    4
#define PER_THREAD 500

static void *append_many(void *argument)
{
    struct appender *a = argument;
    for (size_t n = a->first; n < a->first + PER_THREAD; n++)
        if (!deliveries_append_within(a->deliveries, n % 2 ? TOPIC : "rooms.commands", -1, n, LONG_MS))
            abort();
    return NULL;
}

START_TEST(threads_append_at_once_while_the_producer_is_renewed)
{
    struct deliveries *d = deliveries_start(bootstrap, true, NULL);
    warm_up(d);
    pthread_t threads[THREADS];
    struct appender appenders[THREADS];
    next_produce(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 0);
    for (size_t i = 0; i < THREADS; i++) {
        appenders[i] = (struct appender){ .deliveries = d, .first = 1 + i * PER_THREAD };
        pthread_create(&threads[i], NULL, append_many, &appenders[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(deliveries_wait(d, 1 + THREADS * PER_THREAD, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    size_t last = 1 + THREADS * PER_THREAD;
    ck_assert(deliveries_append_within(d, TOPIC, 0, last, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, last).delivery, DELIVERED);
    ck_assert_uint_gt(d->count, deliveries_count(d, DELIVERED)); /* it was renewed indeed */
    deliveries_finish(d);
}
END_TEST

START_TEST(the_broker_that_never_was_there_turns_away_and_is_not_up)
{
    struct deliveries *d =
        deliveries_start("127.0.0.1:9", _i, (const char *[]){ "producer.message_timeout_ms=500", NULL });
    int64_t until = clock_mono_us() + LONG_MS * 1000LL;
    err e = OK;
    for (size_t n = 0; e == OK && n < 1000 && clock_mono_us() < until; n++) {
        e = deliveries_append(d, TOPIC, 0, n);
        deliveries_wait(d, SIZE_MAX, 10);
    }
    ck_assert_int_eq(e, RETRY);
    ck_assert(!producer_is_up(d->producer));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_uint_eq(deliveries_count(d, NOT_APPENDED), d->count);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_broker_that_answers_nothing_any_more_is_not_up_though_nothing_was_appended)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    warm_up(d);
    ck_assert(producer_is_up(d->producer));
    rd_kafka_mock_broker_set_rtt(cluster, BROKER, 60000); /* its connections stay open */
    int64_t until = clock_mono_us() + LONG_MS * 1000LL;
    while (producer_is_up(d->producer) && clock_mono_us() < until)
        deliveries_wait(d, SIZE_MAX, 10);
    ck_assert(!producer_is_up(d->producer));
    ck_assert_uint_eq(producer_in_flight(d->producer), 0);
    rd_kafka_mock_broker_set_rtt(cluster, BROKER, 0);
    while (!producer_is_up(d->producer) && clock_mono_us() < until)
        deliveries_wait(d, SIZE_MAX, 10);
    ck_assert(producer_is_up(d->producer));
    deliveries_finish(d);
}
END_TEST

int main(void)
{
    log_init("producer_faults_test", LOG_LEVEL_ERROR);
    Suite *suite = suite_create("producer, faults");
    TCase *tests = suite_case("mock cluster");
    tcase_add_checked_fixture(tests, cluster_start, cluster_stop);
    /* Twice: without and with a thread of its own. */
    tcase_add_loop_test(tests, records_learn_consecutive_offsets_of_their_partition, 0, 2);
    tcase_add_test(tests, a_full_queue_turns_away_until_records_are_delivered);
    tcase_add_loop_test(tests, a_record_that_was_sent_and_not_answered_has_an_unknown_outcome, 0, 2);
    tcase_add_loop_test(tests, a_record_that_could_not_be_sent_is_not_appended, 0, 2);
    tcase_add_loop_test(tests, while_the_broker_is_away_appends_are_turned_away_at_once_and_taken_soon_after_it_is_back,
                        0, 2);
    tcase_add_loop_test(tests, after_a_fatal_idempotence_error_the_producer_is_usable_again, 0, 2);
    tcase_add_test(tests, with_an_own_thread_a_record_that_fails_does_not_stop_the_others);
    tcase_add_test(tests, a_batch_that_is_not_answered_is_given_up_as_a_whole);
    tcase_add_loop_test(tests, a_flush_that_runs_out_of_time_leaves_the_batch_to_the_next, 0, 2);
    tcase_add_loop_test(tests, a_lost_connection_is_retried, 0, 2);
    tcase_add_loop_test(tests, a_record_that_is_too_large_is_rejected_and_the_next_one_taken, 0, 2);
    tcase_add_loop_test(tests, a_partition_that_does_not_exist_is_fatal, 0, 2);
    tcase_add_loop_test(tests, destroying_reports_everything_that_was_accepted, 0, 2);
    tcase_add_test(tests, threads_append_at_once_while_the_producer_is_renewed);
    tcase_add_loop_test(tests, the_broker_that_never_was_there_turns_away_and_is_not_up, 0, 2);
    tcase_add_loop_test(tests, a_broker_that_answers_nothing_any_more_is_not_up_though_nothing_was_appended, 0, 2);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
