/* live: the live feed: GET /api/v1/live as WebSocket (RFC 6455) and as server-sent events.
 *
 *   tail (one thread: Kafka to events) ─▶ lanes (threads with an epoll each: events to listeners)
 *   request (libmicrohttpd) ─▶ admission (a pool of one thread: ticket, snapshot) ─▶ a lane, with the socket
 *   a lane ─▶ catching up (another one: what was missed, page by page, one at a time for each listener) ─▶ the lane
 *
 * Admission is where a storm of reconnects is slowed down (intake.h): up to 64 at once share one query, and not more
 * than live.admissions_per_s come in; addresses take turns, and those who find the queue full are told 503 with
 * Retry-After. */
#pragma once

#include "gateway/live/listener.h"
#include "gateway/pool.h"
#include "ops/runtime/config.h"

struct gateway;
struct live;
struct typing_memory;

extern const struct setting live_settings[];

/* The gateway's vault, pools and producer exist. */
MUST_CHECK err live_create(struct gateway *g, struct live **ret);
/* Closes every connection and ends the threads. No request is under way any more. */
void live_stop(struct live *live);
void live_destroy(struct live *live); /* NULL is fine */
/* Descriptors that listeners may take, beside the connections of HTTP. */
int live_max_connections(const struct config *config);
void live_measure(struct live *live); /* sets the gauges */
struct typing_memory *live_typing_memory(struct live *live);

/* --- for the lanes --- */
struct gateway *live_gateway(const struct live *live);
/* Runs the job on the thread that reads for those who catch up; each has one there at most. */
enum request_step live_read(struct request *r, pool_job *job);
size_t live_max_message_bytes(const struct live *live);
/* A listener begins (any thread): whether it may; only then it counts as one of its person and network. */
bool live_opened(struct live *live, struct uuid person, struct uuid network);
void live_closed(struct live *live, const struct listener *l);
void live_delivered(struct live *live, size_t count);
/* Tells a listener that it has missed something: it looks for itself, by number, and goes on from `next`. */
void live_resync(struct listener *l, const char *why, const int64_t *next);
void live_warn_of_expiry(struct listener *l);
