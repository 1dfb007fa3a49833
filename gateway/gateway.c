#include "gateway/gateway.h"

#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumers/outcome/deciders.h"
#include "gateway/accounts/password.h"
#include "gateway/after.h"
#include "gateway/commands/accepted.h"
#include "gateway/commands/plain.h"
#include "gateway/cursor.h"
#include "gateway/docs/docs.h"
#include "gateway/http/route.h"
#include "gateway/limits/delay.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/limits/throttle.h"
#include "gateway/live/live.h"
#include "gateway/rooms/page_cache.h"
#include "gateway/tokens/access.h"
#include "gateway/tokens/refresh_token.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/processors.h"
#include "topics/topics.h"

const struct setting gateway_settings[] = {
    { "gateway.deadline_ms", SETTING_INT, .def = "5000", .min = 100, .max = 60000, .unit = "ms",
      .doc = "How long a request waits for its outcome before it is answered 202." },
    { "gateway.redis_timeout_ms", SETTING_INT, .def = "250", .min = 10, .max = 5000, .unit = "ms",
      .doc = "How long Redis may take before it is left alone for two seconds." },
    { "gateway.postgres_timeout_ms", SETTING_INT, .def = "4000", .min = 100, .max = 60000, .unit = "ms",
      .doc = "How long PostgreSQL may take for a read before it is answered 503." },
    { "gateway.page_cache_bytes", SETTING_INT, .def = "8388608", .min = 0, .max = 1073741824, .unit = "bytes",
      .doc = "Memory for rendered pages of messages and rooms of lists; 0: none." },
    { "dispatch.max_waiting", SETTING_INT, .def = "8192", .min = 16, .max = 1000000, .unit = "requests",
      .doc = "Commands under way at once; more are answered 503." },
    { "reads.threads", SETTING_INT, .def = "2", .min = 1, .max = 256, .unit = "threads",
      .doc = "Threads that read from PostgreSQL and Redis, each with a connection to both." },
    { "reads.queue", SETTING_INT, .def = "4096", .min = 1, .max = 1000000, .unit = "requests",
      .doc = "Requests that may wait for one of them; more are answered 503." },
    { "hashing.threads", SETTING_INT, .def = "0", .min = 0, .max = 256, .unit = "threads",
      .doc = "Threads that hash passwords; 0: half of the processors." },
    { "hashing.queue", SETTING_INT, .def = "64", .min = 1, .max = 100000, .unit = "requests",
      .doc = "Requests that may wait for one of them; more are answered 503." },
    { "messages.emojis_per_message", SETTING_INT, .def = "20", .min = 1, .max = 1000, .unit = "emojis",
      .doc = "How many different emojis people may react to one message with." },
    { "messages.emojis_per_person", SETTING_INT, .def = "5", .min = 1, .max = 1000, .unit = "emojis",
      .doc = "How many of them may be of one person." },
    { "messages.scheduled_per_person", SETTING_INT, .def = "100", .min = 1, .max = 1000, .unit = "messages",
      .doc = "How many messages of one person may wait for their time, in all rooms." },
    { "messages.scheduled_per_room", SETTING_INT, .def = "1000", .min = 1, .max = 100000, .unit = "messages",
      .doc = "How many messages may wait for their time in one room." },
    { 0 },
};

/* A storm of log-ins must not take the cores from everybody else; nobody else there, it has them whole. */
#define HASHING_NICENESS 10

#define OUTCOMES "Outcomes of commands by the way they came; late: the request had been answered 202."
#define LIMITED  "Requests answered 429 by the limit that they met."
#define PAGES    "Pages of messages by where they were read."
#define LISTED   "Rooms in people's lists of their own, by where they were read."
const struct metric gateway_metrics[GATEWAY_METRICS] = {
    [METRIC_COMMANDS_WAITING] = { "aether_gateway_commands_waiting", NULL, METRIC_GAUGE,
                                  "Requests that wait for the outcome of a command." },
    [METRIC_COMMANDS_IN_FLIGHT] = { "aether_gateway_commands_in_flight", NULL, METRIC_GAUGE,
                                    "Commands that are not in the log yet." },
    [METRIC_REPLIES_UP] = { "aether_gateway_replies_up", NULL, METRIC_GAUGE,
                            "1 while outcomes come over Redis; 0: they are polled." },
    [METRIC_READS_QUEUED] = { "aether_gateway_queued", "pool=\"reads\"", METRIC_GAUGE,
                              "Requests that wait for a thread of a pool." },
    [METRIC_HASHING_QUEUED] = { "aether_gateway_queued", "pool=\"hashing\"", METRIC_GAUGE,
                                "Requests that wait for a thread of a pool." },
    [METRIC_OUTCOMES_REPLIED] = { "aether_gateway_outcomes_total", "by=\"reply\"", METRIC_COUNTER, OUTCOMES },
    [METRIC_OUTCOMES_POLLED] = { "aether_gateway_outcomes_total", "by=\"poll\"", METRIC_COUNTER, OUTCOMES },
    [METRIC_OUTCOMES_LATE] = { "aether_gateway_outcomes_total", "by=\"late\"", METRIC_COUNTER, OUTCOMES },
    [METRIC_ANSWERED_ACCEPTED] = { "aether_gateway_accepted_total", NULL, METRIC_COUNTER,
                                   "Requests answered 202, before their outcome was known." },
    [METRIC_PAGES_LOCAL] = { "aether_gateway_pages_total", "from=\"memory\"", METRIC_COUNTER, PAGES },
    [METRIC_PAGES_REDIS] = { "aether_gateway_pages_total", "from=\"redis\"", METRIC_COUNTER, PAGES },
    [METRIC_PAGES_POSTGRES] = { "aether_gateway_pages_total", "from=\"postgres\"", METRIC_COUNTER, PAGES },
    [METRIC_LISTED_LOCAL] = { "aether_gateway_listed_rooms_total", "from=\"memory\"", METRIC_COUNTER, LISTED },
    [METRIC_LISTED_POSTGRES] = { "aether_gateway_listed_rooms_total", "from=\"postgres\"", METRIC_COUNTER, LISTED },
    [METRIC_LIMITED_AUTH] = { "aether_gateway_limited_total", "limit=\"auth\"", METRIC_COUNTER, LIMITED },
    [METRIC_LIMITED_ADDRESS] = { "aether_gateway_limited_total", "limit=\"address\"", METRIC_COUNTER, LIMITED },
    [METRIC_LIMITED_USER] = { "aether_gateway_limited_total", "limit=\"user\"", METRIC_COUNTER, LIMITED },
    [METRIC_LIMITS_SHARED] = { "aether_gateway_limits_shared", NULL, METRIC_GAUGE,
                               "1 while limits are shared through Redis; 0: each gateway counts for itself." },
    [METRIC_COMMAND_SECONDS] = { "aether_gateway_command_seconds", NULL, METRIC_HISTOGRAM,
                                 "From the append of a command to its outcome." },
    [METRIC_LIVE_CONNECTIONS] = { "aether_gateway_live_connections", NULL, METRIC_GAUGE,
                                  "Listeners to the live feed now." },
    [METRIC_LIVE_FOLLOWING] = { "aether_gateway_live_following", NULL, METRIC_GAUGE,
                                "1 while the live feed follows the log; 0: it rests, since nobody listens." },
    [METRIC_LIVE_PENDING] = { "aether_gateway_live_pending_bytes", NULL, METRIC_GAUGE,
                              "What waits to be sent to listeners; a frame that many share counts for each." },
    [METRIC_LIVE_ACCEPTED] = { "aether_gateway_live_accepted_total", NULL, METRIC_COUNTER, "Listeners let in." },
    [METRIC_LIVE_EVENTS] = { "aether_gateway_live_events_total", NULL, METRIC_COUNTER,
                             "Facts that became events of the live feed." },
    [METRIC_LIVE_DELIVERIES] = { "aether_gateway_live_deliveries_total", NULL, METRIC_COUNTER,
                                 "Events told, one for each listener." },
    [METRIC_LIVE_RESYNCS] = { "aether_gateway_live_resyncs_total", NULL, METRIC_COUNTER,
                              "Listeners told to look for themselves, since they read too slowly or were away too "
                              "long." },
};

void gateway_measure(struct gateway *g)
{
    metrics_set(g->metrics, METRIC_COMMANDS_WAITING, (int64_t)dispatch_waiting(g->dispatch));
    metrics_set(g->metrics, METRIC_COMMANDS_IN_FLIGHT, (int64_t)producer_in_flight(g->producer));
    metrics_set(g->metrics, METRIC_REPLIES_UP, dispatch_replies_up(g->dispatch));
    metrics_set(g->metrics, METRIC_READS_QUEUED, (int64_t)pool_waiting(g->reads));
    metrics_set(g->metrics, METRIC_HASHING_QUEUED, (int64_t)pool_waiting(g->hashing));
    live_measure(g->live);
}

static int hashing_threads(const struct config *config)
{
    int given = (int)config_int(config, "hashing.threads");
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return given > 0 ? given : processors > 3 ? (int)(processors / 2) : 1;
}

/* A password takes a processor for 20 ms: not one of those that the log's threads cannot leave. */
static err start_hashing(struct gateway *g)
{
    const struct config *config = g->config;
    cpu_set_t all;
    TRY(processors_leave(config, &all));
    const err e = pool_create(&(struct pool_options){ .name = "hashing",
                                                      .threads = hashing_threads(config),
                                                      .queue = (int)config_int(config, "hashing.queue"),
                                                      .config = config,
                                                      .niceness = HASHING_NICENESS,
                                                      .idle = password_rest },
                              &g->hashing);
    processors_widen(&all);
    return e;
}

/* Those that write to the log, wait for outcomes and tell what happens; they wake each other. */
static err start_log_threads(struct gateway *g)
{
    g->dispatch = dispatch_create(g, (size_t)config_int(g->config, "dispatch.max_waiting"));
    TRY(producer_create(g->config, "aether-gateway", true, dispatch_delivered, g->dispatch, &g->producer));
    for (const struct decider *d = deciders; d->stream; d++)
        producer_expect(g->producer, d->stream->commands_topic);
    TRY(live_create(g, &g->live)); /* before the threads that look at it */
    return dispatch_start(g->dispatch);
}

static err gateway_fill(struct gateway *g)
{
    const struct config *config = g->config;
    uint8_t key[32], secret_key[32];
    TRY(plain_check(g, routes));
    g->id = uuid_v7(clock_wall_ms());
    g->accepted = accepted_create();
    g->pages = page_cache_create((size_t)config_int(config, "gateway.page_cache_bytes"));
    g->rooms_partitions = topic_partitions(config, "rooms.commands");
    TRY(docs_create(config, routes, &g->docs));
    TRY(tokens_create(config, &g->tokens));
    token_derive_key(g->tokens, "requests", g->hash_key);
    token_derive_key(g->tokens, "cursors1", key);
    g->cursors = cursors_create(key);
    token_derive_key(g->tokens, "refresh1", secret_key);
    token_derive_key(g->tokens, "refcheck", key);
    g->refresh_tokens = refresh_tokens_create(key, secret_key);
    token_derive_key(g->tokens, "throttle", key);
    g->throttle = throttle_create(config, key);
    TRY(delays_create(config, &g->delays));
    g->access = access_memory_create(config);
    TRY(rate_limits_create(config, g->metrics, &g->limits));
    TRY(password_create(config, &g->password));
    TRY(vault_create(config, &g->vault));
    TRY(after_create(g->config, &g->after));
    TRY(pool_create(&(struct pool_options){ .name = "reads",
                                            .threads = (int)config_int(config, "reads.threads"),
                                            .queue = (int)config_int(config, "reads.queue"),
                                            .config = config },
                    &g->reads));
    TRY(start_hashing(g));
    cpu_set_t all;
    TRY(processors_narrow(config, &all));
    const err e = start_log_threads(g);
    processors_widen(&all);
    return e;
}

err gateway_create(const struct config *config, struct metrics *metrics, struct gateway **ret)
{
    if (sodium_init() < 0)
        return err_set(FATAL, "libsodium could not start");
    struct gateway *g = mem_alloc(sizeof *g);
    g->config = config;
    g->metrics = metrics;
    err e = gateway_fill(g);
    if (e != OK) {
        gateway_destroy(g);
        return e;
    }
    *ret = g;
    return OK;
}

void gateway_drain(struct gateway *g)
{
    /* Jobs that still run may send commands, so the pools end first; then what waits for an outcome is answered 202,
     * and nothing is left that the producer could call back for. */
    after_stop(g->after);
    if (g->hashing)
        pool_stop(g->hashing);
    delays_stop(g->delays);
    if (g->reads)
        pool_stop(g->reads);
    if (g->dispatch)
        dispatch_stop(g->dispatch);
    if (g->live) /* behind dispatch: answers to commands that came over a socket go there */
        live_stop(g->live);
    producer_destroy(g->producer);
    g->producer = NULL;
}

void gateway_destroy(struct gateway *g)
{
    if (!g)
        return;
    gateway_drain(g);
    live_destroy(g->live);
    dispatch_destroy(g->dispatch);
    after_destroy(g->after);
    pool_destroy(g->reads);
    pool_destroy(g->hashing);
    vault_destroy(g->vault);
    password_destroy(g->password);
    cursors_destroy(g->cursors);
    access_memory_destroy(g->access);
    throttle_destroy(g->throttle);
    delays_destroy(g->delays);
    refresh_tokens_destroy(g->refresh_tokens);
    tokens_destroy(g->tokens);
    rate_limits_destroy(g->limits);
    page_cache_destroy(g->pages);
    accepted_destroy(g->accepted);
    docs_destroy(g->docs);
    sodium_memzero(g->hash_key, sizeof g->hash_key);
    free(g);
}
