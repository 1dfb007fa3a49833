/* Who runs what:
 *   - callers append under the read side of `lock`, which keeps the librdkafka handle alive;
 *   - one polling thread (our own, or the caller of producer_poll and producer_flush) runs librdkafka's callbacks, and
 *     is the only one that replaces the handle, never from inside a callback;
 *   - one watching thread asks the broker for metadata while nothing else tells whether it is there, so that the
 *     producer turns appends away at once while the broker is away and takes them again soon after it is back.
 *
 * Every accepted append is counted in `in_flight` until its callback has returned, and librdkafka reports every record
 * it took exactly once (purged ones too), so there is no table of our own: the record carries the caller's opaque. */
#include "producers/producer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/kafka.h"
#include "ops/runtime/log.h"
#include "producers/handle.h"
#include "producers/record.h"

/* How often the watcher asks: while the broker is away, and while nothing was delivered lately. */
#define PROBE_AWAY_MS    100
#define PROBE_QUIET_MS   2000
#define PROBE_TIMEOUT_MS 500
#define UP_FOR_US        5000000

#define POLL_MS 100

struct producer {
    struct handle_options options;
    char *client_id;
    struct buf source; /* ce_source */
    bool own_thread;
    producer_delivered *delivered;
    void *context;

    pthread_rwlock_t lock; /* `handle` and its topics */
    struct handle *handle; /* NULL while it is being replaced */

    atomic_size_t in_flight;
    atomic_bool broken; /* the handle is to be replaced */
    atomic_bool away;   /* an append failed, or all connections are down, and nothing was answered since */
    atomic_bool stopping;
    /* Without own thread: the topic that takes no records, and why; told by the next append to it. */
    char refused_topic[250];
    rd_kafka_resp_err_t refused_code;
    _Atomic int64_t progress_us; /* the last delivery, or the first append after nothing was in flight */
    _Atomic int64_t answered_us; /* the broker's last answer; 0: none yet */

    pthread_mutex_t mutex; /* for the conditions only */
    pthread_cond_t wake;   /* the watcher: away has changed, or stopping */
    pthread_cond_t empty;  /* nothing is in flight */
    pthread_t poller, watcher;
};

const struct setting producer_settings[] = {
    { .name = "producer.max_in_flight",
      .type = SETTING_INT,
      .def = "10000",
      .min = 1,
      .max = 1000000,
      .unit = "records",
      .doc = "Most records that wait for their delivery; more are turned away until some are delivered." },
    { .name = "producer.message_timeout_ms",
      .type = SETTING_INT,
      .def = "4000",
      .min = 500,
      .max = 60000,
      .unit = "ms",
      .doc = "How long a record may wait for its delivery before its outcome is called unknown. Below "
             "gateway.deadline_ms." },
    { .name = NULL },
};

/* --- the broker: there or away --- */

static void broker_away(struct producer *p, const char *reason)
{
    if (atomic_exchange(&p->away, true))
        return;
    LOG(WARN, "broker away, appends are turned away", F_STR("client", p->client_id), F_STR("reason", reason));
    pthread_mutex_lock(&p->mutex);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

static void broker_answered(struct producer *p)
{
    atomic_store(&p->answered_us, clock_mono_us());
    if (atomic_load_explicit(&p->away, memory_order_relaxed) && atomic_exchange(&p->away, false))
        LOG(INFO, "broker back", F_STR("client", p->client_id));
}

static int64_t in_ms(int ms)
{
    return clock_mono_us() + 1000 * (int64_t)ms;
}

static void probe(struct producer *p)
{
    pthread_rwlock_rdlock(&p->lock);
    if (p->handle) {
        const struct rd_kafka_metadata *metadata = NULL;
        if (rd_kafka_metadata(p->handle->rk, 0, NULL, &metadata, PROBE_TIMEOUT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(metadata);
            broker_answered(p);
        }
    }
    pthread_rwlock_unlock(&p->lock);
}

static void *watch(void *argument)
{
    struct producer *p = argument;
    pthread_mutex_lock(&p->mutex);
    while (!atomic_load(&p->stopping)) {
        bool away = atomic_load(&p->away);
        int64_t quiet_us = clock_mono_us() - atomic_load(&p->answered_us);
        if (away || quiet_us >= PROBE_QUIET_MS * 1000LL) {
            pthread_mutex_unlock(&p->mutex);
            probe(p);
            pthread_mutex_lock(&p->mutex);
        }
        if (atomic_load(&p->stopping))
            break;
        (void)condition_wait_until(&p->wake, &p->mutex,
                                   in_ms(atomic_load(&p->away) ? PROBE_AWAY_MS : PROBE_QUIET_MS / 2));
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

bool producer_is_up(const struct producer *p)
{
    int64_t answered = atomic_load(&p->answered_us);
    return answered && !atomic_load(&p->away) && clock_mono_us() - answered < UP_FOR_US;
}

/* --- librdkafka's callbacks, on the polling thread --- */

static void in_flight_less(struct producer *p)
{
    if (atomic_fetch_sub(&p->in_flight, 1) == 1 && p->own_thread) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->empty);
        pthread_mutex_unlock(&p->mutex);
    }
}

/* A batch that fails takes the handle with it, and what librdkafka had learnt of the topic. */
static void note_refusal(struct producer *p, const char *topic, rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        p->refused_code = code;
        snprintf(p->refused_topic, sizeof p->refused_topic, "%s", topic);
    }
}

static bool is_purged(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct producer *p = opaque;
    enum delivery delivery = UNKNOWN;
    int64_t offset = -1;
    rd_kafka_msg_status_t status = rd_kafka_message_status(message);

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || status == RD_KAFKA_MSG_STATUS_PERSISTED) {
        delivery = DELIVERED;
        offset = message->offset >= 0 ? message->offset : -1;
        atomic_store_explicit(&p->progress_us, clock_mono_us(), memory_order_relaxed);
        broker_answered(p);
    } else {
        if (status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
            delivery = NOT_APPENDED;
        if (!p->own_thread) {
            atomic_store(&p->broken, true);
            note_refusal(p, rd_kafka_topic_name(message->rkt), message->err);
        }
        err kind = kafka_err(message->err);
        if (kind == RETRY && !is_purged(message->err))
            broker_away(p, rd_kafka_err2name(message->err));
        (void)err_set(kind, "append to %s [%d] %s: %s", rd_kafka_topic_name(message->rkt), (int)message->partition,
                      delivery == UNKNOWN ? "has an unknown outcome" : "failed", rd_kafka_err2str(message->err));
    }
    p->delivered(p->context, message->_private, delivery, message->partition, offset);
    in_flight_less(p);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    struct producer *p = opaque;
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
    else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        broker_away(p, reason);
}

/* --- the handle --- */

/* On the polling thread, outside callbacks. Appends are turned away until the new handle is in place. */
static void renew(struct producer *p)
{
    pthread_rwlock_wrlock(&p->lock);
    struct handle *old = p->handle;
    p->handle = NULL;
    pthread_rwlock_unlock(&p->lock);

    if (old) {
        char reason[256] = "a batch was given up";
        (void)rd_kafka_fatal_error(old->rk, reason, sizeof reason);
        LOG(WARN, "producer renewed", F_STR("client", p->client_id), F_STR("reason", reason),
            F_INT("in_flight", producer_in_flight(p)));
        handle_give_up(old);
    }

    struct handle *new;
    if (handle_create(&p->options, &new) != OK) { /* tried again at the next poll: `broken` stays */
        LOG(ERROR, "producer not renewed", F_ERR);
        return;
    }
    pthread_rwlock_wrlock(&p->lock);
    p->handle = new;
    pthread_rwlock_unlock(&p->lock);
    atomic_store(&p->broken, false);
}

static bool is_batch_overdue(const struct producer *p)
{
    return !p->own_thread && producer_in_flight(p) > 0 &&
           clock_mono_us() - atomic_load(&p->progress_us) > p->options.message_timeout_ms * 1000LL;
}

/* `handle` is read without the lock: only this thread replaces it. */
static void poll_once(struct producer *p, int timeout_ms)
{
    if (p->handle) {
        rd_kafka_poll(p->handle->rk, timeout_ms);
    } else {
        struct timespec pause = { timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000 };
        nanosleep(&pause, NULL);
    }
    if (is_batch_overdue(p)) {
        broker_away(p, "a batch was not answered in time");
        atomic_store(&p->broken, true);
    }
    if (atomic_load(&p->broken))
        renew(p);
}

static void *poll_thread(void *argument)
{
    struct producer *p = argument;
    while (!atomic_load(&p->stopping))
        poll_once(p, POLL_MS);
    return NULL;
}

/* --- append --- */

/* Called with the read lock, returns with it. NULL: the handle is gone. */
static rd_kafka_topic_t *topic_get(struct producer *p, const char *name)
{
    rd_kafka_topic_t *topic = p->handle ? handle_find_topic(p->handle, name) : NULL;
    if (topic || !p->handle)
        return topic;

    pthread_rwlock_unlock(&p->lock);
    pthread_rwlock_wrlock(&p->lock);
    if (p->handle && !handle_find_topic(p->handle, name))
        handle_add_topic(p->handle, name);
    pthread_rwlock_unlock(&p->lock);
    pthread_rwlock_rdlock(&p->lock);
    return p->handle ? handle_find_topic(p->handle, name) : NULL;
}

void producer_expect(struct producer *p, const char *name)
{
    pthread_rwlock_rdlock(&p->lock);
    (void)topic_get(p, name);
    pthread_rwlock_unlock(&p->lock);
}

static err being_renewed(void)
{
    return err_set(RETRY, "the Kafka producer is being renewed; try again");
}

static err refused(const struct append *a, rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return err_set(RETRY, "too many bytes wait for Kafka; try again when some are delivered");
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return err_set(FATAL, "topic %s or its partition %d does not exist; run: aether-topics apply", a->topic,
                       (int)a->partition);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return err_set(REJECT, "a record of %zu bytes for %s is larger than message.max.bytes", a->payload.len,
                       a->topic);
    default:
        return err_set(kafka_err(code), "append to %s failed: %s", a->topic, rd_kafka_err2str(code));
    }
}

err producer_append(struct producer *p, const struct append *append)
{
    if (p->refused_code && strcmp(p->refused_topic, append->topic) == 0) {
        rd_kafka_resp_err_t code = p->refused_code;
        p->refused_code = RD_KAFKA_RESP_ERR_NO_ERROR;
        return refused(append, code);
    }
    if (atomic_load(&p->broken)) {
        /* Without a thread of our own nobody may come to poll; with nothing in flight no callback can run in here. */
        if (!p->own_thread && producer_in_flight(p) == 0)
            renew(p);
        if (atomic_load(&p->broken))
            return being_renewed();
    }
    if (atomic_load_explicit(&p->away, memory_order_relaxed))
        return err_set(RETRY, "Kafka does not answer; try again when it is back");

    size_t before = atomic_fetch_add(&p->in_flight, 1);
    if (before >= p->options.max_in_flight) {
        in_flight_less(p);
        return err_set(RETRY, "%zu records wait for Kafka (producer.max_in_flight); try again when some are delivered",
                       before);
    }
    if (before == 0)
        atomic_store_explicit(&p->progress_us, clock_mono_us(), memory_order_relaxed);

    pthread_rwlock_rdlock(&p->lock);
    rd_kafka_topic_t *topic = topic_get(p, append->topic);
    rd_kafka_error_t *error = topic ? record_produce(p->handle->rk, topic, buf_view(&p->source), append) : NULL;
    pthread_rwlock_unlock(&p->lock);
    if (topic && !error)
        return OK;

    in_flight_less(p);
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    if (rd_kafka_error_is_fatal(error))
        atomic_store(&p->broken, true);
    rd_kafka_error_destroy(error);
    return topic && !atomic_load(&p->broken) ? refused(append, code) : being_renewed();
}

size_t producer_in_flight(const struct producer *p)
{
    return atomic_load(&p->in_flight);
}

void producer_poll(struct producer *p, int timeout_ms)
{
    if (!p->own_thread)
        poll_once(p, timeout_ms);
}

static void wait_empty(struct producer *p, int timeout_ms)
{
    const int64_t until_us = in_ms(timeout_ms);
    pthread_mutex_lock(&p->mutex);
    while (producer_in_flight(p) > 0 && condition_wait_until(&p->empty, &p->mutex, until_us))
        ;
    pthread_mutex_unlock(&p->mutex);
}

err producer_flush(struct producer *p, int timeout_ms)
{
    if (p->own_thread) {
        wait_empty(p, timeout_ms);
    } else {
        int64_t now = clock_mono_us(), until = now + timeout_ms * 1000LL;
        for (; producer_in_flight(p) > 0 && now < until; now = clock_mono_us()) {
            int64_t left_ms = (until - now + 999) / 1000;
            poll_once(p, left_ms < POLL_MS ? (int)left_ms : POLL_MS);
        }
    }
    size_t left = producer_in_flight(p);
    return left ? err_set(RETRY, "%zu records still wait for Kafka after %d ms", left, timeout_ms) : OK;
}

/* --- life --- */

err producer_create(const struct config *config, const char *client_id, bool own_thread, producer_delivered *delivered,
                    void *context, struct producer **ret)
{
    struct producer *p = mem_alloc(sizeof *p);
    p->client_id = mem_copy_string(client_id);
    p->own_thread = own_thread;
    p->delivered = delivered;
    p->context = context;
    p->options = (struct handle_options){
        .config = config,
        .client_id = p->client_id,
        .prefix = !own_thread,
        .max_in_flight = (size_t)config_int(config, "producer.max_in_flight"),
        .message_timeout_ms = (int)config_int(config, "producer.message_timeout_ms"),
        .on_delivery = on_delivery,
        .on_error = on_error,
        .opaque = p,
    };
    buf_printf(&p->source, "/aether/%s", client_id);
    err e = handle_create(&p->options, &p->handle);
    if (e != OK) {
        buf_finish(&p->source);
        free(p->client_id);
        free(p);
        return e;
    }
    pthread_rwlock_init(&p->lock, NULL);
    pthread_mutex_init(&p->mutex, NULL);
    condition_init(&p->wake);
    condition_init(&p->empty);

    bool watching = pthread_create(&p->watcher, NULL, watch, p) == 0;
    if (!watching || (own_thread && pthread_create(&p->poller, NULL, poll_thread, p) != 0))
        abort(); /* as an allocation that fails: the process cannot work, a restart may */
    *ret = p;
    return OK;
}

void producer_destroy(struct producer *p)
{
    if (!p)
        return;
    if (producer_flush(p, p->options.message_timeout_ms) != OK)
        LOG(WARN, "producer stops with records in flight", F_STR("client", p->client_id), F_ERR);

    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->stopping, true);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->watcher, NULL);
    if (p->own_thread)
        pthread_join(p->poller, NULL);

    struct handle *last = p->handle;
    p->handle = NULL; /* callbacks may still want to append */
    handle_give_up(last);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->empty);
    pthread_mutex_destroy(&p->mutex);
    pthread_rwlock_destroy(&p->lock);
    buf_finish(&p->source);
    free(p->client_id);
    free(p);
}
