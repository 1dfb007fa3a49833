#include "gateway/http/http_metrics.h"

#include <stdlib.h>

#define CLASSES 4 /* 2xx to 5xx */

struct http_metrics {
    const struct route *routes;
    size_t route_count;
    size_t requests, durations, singles; /* ids of the first row of each */
    struct metric *table;
    struct arena labels;
    struct metrics *registry;
};

static const struct metric single_rows[HTTP_METRICS] = {
    [HTTP_CONNECTIONS] = { "aether_gateway_connections", NULL, METRIC_GAUGE, "Connections that are open now." },
    [HTTP_CONNECTIONS_TOTAL] = { "aether_gateway_connections_accepted_total", NULL, METRIC_COUNTER,
                                 "Connections that were accepted." },
    [HTTP_CONNECTIONS_REFUSED] = { "aether_gateway_connections_refused_total", NULL, METRIC_COUNTER,
                                   "Connections that were answered 503 because gateway.max_connections were open." },
    [HTTP_CONNECTIONS_OVERDUE] = { "aether_gateway_connections_overdue_total", NULL, METRIC_COUNTER,
                                   "Connections that were closed by a deadline: idle, or too slow to send or to "
                                   "read." },
    [HTTP_REQUESTS_IN_PROGRESS] = { "aether_gateway_requests_in_progress", NULL, METRIC_GAUGE,
                                    "Requests whose headers have been read and whose answer has not been sent yet." },
};

struct http_metrics *http_metrics_create(const struct route *table, const struct metric *others, size_t count)
{
    struct http_metrics *m = mem_alloc(sizeof *m);
    m->routes = table;
    while (table[m->route_count].path)
        m->route_count++;
    size_t labelled = m->route_count + 1; /* the last one: no route */
    m->requests = count;
    m->durations = m->requests + labelled * CLASSES;
    m->singles = m->durations + labelled;
    size_t total = m->singles + HTTP_METRICS;
    m->table = mem_alloc(sizeof *m->table * total);
    arena_init(&m->labels, 0);
    if (count > 0)
        memcpy(m->table, others, sizeof *others * count);
    for (size_t i = 0; i < labelled; i++) {
        const char *name = i < m->route_count ? table[i].name : "none";
        for (size_t class = 0; class < CLASSES; class ++)
            m->table[m->requests + i * CLASSES + class] =
                (struct metric){ "aether_gateway_requests_total",
                                 arena_printf(&m->labels, "route=\"%s\",code=\"%zuxx\"", name, class + 2),
                                 METRIC_COUNTER, "Requests by route and class of status." };
        m->table[m->durations + i] =
            (struct metric){ "aether_gateway_request_seconds", arena_printf(&m->labels, "route=\"%s\"", name),
                             METRIC_HISTOGRAM,
                             "From the headers being read to the answer being handed to the connection." };
    }
    memcpy(m->table + m->singles, single_rows, sizeof single_rows);
    m->registry = metrics_create(m->table, total);
    return m;
}

void http_metrics_destroy(struct http_metrics *m)
{
    if (!m)
        return;
    metrics_destroy(m->registry);
    arena_finish(&m->labels);
    free(m->table);
    free(m);
}

struct metrics *http_metrics_registry(const struct http_metrics *m)
{
    return m->registry;
}

void http_metrics_request(const struct http_metrics *m, const struct route *route, int status, int64_t microseconds)
{
    size_t row = route ? (size_t)(route - m->routes) : m->route_count;
    size_t class = status < 300 ? 0 : status < 400 ? 1 : status < 500 ? 2 : 3;
    metrics_add(m->registry, m->requests + row * CLASSES + class, 1);
    metrics_observe_us(m->registry, m->durations + row, microseconds);
}

void http_metrics_add(const struct http_metrics *m, enum http_metric which, int64_t n)
{
    metrics_add(m->registry, m->singles + which, n);
}
