/* http_metrics: what is counted of HTTP: requests and their duration by route, connections. The rows of the other parts
 * of the program stand in the same registry, before these, so their ids stay as they are. */
#pragma once

#include "gateway/http/route.h"
#include "ops/runtime/metrics.h"

struct http_metrics;

enum http_metric {
    HTTP_CONNECTIONS,         /* open now */
    HTTP_CONNECTIONS_TOTAL,   /* accepted */
    HTTP_CONNECTIONS_REFUSED, /* over gateway.max_connections */
    HTTP_CONNECTIONS_OVERDUE, /* closed by a deadline */
    HTTP_REQUESTS_IN_PROGRESS,
    HTTP_METRICS
};

/* The strings of `others` (count of them) and of `table` are kept, not copied. */
struct http_metrics *http_metrics_create(const struct route *table, const struct metric *others, size_t count);
void http_metrics_destroy(struct http_metrics *m);

/* The registry, for the other parts. */
struct metrics *http_metrics_registry(const struct http_metrics *m);

/* Any thread. `route` NULL: none was found. */
void http_metrics_request(const struct http_metrics *m, const struct route *route, int status, int64_t microseconds);
void http_metrics_add(const struct http_metrics *m, enum http_metric which, int64_t n);
