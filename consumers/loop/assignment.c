/* The consumer group gives partitions of <stream>.commands to processes; that is all it is used for. Where reading
 * starts is the checkpoint's business, so the rebalance callback asks PostgreSQL before it assigns, and nothing is ever
 * read from the group's committed offsets. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "consumers/loop/loop.h"
#include "consumers/outcome/owner.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/kafka.h"
#include "ops/runtime/log.h"
#include "ops/runtime/stop.h"

#define RETRY_PAUSE_MS 200

static size_t stream_of_topic(const struct worker *w, const char *commands_topic)
{
    for (size_t s = 0; s < w->stream_count; s++)
        if (strcmp(w->definition->streams[s]->stream->commands_topic, commands_topic) == 0)
            return s;
    abort(); /* we subscribed to nothing else */
}

static struct partition *find_partition(struct worker *w, const char *commands_topic, int32_t number)
{
    for (size_t i = 0; i < w->partition_count; i++) {
        struct partition *p = w->partitions[i];
        if (p->number == number && strcmp(p->worker->stream->commands_topic, commands_topic) == 0)
            return p;
    }
    return NULL;
}

size_t worker_stream_index(const struct worker *w, const struct partition *p)
{
    size_t s = 0;
    while (w->definition->streams[s] != p->worker)
        s++;
    return s;
}

/* Rows of the checkpoint for the partitions that come to us; waits for PostgreSQL as long as it takes, since without
 * them there is nowhere to start. Heartbeats go on in librdkafka's own thread. */
static err load_checkpoints(struct worker *w, struct checkpoint *checkpoints, size_t count)
{
    struct arena arena;
    arena_init(&arena, 0);
    err e = OK;
    for (int attempt = 0; !stop_requested(); attempt++) {
        int64_t *ends = ARENA_ARRAY(&arena, int64_t, count);
        e = OK;
        for (size_t i = 0; i < count && e == OK; i++) {
            const char *topic = arena_printf(&arena, "%s.events", checkpoints[i].stream);
            int64_t low = 0;
            const rd_kafka_resp_err_t code =
                rd_kafka_query_watermark_offsets(w->commands, topic, checkpoints[i].partition, &low, &ends[i], 5000);
            if (code)
                e = err_set(kafka_err(code) == FATAL ? FATAL : RETRY, "%s: %s", topic, rd_kafka_err2str(code));
        }
        if (e == OK)
            e = checkpoint_load(w->read_pg, &arena, checkpoints, ends, count);
        if (e != RETRY)
            break;
        if (attempt % 25 == 0)
            LOG(WARN, "waiting for the checkpoints of newly assigned partitions", F_ERR);
        atomic_store(&w->alive_until_us, clock_mono_us() + 15000000);
        worker_pause(RETRY_PAUSE_MS);
        arena_reset(&arena);
    }
    arena_finish(&arena);
    return stop_requested() ? RETRY : e;
}

/* Where reading of commands starts; older commands may have been deleted by retention. */
static err first_command(struct worker *w, const struct checkpoint *at, const char *topic, int64_t *ret)
{
    int64_t low = 0, high = 0;
    const rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(w->commands, topic, at->partition, &low, &high, 10000);
    if (code)
        return err_set(RETRY, "%s: %s", topic, rd_kafka_err2str(code));
    *ret = at->command_offset + 1;
    if (*ret > high)
        return err_set(
            FATAL,
            "%s/%d ends at offset %lld but the checkpoint stands at %lld: this is not the log the database was "
            "folded from. Point both to the same system, or drop the schema to rebuild",
            topic, at->partition, (long long)high, (long long)at->command_offset);
    if (*ret < low)
        *ret = low;
    return OK;
}

static void partitions_assigned(struct worker *w, rd_kafka_topic_partition_list_t *list)
{
    const size_t count = (size_t)list->cnt;
    struct checkpoint *checkpoints = mem_alloc((count + 1) * sizeof *checkpoints);
    for (size_t i = 0; i < count; i++) {
        const struct stream_worker *sw = w->definition->streams[stream_of_topic(w, list->elems[i].topic)];
        checkpoints[i] = (struct checkpoint){ .stream = sw->stream->name, .partition = list->elems[i].partition };
    }
    err e = count ? load_checkpoints(w, checkpoints, count) : OK;
    for (size_t i = 0; i < count && e == OK; i++) {
        rd_kafka_topic_partition_t *tp = &list->elems[i];
        do {
            e = first_command(w, &checkpoints[i], tp->topic, &tp->offset);
        } while (e == RETRY && !stop_requested());
        if (e != OK || w->partition_count == sizeof w->partitions / sizeof *w->partitions)
            break;
        struct partition *p = mem_alloc(sizeof *p);
        *p = (struct partition){
            .worker = w->definition->streams[stream_of_topic(w, tp->topic)],
            .number = tp->partition,
            .stale = true,
            .at = checkpoints[i],
            .poison = -1,
        };
        w->partitions[w->partition_count++] = p;
    }
    free(checkpoints);
    if (e == FATAL) {
        LOG(ERROR, "cannot take partitions", F_ERR);
        w->failed = true;
        stop_request();
    }
    if (e != OK) { /* stopping: take nothing, so that close can go on */
        rd_kafka_assign(w->commands, NULL);
        return;
    }
    rd_kafka_assign(w->commands, list);
    metrics_set(w->metrics, METRIC_PARTITIONS, (int64_t)w->partition_count);
    LOG(INFO, "partitions assigned", F_INT("count", count));
}

/* While a batch waits for better times no more commands are taken in than fit, but the group must still be served. */
static void pause_partitions(struct worker *w, bool pause)
{
    if (w->paused == pause)
        return;
    rd_kafka_topic_partition_list_t *list = NULL;
    if (rd_kafka_assignment(w->commands, &list) == RD_KAFKA_RESP_ERR_NO_ERROR && list) {
        if (pause)
            rd_kafka_pause_partitions(w->commands, list);
        else
            rd_kafka_resume_partitions(w->commands, list);
        rd_kafka_topic_partition_list_destroy(list);
    }
    w->paused = pause;
}

static void partitions_revoked(struct worker *w)
{
    pause_partitions(w, false); /* a pause would outlive the assignment while anything still refers to the partitions */
    rd_kafka_assign(w->commands, NULL);
    batch_drop(w, 0, w->item_count);
    for (size_t i = 0; i < w->partition_count; i++) {
        partition_finish(w->partitions[i]);
        free(w->partitions[i]);
    }
    LOG(INFO, "partitions revoked", F_INT("count", w->partition_count));
    w->partition_count = 0;
    worker_forget(w);
    metrics_set(w->metrics, METRIC_PARTITIONS, 0);
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)rk;
    struct worker *w = opaque;
    w->assignment_epoch++;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        partitions_assigned(w, list);
    else
        partitions_revoked(w);
}

static err subscribe(struct worker *w)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(WORKER_MAX_STREAMS);
    for (size_t s = 0; s < w->stream_count; s++)
        rd_kafka_topic_partition_list_add(topics, w->definition->streams[s]->stream->commands_topic,
                                          RD_KAFKA_PARTITION_UA);
    const rd_kafka_resp_err_t code = rd_kafka_subscribe(w->commands, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code ? err_set(FATAL, "cannot subscribe to commands: %s", rd_kafka_err2str(code)) : OK;
}

err assignment_open(struct worker *w)
{
    const char *name = w->definition->name;
    char instance[128], number[32];
    snprintf(instance, sizeof instance, "%s-%lld", name, (long long)config_int(w->config, "worker.instance"));
    snprintf(number, sizeof number, "%lld", (long long)config_int(w->config, "worker.session_timeout_ms"));
    /* Static membership: a restarted process gets its partitions back without a rebalance. queued.min.messages stays at
     * its default: a small one makes librdkafka back off for a second. */
    const struct kafka_property properties[] = {
        { "group.id", name },
        { "group.instance.id", instance },
        { "session.timeout.ms", number },
        { "heartbeat.interval.ms", "1000" },
        { "partition.assignment.strategy", "range" },
        { "auto.offset.reset", "earliest" },
        { "fetch.min.bytes", "1" },
        { "queued.max.messages.kbytes", "8192" },
        { 0 },
    };
    TRY(kafka_consumer_create(w->config, instance, properties, rebalance, w, &w->commands));
    return subscribe(w);
}

void assignment_close(struct worker *w)
{
    if (!w->commands)
        return;
    batch_drop(w, 0, w->item_count);
    kafka_consumer_destroy(w->commands);
    w->commands = NULL;
}

static err poll_error(struct worker *w, const rd_kafka_message_t *message)
{
    (void)w;
    if (message->err == RD_KAFKA_RESP_ERR__FATAL || message->err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        return err_set(
            FATAL,
            "the consumer group has put another process in this one's place (worker.instance must be unique): %s",
            rd_kafka_message_errstr(message));
    if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        message->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        return err_set(FATAL, "Kafka refuses: %s", rd_kafka_message_errstr(message));
    if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        LOG(WARN, "reading commands", F_STR("error", rd_kafka_message_errstr(message)));
    return OK;
}

err assignment_collect(struct worker *w, int timeout_ms)
{
    const bool full = w->item_count >= w->item_capacity;
    pause_partitions(w, full);
    int wait = timeout_ms;
    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(w->commands, wait);
        if (!message)
            return OK;
        wait = 0;
        if (message->err) {
            const err e = poll_error(w, message);
            rd_kafka_message_destroy(message);
            if (e != OK)
                return e;
            continue;
        }
        struct partition *p = find_partition(w, rd_kafka_topic_name(message->rkt), message->partition);
        if (!p || message->offset <= p->at.command_offset) {
            rd_kafka_message_destroy(message);
            continue;
        }
        assert(w->item_count < w->item_capacity + ITEM_SLACK);
        w->items[w->item_count++] = (struct item){ .message = message, .partition = p };
        if (w->item_count >= w->item_capacity)
            return OK;
    }
}

static rd_kafka_topic_partition_list_t *positions(const struct worker *w)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)w->partition_count);
    for (size_t i = 0; i < w->partition_count; i++) {
        const struct partition *p = w->partitions[i];
        rd_kafka_topic_partition_list_add(list, p->worker->stream->commands_topic, p->number)->offset =
            p->at.command_offset + 1;
    }
    return list;
}

void assignment_commit_offsets(struct worker *w)
{
    if (w->partition_count == 0)
        return;
    rd_kafka_topic_partition_list_t *list = positions(w);
    rd_kafka_commit(w->commands, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

int64_t assignment_lag(struct worker *w)
{
    int64_t lag = 0;
    for (size_t i = 0; i < w->partition_count; i++) {
        const struct partition *p = w->partitions[i];
        int64_t low = 0, high = 0;
        if (rd_kafka_get_watermark_offsets(w->commands, p->worker->stream->commands_topic, p->number, &low, &high) ==
                RD_KAFKA_RESP_ERR_NO_ERROR &&
            high > p->at.command_offset + 1)
            lag += high - p->at.command_offset - 1;
    }
    return lag;
}

/* How many partitions each stream has, once an assignment: it never changes while a topic is there. */
static err count_partitions(struct worker *w)
{
    if (w->counted_epoch == w->assignment_epoch)
        return OK;
    const struct rd_kafka_metadata *metadata = NULL;
    const rd_kafka_resp_err_t code = rd_kafka_metadata(w->commands, 0, NULL, &metadata, 5000);
    if (code)
        return err_set(RETRY, "the partitions of commands are not known: %s", rd_kafka_err2str(code));
    for (int i = 0; i < metadata->topic_cnt; i++)
        for (size_t s = 0; s < w->stream_count; s++)
            if (strcmp(metadata->topics[i].topic, w->definition->streams[s]->stream->commands_topic) == 0)
                w->stream_partitions[s] = metadata->topics[i].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    w->counted_epoch = w->assignment_epoch;
    return OK;
}

err assignment_tell(struct worker *w)
{
    if (w->partition_count == 0 || recover_needed(w) || !producer_is_up(w->producer))
        return OK;
    TRY(count_partitions(w));
    arena_reset(&w->arena);
    struct owned *owned = ARENA_ARRAY(&w->arena, struct owned, w->partition_count);
    for (size_t i = 0; i < w->partition_count; i++) {
        const struct partition *p = w->partitions[i];
        owned[i] = (struct owned){
            .stream = p->worker->stream->name,
            .partition = p->number,
            .partitions = w->stream_partitions[worker_stream_index(w, p)],
        };
    }
    return owner_tell(w->pg, &w->arena, config_int(w->config, "worker.instance"), owned, w->partition_count);
}
