/* connections: accepts them, hands them to the threads that serve, and closes those that are overdue.
 *
 * One thread does it. Accepting is ours because threads that share a listening socket share connections unevenly, and
 * because of libmicrohttpd 0.9.75: MHD_quiesce_daemon races with its threads (both take the listening socket out of
 * epoll, and the second one aborts the process).
 *
 * Each connection has one deadline, in a table indexed by its descriptor: set by whoever drives the connection, looked
 * at every quarter of a second, and answered with shutdown(2). That is safe against a descriptor that is reused, since
 * an entry is taken out under the table's lock before libmicrohttpd closes the descriptor. libmicrohttpd's own time-out
 * is about inactivity only, which a client that sends a byte a second never shows.
 *
 * One address (IPv6: one /64) has a number of them at most. It is known when a connection is accepted, unless a
 * configured proxy stands between: then each request's head says whose the connection is, and it counts as that
 * client's until another one's request comes over it. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "gateway/http/client_address.h"
#include "gateway/http/http_metrics.h"
#include "ops/runtime/err.h"

struct connections;

struct connections_options {
    const char *address; /* numeric, IPv4 or IPv6 */
    int port;            /* 0: a free one */
    int max;             /* open at once */
    int max_of_address;  /* of them; 0: no limit */
    const struct proxies *proxies;
    int kept;                  /* sockets that left libmicrohttpd and live on, at most: they take descriptors, too */
    int64_t first_deadline_us; /* how long the first request's line may take */
    const struct http_metrics *metrics;
    void (*serve)(void *context, int fd); /* takes the socket over; connections_opened and _closed follow */
    void *context;
};

/* Listens, but accepts nothing yet. FATAL with a line for the operator. */
MUST_CHECK err connections_create(const struct connections_options *options, struct connections **ret);
/* Starts the thread. */
MUST_CHECK err connections_start(struct connections *c);
int connections_port(const struct connections *c);

/* No connection is accepted after this. Deadlines are watched on. */
void connections_quiesce(struct connections *c);
/* Ends the thread; connections_closed may still be called. */
void connections_stop(struct connections *c);
void connections_destroy(struct connections *c);

/* One connection. clock_mono_us; 0: none. Relaxed: any thread sets, the watching thread reads. */
typedef _Atomic int64_t connection_deadline;

/* From libmicrohttpd's notification, on the thread that serves it; before the descriptor is closed. */
connection_deadline *connections_opened(struct connections *c, int fd);
void connections_closed(struct connections *c, connection_deadline *deadline);

/* A request of `client` has come over it. false: the client has too many connections. On the thread that serves it. */
bool connections_belongs_to(struct connections *c, connection_deadline *deadline, struct address client);
