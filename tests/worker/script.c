#include "tests/worker/script.h"

#include <stdlib.h>
#include <time.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/kafka.h"
#include "ops/runtime/processors.h"
#include "tests/settings.h"
#include "tests/suite.h"

#define LONG_MS 20000 /* waits end when the condition holds; this is when they are called failed */
#define KEY     "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

struct script script;

/* --- Kafka --- */

static rd_kafka_queue_t *admin_begin(void)
{
    return rd_kafka_queue_new(script.client);
}

static void admin_end(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, LONG_MS);
    ck_assert_ptr_nonnull(event);
    ck_assert_msg(rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "%s", rd_kafka_event_error_string(event));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
}

static bool has_leaders(const char *const *topics, size_t count)
{
    const struct rd_kafka_metadata *metadata;
    size_t found = 0;
    if (rd_kafka_metadata(script.client, 1, NULL, &metadata, LONG_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    for (int i = 0; i < metadata->topic_cnt; i++)
        for (size_t k = 0; k < count; k++)
            for (int p = 0; strcmp(metadata->topics[i].topic, topics[k]) == 0 && p < metadata->topics[i].partition_cnt;
                 p++)
                found += metadata->topics[i].partitions[p].leader >= 0;
    rd_kafka_metadata_destroy(metadata);
    return found == count * SCRIPT_PARTITIONS;
}

static void create_topics(void)
{
    const char *const names[] = { script.commands_topic, script.events_topic, script.signals_topic,
                                  script.parked_topic };
    enum { COUNT = sizeof names / sizeof *names };
    rd_kafka_NewTopic_t *topics[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        topics[i] = rd_kafka_NewTopic_new(names[i], SCRIPT_PARTITIONS, 1, NULL, 0);
    rd_kafka_queue_t *queue = admin_begin();
    rd_kafka_CreateTopics(script.client, topics, COUNT, NULL, queue);
    rd_kafka_NewTopic_destroy_array(topics, COUNT);
    admin_end(queue);
    while (!has_leaders(names, COUNT))
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

static void delete_topics(void)
{
    const char *const names[] = { script.commands_topic, script.events_topic, script.signals_topic,
                                  script.parked_topic };
    enum { COUNT = sizeof names / sizeof *names };
    rd_kafka_DeleteTopic_t *topics[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        topics[i] = rd_kafka_DeleteTopic_new(names[i]);
    rd_kafka_queue_t *queue = admin_begin();
    rd_kafka_DeleteTopics(script.client, topics, COUNT, NULL, queue);
    rd_kafka_DeleteTopic_destroy_array(topics, COUNT);
    admin_end(queue);
}

static rd_kafka_t *client_create(void)
{
    rd_kafka_conf_t *conf;
    ck_ok(kafka_conf(script.config, "script", &conf));
    ck_ok(kafka_conf_set(conf, "group.id", "none"));
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    ck_assert_ptr_nonnull(client);
    return client;
}

/* --- life --- */

static struct config *configured(int instance, const char *const *more)
{
    static const struct setting *const tables[] = {
        runtime_settings, processors_settings, worker_settings, vault_settings, codec_settings, producer_settings, NULL
    };
    char dsn[1024], servers[256], number[32];
    snprintf(dsn, sizeof dsn, "postgres.dsn=%s", database_dsn(&script.database, &script.arena));
    snprintf(servers, sizeof servers, "kafka.bootstrap.servers=%s", suite_server("AETHER_TEST_KAFKA"));
    snprintf(number, sizeof number, "worker.instance=%d", instance);
    const char *pairs[16] = {
        dsn, servers, number, "vault.master_key=" KEY, "vault.index_key=" KEY, "worker.session_timeout_ms=3000",
    };
    for (size_t i = 6; more && *more && i < 15; i++)
        pairs[i] = *more++;
    return settings_of(tables, pairs);
}

static void on_delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    (void)context, (void)opaque, (void)partition;
    ck_assert_int_eq(delivery, DELIVERED);
    script.last_offset = offset;
}

void script_open(void)
{
    char id[UUID_TEXT_LEN + 1];
    memset(&counter, 0, sizeof counter);
    memset(&script, 0, sizeof script);
    unsetenv("PGOPTIONS"); /* of a worker before */
    arena_init(&script.arena, 0);
    database_create(&script.database, (const struct worker_definition *const[]){ NULL });

    uuid_format(uuid_v7(clock_wall_ms()), id);
    snprintf(script.name, sizeof script.name, "loop_%.8s%.4s%.12s", id, id + 9, id + 24);
    snprintf(script.commands_topic, sizeof script.commands_topic, "%s.commands", script.name);
    snprintf(script.events_topic, sizeof script.events_topic, "%s.events", script.name);
    snprintf(script.signals_topic, sizeof script.signals_topic, "%s.signals", script.name);
    snprintf(script.parked_topic, sizeof script.parked_topic, "%s.parked", script.name);
    database_run(&script.database, arena_printf(&script.arena, "SET search_path = %s, public", script.name));
    script.stream = rooms_stream;
    script.stream.name = script.name;
    script.stream.commands_topic = script.commands_topic;
    script.stream.events_topic = script.events_topic;
    script.definition = counter_definition(script.name, &script.worker, script.streams, &script.stream, &script.signals,
                                           script.signals_topic);

    script.config = configured(9999, NULL);
    script.client = client_create();
    create_topics();
    ck_ok(codec_create(NULL, &script.codec));
    ck_ok(producer_create(script.config, "script", false, on_delivered, NULL, &script.producer));
}

void script_close(void)
{
    producer_destroy(script.producer);
    codec_destroy(script.codec);
    delete_topics();
    rd_kafka_destroy_flags(script.client,
                           RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE); /* it is in no group; closing may hang (2.0.2) */
    config_destroy(script.config);
    database_destroy(&script.database);
    arena_finish(&script.arena);
}

/* --- the log --- */

static void write_record(const char *topic, int32_t partition, char key, const struct meta *meta, struct str payload)
{
    const struct append append = {
        .topic = topic,
        .partition = partition,
        .key = counter_id((uint8_t)key),
        .payload = payload,
        .meta = meta,
        .type = "script",
    };
    const int64_t until = clock_mono_us() + LONG_MS * 1000;
    err e;
    while ((e = producer_append(script.producer, &append)) == RETRY && clock_mono_us() < until)
        producer_poll(script.producer, 10);
    ck_ok(e);
    ck_ok(producer_flush(script.producer, LONG_MS));
}

static void write_encoded(const char *topic, const struct record_union *of, char key, const struct any_record *record)
{
    struct buf out = { 0 };
    ck_ok(of->encode(script.codec, record, &out));
    write_record(topic, 0, key, &record->meta, buf_view(&out));
    buf_finish(&out);
}

void write_copy(char key, uint8_t label, struct uuid id)
{
    const struct rooms_command command = {
        .type = ROOMS_PIN_MESSAGE,
        .pin_message = {
            .meta = { .id = id, .command_id = id, .at = clock_wall_ms(), .request_hash = STR("hash") },
            .room_id = counter_id((uint8_t)key),
            .message_id = counter_id(label),
        },
    };
    write_encoded(script.commands_topic, &rooms_stream.command, key, (const struct any_record *)&command);
}

struct uuid write_command(char key, uint8_t label)
{
    const struct uuid id = uuid_v7(clock_wall_ms());
    write_copy(key, label, id);
    return id;
}

void write_fact(char key, int64_t number, uint8_t label, int64_t command_offset, struct uuid command_id)
{
    const struct rooms_fact fact = {
        .type = ROOMS_MESSAGE_PINNED,
        .message_pinned = {
            .meta = {
                .id = uuid_v7(clock_wall_ms()),
                .command_id = command_id,
                .at = clock_wall_ms(),
                .command_offset = command_offset,
                .request_hash = STR("hash"),
            },
            .room_id = counter_id((uint8_t)key),
            .message_id = counter_id(label),
            .seq = number,
        },
    };
    write_encoded(script.events_topic, &rooms_stream.fact, key, (const struct any_record *)&fact);
}

void write_garbage(const char *topic, char key)
{
    const struct meta meta = { .at = clock_wall_ms() };
    write_record(topic, 0, key, &meta, STR("\xde\xad\xbe\xef"));
}

void write_signal(int32_t partition)
{
    const struct meta meta = { .at = clock_wall_ms() };
    write_record(script.signals_topic, partition, 's', &meta, STR("signal"));
}

void take_before(const char *topic, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    rd_kafka_DeleteRecords_t *records = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = admin_begin();
    rd_kafka_DeleteRecords(script.client, &records, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(records);
    rd_kafka_topic_partition_list_destroy(list);
    admin_end(queue);
    int64_t low = 0, high = 0;
    ck_assert_int_eq(rd_kafka_query_watermark_offsets(script.client, topic, 0, &low, &high, LONG_MS), 0);
    ck_assert_int_eq(low, offset);
}

int64_t log_end(const char *topic, int32_t partition)
{
    int64_t low = 0, high = 0;
    ck_assert_int_eq(rd_kafka_query_watermark_offsets(script.client, topic, partition, &low, &high, LONG_MS), 0);
    return high;
}

/* --- workers --- */

struct worker *worker_of(int instance, const char *const *more)
{
    struct worker *w = mem_alloc(sizeof *w);
    w->definition = &script.definition;
    w->config = configured(instance, more);
    ck_ok(worker_start(w));
    return w;
}

void worker_end(struct worker *w)
{
    worker_finish(w);
    free(w);
}

void turn_until(struct worker *const *workers, size_t count, const char *sql, const char *value)
{
    const int64_t until = clock_mono_us() + LONG_MS * 1000;
    const char *is = "";
    do {
        for (size_t i = 0; i < count; i++)
            ck_ok(worker_turn(workers[i]));
        is = value_of(sql);
    } while (strcmp(is, value) != 0 && clock_mono_us() < until);
    ck_assert_msg(strcmp(is, value) == 0, "%s gives '%s', not '%s'; folded: %s", sql, is, value, folded());
}

void turn_past(struct worker *w, int64_t command_offset)
{
    char value[32];
    snprintf(value, sizeof value, "%lld", (long long)command_offset);
    turn_until(&w, 1, "SELECT command_offset FROM checkpoint WHERE partition = 0", value);
}

void turn_owning(struct worker *const *workers, size_t count, const struct worker *who, size_t partitions)
{
    const int64_t until = clock_mono_us() + LONG_MS * 1000;
    while ((who->partition_count != partitions || recover_needed(who)) && clock_mono_us() < until)
        for (size_t i = 0; i < count; i++)
            ck_ok(worker_turn(workers[i]));
    ck_assert_uint_eq(who->partition_count, partitions);
}

/* --- what came of it --- */

const char *value_of(const char *sql)
{
    const struct str value = database_value(&script.database, &script.arena, sql);
    return arena_printf(&script.arena, "%.*s", (int)value.len, value.ptr);
}

const char *folded(void)
{
    return value_of(
        "SELECT string_agg(chr(get_byte(uuid_send(key), 15)) || number || ':' || get_byte(uuid_send(label), 15),"
        " ' ' ORDER BY position) FROM counted");
}

const char *outcome_of(struct uuid command)
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(command, id);
    const char *value = value_of(arena_printf(
        &script.arena, "SELECT rejection || '@' || fact_offset FROM operations WHERE command_id = '%s'", id));
    return *value ? value : "-";
}

const char *parked_events(void)
{
    return value_of(arena_printf(
        &script.arena, "SELECT string_agg(\"offset\"::text, ' ' ORDER BY \"offset\") FROM parked WHERE topic = '%s'",
        script.events_topic));
}
