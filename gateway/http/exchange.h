/* exchange: a request and its answer, step by step as libmicrohttpd reports them.
 *
 * The head is checked (http_check, route, authentication, media type, length); the body is read, or dropped when the
 * answer is known already; the handler runs; the answer is sent. A handler may hand the request on: then the connection
 * is suspended, and the one exchange of `hold` decides who brings it back: the owner with request_resume, or the server
 * that stops and does not wait longer. All functions of one exchange run on its loop's thread but request_suspend and
 * request_resume (request.h). Exchanges are recycled with their arena and buffers: the steady state
 * allocates nothing. */
#pragma once

#include <microhttpd.h>

#include "gateway/http/answer_headers.h"
#include "gateway/http/connections.h"
#include "gateway/http/http_metrics.h"

struct exchange;
struct exchanges;
struct loop;

struct exchanges_options {
    struct server *server;   /* for the handlers */
    struct gateway *gateway; /* for the handlers */
    const struct route *routes;
    const struct http_metrics *metrics;
    bool (*authenticate)(struct request *r);
    enum request_step (*admit)(struct request *r);
    const uint8_t *hash_key; /* 32 bytes */
    bool layout_known;       /* see http_layout.h */
    const struct proxies *proxies;
    struct connections *connections;
    struct answer_headers_options headers;
    const struct route_alias *aliases;
    bool (*limit)(struct request *r, enum limit_by by);
    size_t max_header_bytes, max_body_bytes;
    int64_t read_timeout_us, write_timeout_us, idle_timeout_us;
    int64_t deadline_us; /* for the handler's work */
};

struct exchanges *exchanges_create(const struct exchanges_options *options);
/* No connection is open and no thread owns a request any more. */
void exchanges_destroy(struct exchanges *all);

/* From now on an answer ends its connection. */
void exchanges_drain(struct exchanges *all);
/* Heads that were read and whose answer has not been sent. */
int exchanges_in_progress(const struct exchanges *all);
/* Starts no handler any more and answers 503 for those that are suspended. true: none is suspended or about to be; call
 * again until then. */
bool exchanges_close(struct exchanges *all);

/* Requests of one thread whose head is not complete yet. */
struct heads {
    struct exchange *first;
};

/* libmicrohttpd found a Content-Length that is no number, and is about to answer by itself; in 0.9.75 it would send the
 * head of that answer twice. Answers each of `heads` that has such a header, past the library. */
void heads_refuse_bad_lengths(struct heads *heads);

/* The target of a request is known. */
struct exchange *exchange_begin(struct exchanges *all, struct MHD_Connection *connection, struct loop *loop,
                                struct heads *heads, connection_deadline *deadline, const char *target);
/* libmicrohttpd's access handler. */
enum MHD_Result exchange_step(struct exchange *e, const char *method, const char *version, const char *upload,
                              size_t *upload_size);
/* The answer is sent, or the connection is gone. */
void exchange_end(struct exchange *e);
