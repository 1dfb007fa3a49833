#include "gateway/http/exchange.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/http/admission.h"
#include "gateway/http/answer.h"
#include "gateway/http/http_check.h"
#include "gateway/http/http_layout.h"
#include "gateway/http/loop.h"
#include "gateway/http/problem.h"
#include "gateway/http/trace.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

/* A body that nobody wants is read to its end up to here, so that the client sees the answer and may go on; behind it
 * the connection is closed. */
#define DRAIN_MAX ((int64_t)8 * 1024 * 1024)

#define ARENA_BLOCK 4096
#define BUFFER_KEPT (64 * 1024) /* a recycled request's buffers; what was larger is given back */

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
    struct heads *heads; /* NULL: the head is complete */
    struct exchange *next_head, **this_head;
    struct resumption resumption;
    connection_deadline *deadline;
    const char *target_in_place; /* where libmicrohttpd keeps it */
    struct str target;
    struct http_facts facts;
    enum { AT_HEAD, AT_BODY, AT_ADMIT, AT_HANDLER } stage;
    bool refused;    /* the answer is known; the body is dropped */
    bool counted;    /* in exchanges.in_progress */
    bool busy;       /* in exchanges.busy */
    int64_t dropped; /* bytes of body */
    size_t sent;     /* of the piece in response.body */
    bool making;     /* the next piece is being made */
    int64_t begun_us;
    _Atomic int hold; /* enum hold */
};

struct exchanges {
    struct exchanges_options options;
    struct router *router;
    struct admission admission;
    struct answers answers;

    pthread_mutex_t lock; /* of the two lists */
    struct exchange *free, *first;

    atomic_bool closing;    /* no handler is started any more */
    atomic_int in_progress; /* from head to answer sent */
    atomic_int busy;        /* from before `closing` is looked at until no longer suspended */
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

/* jansson, ICU and the checks make copies of what they read; they are all in here. What libmicrohttpd has read is wiped
 * as it is taken. */
static void wipe_secrets(struct request *r)
{
    arena_wipe(&r->arena);
    if (r->body_bytes.ptr)
        explicit_bzero(r->body_bytes.ptr, r->body_bytes.cap);
    if (r->response.body.ptr)
        explicit_bzero(r->response.body.ptr, r->response.body.cap);
}

static void exchange_give_back(struct exchange *e)
{
    struct exchanges *all = e->all;
    struct request *r = &e->request;
    if (r->has_secrets)
        wipe_secrets(r);
    else
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
    r->head = false;
    r->client = (struct client){ 0 };
    r->origin = NULL;
    r->rate_count = 0;
    r->query = (struct str){ 0 };
    r->body = NULL;
    r->has_secrets = false;
    r->claims = (struct claims){ 0 };
    r->request_id[0] = r->trace[0] = '\0';
    memset(r->hash, 0, sizeof r->hash);
    r->command_id = uuid_nil;
    r->has_idempotency_key = r->respond_async = false;
    r->fresh_subject = r->retried_as = uuid_nil;
    r->received_at = r->deadline_us = 0;
    r->response.status = 0;
    r->response.content_type = r->response.security_policy = NULL;
    r->response.header_count = 0;
    r->response.next = NULL;
    r->why = NULL;
    r->take_over = NULL;
    r->tolerated = 0;
    r->after = NULL;
    r->after_done = false;
    r->state = NULL;
    e->stage = AT_HEAD;
    e->facts = (struct http_facts){ 0 };
    e->refused = e->counted = e->busy = false;
    e->dropped = 0;
    e->sent = 0;
    e->making = false;
    atomic_store_explicit(&e->hold, HELD_HERE, memory_order_relaxed);
}

static void deadline_in(struct exchange *e, int64_t microseconds)
{
    atomic_store_explicit(e->deadline, microseconds > 0 ? clock_mono_us() + microseconds : 0, memory_order_relaxed);
}

/* --- suspending and resuming --- */

void request_suspend(struct request *r)
{
    if (r->resumed)
        return; /* there is no connection to suspend */
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
    if (r->resumed) {
        r->resumed(r);
        return;
    }
    bring_back((struct exchange *)r, RESUMED);
}

/* --- the answer --- */

static int64_t took_us(const struct exchange *e)
{
    return clock_mono_us() - e->begun_us;
}

static enum MHD_Result answer(struct exchange *e)
{
    deadline_in(e, e->all->options.write_timeout_us);
    if (e->request.response.next)
        atomic_store(&e->hold, HELD_HERE); /* it may be handed on once more, for each piece */
    return answer_queue(&e->all->answers, &e->request, took_us(e));
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

static void heads_add(struct heads *heads, struct exchange *e)
{
    e->heads = heads;
    e->next_head = heads->first;
    e->this_head = &heads->first;
    if (heads->first)
        heads->first->this_head = &e->next_head;
    heads->first = e;
}

static void heads_remove(struct exchange *e)
{
    if (!e->heads)
        return;
    *e->this_head = e->next_head;
    if (e->next_head)
        e->next_head->this_head = e->this_head;
    e->heads = NULL;
}

static const char no_cookies[] = "";

static enum MHD_Result collect_header(void *context, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                      const char *value, size_t value_len)
{
    (void)kind;
    struct http_head *head = context;
    if (value == no_cookies)
        return MHD_YES;
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

static size_t head_bytes(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

static struct client find_client(const struct exchange *e, const struct http_head *head)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(e->request.connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return client_find(e->all->options.proxies, address_of_peer(info ? info->client_addr : NULL), head);
}

/* Secrets are known to be some before their first byte is there, since the client may leave or send too much. Their
 * buffer never grows: that would leave a copy behind. */
static void expect_body(struct exchange *e)
{
    struct request *r = &e->request;
    r->has_secrets = body_has_secrets(r->route->body);
    if (e->facts.content_length > 0)
        buf_reserve(&r->body_bytes, (size_t)e->facts.content_length);
    else if (e->facts.chunked && r->has_secrets)
        buf_reserve(&r->body_bytes, e->all->admission.max_body_bytes);
}

static enum MHD_Result take_head(struct exchange *e, const char *method, const char *version)
{
    struct request *r = &e->request;
    struct http_head head = { str_of(method), e->target, str_of(version), .count = 0 };
    struct http_fault fault;
    size_t size = head_bytes(r->connection);
    heads_remove(e);
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
    r->head = str_equal(head.method, STR("HEAD"));
    r->client = find_client(e, &head);
    r->origin = cors_allow(e->all->options.headers.cors, &head);
    bool good = http_check(&head, arena_alloc_raw(&r->arena, e->target.len), &e->facts, &fault);
    identify(e);
    if (!connections_belongs_to(e->all->options.connections, e->deadline, r->client.address)) {
        problem(r, 429, "too_many_connections", NULL, "Too many connections are open from this address.");
        response_header(r, "Retry-After", "1");
        return refuse(e, true);
    }
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
    e->facts.path = route_path(e->all->options.aliases, e->facts.path, &r->arena);
    r->query = e->facts.query;
    r->respond_async = e->facts.respond_async;
    if (!admission_check(&e->all->admission, r, head.method, &e->facts))
        return refuse(e, false);
    if (r->route->body)
        expect_body(e);
    e->stage = AT_BODY;
    return MHD_YES;
}

/* libmicrohttpd's own rule, or ours where it is stricter. */
static bool has_bad_length(struct exchange *e)
{
    const char *value;
    size_t len;
    if (MHD_lookup_connection_value_n(e->request.connection, MHD_HEADER_KIND, "Content-Length", 14, &value, &len) !=
        MHD_YES)
        return false;
    return len == 0 || len > 18 || strspn(value, "0123456789") != len;
}

void heads_refuse_bad_lengths(struct heads *heads)
{
    for (struct exchange *e = heads->first, *next; e; e = next) {
        struct request *r = &e->request;
        next = e->next_head;
        if (!has_bad_length(e))
            continue;
        heads_remove(e);
        r->received_at = clock_wall_ms();
        identify(e);
        problem(r, 400, "bad_framing", "Content-Length", "must be a number of at most 18 decimal digits.");
        answer_send_past(&e->all->answers, r, took_us(e));
    }
}

/* --- the body --- */

/* A body without end that nobody wants: libmicrohttpd takes no answer in the middle of a body. */
static enum MHD_Result cut_off(struct exchange *e)
{
    answer_send_past(&e->all->answers, &e->request, took_us(e));
    return MHD_NO;
}

static enum MHD_Result take_body(struct exchange *e, const char *bytes, size_t *size)
{
    struct request *r = &e->request;
    size_t len = *size;
    *size = 0;
    if (!e->refused && r->route->body && r->body_bytes.len + len > e->all->admission.max_body_bytes) {
        admission_too_large(&e->all->admission, r);
        e->refused = true;
    }
    bool wanted = !e->refused && r->route->body;
    if (wanted)
        buf_append(&r->body_bytes, bytes, len);
    if (r->has_secrets) /* libmicrohttpd would leave them in memory that it frees */
        sodium_memzero((char *)bytes, len);
    if (wanted)
        return MHD_YES;
    e->dropped += (int64_t)len;
    return e->dropped > DRAIN_MAX ? cut_off(e) : MHD_YES;
}

/* --- the handler --- */

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

/* Counted before `closing` is looked at: server_stop, which does it the other way round, misses nobody. false: the
 * server stops, and that has been answered. */
static bool begin_busy(struct exchange *e, enum MHD_Result *ret)
{
    struct request *r = &e->request;
    e->busy = true;
    atomic_fetch_add(&e->all->busy, 1);
    if (!atomic_load(&e->all->closing))
        return true;
    problem(r, 503, "stopping", NULL, "This gateway is about to stop; another one will answer.");
    response_header(r, "Retry-After", "1");
    end_busy(e);
    *ret = answer(e);
    return false;
}

/* true: e belongs to somebody else, or is on its way back. */
static bool is_handed_on(struct exchange *e, enum request_step step)
{
    if (step == REQUEST_SUSPENDED)
        return true;
    if (atomic_load_explicit(&e->hold, memory_order_relaxed) == HELD_HERE)
        return false;
    request_resume(&e->request); /* suspended before it turned out that nobody takes it */
    return true;
}

static enum MHD_Result run_handler(struct exchange *e)
{
    struct request *r = &e->request;
    enum MHD_Result result;
    e->stage = AT_HANDLER;
    if (!admission_role(r)) /* here, since `admit` may have brought newer roles than the token's */
        return answer(e);
    if (!begin_busy(e, &result))
        return result;
    log_context(r->request_id, NULL, r->trace);
    enum request_step step = r->route->run(r);
    log_context(NULL, NULL, NULL);
    if (is_handed_on(e, step))
        return MHD_YES;
    end_busy(e);
    return answer(e);
}

/* Who was admitted has no answer yet. */
static enum MHD_Result take_admission(struct exchange *e)
{
    end_busy(e);
    return e->request.response.status != 0 ? answer(e) : run_handler(e);
}

static enum MHD_Result run_admit(struct exchange *e)
{
    struct request *r = &e->request;
    enum MHD_Result result;
    if (!e->all->options.admit || r->route->auth == AUTH_NONE)
        return run_handler(e);
    e->stage = AT_ADMIT;
    if (!begin_busy(e, &result))
        return result;
    log_context(r->request_id, NULL, r->trace);
    enum request_step step = e->all->options.admit(r);
    log_context(NULL, NULL, NULL);
    return is_handed_on(e, step) ? MHD_YES : take_admission(e);
}

static enum MHD_Result take_end_of_body(struct exchange *e)
{
    static const uint8_t no_key[32];
    struct request *r = &e->request;
    if (e->refused)
        return answer(e);
    deadline_in(e, 0); /* the handler has its own */
    if (r->route->body && !body_check(r))
        return answer(e);
    if (r->route->method != GET) {
        request_hash(r, str_of(method_name(r->route->method)), e->facts.path,
                     e->all->options.hash_key ? e->all->options.hash_key : no_key);
        name_command(e);
    }
    return run_admit(e);
}

/* The socket leaves libmicrohttpd, which closes another one in its place: its own upgrade only knows status 101 and
 * keeps the connection's memory for as long as the socket lives. A connection that was suspended is in no epoll set
 * until it waits again, so its descriptor may change its meaning here. */
static enum MHD_Result hand_over(struct exchange *e)
{
    struct request *r = &e->request;
    int fd = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int dummy = eventfd(0, EFD_CLOEXEC);
    if (kept < 0 || dummy < 0 || dup3(dummy, fd, O_CLOEXEC) < 0) {
        if (kept >= 0)
            close(kept);
        if (dummy >= 0)
            close(dummy);
        problem(r, 503, "overloaded", NULL, "Too many connections are open.");
        response_header(r, "Retry-After", "1");
        return answer(e);
    }
    close(dummy);
    http_metrics_request(e->all->options.metrics, r->route, r->response.status, took_us(e));
    r->take_over(r, kept);
    return MHD_NO; /* ends the connection without a byte */
}

/* Back from being suspended. */
static enum MHD_Result take_answer(struct exchange *e)
{
    bool abandoned = atomic_load(&e->hold) == ABANDONED;
    if (!abandoned && e->stage == AT_ADMIT) {
        atomic_store(&e->hold, HELD_HERE); /* nobody else has it; the handler may hand it on again */
        return take_admission(e);
    }
    end_busy(e);
    if (!abandoned)
        return e->request.take_over ? hand_over(e) : answer(e);
    deadline_in(e, e->all->options.write_timeout_us);
    return answer_queue_abandoned(&e->all->answers, e->request.connection, e->request.route, took_us(e));
}

/* --- an answer that is made piece by piece --- */

/* false: there is none, *ret_end says how the answer ends; or, with 0, it comes later. */
static bool make_piece(struct exchange *e, ssize_t *ret_end)
{
    struct request *r = &e->request;
    buf_clear(&r->response.body);
    e->sent = 0;
    e->busy = true;
    atomic_fetch_add(&e->all->busy, 1);
    *ret_end = MHD_CONTENT_READER_END_WITH_ERROR;
    if (atomic_load(&e->all->closing)) {
        end_busy(e);
        return false;
    }
    deadline_in(e, 0);
    e->making = true;
    *ret_end = 0;
    return !is_handed_on(e, r->response.next(r));
}

/* The piece is there, perhaps after the connection was suspended for it. false: it is the end. */
static bool take_piece(struct exchange *e, ssize_t *ret_end)
{
    bool abandoned = atomic_load(&e->hold) == ABANDONED;
    e->making = false;
    end_busy(e);
    if (abandoned || e->request.response.status >= 400) {
        *ret_end = MHD_CONTENT_READER_END_WITH_ERROR;
        return false;
    }
    atomic_store(&e->hold, HELD_HERE);
    *ret_end = MHD_CONTENT_READER_END_OF_STREAM;
    return e->request.response.body.len > 0;
}

/* libmicrohttpd's content reader: each piece has write_timeout_us, as a whole answer has. */
static ssize_t read_pieces(void *context, uint64_t position, char *to, size_t most)
{
    (void)position;
    struct exchange *e = context;
    const struct buf *body = &e->request.response.body;
    ssize_t end;
    if (!e->making && e->sent == body->len && !make_piece(e, &end))
        return end;
    if (e->making) {
        if (!take_piece(e, &end))
            return end;
        deadline_in(e, e->all->options.write_timeout_us);
    }
    size_t len = body->len - e->sent < most ? body->len - e->sent : most;
    memcpy(to, body->ptr + e->sent, len);
    e->sent += len;
    return (ssize_t)len;
}

/* --- one exchange, as libmicrohttpd drives it --- */

struct exchange *exchange_begin(struct exchanges *all, struct MHD_Connection *connection, struct loop *loop,
                                struct heads *heads, connection_deadline *deadline, const char *target)
{
    struct exchange *e = exchange_take(all);
    exchange_clear(e, connection);
    e->loop = loop;
    e->resumption.connection = connection;
    e->deadline = deadline;
    e->begun_us = clock_mono_us();
    e->target_in_place = target;
    e->target = arena_str(&e->request.arena, str_of(target));
    /* libmicrohttpd keeps a record for each parameter and each cookie, in memory that a client can exhaust with a few
     * hundred of them, and then goes on after its answer and sends a second head. So it gets to see neither: the query
     * ends at its first byte, and the first of several Cookie headers, the one it reads, is an empty one of ours. */
    char *question = strchr((char *)target, '?');
    if (question)
        question[1] = '\0';
    MHD_set_connection_value_n(connection, MHD_HEADER_KIND, "Cookie", 6, no_cookies, 0);
    heads_add(heads, e);
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
    case AT_ADMIT:
    case AT_HANDLER:
        break;
    }
    return take_answer(e);
}

void exchange_end(struct exchange *e)
{
    struct exchanges *all = e->all;
    bool counted = e->counted;
    heads_remove(e);
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
    all->admission = (struct admission){
        .router = all->router,
        .authenticate = options->authenticate,
        .limit = options->limit,
        .max_body_bytes = options->max_body_bytes,
    };
    all->answers.metrics = options->metrics;
    all->answers.read = read_pieces;
    all->answers.headers = options->headers;
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
    atomic_store(&all->answers.draining, true);
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
