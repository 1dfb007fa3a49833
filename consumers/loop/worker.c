/* The worker's program: starts what the loop needs and turns it.
 *
 *     collect commands → recover what is stale → run a batch → chores when idle
 *
 * One thread. A failure that may heal makes everything stale and is tried again after a growing pause, during which the
 * group is served; a failure that does not heal ends the process with one line, and its supervisor starts it again. */
#include "consumers/loop/worker.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consumers/loop/loop.h"
#include "consumers/outcome/owner.h"
#include "consumers/projection/migration.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "ops/runtime/processors.h"
#include "ops/runtime/program.h"
#include "ops/runtime/stop.h"

#define IDLE_POLL_MS     250
#define SIGNALS_POLL_MS  25  /* while a topic of signals is followed, which comes over another queue */
#define CACHE_POLL_MS    20  /* while Redis misses something: it may come back with what is old by now */
#define REDIS_TIMEOUT_MS 100 /* a Redis that stalls holds a batch up for this long, a few times a second */
#define CHORES_EVERY_US  1000000
#define ALIVE_FOR_US     15000000
#define GATHER_FROM      8 /* commands */
#define GATHER_MOST_US   5000
#define GATHER_SLICE_US  500
#define FIRST_PAUSE_MS   50
#define LONGEST_PAUSE_MS 2000

const struct setting worker_settings[] = {
    { "worker.instance", SETTING_INT, .def = "0", .min = 0, .max = 9999,
      .doc = "Number of this process among those of its kind; unique. A restarted process keeps its partitions." },
    { "worker.batch_records", SETTING_INT, .def = "2048", .min = 1, .max = 20000, .unit = "records",
      .doc = "Most commands that are decided and committed together." },
    { "worker.rebuild_records", SETTING_INT, .def = "4096", .min = 1, .max = 50000, .unit = "records",
      .doc = "Most facts that are folded together while a projection is rebuilt; 4 MiB of them are enough, too." },
    { "worker.tail_records", SETTING_INT, .def = "50000", .min = 1000, .max = 1000000, .unit = "records",
      .doc = "Most facts behind the checkpoint that are kept in memory as outcomes; when there are more, they are "
             "folded first." },
    { "worker.state_entries", SETTING_INT, .def = "200000", .min = 100, .max = 10000000, .unit = "entries",
      .doc = "Rooms, members, accounts … that are kept in memory for deciding; beyond it the memory is emptied and "
             "read again." },
    { "worker.session_timeout_ms", SETTING_INT, .def = "6000", .min = 3000, .max = 300000, .unit = "ms",
      .doc = "After this silence Kafka gives a process's partitions to others." },
    { "worker.operations_hours", SETTING_INT, .def = "168", .min = 1, .max = 8760, .unit = "hours",
      .doc = "How long outcomes are kept: for GET /operations/{id}, and for Idempotency-Key." },
    { "worker.metrics_address", SETTING_TEXT, .def = "127.0.0.1", .min = 1, .max = 64,
      .doc = "Address of /metrics and /health." },
    { "worker.metrics_port", SETTING_INT, .def = "0", .min = 0, .max = 65535,
      .doc = "Port of /metrics and /health; 0 picks one." },
    { .name = NULL },
};

static const struct metric metric_table[WORKER_METRICS] = {
    [METRIC_ACCEPTED] = { "aether_worker_commands_total", "outcome=\"accepted\"", METRIC_COUNTER,
                          "Commands by outcome." },
    [METRIC_REJECTED] = { "aether_worker_commands_total", "outcome=\"rejected\"", METRIC_COUNTER,
                          "Commands by outcome." },
    [METRIC_DUPLICATES] = { "aether_worker_commands_total", "outcome=\"duplicate\"", METRIC_COUNTER,
                            "Commands by outcome." },
    [METRIC_LOOKED_UP] = { "aether_worker_lookups_total", NULL, METRIC_COUNTER,
                           "Commands that might have had an outcome, so that it was looked for." },
    [METRIC_PARKED] = { "aether_worker_parked_total", NULL, METRIC_COUNTER, "Records that were parked." },
    [METRIC_FOLDED] = { "aether_worker_facts_total", "phase=\"decided\"", METRIC_COUNTER,
                        "Facts folded into the projection." },
    [METRIC_REBUILT] = { "aether_worker_facts_total", "phase=\"rebuilt\"", METRIC_COUNTER,
                         "Facts folded into the projection." },
    [METRIC_BATCHES] = { "aether_worker_batches_total", NULL, METRIC_COUNTER, "Batches committed." },
    [METRIC_RECOVERIES] = { "aether_worker_recoveries_total", NULL, METRIC_COUNTER,
                            "Times the log was read from the checkpoint to its end." },
    [METRIC_FAILURES] = { "aether_worker_failures_total", NULL, METRIC_COUNTER,
                          "Batches and recoveries that were tried again." },
    [METRIC_PARTITIONS] = { "aether_worker_partitions", NULL, METRIC_GAUGE,
                            "Partitions of commands that this process owns." },
    [METRIC_REBUILDING] = { "aether_worker_recovering", NULL, METRIC_GAUGE,
                            "1 while the log is read from the checkpoint to its end." },
    [METRIC_LAG] = { "aether_worker_lag", NULL, METRIC_GAUGE,
                     "Commands of the owned partitions that have no outcome yet." },
    [METRIC_CACHE_DOWN] = { "aether_worker_cache_down", NULL, METRIC_GAUGE, "1 while Redis misses what is folded." },
    [METRIC_LOAD_SECONDS] = { "aether_worker_phase_seconds", "phase=\"decide\"", METRIC_HISTOGRAM,
                              "Time of a batch by phase." },
    [METRIC_APPEND_SECONDS] = { "aether_worker_phase_seconds", "phase=\"append\"", METRIC_HISTOGRAM,
                                "Time of a batch by phase." },
    [METRIC_COMMIT_SECONDS] = { "aether_worker_phase_seconds", "phase=\"commit\"", METRIC_HISTOGRAM,
                                "Time of a batch by phase." },
    [METRIC_REPLY_SECONDS] = { "aether_worker_phase_seconds", "phase=\"reply\"", METRIC_HISTOGRAM,
                               "Time of a batch by phase." },
    [METRIC_BATCH_SECONDS] = { "aether_worker_batch_seconds", NULL, METRIC_HISTOGRAM,
                               "Time of a batch from its commands to its replies." },
};

static void delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    (void)context;
    (void)partition;
    struct item *item = opaque;
    if (!item) /* a parked record */
        return;
    item->delivery = delivery;
    item->delivered = true;
    item->delivered_offset = offset;
}

void worker_forget(struct worker *w)
{
    for (size_t i = 0; i < w->partition_count; i++)
        partition_forget(w->partitions[i]);
    for (size_t s = 0; s < w->stream_count; s++)
        w->definition->streams[s]->state_clear(w->states[s]);
}

void worker_pause(int ms)
{
    struct pollfd stop = { .fd = stop_fd(), .events = POLLIN };
    (void)poll(&stop, 1, ms);
}

static void wait_serving_group(struct worker *w, int pause_ms)
{
    const int64_t until = clock_mono_us() + pause_ms * 1000;
    while (!stop_requested() && clock_mono_us() < until) {
        atomic_store(&w->alive_until_us, clock_mono_us() + ALIVE_FOR_US);
        /* Items at hand: collect returns at once when more arrive, which must not turn into a busy loop. */
        const int slice = pause_ms < 50 ? pause_ms : 50;
        if (assignment_collect(w, slice) != OK)
            return; /* the next collect says it again */
        if (w->item_count > 0)
            worker_pause(slice);
    }
}

static void chores(struct worker *w)
{
    const int64_t now = clock_mono_us();
    if (now < w->chores_at_us)
        return;
    w->chores_at_us = now + CHORES_EVERY_US;
    if (assignment_tell(w) != OK)
        LOG(WARN, "gateways are not told which partitions are decided here", F_ERR);
    assignment_commit_offsets(w);
    metrics_set(w->metrics, METRIC_LAG, assignment_lag(w));
    if (repair(w) != OK)
        LOG(WARN, "parked records not looked after", F_ERR);
    const int64_t before = clock_wall_ms() - config_int(w->config, "worker.operations_hours") * 3600000;
    arena_reset(&w->arena);
    if (operation_expire(w->pg, &w->arena, before, &w->expire_from) != OK)
        LOG(WARN, "old outcomes not deleted", F_ERR);
}

static void trim_states(struct worker *w)
{
    const size_t limit = (size_t)config_int(w->config, "worker.state_entries");
    for (size_t s = 0; s < w->stream_count; s++)
        if (w->definition->streams[s]->state_size(w->states[s]) > limit)
            w->definition->streams[s]->state_clear(w->states[s]);
}

static err decide_and_fold(struct worker *w)
{
    if (recover_needed(w)) {
        metrics_set(w->metrics, METRIC_REBUILDING, 1);
        const err e = recover(w);
        metrics_set(w->metrics, METRIC_REBUILDING, 0);
        TRY(e);
        w->chores_at_us = 0; /* gateways are told at once that the partitions are decided here */
    }
    if (w->item_count == 0)
        return OK;
    TRY(batch_run(w));
    trim_states(w);
    return OK;
}

/* A batch pays for its appends, its commit and its replies however small it is, and under load as many commands as it
 * had are on their way here. So one that was not alone is followed by a pause until they have come, for half as long
 * again as it took at most: ops/adr/0012-gathered-batches.md. A few clients never wait. */
static err gather(struct worker *w)
{
    if (w->last_count < GATHER_FROM || recover_needed(w))
        return OK;
    const int64_t most_us = w->last_us * 3 / 2;
    const int64_t until_us = clock_mono_us() + (most_us < GATHER_MOST_US ? most_us : GATHER_MOST_US);
    while (w->item_count < w->last_count && clock_mono_us() < until_us) {
        nanosleep(&(struct timespec){ .tv_nsec = GATHER_SLICE_US * 1000 }, NULL);
        TRY(assignment_collect(w, 0));
    }
    return OK;
}

/* A fact that does not fold has been looked for one by one: back to batches when it is far behind. */
static void widen_batches(struct worker *w)
{
    if (w->item_limit > 1 || ++w->committed_alone < w->item_capacity)
        return;
    w->item_limit = w->item_capacity;
    w->committed_alone = 0;
}

static void try_again(struct worker *w)
{
    LOG(WARN, "trying again", F_ERR, F_INT("pause_ms", w->pause_ms), F_INT("commands", w->item_count));
    metrics_add(w->metrics, METRIC_FAILURES, 1);
    worker_forget(w);
    wait_serving_group(w, w->pause_ms);
    w->pause_ms = w->pause_ms * 2 < LONGEST_PAUSE_MS ? w->pause_ms * 2 : LONGEST_PAUSE_MS;
}

err worker_turn(struct worker *w)
{
    atomic_store(&w->alive_until_us, clock_mono_us() + ALIVE_FOR_US);
    const bool cache_down = metrics_read(w->metrics, METRIC_CACHE_DOWN) != 0;
    const int idle_ms = cache_down ? CACHE_POLL_MS : w->signals ? SIGNALS_POLL_MS : IDLE_POLL_MS;
    TRY(assignment_collect(w, w->item_count > 0 || recover_needed(w) ? 0 : idle_ms));
    if (cache_down && w->item_count == 0)
        commit_cache(w, NULL, &w->arena);
    TRY(gather(w));
    const int64_t began = clock_mono_us();
    w->last_count = w->item_count < w->item_limit ? w->item_count : w->item_limit;
    err e = decide_and_fold(w);
    w->last_us = clock_mono_us() - began;
    if (e == OK)
        e = signals_turn(w);
    if (e == FATAL)
        return e;
    if (e == OK) {
        w->pause_ms = FIRST_PAUSE_MS;
        widen_batches(w);
        chores(w);
        if (timers_turn(w) != OK)
            LOG(WARN, "what is due is sent later", F_ERR);
    } else if (!stop_requested()) {
        try_again(w);
    }
    return OK;
}

static err migrate(struct worker *w)
{
    for (int attempt = 0; !stop_requested(); attempt++) {
        int64_t applied = 0;
        const err e =
            migration_apply(w->pg, w->definition->name, worker_tables_migrations, w->definition->migrations, &applied);
        if (e == OK && applied > 0)
            LOG(INFO, "migrated", F_INT("migrations", applied));
        if (e != RETRY)
            return e;
        if (attempt % 25 == 0)
            LOG(WARN, "waiting for PostgreSQL", F_ERR);
        worker_pause(200);
    }
    return OK;
}

/* Of what this instance has told gateways, before its end or before the end of its predecessor, nothing holds. */
static void leave(struct worker *w)
{
    if (!w->pg || !pg_is_connected(w->pg))
        return; /* it lapses */
    arena_reset(&w->arena);
    if (owner_leave(w->pg, &w->arena, config_int(w->config, "worker.instance")) != OK)
        LOG(WARN, "gateways are not told that nothing is decided here", F_ERR);
}

/* The first command need not wait for connections. What is away now is connected when it is needed. */
static void connect_ahead(struct worker *w)
{
    for (size_t s = 0; s < w->stream_count; s++)
        producer_expect(w->producer, w->definition->streams[s]->stream->events_topic);
    if (redis_connect(w->redis) != OK || redis_connect(w->reply_redis) != OK)
        LOG(DEBUG, "Redis is connected later", F_ERR);
}

err worker_start(struct worker *w)
{
    const struct config *config = w->config;
    TRY(processors_narrow(config, NULL));
    /* libpq hands this to the server with each connection. The loop's statements name their tables without a schema.
     * They all go by keys: a plan made while a table was empty must not become a sequential scan of a large one, as it
     * would until autoanalyze has been there. */
    char options[256], name[128];
    snprintf(options, sizeof options,
             "-c search_path=%s -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off",
             w->definition->name);
    setenv("PGOPTIONS", options, 1);
    snprintf(name, sizeof name, "aether-%s-%lld", w->definition->name,
             (long long)config_int(config, "worker.instance"));
    w->pg = pg_create(config_text(config, "postgres.dsn"), name);
    w->read_pg = pg_create(config_text(config, "postgres.dsn"), name);
    w->redis = redis_create(config_text(config, "redis.url"), REDIS_TIMEOUT_MS);
    w->reply_redis = redis_create(config_text(config, "redis.url"), REDIS_TIMEOUT_MS);
    w->metrics = metrics_create(metric_table, WORKER_METRICS);
    w->parked_keys = parked_keys_create();
    w->fresh = fresh_create();
    w->timers = timers_create();
    arena_init(&w->arena, 1 << 20);
    arena_init(&w->tail_arena, 1 << 16);
    w->item_capacity = w->item_limit = (size_t)config_int(config, "worker.batch_records");
    w->rebuild_limit = (size_t)config_int(config, "worker.rebuild_records");
    w->pause_ms = FIRST_PAUSE_MS;
    w->items = mem_alloc((w->item_capacity + ITEM_SLACK) * sizeof *w->items);
    w->channels = batch_channels_create();
    for (; w->definition->streams[w->stream_count]; w->stream_count++)
        w->states[w->stream_count] = w->definition->streams[w->stream_count]->state_create();
    atomic_store(&w->alive_until_us, clock_mono_us() + ALIVE_FOR_US);

    TRY(metrics_serve(w->metrics, config_text(config, "worker.metrics_address"),
                      (int)config_int(config, "worker.metrics_port"), &w->alive_until_us, &w->server));
    LOG(INFO, "started", F_INT("metrics_port", metrics_server_port(w->server)));
    TRY(vault_create(config, &w->vault));
    TRY(codec_create(config, &w->codec));
    TRY(producer_create(config, name, false, delivered, w, &w->producer));
    connect_ahead(w);
    TRY(recover_open(w));
    TRY(signals_open(w));
    TRY(migrate(w));
    leave(w);
    return assignment_open(w);
}

void worker_finish(struct worker *w)
{
    assignment_close(w);
    leave(w);
    recover_close(w);
    signals_close(w);
    producer_destroy(w->producer);
    metrics_server_destroy(w->server);
    codec_destroy(w->codec);
    vault_destroy(w->vault);
    for (size_t s = 0; s < w->stream_count; s++)
        w->definition->streams[s]->state_destroy(w->states[s]);
    batch_channels_destroy(w->channels);
    free(w->items);
    buf_finish(&w->facts);
    buf_finish(&w->scratch);
    arena_finish(&w->arena);
    arena_finish(&w->tail_arena);
    parked_keys_destroy(w->parked_keys);
    fresh_destroy(w->fresh);
    timers_destroy(w->timers);
    redis_destroy(w->redis);
    redis_destroy(w->reply_redis);
    pg_destroy(w->pg);
    pg_destroy(w->read_pg);
    metrics_destroy(w->metrics);
    config_destroy(w->config);
}

int worker_main(const struct worker_definition *definition, int argc, char **argv)
{
    static const struct setting none[] = { { .name = NULL } };
    const struct setting *const tables[] = { runtime_settings,
                                             processors_settings,
                                             worker_settings,
                                             vault_settings,
                                             codec_settings,
                                             producer_settings,
                                             definition->settings ? definition->settings : none,
                                             NULL };
    struct worker w = { .definition = definition };
    char program[64];
    snprintf(program, sizeof program, "aether-%s", definition->name);
    if (!program_begin(program, definition->summary, tables, argc, argv, &w.config))
        return PROGRAM_USAGE;
    err e = worker_start(&w);
    while (e == OK && !stop_requested())
        e = worker_turn(&w);
    if (w.failed)
        e = FATAL;
    if (e != OK)
        LOG(ERROR, "stopped by an error", F_ERR);
    worker_finish(&w);
    if (e == OK)
        LOG(INFO, "stopped");
    return e == OK ? 0 : 1;
}
