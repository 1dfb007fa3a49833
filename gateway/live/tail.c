#include "gateway/live/tail.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/live/position.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/kafka.h"
#include "ops/runtime/log.h"
#include "topics/topics.h"

#define POLL_MS   100
#define BATCH_MAX 1024
#define RETRY_US  100000
#define FIND_MS   1000
#define WINDOW_US 2000000

/* A record that is decoded; a fact waits for its keys, a signal is an event already. */
struct pending {
    struct event *signal; /* or */
    struct rooms_fact fact;
    int32_t partition;
    int64_t offset;
};

struct tail {
    struct tail_options options;
    struct gateway *gateway;
    int partitions;
    pthread_t thread;
    atomic_bool stopping;
    atomic_bool live; /* it goes on from known positions; changed under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* wanted, live or stopping */
    int64_t wanted_us;      /* when it was woken last, under the lock; 0: never */

    /* the thread's own */
    rd_kafka_t *rk; /* NULL: it rests */
    int64_t anybody_us;
    struct pg *pg;
    struct codec *codec;
    struct arena arena; /* of a batch */
    struct buf scratch;
    struct pending *pending; /* BATCH_MAX */
    size_t pending_count;
    int64_t *next, *told, *command_offset; /* a partition */
    int64_t *end;                          /* a partition's, when it began */
    uint64_t *last;                        /* serial of a partition's newest event */
    uint64_t serial;
    bool moved; /* there is something to tell */
};

void batch_release(struct batch *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < b->count; i++)
        event_release(b->events[i]);
    free(b->next);
    free(b);
}

static bool is_stopping(struct tail *t)
{
    return atomic_load_explicit(&t->stopping, memory_order_relaxed);
}

/* --- reading --- */

static void take_fact(struct tail *t, const rd_kafka_message_t *m)
{
    struct pending *p = &t->pending[t->pending_count];
    *p = (struct pending){ .partition = m->partition, .offset = m->offset };
    t->next[m->partition] = m->offset + 1;
    t->moved = true;
    if (rooms_stream.fact.decode(t->codec, (struct str){ m->payload, m->len }, &t->arena,
                                 (struct any_record *)&p->fact) != OK) {
        LOG(WARN, "the feed passes over a record it cannot read", F_INT("partition", m->partition),
            F_INT("offset", m->offset), F_ERR);
        return;
    }
    if (p->fact.meta.command_offset <= t->command_offset[m->partition])
        return; /* a duplicate of a fenced writer */
    t->command_offset[m->partition] = p->fact.meta.command_offset;
    t->pending_count++;
}

static struct event *typing_event(struct tail *t, struct str framed)
{
    struct typing typing;
    return typing_decode(t->codec, framed, &t->arena, &typing) == OK ? event_of_typing(&typing, &t->scratch) : NULL;
}

static struct event *receipt_event(struct tail *t, struct str framed)
{
    struct read_up_to read;
    return read_up_to_decode(t->codec, framed, &t->arena, &read) == OK ? event_of_receipt(&read, &t->scratch) : NULL;
}

static struct event *session_event(struct tail *t, struct str framed)
{
    struct sessions_fact fact;
    return sessions_stream.fact.decode(t->codec, framed, &t->arena, (struct any_record *)&fact) == OK
               ? event_of_session(&fact)
               : NULL;
}

static struct event *account_event(struct tail *t, struct str framed)
{
    struct accounts_fact fact;
    return accounts_stream.fact.decode(t->codec, framed, &t->arena, (struct any_record *)&fact) == OK
               ? event_of_account(&fact)
               : NULL;
}

/* What is heard from now on, as it comes, and not kept. A duplicate of a fenced writer ends a session twice, which does
 * no harm. Topics of signals: latest wins, so nothing is made of what was before. */
static const struct signal {
    const char *topic;
    struct event *(*event)(struct tail *t, struct str framed);
} signals[] = {
    { "typing.signals", typing_event },
    { "receipts.signals", receipt_event },
    { "sessions.events", session_event },
    { "accounts.events", account_event },
};
#define SIGNALS (sizeof signals / sizeof *signals)

static const struct signal *signal_of(const rd_kafka_message_t *m)
{
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : rooms_stream.events_topic;
    for (size_t i = 0; i < SIGNALS; i++)
        if (strcmp(signals[i].topic, topic) == 0)
            return &signals[i];
    return NULL;
}

static void take_signal(struct tail *t, const struct signal *signal, const rd_kafka_message_t *m)
{
    if (m->err || !m->payload) /* a compacted topic's tombstone */
        return;
    struct event *e = signal->event(t, (struct str){ m->payload, m->len });
    if (!e)
        return; /* an unreadable one is worth no line: anybody may send them, often */
    t->pending[t->pending_count++] = (struct pending){ .signal = e };
    t->moved = true;
}

static void take(struct tail *t, rd_kafka_message_t *m)
{
    const struct signal *signal = signal_of(m);
    if (signal) {
        take_signal(t, signal, m);
    } else if (!m->err) {
        take_fact(t, m);
    } else {
        LOG(WARN, "the feed waits for the log", F_STR("error", rd_kafka_message_errstr(m)));
    }
    rd_kafka_message_destroy(m);
}

static void read_some(struct tail *t)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(t->rk, POLL_MS);
    while (m) {
        take(t, m);
        m = t->pending_count < BATCH_MAX ? rd_kafka_consumer_poll(t->rk, 0) : NULL;
    }
}

/* --- telling --- */

static err open_pending(struct tail *t)
{
    struct uuid *subjects = ARENA_ARRAY(&t->arena, struct uuid, t->pending_count * 8);
    size_t count = 0;
    for (size_t i = 0; i < t->pending_count; i++)
        if (!t->pending[i].signal)
            count += rooms_stream.fact.subjects((struct any_record *)&t->pending[i].fact, subjects + count);
    if (count == 0)
        return OK;
    TRY(vault_fetch(t->gateway->vault, t->pg, subjects, count));
    for (size_t i = 0; i < t->pending_count; i++)
        if (!t->pending[i].signal)
            TRY(rooms_stream.fact.open((struct any_record *)&t->pending[i].fact, t->gateway->vault, &t->arena));
    return OK;
}

/* Waits as long as it takes, or until the tail stops. */
static bool open_patiently(struct tail *t)
{
    err e;
    for (unsigned attempt = 0; (e = open_pending(t)) != OK && !is_stopping(t); attempt++) {
        if (attempt % 50 == 0)
            LOG(WARN, "the feed waits for the keys of what it tells", F_ERR);
        nanosleep(&(struct timespec){ .tv_nsec = RETRY_US * 1000 }, NULL);
    }
    return e == OK;
}

static struct event *encode(struct tail *t, const struct pending *p)
{
    char id[POSITION_TEXT_SIZE(POSITION_MAX_PARTITIONS)];
    if (p->signal)
        return p->signal;
    t->told[p->partition] = p->offset + 1;
    size_t len = position_format(t->told, t->partitions, id);
    struct event *e = event_of_fact(&p->fact, p->partition, p->offset, (struct str){ id, len }, &t->scratch);
    if (!e)
        return NULL;
    e->serial = ++t->serial;
    e->before = t->last[p->partition];
    t->last[p->partition] = e->serial;
    return e;
}

static struct batch *batch_create(const struct tail *t, size_t room)
{
    struct batch *b = mem_alloc(sizeof *b + sizeof *b->events * room);
    size_t size = sizeof *b->next * (size_t)t->partitions;
    atomic_init(&b->references, 1);
    b->next = memcpy(mem_alloc(size), t->next, size);
    return b;
}

static void tell(struct tail *t)
{
    if (t->pending_count > 0 && !open_patiently(t)) {
        for (size_t i = 0; i < t->pending_count; i++)
            event_release(t->pending[i].signal);
        return;
    }
    struct batch *b = batch_create(t, t->pending_count);
    for (size_t i = 0; i < t->pending_count; i++)
        if ((b->events[b->count] = encode(t, &t->pending[i])))
            b->count++;
    memcpy(t->told, t->next, sizeof *t->told * (size_t)t->partitions);
    for (int i = 0; i < t->partitions; i++)
        if (t->told[i] < 0)
            t->told[i] = 0; /* as an id; listeners begin when every partition is known */
    t->options.publish(t->options.context, b);
    batch_release(b);
}

/* --- following and resting --- */

static err consumer_create(struct tail *t)
{
    static const struct kafka_property properties[] = {
        { "group.id", "aether-gateway-live" }, /* asked for, and not used: partitions are assigned by hand */
        { "auto.offset.reset", "earliest" },
        { "fetch.wait.max.ms", "100" }, /* the first fetch asks for some partitions only, and the others wait for it */
        { 0 },
    };
    return kafka_consumer_create(t->gateway->config, "aether-gateway-live", properties, NULL, NULL, &t->rk);
}

/* With its end as the offset. */
static void add_topic(const struct tail *t, rd_kafka_topic_partition_list_t *list, const char *topic)
{
    int partitions = topic_partitions(t->gateway->config, topic);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_END;
}

/* The ends are asked for first, all at once: then nothing is missed from now on, and librdkafka knows the leaders (else
 * it looks for them once in half a second). -1 as a time is the end (ListOffsets, KIP-79). */
static err find_positions(struct tail *t, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(t->rk, list, FIND_MS);
    for (int i = 0; i < list->cnt && !code; i++)
        code = list->elems[i].err;
    if (code)
        return err_set(RETRY, "the ends of what the feed follows are not known: %s", rd_kafka_err2str(code));
    int64_t back = config_int(t->gateway->config, "live.window_events") / t->partitions;
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *p = &list->elems[i];
        if (strcmp(p->topic, rooms_stream.events_topic) == 0) {
            t->end[p->partition] = p->offset;
            t->next[p->partition] = p->offset = p->offset > back ? p->offset - back : 0;
        }
    }
    return OK;
}

static err assign(struct tail *t)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(t->partitions);
    add_topic(t, list, rooms_stream.events_topic);
    for (size_t s = 0; s < SIGNALS; s++)
        add_topic(t, list, signals[s].topic);
    err e = find_positions(t, list);
    if (e == OK) {
        rd_kafka_resp_err_t code = rd_kafka_assign(t->rk, list);
        if (code)
            e = err_set(RETRY, "the feed cannot follow %s: %s", rooms_stream.events_topic, rd_kafka_err2str(code));
    }
    rd_kafka_topic_partition_list_destroy(list);
    return e;
}

/* Nothing is known yet. */
static void forget(struct tail *t)
{
    for (int i = 0; i < t->partitions; i++) {
        t->next[i] = t->command_offset[i] = -1;
        t->told[i] = 0;
        t->last[i] = 0;
    }
}

static void consumer_destroy(struct tail *t)
{
    if (!t->rk)
        return;
    kafka_consumer_destroy(t->rk);
    t->rk = NULL;
}

static void follow_for_a_while(struct tail *t)
{
    read_some(t);
    if (t->moved)
        tell(t);
    t->pending_count = 0;
    t->moved = false;
    arena_reset(&t->arena);
}

/* Under the lock: who wakes it afterwards finds it resting. */
static bool may_rest(struct tail *t)
{
    int64_t now_us = clock_mono_us();
    if (t->options.anybody(t->options.context))
        t->anybody_us = now_us;
    if (now_us - t->anybody_us <= t->options.linger_us)
        return false;
    pthread_mutex_lock(&t->lock);
    bool rests = now_us - t->wanted_us > t->options.linger_us;
    if (rests)
        atomic_store(&t->live, false);
    pthread_mutex_unlock(&t->lock);
    return rests;
}

static void rest(struct tail *t)
{
    consumer_destroy(t);
    forget(t);
    struct batch *b = batch_create(t, 0);
    b->rests = true;
    t->options.publish(t->options.context, b);
    batch_release(b);
}

/* false: it stops. */
static bool wait_until_wanted(struct tail *t)
{
    pthread_mutex_lock(&t->lock);
    while (!is_stopping(t) && (t->wanted_us == 0 || clock_mono_us() - t->wanted_us > t->options.linger_us))
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return !is_stopping(t);
}

static bool has_window(const struct tail *t)
{
    for (int i = 0; i < t->partitions; i++)
        if (t->next[i] < t->end[i])
            return false;
    return true;
}

/* What happens from now on would wait behind it. Not for ever: events may be late, but who may listen is let in. */
static void read_window(struct tail *t)
{
    int64_t until_us = clock_mono_us() + WINDOW_US;
    while (!has_window(t) && !is_stopping(t) && clock_mono_us() < until_us)
        follow_for_a_while(t);
}

static err begin(struct tail *t)
{
    TRY(consumer_create(t));
    TRY(assign(t));
    tell(t); /* where it begins */
    read_window(t);
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->live, true);
    pthread_mutex_unlock(&t->lock);
    pthread_cond_broadcast(&t->changed);
    return OK;
}

static void *follow(void *argument)
{
    struct tail *t = argument;
    while (wait_until_wanted(t)) {
        bool begun = begin(t) == OK;
        if (!begun) {
            LOG(WARN, "the feed waits for the log", F_ERR);
            nanosleep(&(struct timespec){ .tv_nsec = RETRY_US * 1000 }, NULL);
        }
        while (begun && !is_stopping(t) && !may_rest(t))
            follow_for_a_while(t);
        rest(t);
    }
    return NULL;
}

/* --- for those who are let in --- */

void tail_want(struct tail *t)
{
    pthread_mutex_lock(&t->lock);
    t->wanted_us = clock_mono_us();
    bool rests = !atomic_load(&t->live);
    pthread_mutex_unlock(&t->lock);
    if (rests)
        pthread_cond_broadcast(&t->changed);
}

err tail_wake(struct tail *t, int64_t patience_us)
{
    int64_t until_us = clock_mono_us() + patience_us;
    tail_want(t);
    pthread_mutex_lock(&t->lock);
    while (!atomic_load(&t->live) && !is_stopping(t) && condition_wait_until(&t->changed, &t->lock, until_us))
        ;
    bool live = atomic_load(&t->live);
    pthread_mutex_unlock(&t->lock);
    return live ? OK : err_set(RETRY, "the log cannot be read now");
}

bool tail_is_awake(const struct tail *t)
{
    return atomic_load_explicit(&t->live, memory_order_relaxed);
}

void tail_give_up(struct tail *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->stopping, true);
    pthread_mutex_unlock(&t->lock);
    pthread_cond_broadcast(&t->changed);
}

/* --- life --- */

err tail_start(const struct tail_options *options, struct tail **ret)
{
    struct tail *t = mem_alloc(sizeof *t);
    const struct config *config = options->gateway->config;
    size_t partitions = (size_t)options->partitions;
    t->options = *options;
    t->gateway = options->gateway;
    t->partitions = options->partitions;
    t->pending = mem_alloc(sizeof *t->pending * (BATCH_MAX + 1));
    t->next = mem_alloc(sizeof *t->next * partitions);
    t->told = mem_alloc(sizeof *t->told * partitions);
    t->end = mem_alloc(sizeof *t->end * partitions);
    t->command_offset = mem_alloc(sizeof *t->command_offset * partitions);
    t->last = mem_alloc(sizeof *t->last * partitions);
    forget(t);
    pthread_mutex_init(&t->lock, NULL);
    condition_init(&t->changed);
    arena_init(&t->arena, 256 * 1024);
    t->pg = pg_create(config_text(config, "postgres.dsn"), "aether-gateway-live");
    pg_set_timeout(t->pg, (int)config_int(config, "gateway.postgres_timeout_ms"));
    err e = codec_create(config, &t->codec);
    if (e == OK && pthread_create(&t->thread, NULL, follow, t) != 0)
        e = err_set(FATAL, "the thread of the feed's tail could not be started; raise the limit of threads");
    if (e != OK) {
        tail_stop(t);
        return e;
    }
    pthread_setname_np(t->thread, "tail");
    *ret = t;
    return OK;
}

void tail_stop(struct tail *t)
{
    if (!t)
        return;
    tail_give_up(t);
    if (t->thread)
        pthread_join(t->thread, NULL);
    consumer_destroy(t);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    pg_destroy(t->pg);
    codec_destroy(t->codec);
    arena_finish(&t->arena);
    buf_finish(&t->scratch);
    free(t->pending);
    free(t->next);
    free(t->told);
    free(t->end);
    free(t->command_offset);
    free(t->last);
    free(t);
}
