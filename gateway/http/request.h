/* request: one HTTP request from its first header to its answer.
 *
 * Ownership: a request belongs to the libmicrohttpd thread that parses it; a handler either answers at once (fills
 * response, returns REQUEST_DONE) or hands the request on (pool_run, dispatch_command; returns REQUEST_SUSPENDED) and
 * then must not touch it. Exactly one party owns a request at any time; the last one fills the response and calls
 * request_resume. Requests are recycled with their arena and buffers: the steady state allocates nothing. */
#pragma once

#include <jansson.h>

#include "gateway/http/client_address.h"
#include "ops/runtime/err.h"
#include "ops/runtime/json.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

struct gateway; /* gateway.h: configuration, pools, dispatch, vault, metrics */
struct server;  /* server.h */
struct request; /* below */
struct route;   /* route.h */
struct MHD_Connection;

enum request_step { REQUEST_DONE, REQUEST_SUSPENDED };

#define REQUEST_MAX_PARAMS  4
#define REQUEST_MAX_HEADERS 8

struct claims {
    struct uuid user_id, session_id;
    uint32_t roles;     /* bits of enum role */
    int64_t expires_at; /* Unix ms */
};

enum limit_by { LIMIT_BY_ADDRESS, LIMIT_BY_USER };

/* What the answer tells of a limit that the request counted against. */
struct rate {
    const char *name; /* constant */
    int64_t quota, window_s, remaining, reset_s;
};

struct response {
    int status;
    struct buf body;             /* JSON unless content_type says otherwise */
    const char *content_type;    /* NULL: application/json, or application/problem+json when status >= 400 */
    const char *security_policy; /* Content-Security-Policy, constant; NULL: nothing may be loaded, run or framed */
    struct {
        const char *name; /* constant */
        char value[160];
    } headers[REQUEST_MAX_HEADERS];
    size_t header_count;
    /* NULL: `body` is all there is. Else it is the first piece, and this is asked for another one whenever a piece was
     * sent, like a handler (it may hand the request on): it fills the body, which is empty, or leaves it empty, and
     * that is the end. A status of 400 or more then cuts the answer off, since it has begun already. */
    enum request_step (*next)(struct request *r);
};

struct request {
    struct gateway *gateway;
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route;
    bool head;            /* HEAD: answered as GET, and no body is sent */
    struct client client; /* who it comes from (client_address.h) */
    const char *origin;   /* Access-Control-Allow-Origin of the answer; NULL: none */
    struct rate rates[2]; /* by address, by user */
    size_t rate_count;
    struct arena arena;                    /* lives until the answer is sent */
    struct str params[REQUEST_MAX_PARAMS]; /* {name} parts of the path, in order */
    struct uuid ids[REQUEST_MAX_PARAMS];   /* the same as UUIDs, where the route says they are (checked) */
    struct str query;                      /* not decoded; see request_query */
    struct buf body_bytes;
    json_t *body; /* checked against route->body, in the arena (never json_decref it); NULL when the route has none */
    bool has_secrets;                        /* the body's table says so: its memory is wiped when the request ends */
    struct claims claims;                    /* when route->auth is not AUTH_NONE */
    char request_id[64];                     /* X-Request-Id of the client (checked: token characters), or a new UUID */
    char trace[56];                          /* W3C traceparent: the client's trace with our span, or a new one */
    uint8_t hash[16];                        /* BLAKE2b-128 of method, path and body: meta.request_hash */
    struct uuid command_id;                  /* from Idempotency-Key (UUIDv5 of actor and key) or new (UUIDv7) */
    bool has_idempotency_key, respond_async; /* Prefer: respond-async */
    struct uuid retried_as; /* what a retry of it is known by, whatever its command's id (accepted.h); nil: nothing */
    struct uuid
        fresh_subject;   /* has a key in the vault for the command's sake alone: withdrawn when nothing comes of it */
    int64_t received_at; /* Unix ms; meta.at */
    int64_t deadline_us; /* clock_mono_us */
    struct response response;
    /* When set, the connection's socket (which it owns from then on) is handed to it in place of an answer, on the
     * connection's thread, for protocols of their own (live/). The request must have been suspended. */
    void (*take_over)(struct request *r, int fd);
    /* Set in a request that came over no HTTP connection of its own (live/command.h): what request_resume does. */
    void (*resumed)(struct request *r);
    void *after;     /* after.c's: the position that the request waits for */
    bool after_done; /* it has been looked for */
    int tolerated;   /* a rejection that is as good as the fact: dispatch_then gets fact NULL */
    const char *why; /* for the log: what a 5xx comes from (problem_err); NULL: nothing is known */
    void *state;     /* the handler's own, in the arena */
};

/* Query parameters that stand in no table (else: query_int, …, in route.h), decoded into the arena. false: absent. Out
 * of range or no number: fills a 400 problem that names the parameter and what is allowed, and sets *ret_bad. */
bool request_query_int(struct request *r, const char *name, int64_t min, int64_t max, int64_t *ret, bool *ret_bad);
bool request_query(struct request *r, const char *name, struct str *ret);

/* Body fields, after the check against the route's body table: present fields have the right type and size. */
struct str body_str(const struct request *r, const char *name); /* {NULL, 0} when absent */
/* false, *ret untouched: absent. */
bool body_int(const struct request *r, const char *name, int64_t *ret);
bool body_bool(const struct request *r, const char *name, bool *ret);
bool body_uuid(const struct request *r, const char *name, struct uuid *ret);
bool body_time(const struct request *r, const char *name, int64_t *ret_unix_ms);

void response_header(struct request *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Empties the body and gives a writer on it. */
struct json response_json(struct request *r, int status);

/* RFC 9457: {type, title, status, code, detail, retryable, requestId, errors: [{field, detail}]}. `field` may
 * be NULL. */
void problem(struct request *r, int status, const char *code, const char *field, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));
/* 503 with Retry-After for RETRY, 400 for REJECT, 500 for FATAL, with err_message() in the log, not in the answer. */
void problem_err(struct request *r, err kind);

/* Fills r->hash; `key` has 32 bytes. */
void request_hash(struct request *r, struct str method, struct str path, const uint8_t *key);

/* Must come before the request is published to another thread (queued, registered under its command id): whoever gets
 * it may resume it at once, also before the handler has returned. pool_run and dispatch_command call it; handlers need
 * not. The first call comes from the libmicrohttpd thread; more calls, from whoever owns the request, do nothing. */
void request_suspend(struct request *r);

/* Any thread: the response is filled; gives the request back to its libmicrohttpd thread, which sends it. The caller
 * must not touch the request afterwards. */
void request_resume(struct request *r);
