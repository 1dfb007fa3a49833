/* The producer against the real broker of AETHER_TEST_KAFKA (host:port); skipped without. Makes topics of its own. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/log/deliveries.h"
#include "tests/suite.h"

#define LONG_MS    15000
#define PARTITIONS 3

static char bootstrap[256];
static char topic[64]; /* of this test, with PARTITIONS partitions, for records of at most 20,000 bytes */
static rd_kafka_t *client;

/* --- the topic --- */

static void admin_wait(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, LONG_MS);
    ck_assert_ptr_nonnull(event);
    ck_assert_msg(rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "%s", rd_kafka_event_error_string(event));
    rd_kafka_event_destroy(event);
}

static int partitions_with_leaders(void)
{
    const struct rd_kafka_metadata *metadata;
    int count = 0;
    if (rd_kafka_metadata(client, 1, NULL, &metadata, LONG_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    for (int i = 0; i < metadata->topic_cnt; i++)
        for (int k = 0; strcmp(metadata->topics[i].topic, topic) == 0 && k < metadata->topics[i].partition_cnt; k++)
            count += metadata->topics[i].partitions[k].leader >= 0;
    rd_kafka_metadata_destroy(metadata);
    return count;
}

static void topic_start(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
    rd_kafka_conf_set(conf, "group.id", "none", NULL, 0);
    rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", NULL, 0);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", NULL, 0);
    client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    ck_assert_ptr_nonnull(client);

    char name[UUID_TEXT_LEN + 1];
    uuid_format(uuid_v7(clock_wall_ms()), name);
    snprintf(topic, sizeof topic, "test.%s", name);
    rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(topic, PARTITIONS, 1, NULL, 0);
    rd_kafka_NewTopic_set_config(new_topic, "max.message.bytes", "20000");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &new_topic, 1, NULL, queue);
    rd_kafka_NewTopic_destroy(new_topic);
    admin_wait(queue);
    rd_kafka_queue_destroy(queue);
    while (partitions_with_leaders() < PARTITIONS)
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static void topic_stop(void)
{
    rd_kafka_assign(client, NULL);
    rd_kafka_DeleteTopic_t *gone = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteTopics(client, &gone, 1, NULL, queue);
    rd_kafka_DeleteTopic_destroy(gone);
    admin_wait(queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy_flags(client,
                           RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE); /* it is in no group; closing may hang (2.0.2) */
}

/* --- reading back --- */

static void read_from_start(void)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    ck_assert_int_eq(rd_kafka_assign(client, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
}

static rd_kafka_message_t *next_record(void)
{
    int64_t until = clock_mono_us() + LONG_MS * 1000LL;
    while (clock_mono_us() < until) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 100);
        if (message && !message->err)
            return message;
        if (message)
            rd_kafka_message_destroy(message);
    }
    return NULL;
}

static int64_t log_end(int32_t partition)
{
    int64_t low = -1, high = -1;
    ck_assert_int_eq(rd_kafka_query_watermark_offsets(client, topic, partition, &low, &high, LONG_MS),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    return high;
}

static void assert_header(const rd_kafka_headers_t *headers, const char *name, const char *value)
{
    const void *bytes;
    size_t size;
    ck_assert_msg(rd_kafka_header_get_last(headers, name, &bytes, &size) == RD_KAFKA_RESP_ERR_NO_ERROR, "no header %s",
                  name);
    ck_assert_msg(size == strlen(value) && memcmp(bytes, value, size) == 0, "header %s is \"%.*s\", not \"%s\"", name,
                  (int)size, (const char *)bytes, value);
}

/* --- tests; run without and with a thread of the producer's own --- */

#define RECORDS 1500

START_TEST(every_record_is_at_the_offset_it_was_told)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, (const char *[]){ "kafka.batch.num.messages=50", NULL });
    for (size_t n = 0; n < RECORDS; n++)
        ck_assert(deliveries_append_within(d, topic, (int32_t)(n % PARTITIONS), n, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    for (size_t n = 0; n < RECORDS; n++) {
        struct delivery_seen seen = deliveries_of(d, n);
        ck_assert_int_eq(seen.delivery, DELIVERED);
        ck_assert_int_eq(seen.partition, (int32_t)(n % PARTITIONS));
        ck_assert_int_eq(seen.offset, (int64_t)(n / PARTITIONS));
    }
    read_from_start();
    for (size_t i = 0; i < RECORDS; i++) {
        rd_kafka_message_t *message = next_record();
        ck_assert_ptr_nonnull(message);
        char expected[32];
        int len = snprintf(expected, sizeof expected, "record %ld",
                           (long)(message->offset * PARTITIONS + message->partition));
        ck_assert_mem_eq(message->payload, expected, (size_t)len);
        ck_assert_uint_eq(message->len, (size_t)len);
        rd_kafka_message_destroy(message);
    }
    ck_assert(producer_is_up(d->producer));
    deliveries_finish(d);
}
END_TEST

START_TEST(headers_are_cloudevents_and_the_key_is_text_that_chooses_the_partition)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    struct uuid id, key;
    ck_assert(uuid_parse(STR("01890a5d-ac96-774b-bcce-b302099a8057"), &id));
    ck_assert(uuid_parse(STR("0189F7EA-AE2C-7809-8AEB-B819CF5E9E7F"), &key));
    const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct meta meta = { .id = id, .at = 1767225599123, .trace = str_of(trace) };
    struct append append = { .topic = topic,
                             .partition = -1,
                             .key = key,
                             .payload = STR("payload"),
                             .meta = &meta,
                             .type = "aether.rooms.MessagePosted",
                             .reply_to = STR("gateway-1"),
                             .opaque = (void *)0 };
    ck_assert_int_eq(producer_append(d->producer, &append), OK);
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    meta.trace = (struct str){ 0 };
    append.reply_to = (struct str){ 0 };
    append.opaque = (void *)1;
    ck_assert_int_eq(producer_append(d->producer, &append), OK);
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);

    read_from_start();
    rd_kafka_message_t *message = next_record();
    ck_assert_ptr_nonnull(message);
    const char *text = "0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f";
    ck_assert_uint_eq(message->key_len, UUID_TEXT_LEN);
    ck_assert_mem_eq(message->key, text, UUID_TEXT_LEN);
    ck_assert_int_eq(message->partition,
                     rd_kafka_msg_partitioner_murmur2(NULL, text, UUID_TEXT_LEN, PARTITIONS, NULL, NULL));
    rd_kafka_headers_t *headers;
    ck_assert_int_eq(rd_kafka_message_headers(message, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_uint_eq(rd_kafka_header_cnt(headers), 8);
    assert_header(headers, "ce_specversion", "1.0");
    assert_header(headers, "ce_id", "01890a5d-ac96-774b-bcce-b302099a8057");
    assert_header(headers, "ce_type", "aether.rooms.MessagePosted");
    assert_header(headers, "ce_source", "/aether/test");
    assert_header(headers, "ce_time", "2025-12-31T23:59:59.123Z");
    assert_header(headers, "content-type", "application/avro");
    assert_header(headers, "traceparent", trace);
    assert_header(headers, "aether-reply-to", "gateway-1");
    rd_kafka_message_destroy(message);

    message = next_record();
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(rd_kafka_message_headers(message, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_uint_eq(rd_kafka_header_cnt(headers), 6);
    rd_kafka_message_destroy(message);
    deliveries_finish(d);
}
END_TEST

static err append_of_size(struct deliveries *d, size_t size, size_t n)
{
    static char bytes[30000];
    memset(bytes, 'x', sizeof bytes);
    struct meta meta = { .at = clock_wall_ms() };
    struct append append = { .topic = topic,
                             .partition = 0,
                             .payload = { bytes, size },
                             .meta = &meta,
                             .type = "aether.test.Appended",
                             .opaque = (void *)n };
    return producer_append(d->producer, &append);
}

/* Record 1 is larger than the topic takes, so its request fails for good; record 2 would be taken. A request of its own
 * for each: batch.num.messages. */
static struct deliveries *append_one_the_broker_refuses(bool own_thread)
{
    struct deliveries *d =
        deliveries_start(bootstrap, own_thread, (const char *[]){ "kafka.batch.num.messages=1", NULL });
    ck_assert_int_eq(append_of_size(d, 10, 0), OK);
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(append_of_size(d, 30000, 1), OK);
    err e = append_of_size(d, 10, 2);
    ck_assert(e == OK || (!own_thread && e == RETRY)); /* RETRY: the broker was quicker, and it knows already */
    return d;
}

START_TEST(a_batch_leaves_nothing_behind_a_record_that_failed)
{
    struct deliveries *d = append_one_the_broker_refuses(false);
    /* The caller is busy and does not poll: librdkafka alone must hold back what stands behind. */
    int64_t until = clock_mono_us() + 2000000;
    while (clock_mono_us() < until) {
        ck_assert_int_eq(log_end(0), 1);
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    }
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 1).delivery, NOT_APPENDED);
    ck_assert_int_ne(deliveries_of(d, 2).delivery, DELIVERED);
    ck_assert(deliveries_append_within(d, topic, 0, 3, LONG_MS));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 3).delivery, DELIVERED);
    ck_assert_int_eq(deliveries_of(d, 3).offset, 1);
    deliveries_finish(d);
}
END_TEST

START_TEST(with_an_own_thread_a_record_that_failed_does_not_stop_the_next)
{
    struct deliveries *d = append_one_the_broker_refuses(true);
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_int_eq(deliveries_of(d, 1).delivery, NOT_APPENDED);
    ck_assert_int_eq(deliveries_of(d, 2).delivery, DELIVERED);
    ck_assert_int_eq(deliveries_of(d, 2).offset, 1);
    deliveries_finish(d);
}
END_TEST

START_TEST(a_topic_that_does_not_exist_becomes_fatal_and_nothing_is_appended)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    int64_t until = clock_mono_us() + LONG_MS * 1000LL;
    size_t n = 0;
    err e;
    while ((e = deliveries_append(d, "test.no-such-topic", 0, n)) != FATAL && clock_mono_us() < until && n < 1000) {
        n += e == OK;
        deliveries_wait(d, SIZE_MAX, 20);
    }
    ck_assert_int_eq(e, FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "aether-topics apply"));
    ck_assert_int_eq(producer_flush(d->producer, LONG_MS), OK);
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(deliveries_count(d, NOT_APPENDED), n);
    deliveries_finish(d);
}
END_TEST

START_TEST(an_idle_producer_knows_that_the_broker_is_up)
{
    struct deliveries *d = deliveries_start(bootstrap, _i, NULL);
    int64_t until = clock_mono_us() + LONG_MS * 1000LL;
    while (!producer_is_up(d->producer) && clock_mono_us() < until)
        deliveries_wait(d, SIZE_MAX, 10);
    ck_assert(producer_is_up(d->producer));
    deliveries_finish(d);
}
END_TEST

int main(void)
{
    snprintf(bootstrap, sizeof bootstrap, "%s", suite_server("AETHER_TEST_KAFKA"));
    log_init("producer_broker_test", LOG_LEVEL_ERROR);

    Suite *suite = suite_create("producer, broker");
    TCase *tests = suite_case("real broker");
    tcase_add_checked_fixture(tests, topic_start, topic_stop);
    tcase_add_loop_test(tests, every_record_is_at_the_offset_it_was_told, 0, 2);
    tcase_add_loop_test(tests, headers_are_cloudevents_and_the_key_is_text_that_chooses_the_partition, 0, 2);
    tcase_add_test(tests, a_batch_leaves_nothing_behind_a_record_that_failed);
    tcase_add_test(tests, with_an_own_thread_a_record_that_failed_does_not_stop_the_next);
    tcase_add_loop_test(tests, a_topic_that_does_not_exist_becomes_fatal_and_nothing_is_appended, 0, 2);
    tcase_add_loop_test(tests, an_idle_producer_knows_that_the_broker_is_up, 0, 2);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
