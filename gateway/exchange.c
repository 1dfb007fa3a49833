#include "gateway/exchange.h"

#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/http_check.h"
#include "gateway/http_layout.h"
#include "gateway/loop.h"
#include "gateway/problem.h"
#include "gateway/trace.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

/* A body that nobody wants is read to its end up to here, so that the client sees the answer and may go on; behind it
 * the connection is closed. */
#define DRAIN_MAX ((int64_t)8 * 1024 * 1024)

#define ARENA_BLOCK       4096
#define BUFFER_KEPT       (64 * 1024) /* a recycled request's buffers; what was larger is given back */
#define WARNINGS_A_SECOND 20

/* Who may bring a suspended request back. One exchange from SUSPENDED decides. */
enum hold {
    HELD_HERE, /* by its loop's thread */
    SUSPENDED, /* by whoever it was handed to */
    RESUMED,   /* on its way back */
    ABANDONED, /* the server stops and did not wait longer; the request is not used again */
};

/* A request and what the server knows about it. Never freed while the server lives, so a late request_resume of an
 * abandoned one finds memory. */
struct exchange {
    struct request request; /* first: a request is its exchange */
    struct exchange *next_free, *next;
    struct exchanges *all;
    struct loop *loop;
    struct resumption resumption;
    connection_deadline *deadline;
    const char *target_in_place; /* where libmicrohttpd keeps it */
    struct str target, path;
    struct http_facts facts;
    enum { AT_HEAD, AT_BODY, AT_HANDLER } stage;
    bool refused;    /* the answer is known; the body is dropped */
    bool counted;    /* in exchanges.in_progress */
    bool busy;       /* in exchanges.busy */
    int64_t dropped; /* bytes of body */
    int64_t begun_us;
    _Atomic int hold; /* enum hold */
};

struct exchanges {
    struct exchanges_options options;
    struct router *router;

    pthread_mutex_t lock; /* of the two lists */
    struct exchange *free, *first;

    atomic_bool draining;   /* answers end their connections */
    atomic_bool closing;    /* no handler is started any more */
    atomic_int in_progress; /* from head to answer sent */
    atomic_int busy;        /* from before `closing` is looked at until no longer suspended */

    _Atomic int64_t warned_second; /* log lines about failed requests are rationed */
    atomic_int warned, unwarned;
};

/* --- requests, recycled --- */

static struct exchange *exchange_take(struct exchanges *all)
{
    pthread_mutex_lock(&all->lock);
    struct exchange *e = all->free;
    if (e)
        all->free = e->next_free;
    pthread_mutex_unlock(&all->lock);
    if (e)
        return e;
    e = mem_alloc(sizeof *e);
    e->all = all;
    e->request.server = all->options.server;
    e->request.gateway = all->options.gateway;
    arena_init(&e->request.arena, ARENA_BLOCK);
    pthread_mutex_lock(&all->lock);
    e->next = all->first;
    all->first = e;
    pthread_mutex_unlock(&all->lock);
    return e;
}

static void buf_recycle(struct buf *b)
{
    if (b->cap > BUFFER_KEPT)
        buf_finish(b);
    buf_clear(b);
}

static void exchange_give_back(struct exchange *e)
{
    struct exchanges *all = e->all;
    struct request *r = &e->request;
    arena_reset(&r->arena);
    buf_recycle(&r->body_bytes);
    buf_recycle(&r->response.body);
    pthread_mutex_lock(&all->lock);
    e->next_free = all->free;
    all->free = e;
    pthread_mutex_unlock(&all->lock);
}

/* What a request begins with; its arena and buffers are empty already. */
static void exchange_clear(struct exchange *e, struct MHD_Connection *connection)
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

static bool bring_back(struct exchange *e, enum hold how)
{
    int held = SUSPENDED;
    if (!atomic_compare_exchange_strong(&e->hold, &held, how))
        return false;
    loop_resume(e->loop, &e->resumption);
    return true;
}

void request_resume(struct request *r)
{
    bring_back((struct exchange *)r, RESUMED);
}

/* --- the answer --- */

static void log_request(const struct exchange *e, int64_t took_us)
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
    if (atomic_exchange(&e->all->warned_second, second) != second)
        atomic_store(&e->all->warned, 0);
    if (atomic_fetch_add(&e->all->warned, 1) >= WARNINGS_A_SECOND) {
        atomic_fetch_add(&e->all->unwarned, 1);
        return;
    }
    int unwarned = atomic_exchange(&e->all->unwarned, 0);
    if (status == 503)
        LOG(WARN, "request failed", F_STR("route", route), F_INT("status", status), F_STR("error", r->why),
            F_INT("microseconds", took_us), F_STR("request_id", r->request_id), F_STR("trace", r->trace),
            F_INT("not_logged", unwarned));
    else
        LOG(ERROR, "request failed", F_STR("route", route), F_INT("status", status),
            F_STR("error", r->why ? r->why : "no answer was given"), F_INT("microseconds", took_us),
            F_STR("request_id", r->request_id), F_STR("trace", r->trace), F_INT("not_logged", unwarned));
}

static void add_headers(const struct exchange *e, struct MHD_Response *answer)
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
    if (atomic_load_explicit(&e->all->draining, memory_order_relaxed))
        MHD_add_response_header(answer, "Connection", "close");
}

/* The body stays where it is, in the request, which outlives the answer. */
static enum MHD_Result answer(struct exchange *e)
{
    struct request *r = &e->request;
    if (r->response.status == 0)
        problem(r, 500, "internal", NULL, "Something went wrong here; the request id helps to find it.");
    struct buf *body = &r->response.body;
    struct MHD_Response *response = MHD_create_response_from_buffer(body->len, body->ptr, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    add_headers(e, response);
    int64_t took_us = clock_mono_us() - e->begun_us;
    http_metrics_request(e->all->options.metrics, r->route, r->response.status, took_us);
    log_request(e, took_us);
    deadline_in(e, e->all->options.write_timeout_us);
    enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)r->response.status, response);
    MHD_destroy_response(response);
    return result;
}

/* A problem is filled. `at_once`: the body is not worth reading, and the connection ends with the answer, since
 * libmicrohttpd ends it when it is answered before the body. */
static enum MHD_Result refuse(struct exchange *e, bool at_once)
{
    e->refused = true;
    if (at_once || e->facts.expects_continue || e->facts.content_length > DRAIN_MAX)
        return answer(e);
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
static bool find_route(struct exchange *e, struct str method)
{
    struct request *r = &e->request;
    bool is_options = str_equal(method, STR("OPTIONS"));
    enum method parsed = GET;
    bool known = is_options || str_equal(method, STR("HEAD")) || method_parse(method, &parsed);
    size_t count;
    unsigned allowed;
    const struct route *route = router_find(e->all->router, parsed, e->path, r->params, &count, &allowed);
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

static bool check_media_type(struct exchange *e)
{
    struct request *r = &e->request;
    if (!r->route->body)
        return true;
    if (!http_is_json(e->facts.content_type)) {
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

static void too_large(struct exchange *e)
{
    problem(&e->request, 413, "too_large", NULL, "The body may have at most %zu bytes.",
            e->all->options.max_body_bytes);
}

static bool check_length(struct exchange *e)
{
    if (e->facts.content_length <= (int64_t)e->all->options.max_body_bytes)
        return true;
    too_large(e);
    return false;
}

/* In this order: what there is, who asks, what they send. */
static bool check_request(struct exchange *e, struct str method)
{
    struct request *r = &e->request;
    return find_route(e, method) && (r->route->auth == AUTH_NONE || e->all->options.authenticate(r)) && parse_ids(r) &&
           check_media_type(e) && check_length(e);
}

static size_t head_bytes(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

static enum MHD_Result take_head(struct exchange *e, const char *method, const char *version)
{
    struct request *r = &e->request;
    struct http_head head = { str_of(method), e->target, str_of(version), .count = 0 };
    struct http_fault fault;
    size_t size = head_bytes(r->connection);
    e->begun_us = clock_mono_us();
    e->counted = true;
    atomic_fetch_add(&e->all->in_progress, 1);
    http_metrics_add(e->all->options.metrics, HTTP_REQUESTS_IN_PROGRESS, 1);
    r->received_at = clock_wall_ms();
    r->deadline_us = e->begun_us + e->all->options.deadline_us;

    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, collect_header, &head);
    bool too_many = head.count > HTTP_MAX_HEADERS;
    if (too_many)
        head.count = HTTP_MAX_HEADERS;
    bool good = http_check(&head, arena_alloc_raw(&r->arena, e->target.len), &e->facts, &fault);
    identify(e);
    if (e->all->options.layout_known && !too_many && !http_layout_is_clean(&head, e->target_in_place, size)) {
        problem(
            r, 400, "bad_head", NULL,
            "The request has a NUL, a line that does not end in CR LF, a folded header, or white space out of place.");
        return refuse(e, true);
    }
    if (!good && fault.close) {
        problem(r, fault.status, fault.code, fault.field.len ? fault.field.ptr : NULL, "%s", fault.detail);
        return refuse(e, true);
    }
    if (too_many || size > e->all->options.max_header_bytes) {
        problem(r, 431, "header_too_large", NULL, "Request line and headers may have at most %zu bytes and %d headers.",
                e->all->options.max_header_bytes, HTTP_MAX_HEADERS);
        return refuse(e, true);
    }
    if (!good) {
        problem(r, fault.status, fault.code, fault.field.len ? arena_str(&r->arena, fault.field).ptr : NULL, "%s",
                fault.detail);
        return refuse(e, false);
    }
    e->path = e->facts.path;
    r->query = e->facts.query;
    r->respond_async = e->facts.respond_async;
    if (!check_request(e, head.method))
        return refuse(e, false);
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

static enum MHD_Result take_body(struct exchange *e, const char *bytes, size_t *size)
{
    struct request *r = &e->request;
    size_t len = *size;
    *size = 0;
    if (!e->refused && r->route->body && r->body_bytes.len + len > e->all->options.max_body_bytes) {
        too_large(e);
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

static void hash_request(struct exchange *e)
{
    static const uint8_t no_key[32];
    struct request *r = &e->request;
    const char *method = method_name(r->route->method);
    crypto_generichash_state state;
    crypto_generichash_init(&state, e->all->options.hash_key ? e->all->options.hash_key : no_key, 32, sizeof r->hash);
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

static enum MHD_Result end_busy(struct exchange *e)
{
    e->busy = false;
    atomic_fetch_sub(&e->all->busy, 1);
    return MHD_YES;
}

static enum MHD_Result run_handler(struct exchange *e)
{
    struct request *r = &e->request;
    e->stage = AT_HANDLER;
    /* Counted before `closing` is looked at: server_stop, which does it the other way round, misses nobody. */
    e->busy = true;
    atomic_fetch_add(&e->all->busy, 1);
    if (atomic_load(&e->all->closing)) {
        problem(r, 503, "stopping", NULL, "This gateway is about to stop; another one will answer.");
        response_header(r, "Retry-After", "1");
        end_busy(e);
        return answer(e);
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
    end_busy(e);
    return answer(e);
}

static enum MHD_Result take_end_of_body(struct exchange *e)
{
    struct request *r = &e->request;
    if (e->refused)
        return answer(e);
    deadline_in(e, 0); /* the handler has its own */
    if (r->route->body && !body_check(r))
        return answer(e);
    if (r->route->method != GET) {
        hash_request(e);
        name_command(e);
    }
    return run_handler(e);
}

/* Back from being suspended. */
static enum MHD_Result take_answer(struct exchange *e)
{
    bool abandoned = atomic_load(&e->hold) == ABANDONED;
    end_busy(e);
    if (!abandoned)
        return answer(e);
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
    http_metrics_request(e->all->options.metrics, e->request.route, 503, clock_mono_us() - e->begun_us);
    deadline_in(e, e->all->options.write_timeout_us);
    enum MHD_Result result = MHD_queue_response(e->request.connection, 503, response);
    MHD_destroy_response(response);
    return result;
}

/* --- one exchange, as libmicrohttpd drives it --- */

struct exchange *exchange_begin(struct exchanges *all, struct MHD_Connection *connection, struct loop *loop,
                                connection_deadline *deadline, const char *target)
{
    struct exchange *e = exchange_take(all);
    exchange_clear(e, connection);
    e->loop = loop;
    e->resumption.connection = connection;
    e->deadline = deadline;
    e->target_in_place = target;
    e->target = arena_str(&e->request.arena, str_of(target));
    deadline_in(e, all->options.read_timeout_us);
    return e;
}

enum MHD_Result exchange_step(struct exchange *e, const char *method, const char *version, const char *upload,
                              size_t *upload_size)
{
    switch (e->stage) {
    case AT_HEAD:
        return take_head(e, method, version);
    case AT_BODY:
        return *upload_size > 0 ? take_body(e, upload, upload_size) : take_end_of_body(e);
    case AT_HANDLER:
        break;
    }
    return take_answer(e);
}

void exchange_end(struct exchange *e)
{
    struct exchanges *all = e->all;
    bool counted = e->counted;
    if (e->busy) /* resumed, and the client was gone */
        end_busy(e);
    deadline_in(e, all->options.idle_timeout_us);
    if (atomic_load(&e->hold) != ABANDONED)
        exchange_give_back(e);
    if (!counted)
        return;
    http_metrics_add(all->options.metrics, HTTP_REQUESTS_IN_PROGRESS, -1);
    atomic_fetch_sub(&all->in_progress, 1);
}

/* --- all of them --- */

struct exchanges *exchanges_create(const struct exchanges_options *options)
{
    struct exchanges *all = mem_alloc(sizeof *all);
    all->options = *options;
    all->router = router_create(options->routes);
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

void exchanges_destroy(struct exchanges *all)
{
    if (!all)
        return;
    for (struct exchange *e = all->first, *next; e; e = next) {
        next = e->next;
        arena_finish(&e->request.arena);
        buf_finish(&e->request.body_bytes);
        buf_finish(&e->request.response.body);
        free(e);
    }
    router_destroy(all->router);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

void exchanges_drain(struct exchanges *all)
{
    atomic_store(&all->draining, true);
}

int exchanges_in_progress(const struct exchanges *all)
{
    return atomic_load(&all->in_progress);
}

bool exchanges_close(struct exchanges *all)
{
    atomic_store(&all->closing, true);
    pthread_mutex_lock(&all->lock);
    for (struct exchange *e = all->first; e; e = e->next)
        bring_back(e, ABANDONED);
    pthread_mutex_unlock(&all->lock);
    return atomic_load(&all->busy) == 0;
}
