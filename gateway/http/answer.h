/* answer: the response of a request on its way out, counted and logged. The functions run on the thread that serves the
 * request's connection. */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>

#include "gateway/http/answer_headers.h"
#include "gateway/http/http_metrics.h"

struct answers {
    const struct http_metrics *metrics;
    struct answer_headers_options headers;
    MHD_ContentReaderCallback read; /* of a response that has more than its body; its context is the request */
    atomic_bool draining;           /* each answer ends its connection */

    /* Log lines about failed requests are rationed. */
    _Atomic int64_t warned_second;
    atomic_int warned, unwarned;
};

/* Queues r->response; an empty one is a 500. The body stays in the request, which outlives the answer. */
enum MHD_Result answer_queue(struct answers *a, struct request *r, int64_t took_us);

/* Sends r->response past libmicrohttpd, where it takes none (in the middle of a body) or would answer by itself, as far
 * as the socket's buffer takes it, and ends the connection's sending side. No byte of another answer has been sent. */
void answer_send_past(struct answers *a, struct request *r, int64_t took_us);

/* 503 for a request whose owner never gave it back: nothing in it is touched. */
enum MHD_Result answer_queue_abandoned(struct answers *a, struct MHD_Connection *connection, const struct route *route,
                                       int64_t took_us);
