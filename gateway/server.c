#include "gateway/server.h"

#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/connections.h"
#include "gateway/http_check.h"
#include "gateway/http_layout.h"
#include "gateway/json_arena.h"
#include "gateway/problem.h"
#include "gateway/trace.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

/* A body that nobody wants is read to its end up to here, so that the client sees the answer and may go on; behind it
 * the connection is closed. */
#define DRAIN_MAX ((int64_t)8 * 1024 * 1024)

#define ARENA_BLOCK       4096
#define BUFFER_KEPT       (64 * 1024) /* a recycled request's buffers; what was larger is given back */
#define POOL_BASE         3072        /* libmicrohttpd's memory a connection: response head and slack, */
#define POOL_A_HEADER     80          /* and what it needs for each header besides the bytes themselves */
#define WARNINGS_A_SECOND 20

const struct setting http_settings[] = {
    { "gateway.address", SETTING_TEXT, .def = "127.0.0.1", .min = 1, .max = 64,
      .doc = "Address to listen on, numeric. TLS belongs to a proxy in front." },
    { "gateway.port", SETTING_INT, .def = "8080", .min = 0, .max = 65535,
      .doc = "Port to listen on; 0: any free one." },
    { "gateway.threads", SETTING_INT, .def = "0", .min = 0, .max = 256, .unit = "threads",
      .doc = "Threads that serve HTTP; 0: one a processor." },
    { "gateway.max_connections", SETTING_INT, .def = "4096", .min = 1, .max = 1000000, .unit = "connections",
      .doc = "Connections open at once; more are answered 503." },
    { "gateway.max_header_bytes", SETTING_INT, .def = "16384", .min = 1024, .max = 262144, .unit = "bytes",
      .doc = "Request line and headers; more are answered 431. Each connection holds about half as much again." },
    { "gateway.max_body_bytes", SETTING_INT, .def = "65536", .min = 1024, .max = 16777216, .unit = "bytes",
      .doc = "Body of a request; more are answered 413." },
    { "gateway.idle_timeout_s", SETTING_INT, .def = "75", .min = 1, .max = 86400, .unit = "s",
      .doc = "How long a connection is kept open for the next request." },
    { "gateway.read_timeout_ms", SETTING_INT, .def = "10000", .min = 100, .max = 600000, .unit = "ms",
      .doc = "How long a client may take to send a request, headers and body." },
    { "gateway.write_timeout_ms", SETTING_INT, .def = "30000", .min = 100, .max = 600000, .unit = "ms",
      .doc = "How long a client may take to read an answer." },
    { "gateway.drain_timeout_ms", SETTING_INT, .def = "5000", .min = 0, .max = 600000, .unit = "ms",
      .doc = "How long a stopping gateway waits for requests that have begun." },
    { 0 },
};

/* Who may bring a suspended request back. One exchange from SUSPENDED decides. */
enum hold {
    HELD_HERE, /* by the libmicrohttpd thread */
    SUSPENDED, /* by whoever it was handed to */
    RESUMED,   /* on its way back */
    ABANDONED, /* the server stops and did not wait longer; the request is not used again */
};

/* A request and what the server knows about it. Never freed while the server lives, so a late request_resume of an
 * abandoned one finds memory. */
struct exchange {
    struct request request; /* first: r is e */
    struct exchange *next_free, *next;
    connection_deadline *deadline;
    const char *target_in_place; /* where libmicrohttpd keeps it */
    struct str target, path;
    struct http_facts facts;
    enum { AT_HEAD, AT_BODY, AT_HANDLER } stage;
    bool refused;    /* the answer is known; the body is dropped */
    bool counted;    /* in server.in_progress */
    bool busy;       /* in server.busy */
    int64_t dropped; /* bytes of body */
    int64_t begun_us;
    _Atomic int hold; /* enum hold */
};

struct server {
    struct server_options options;
    struct router *router;
    struct connections *connections;
    struct MHD_Daemon *daemon;
    size_t max_header_bytes, max_body_bytes;
    int64_t read_timeout_us, write_timeout_us, idle_timeout_us, drain_timeout_us;
    bool layout_known; /* see http_layout.h */

    pthread_mutex_t lock; /* of the two lists */
    struct exchange *free, *all;

    atomic_bool draining;   /* answers end their connections */
    atomic_bool closing;    /* no handler is started any more */
    atomic_int in_progress; /* requests from head to answer sent */
    atomic_int busy;        /* requests from before `closing` is looked at until they are no longer suspended */

    _Atomic int64_t warned_second; /* log lines about failed requests are rationed */
    atomic_int warned, unwarned;
};

/* --- requests, recycled --- */

static struct exchange *exchange_take(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    struct exchange *e = s->free;
    if (e)
        s->free = e->next_free;
    pthread_mutex_unlock(&s->lock);
    if (e)
        return e;
    e = mem_alloc(sizeof *e);
    e->request.server = s;
    e->request.gateway = s->options.gateway;
    arena_init(&e->request.arena, ARENA_BLOCK);
    pthread_mutex_lock(&s->lock);
    e->next = s->all;
    s->all = e;
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void buf_recycle(struct buf *b)
{
    if (b->cap > BUFFER_KEPT)
        buf_finish(b);
    buf_clear(b);
}

static void exchange_give_back(struct server *s, struct exchange *e)
{
    struct request *r = &e->request;
    arena_reset(&r->arena);
    buf_recycle(&r->body_bytes);
    buf_recycle(&r->response.body);
    pthread_mutex_lock(&s->lock);
    e->next_free = s->free;
    s->free = e;
    pthread_mutex_unlock(&s->lock);
}

/* What a request begins with; its arena and buffers are empty already. */
static void exchange_begin(struct exchange *e, struct MHD_Connection *connection)
{
    struct request *r = &e->request;
    r->connection = connection;
    r->route = NULL;
    r->query = (struct str){ 0 };
    r->body = NULL;
    r->claims = (struct claims){ 0 };
    r->request_id[0] = r->trace[0] = '\0';
    memset(r->hash, 0, sizeof r->hash);
    r->command_id = uuid_nil;
    r->has_idempotency_key = r->respond_async = false;
    r->received_at = r->deadline_us = 0;
    r->response.status = 0;
    r->response.content_type = NULL;
    r->response.header_count = 0;
    r->why = NULL;
    r->state = NULL;
    e->stage = AT_HEAD;
    e->path = (struct str){ 0 };
    e->refused = e->counted = e->busy = false;
    e->dropped = 0;
    atomic_store_explicit(&e->hold, HELD_HERE, memory_order_relaxed);
}

static void deadline_in(struct exchange *e, int64_t microseconds)
{
    atomic_store_explicit(e->deadline, microseconds > 0 ? clock_mono_us() + microseconds : 0, memory_order_relaxed);
}

/* --- suspending and resuming --- */

void request_suspend(struct request *r)
{
    struct exchange *e = (struct exchange *)r;
    int held = HELD_HERE;
    if (atomic_compare_exchange_strong(&e->hold, &held, SUSPENDED))
        MHD_suspend_connection(r->connection);
}

void request_resume(struct request *r)
{
    struct exchange *e = (struct exchange *)r;
    struct MHD_Connection *connection = r->connection;
    int held = SUSPENDED;
    if (atomic_compare_exchange_strong(&e->hold, &held, RESUMED))
        MHD_resume_connection(connection);
}

/* --- the answer --- */

static void log_request(struct server *s, const struct exchange *e, int64_t took_us)
{
    const struct request *r = &e->request;
    const char *route = r->route ? r->route->name : "none";
    int status = r->response.status;
    /* A 503 without a reason is load that was turned away on purpose; the metrics count it. */
    if (status < 500 || (status == 503 && !r->why)) {
        LOG(DEBUG, "request", F_STR("route", route), F_INT("status", status), F_INT("microseconds", took_us),
            F_STR("request_id", r->request_id), F_STR("trace", r->trace));
        return;
    }
    int64_t second = clock_mono_us() / 1000000;
    if (atomic_exchange(&s->warned_second, second) != second)
        atomic_store(&s->warned, 0);
    if (atomic_fetch_add(&s->warned, 1) >= WARNINGS_A_SECOND) {
        atomic_fetch_add(&s->unwarned, 1);
        return;
    }
    int unwarned = atomic_exchange(&s->unwarned, 0);
    if (status == 503)
        LOG(WARN, "request failed", F_STR("route", route), F_INT("status", status), F_STR("error", r->why),
            F_INT("microseconds", took_us), F_STR("request_id", r->request_id), F_STR("trace", r->trace),
            F_INT("not_logged", unwarned));
    else
        LOG(ERROR, "request failed", F_STR("route", route), F_INT("status", status),
            F_STR("error", r->why ? r->why : "no answer was given"), F_INT("microseconds", took_us),
            F_STR("request_id", r->request_id), F_STR("trace", r->trace), F_INT("not_logged", unwarned));
}

static void add_headers(struct server *s, const struct exchange *e, struct MHD_Response *answer)
{
    const struct request *r = &e->request;
    const struct response *response = &r->response;
    const char *type = response->content_type    ? response->content_type
                       : response->status >= 400 ? "application/problem+json"
                                                 : "application/json";
    if (response->body.len > 0)
        MHD_add_response_header(answer, "Content-Type", type);
    MHD_add_response_header(answer, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(answer, "Cache-Control", "no-store");
    MHD_add_response_header(answer, "X-Request-Id", r->request_id);
    for (size_t i = 0; i < response->header_count; i++)
        MHD_add_response_header(answer, response->headers[i].name, response->headers[i].value);
    if (atomic_load_explicit(&s->draining, memory_order_relaxed))
        MHD_add_response_header(answer, "Connection", "close");
}

/* The body stays where it is, in the request, which outlives the answer. */
static enum MHD_Result answer(struct server *s, struct exchange *e)
{
    struct request *r = &e->request;
    if (r->response.status == 0)
        problem(r, 500, "internal", NULL, "Something went wrong here; the request id helps to find it.");
    struct buf *body = &r->response.body;
    struct MHD_Response *response = MHD_create_response_from_buffer(body->len, body->ptr, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    add_headers(s, e, response);
    int64_t took_us = clock_mono_us() - e->begun_us;
    http_metrics_request(s->options.metrics, r->route, r->response.status, took_us);
    log_request(s, e, took_us);
    deadline_in(e, s->write_timeout_us);
    enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)r->response.status, response);
    MHD_destroy_response(response);
    return result;
}

/* A problem is filled. `at_once`: the body is not worth reading, and the connection ends with the answer, since
 * libmicrohttpd ends it when it is answered before the body. */
static enum MHD_Result refuse(struct server *s, struct exchange *e, bool at_once)
{
    e->refused = true;
    if (at_once || e->facts.expects_continue || e->facts.content_length > DRAIN_MAX)
        return answer(s, e);
    e->stage = AT_BODY;
    return MHD_YES;
}

/* --- the head --- */

static enum MHD_Result collect_header(void *context, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                      const char *value, size_t value_len)
{
    (void)kind;
    struct http_head *head = context;
    if (head->count < HTTP_MAX_HEADERS)
        head->headers[head->count] = (struct http_header){ { name, name_len }, { value ? value : "", value_len } };
    head->count++;
    return MHD_YES;
}

static void identify(struct exchange *e)
{
    struct request *r = &e->request;
    const struct http_facts *facts = &e->facts;
    if (http_is_token(facts->request_id) && facts->request_id.len < sizeof r->request_id) {
        memcpy(r->request_id, facts->request_id.ptr, facts->request_id.len);
        r->request_id[facts->request_id.len] = '\0';
    } else {
        uuid_format(uuid_v7(r->received_at), r->request_id);
    }
    trace_continue(facts->traceparent, r->trace);
}

static void allow_header(struct request *r, unsigned allowed)
{
    char text[64];
    size_t len = 0;
    for (enum method m = GET; m <= DELETE; m++)
        if (allowed & (1u << m))
            len += (size_t)snprintf(text + len, sizeof text - len, "%s, ", method_name(m));
    if (allowed & (1u << GET))
        len += (size_t)snprintf(text + len, sizeof text - len, "HEAD, ");
    snprintf(text + len, sizeof text - len, "OPTIONS");
    response_header(r, "Allow", "%s", text);
}

/* false: the response is filled. */
static bool find_route(struct server *s, struct exchange *e, struct str method)
{
    struct request *r = &e->request;
    bool is_options = str_equal(method, STR("OPTIONS"));
    enum method parsed = GET;
    bool known = is_options || str_equal(method, STR("HEAD")) || method_parse(method, &parsed);
    size_t count;
    unsigned allowed;
    const struct route *route = router_find(s->router, parsed, e->path, r->params, &count, &allowed);
    if (allowed == 0) {
        problem(r, 404, "not_found", NULL, "There is nothing at this path.");
        return false;
    }
    if (is_options) {
        r->response.status = 204;
        allow_header(r, allowed);
        return false;
    }
    if (!route || !known) {
        problem(r, 405, "method_not_allowed", NULL, "This path does not know the method; Allow says which it knows.");
        allow_header(r, allowed);
        return false;
    }
    r->route = route;
    return true;
}

/* The {…} parts as UUIDs. */
static bool parse_ids(struct request *r)
{
    if (r->route->plain_params)
        return true;
    size_t i = 0;
    for (const char *at = r->route->path; (at = strchr(at, '{')); i++) {
        size_t len = strcspn(++at, "}");
        if (uuid_parse(r->params[i], &r->ids[i]))
            continue;
        problem(r, 400, "bad_path", arena_str(&r->arena, (struct str){ at, len }).ptr,
                "must be a UUID in the form 8-4-4-4-12.");
        return false;
    }
    return true;
}

/* application/json, alone or with charset=utf-8 (RFC 8259 knows no parameter, many clients send it). */
static bool is_json(struct str type)
{
    const char *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;
    struct str essence = { type.ptr, semicolon ? (size_t)(semicolon - type.ptr) : type.len };
    while (essence.len > 0 && (essence.ptr[essence.len - 1] == ' ' || essence.ptr[essence.len - 1] == '\t'))
        essence.len--;
    if (!http_equal_caseless(essence, STR("application/json")))
        return false;
    if (!semicolon)
        return true;
    struct str parameter = { semicolon + 1, type.len - (size_t)(semicolon + 1 - type.ptr) };
    while (parameter.len > 0 && (*parameter.ptr == ' ' || *parameter.ptr == '\t'))
        parameter = (struct str){ parameter.ptr + 1, parameter.len - 1 };
    return http_equal_caseless(parameter, STR("charset=utf-8")) ||
           http_equal_caseless(parameter, STR("charset=\"utf-8\""));
}

static bool check_media_type(struct exchange *e)
{
    struct request *r = &e->request;
    if (!r->route->body)
        return true;
    if (!is_json(e->facts.content_type)) {
        problem(r, 415, "unsupported_media_type", "Content-Type", "must be application/json.");
        response_header(r, "Accept", "application/json");
        return false;
    }
    if (e->facts.content_encoding.len > 0 && !http_equal_caseless(e->facts.content_encoding, STR("identity"))) {
        problem(r, 415, "unsupported_media_type", "Content-Encoding", "must be absent; bodies are taken as they are.");
        return false;
    }
    return true;
}

static void too_large(struct server *s, struct request *r)
{
    problem(r, 413, "too_large", NULL, "The body may have at most %zu bytes.", s->max_body_bytes);
}

static bool check_length(struct server *s, struct exchange *e)
{
    if (e->facts.content_length <= (int64_t)s->max_body_bytes)
        return true;
    too_large(s, &e->request);
    return false;
}

/* In this order: what there is, who asks, what they send. */
static bool check_request(struct server *s, struct exchange *e, struct str method)
{
    struct request *r = &e->request;
    return find_route(s, e, method) && (r->route->auth == AUTH_NONE || s->options.authenticate(r)) && parse_ids(r) &&
           check_media_type(e) && check_length(s, e);
}

static size_t head_bytes(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

static enum MHD_Result take_head(struct server *s, struct exchange *e, const char *method, const char *version)
{
    struct request *r = &e->request;
    struct http_head head = { str_of(method), e->target, str_of(version), .count = 0 };
    struct http_fault fault;
    size_t size = head_bytes(r->connection);
    e->begun_us = clock_mono_us();
    e->counted = true;
    atomic_fetch_add(&s->in_progress, 1);
    http_metrics_add(s->options.metrics, HTTP_REQUESTS_IN_PROGRESS, 1);
    r->received_at = clock_wall_ms();
    r->deadline_us = e->begun_us + s->options.deadline_ms * 1000;

    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, collect_header, &head);
    bool too_many = head.count > HTTP_MAX_HEADERS;
    if (too_many)
        head.count = HTTP_MAX_HEADERS;
    bool good = http_check(&head, arena_alloc_raw(&r->arena, e->target.len), &e->facts, &fault);
    identify(e);
    if (s->layout_known && !too_many && !http_layout_is_clean(&head, e->target_in_place, size)) {
        problem(
            r, 400, "bad_head", NULL,
            "The request has a NUL, a line that does not end in CR LF, a folded header, or white space out of place.");
        return refuse(s, e, true);
    }
    if (!good && fault.close) {
        problem(r, fault.status, fault.code, fault.field.len ? fault.field.ptr : NULL, "%s", fault.detail);
        return refuse(s, e, true);
    }
    if (too_many || size > s->max_header_bytes) {
        problem(r, 431, "header_too_large", NULL, "Request line and headers may have at most %zu bytes and %d headers.",
                s->max_header_bytes, HTTP_MAX_HEADERS);
        return refuse(s, e, true);
    }
    if (!good) {
        problem(r, fault.status, fault.code, fault.field.len ? arena_str(&r->arena, fault.field).ptr : NULL, "%s",
                fault.detail);
        return refuse(s, e, false);
    }
    e->path = e->facts.path;
    r->query = e->facts.query;
    r->respond_async = e->facts.respond_async;
    if (!check_request(s, e, head.method))
        return refuse(s, e, false);
    if (e->facts.content_length > 0 && r->route->body)
        buf_reserve(&r->body_bytes, (size_t)e->facts.content_length);
    e->stage = AT_BODY;
    return MHD_YES;
}

/* --- the body --- */

/* A body without end that nobody wants: libmicrohttpd takes no answer in the middle of a body, so the answer goes out
 * past it. No byte of another answer has been sent for this request. */
static enum MHD_Result cut_off(struct exchange *e)
{
    static const char text[] = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(e->request.connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info && send(info->connect_fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return MHD_NO;
    return MHD_NO;
}

static enum MHD_Result take_body(struct server *s, struct exchange *e, const char *bytes, size_t *size)
{
    struct request *r = &e->request;
    size_t len = *size;
    *size = 0;
    if (!e->refused && r->route->body && r->body_bytes.len + len > s->max_body_bytes) {
        too_large(s, r);
        e->refused = true;
    }
    if (!e->refused && r->route->body) {
        buf_append(&r->body_bytes, bytes, len);
        return MHD_YES;
    }
    e->dropped += (int64_t)len;
    return e->dropped > DRAIN_MAX ? cut_off(e) : MHD_YES;
}

/* --- the handler --- */

static void hash_request(struct server *s, struct exchange *e)
{
    static const uint8_t no_key[32];
    struct request *r = &e->request;
    const char *method = method_name(r->route->method);
    crypto_generichash_state state;
    crypto_generichash_init(&state, s->options.hash_key ? s->options.hash_key : no_key, 32, sizeof r->hash);
    crypto_generichash_update(&state, (const uint8_t *)method, strlen(method) + 1);
    crypto_generichash_update(&state, (const uint8_t *)e->path.ptr, e->path.len);
    crypto_generichash_update(&state, (const uint8_t *)"", 1);
    crypto_generichash_update(&state, (const uint8_t *)r->body_bytes.ptr, r->body_bytes.len);
    crypto_generichash_final(&state, r->hash, sizeof r->hash);
}

/* The same key of the same person is the same command, whichever gateway it comes to. */
static void name_command(struct exchange *e)
{
    struct request *r = &e->request;
    r->has_idempotency_key = e->facts.idempotency_key.len > 0;
    r->command_id =
        r->has_idempotency_key ? uuid_v5(r->claims.user_id, e->facts.idempotency_key) : uuid_v7(r->received_at);
}

static enum MHD_Result end_busy(struct server *s, struct exchange *e)
{
    e->busy = false;
    atomic_fetch_sub(&s->busy, 1);
    return MHD_YES;
}

static enum MHD_Result run_handler(struct server *s, struct exchange *e)
{
    struct request *r = &e->request;
    e->stage = AT_HANDLER;
    /* Counted before `closing` is looked at: server_stop, which does it the other way round, misses nobody. */
    e->busy = true;
    atomic_fetch_add(&s->busy, 1);
    if (atomic_load(&s->closing)) {
        problem(r, 503, "stopping", NULL, "This gateway is about to stop; another one will answer.");
        response_header(r, "Retry-After", "1");
        end_busy(s, e);
        return answer(s, e);
    }
    log_context(r->request_id, NULL, r->trace);
    enum request_step step = r->route->run(r);
    log_context(NULL, NULL, NULL);
    if (step == REQUEST_SUSPENDED)
        return MHD_YES; /* e belongs to somebody else */
    if (atomic_load_explicit(&e->hold, memory_order_relaxed) != HELD_HERE) {
        request_resume(r); /* suspended before it turned out that nobody takes it */
        return MHD_YES;
    }
    end_busy(s, e);
    return answer(s, e);
}

static enum MHD_Result take_end_of_body(struct server *s, struct exchange *e)
{
    struct request *r = &e->request;
    if (e->refused)
        return answer(s, e);
    deadline_in(e, 0); /* the handler has its own */
    if (r->route->body && !body_check(r))
        return answer(s, e);
    if (r->route->method != GET) {
        hash_request(s, e);
        name_command(e);
    }
    return run_handler(s, e);
}

/* Back from being suspended. */
static enum MHD_Result take_answer(struct server *s, struct exchange *e)
{
    bool abandoned = atomic_load(&e->hold) == ABANDONED;
    end_busy(s, e);
    if (!abandoned)
        return answer(s, e);
    /* The request may still be somebody's, so nothing in it is touched. */
    static char text[] =
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"stopping\","
        "\"detail\":\"This gateway stops; the outcome is not known.\",\"retryable\":true}";
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/problem+json");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "Retry-After", "1");
    MHD_add_response_header(response, "Connection", "close");
    http_metrics_request(s->options.metrics, e->request.route, 503, clock_mono_us() - e->begun_us);
    deadline_in(e, s->write_timeout_us);
    enum MHD_Result result = MHD_queue_response(e->request.connection, 503, response);
    MHD_destroy_response(response);
    return result;
}

/* --- what libmicrohttpd calls --- */

static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct server *s = context;
    struct exchange *e = exchange_take(s);
    exchange_begin(e, connection);
    e->deadline = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    e->target_in_place = target;
    e->target = arena_str(&e->request.arena, str_of(target));
    deadline_in(e, s->read_timeout_us);
    return e;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **exchange)
{
    (void)connection, (void)url;
    struct server *s = context;
    struct exchange *e = *exchange;
    switch (e->stage) {
    case AT_HEAD:
        return take_head(s, e, method, version);
    case AT_BODY:
        return *upload_size > 0 ? take_body(s, e, upload, upload_size) : take_end_of_body(s, e);
    case AT_HANDLER:
        break;
    }
    return take_answer(s, e);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **exchange,
                         enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct server *s = context;
    struct exchange *e = *exchange;
    if (!e)
        return;
    *exchange = NULL;
    if (e->busy) /* resumed, and the client was gone */
        end_busy(s, e);
    bool counted = e->counted;
    deadline_in(e, s->idle_timeout_us);
    if (atomic_load(&e->hold) != ABANDONED)
        exchange_give_back(s, e);
    if (counted) {
        http_metrics_add(s->options.metrics, HTTP_REQUESTS_IN_PROGRESS, -1);
        atomic_fetch_sub(&s->in_progress, 1);
    }
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct server *s = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *socket_context = connections_opened(
            s->connections, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    else if (*socket_context)
        connections_closed(s->connections, *socket_context);
}

/* Percent-encoding is http_check's; what libmicrohttpd decodes is not used. */
static size_t leave_encoded(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* --- life --- */

static err start_daemon(struct server *s, const struct config *config)
{
    unsigned threads = (unsigned)config_int(config, "gateway.threads");
    if (threads == 0)
        threads = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    size_t memory = s->max_header_bytes + HTTP_MAX_HEADERS * POOL_A_HEADER + POOL_BASE;
    /* Its own limit must never be met (connections.h), so each thread could take them all. */
    unsigned limit = ((unsigned)config_int(config, "gateway.max_connections") + 64) * threads;
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem pool[] = { { threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL },
                                     { MHD_OPTION_END, 0, NULL } };
    s->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
                         MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory,
                         MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    if (!s->daemon)
        return err_set(FATAL,
                       "libmicrohttpd could not start %u threads; see gateway.threads and the limits of threads "
                       "and file descriptors",
                       threads);
    return OK;
}

static err server_start(struct server *s, const struct config *config)
{
    struct connections_options options = {
        .address = config_text(config, "gateway.address"),
        .port = (int)config_int(config, "gateway.port"),
        .max = (int)config_int(config, "gateway.max_connections"),
        .first_deadline_us = s->read_timeout_us,
        .metrics = s->options.metrics,
    };
    TRY(connections_create(&options, &s->connections));
    TRY(start_daemon(s, config));
    return connections_start(s->connections, s->daemon);
}

err server_create(const struct server_options *options, struct server **ret)
{
    if (sodium_init() < 0)
        return err_set(FATAL, "libsodium could not start");
    json_arena_init();
    const struct config *config = options->config;
    struct server *s = mem_alloc(sizeof *s);
    s->options = *options;
    s->router = router_create(options->routes);
    s->max_header_bytes = (size_t)config_int(config, "gateway.max_header_bytes");
    s->max_body_bytes = (size_t)config_int(config, "gateway.max_body_bytes");
    s->read_timeout_us = config_int(config, "gateway.read_timeout_ms") * 1000;
    s->write_timeout_us = config_int(config, "gateway.write_timeout_ms") * 1000;
    s->idle_timeout_us = config_int(config, "gateway.idle_timeout_s") * 1000000;
    s->drain_timeout_us = config_int(config, "gateway.drain_timeout_ms") * 1000;
    s->layout_known = http_layout_is_known(MHD_get_version());
    if (!s->layout_known)
        LOG(WARN, "heads of requests are not compared byte by byte with this libmicrohttpd",
            F_STR("version", MHD_get_version()));
    pthread_mutex_init(&s->lock, NULL);
    err e = server_start(s, config);
    if (e != OK) {
        server_destroy(s);
        return e;
    }
    *ret = s;
    return OK;
}

int server_port(const struct server *s)
{
    return connections_port(s->connections);
}

struct health *server_health(const struct server *s)
{
    return s->options.health;
}

const struct http_metrics *server_metrics(const struct server *s)
{
    return s->options.metrics;
}

void server_quiesce(struct server *s)
{
    atomic_store(&s->draining, true);
    connections_quiesce(s->connections);
}

bool server_is_draining(const struct server *s)
{
    return atomic_load(&s->draining);
}

static void rest(int64_t microseconds)
{
    nanosleep(&(struct timespec){ .tv_nsec = microseconds * 1000 }, NULL);
}

static void abandon_suspended(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    for (struct exchange *e = s->all; e; e = e->next) {
        int held = SUSPENDED;
        if (atomic_compare_exchange_strong(&e->hold, &held, ABANDONED))
            MHD_resume_connection(e->request.connection);
    }
    pthread_mutex_unlock(&s->lock);
}

void server_stop(struct server *s)
{
    if (!s->daemon)
        return;
    server_quiesce(s);
    int64_t until_us = clock_mono_us() + s->drain_timeout_us;
    while (atomic_load(&s->in_progress) > 0 && clock_mono_us() < until_us)
        rest(2000);
    /* libmicrohttpd aborts when it is stopped with a suspended connection. */
    atomic_store(&s->closing, true);
    while (atomic_load(&s->busy) > 0) {
        abandon_suspended(s);
        rest(1000);
    }
    connections_stop(s->connections);
    MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
}

static void exchanges_free(struct exchange *e)
{
    while (e) {
        struct exchange *next = e->next;
        arena_finish(&e->request.arena);
        buf_finish(&e->request.body_bytes);
        buf_finish(&e->request.response.body);
        free(e);
        e = next;
    }
}

void server_destroy(struct server *s)
{
    if (!s)
        return;
    server_stop(s);
    connections_destroy(s->connections);
    exchanges_free(s->all);
    router_destroy(s->router);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
