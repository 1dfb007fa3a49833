/* server: HTTP/1.1 over libmicrohttpd, from bytes to a handler and back. One daemon with gateway.threads threads, each
 * with its own epoll; connections are accepted and watched by connections.h.
 *
 * Life of a request: its target is seen (a request is taken from the pool of them) → its head is complete: http_check,
 * route, authentication, media type, size → its body is read, or dropped when the answer is known already → body_check
 * → admit → the route's handler → the answer is sent → the request goes back to the pool. A handler that hands the
 * request on leaves the connection suspended; request_resume brings it back to its thread, which sends what is filled
 * in.
 *
 * Stopping: server_quiesce, then end the threads that own suspended requests (gateway_drain), then server_stop. */
#pragma once

#include "gateway/http/health.h"
#include "gateway/http/http_metrics.h"
#include "gateway/http/route.h"
#include "ops/runtime/config.h"

struct server;

extern const struct setting http_settings[];

struct server_options {
    const struct config *config;       /* http_settings */
    const struct route *routes;        /* kept */
    const struct route_alias *aliases; /* of paths; NULL: none */
    struct http_metrics *metrics;      /* of the same routes; the caller's */
    struct health *health;             /* the caller's; NULL: always ready */
    struct gateway *gateway;           /* handed to the handlers as r->gateway */
    /* Fills r->claims, or a problem and returns false (token_authenticate). For routes with .auth; may be NULL when
     * there are none. */
    bool (*authenticate)(struct request *r);
    /* The last look before the handler of a route with .auth, when the body is there: returns REQUEST_DONE with the
     * response untouched to let the handler run, or filled to answer instead; or hands the request on, and whoever
     * resumes it does the same. The handler runs on the connection's thread either way. NULL: none. */
    enum request_step (*admit)(struct request *r);
    /* Whether one more may come; fills a problem and returns false (rate_limits_admit). NULL: no limits. */
    bool (*limit)(struct request *r, enum limit_by by);
    const uint8_t *hash_key; /* 32 bytes, for r->hash; kept */
    int64_t deadline_ms;     /* r->deadline_us lies this far ahead */
    int kept_sockets;        /* that handlers take over (request.h), at once, at most */
};

/* Listens and serves. FATAL with a line for the operator: port in use, too few file descriptors, … Sets the allocation
 * functions of jansson, so it comes before the first thread that uses jansson. */
MUST_CHECK err server_create(const struct server_options *options, struct server **ret);
int server_port(const struct server *s);

/* Accepts no more connections; those that are open are closed after their next answer. */
void server_quiesce(struct server *s);
bool server_is_draining(const struct server *s); /* after server_quiesce; any thread */

/* Waits up to gateway.drain_timeout_ms until every request that has begun is answered; then what is still suspended is
 * answered 503 (its owner, should there be one left, may go on using the request until server_destroy), and the threads
 * end. Calls server_quiesce when that has not been done. */
void server_stop(struct server *s);
/* Stops and frees. No thread may own a request any more. NULL is fine. */
void server_destroy(struct server *s);

struct health *server_health(const struct server *s);
const struct http_metrics *server_metrics(const struct server *s);
