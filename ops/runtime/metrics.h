/* metrics: counters, gauges and histograms by table, in Prometheus text format 0.0.4. Updates are relaxed atomics: any
 * thread, no lock, no allocation. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/runtime/mem.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Rows of one name stand together and share help and type; they differ in `labels`. A program's metrics are an enum and
 * a table indexed by it. Histograms count seconds, in buckets from 100 µs to 10 s (1-2.5-5 steps). */
struct metric {
    const char *name;   /* "aether_gateway_requests_total" */
    const char *labels; /* "route=\"post_message\",code=\"201\"", or NULL */
    enum metric_type type;
    const char *help;
};

struct metrics;

struct metrics *metrics_create(const struct metric *table, size_t count); /* the table is kept, not copied */
void metrics_destroy(struct metrics *m);

void metrics_add(struct metrics *m, size_t id, int64_t n);                   /* counter, gauge */
void metrics_set(struct metrics *m, size_t id, int64_t value);               /* gauge */
void metrics_observe_us(struct metrics *m, size_t id, int64_t microseconds); /* histogram */
int64_t metrics_read(const struct metrics *m, size_t id);                    /* counter, gauge; a histogram's count */

/* Appends the table, and the process's own rows (process_resident_memory_bytes, process_cpu_seconds_total,
 * process_open_fds, process_start_time_seconds, aether_build_info). */
void metrics_render(const struct metrics *m, struct buf *out);

/* A small HTTP server (libmicrohttpd, one thread of its own) for programs that have no other: GET /metrics, and
 * GET /health (200 while *alive_until_us, in clock_mono_us, lies ahead; else 503; NULL: always 200). `port` 0 picks a
 * free one. Loopback unless `address` says otherwise. */
struct metrics_server;
#include "ops/runtime/err.h"
MUST_CHECK err metrics_serve(struct metrics *m, const char *address, int port, const _Atomic int64_t *alive_until_us,
                             struct metrics_server **ret);
int metrics_server_port(const struct metrics_server *s);
void metrics_server_destroy(struct metrics_server *s);
