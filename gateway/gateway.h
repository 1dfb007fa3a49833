/* gateway: what every request may use. Filled by gateway_create, then read-only; each part has its own locks. */
#pragma once

#include "gateway/commands/dispatch.h"
#include "gateway/pool.h"
#include "ops/runtime/config.h"
#include "ops/runtime/metrics.h"
#include "producers/producer.h"
#include "schemas/vault.h"

struct accepted;
struct after;
struct access_memory;
struct cursors;
struct delays;
struct docs;
struct rate_limits;
struct live;
struct page_cache;
struct password;
struct refresh_tokens;
struct throttle;
struct tokens;

struct gateway {
    struct uuid id; /* of this process: source of its commands' replies */
    const struct config *config;
    struct metrics *metrics;
    struct vault *vault;
    struct producer *producer;
    struct dispatch *dispatch;
    struct pool *reads, *hashing;
    struct tokens *tokens;
    struct access_memory *access;
    struct refresh_tokens *refresh_tokens;
    struct throttle *throttle;
    struct delays *delays;
    struct rate_limits *limits;
    struct cursors *cursors;
    struct password *password;
    struct page_cache *pages;
    struct accepted *accepted;
    struct after *after;
    struct docs *docs;
    struct live *live;
    uint8_t hash_key[32]; /* keys request hashes, since those stand in the log, which many may read */
    int rooms_partitions; /* of rooms.commands */
};

/* Rows of gateway_metrics: what is counted of everything but HTTP itself. The gauges follow within a second. */
enum gateway_metric {
    METRIC_COMMANDS_WAITING,
    METRIC_COMMANDS_IN_FLIGHT,
    METRIC_REPLIES_UP,
    METRIC_READS_QUEUED,
    METRIC_HASHING_QUEUED,
    METRIC_OUTCOMES_REPLIED,
    METRIC_OUTCOMES_POLLED,
    METRIC_OUTCOMES_LATE,
    METRIC_ANSWERED_ACCEPTED,
    METRIC_PAGES_LOCAL,
    METRIC_PAGES_REDIS,
    METRIC_PAGES_POSTGRES,
    METRIC_LISTED_LOCAL,
    METRIC_LISTED_POSTGRES,
    METRIC_LIMITED_AUTH,
    METRIC_LIMITED_ADDRESS,
    METRIC_LIMITED_USER,
    METRIC_LIMITS_SHARED,
    METRIC_COMMAND_SECONDS,
    METRIC_LIVE_CONNECTIONS,
    METRIC_LIVE_FOLLOWING,
    METRIC_LIVE_PENDING,
    METRIC_LIVE_ACCEPTED,
    METRIC_LIVE_EVENTS,
    METRIC_LIVE_DELIVERIES,
    METRIC_LIVE_RESYNCS,
    GATEWAY_METRICS
};

extern const struct metric gateway_metrics[GATEWAY_METRICS];
extern const struct setting gateway_settings[];

void gateway_measure(struct gateway *g); /* sets the gauges */

/* Everything but the HTTP server: vault, pools, producer, dispatch. `metrics` (whose first rows are gateway_metrics)
 * and `config` stay the caller's and must outlive the gateway. FATAL with a line for the operator when a setting does
 * not fit. Connects nothing: a server that is away now may come later, /health/ready tells. */
MUST_CHECK err gateway_create(const struct config *config, struct metrics *metrics, struct gateway **ret);

/* Ends the threads; what still waits is answered 202. Call after server_stop: then nobody hands in requests
 * any more. */
void gateway_drain(struct gateway *g);
void gateway_destroy(struct gateway *g);
