/* The HTTP server with routes that only tests want: what comes in is said back, what is asked to wait is resumed by
 * another thread. Says "port N" on standard output and serves until SIGTERM. Settings: gateway.…, and log.level. */
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/http/server.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "ops/runtime/stop.h"
#include "tests/runtime/allocations.h"

#define WAITING_MAX 8192

/* Requests that another thread answers, in order of time. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        struct request *request;
        int64_t due_us;
        enum fate { ANSWERED, LET_IN, TURNED_AWAY, PIECE } fate;
    } waiting[WAITING_MAX];
    size_t count;
    bool stopping;
} later = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static atomic_bool dependency_is_up = true, beginning_is_up;

static void turn_away(struct request *r)
{
    problem(r, 401, "session_ended", NULL, "This session has ended.");
}

/* An answer in pieces: so many are left, of so many bytes each, made so late (-1: at once). */
struct pieces {
    int64_t left, bytes, ms;
    bool breaks; /* the last one cannot be made */
};

static void fill_piece(struct request *r)
{
    struct pieces *p = r->state;
    struct buf *body = &r->response.body;
    if (p->left == 0)
        return;
    if (p->left == 1 && p->breaks) {
        problem(r, 503, "away", NULL, "The rest is not to be had.");
    } else {
        buf_reserve(body, (size_t)p->bytes);
        memset(body->ptr, 'a' + (int)(p->left % 26), (size_t)p->bytes);
        body->len = (size_t)p->bytes;
    }
    p->left--;
}

static void *answer_later(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&later.lock);
    while (!later.stopping) {
        int64_t now_us = clock_mono_us();
        bool answered = false;
        for (size_t i = 0; i < later.count; i++) {
            struct request *r = later.waiting[i].request;
            enum fate fate = later.waiting[i].fate;
            if (later.waiting[i].due_us > now_us)
                continue;
            later.waiting[i--] = later.waiting[--later.count];
            answered = true;
            if (fate == TURNED_AWAY) {
                turn_away(r);
            } else if (fate == PIECE) {
                fill_piece(r);
            } else if (fate == ANSWERED) {
                struct json j = response_json(r, 200);
                json_open(&j, '{');
                json_field_str(&j, "requestId", str_of(r->request_id));
                json_close(&j, '}');
            }
            request_resume(r);
        }
        if (!answered && later.count == 0) {
            pthread_cond_wait(&later.changed, &later.lock);
        } else if (!answered) {
            pthread_mutex_unlock(&later.lock);
            poll(NULL, 0, 1);
            pthread_mutex_lock(&later.lock);
        }
    }
    pthread_mutex_unlock(&later.lock);
    return NULL;
}

static enum request_step settle_later(struct request *r, int64_t ms, enum fate fate)
{
    request_suspend(r);
    pthread_mutex_lock(&later.lock);
    bool full = later.count == WAITING_MAX;
    if (!full) {
        later.waiting[later.count].request = r;
        later.waiting[later.count].fate = fate;
        later.waiting[later.count++].due_us = clock_mono_us() + ms * 1000;
        pthread_cond_signal(&later.changed);
    }
    pthread_mutex_unlock(&later.lock);
    if (!full)
        return REQUEST_SUSPENDED;
    problem(r, 503, "overloaded", NULL, "Too many wait.");
    return REQUEST_DONE; /* suspended all the same: the server has to cope */
}

/* ?ms=: after so long; 0: at once, very likely before the handler has returned. */
static enum request_step run_later(struct request *r)
{
    int64_t ms = 0;
    bool bad = false;
    request_query_int(r, "ms", 0, 60000, &ms, &bad);
    return bad ? REQUEST_DONE : settle_later(r, ms, ANSWERED);
}

static enum request_step next_piece(struct request *r)
{
    struct pieces *p = r->state;
    if (p->ms >= 0)
        return settle_later(r, p->ms, PIECE);
    fill_piece(r);
    return REQUEST_DONE;
}

/* ?pieces=&bytes=&ms=&breaks= */
static enum request_step run_pieces(struct request *r)
{
    struct pieces *p = ARENA_NEW(&r->arena, struct pieces);
    int64_t breaks = 0;
    bool bad = false;
    *p = (struct pieces){ .left = 1, .bytes = 1 };
    request_query_int(r, "pieces", 0, 100000, &p->left, &bad);
    request_query_int(r, "bytes", 1, 1000000, &p->bytes, &bad);
    request_query_int(r, "ms", -1, 60000, &p->ms, &bad);
    request_query_int(r, "breaks", 0, 1, &breaks, &bad);
    if (bad)
        return REQUEST_DONE;
    p->breaks = breaks;
    r->state = p;
    r->response.status = 200;
    r->response.content_type = "text/plain";
    buf_clear(&r->response.body);
    r->response.next = next_piece;
    if (p->ms >= 0)
        return settle_later(r, p->ms, PIECE); /* the first one, too */
    fill_piece(r);
    return REQUEST_DONE;
}

static enum request_step run_never(struct request *r)
{
    request_suspend(r);
    return REQUEST_SUSPENDED;
}

static enum request_step run_refused_after_all(struct request *r)
{
    request_suspend(r);
    problem(r, 503, "overloaded", NULL, "Suspended, and then nobody took it.");
    return REQUEST_DONE;
}

static enum request_step run_hello(struct request *r)
{
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_field_str(&j, "hello", STR("world"));
    json_close(&j, '}');
    return REQUEST_DONE;
}

static void hex_field(struct json *j, const char *name, const uint8_t *bytes, size_t len)
{
    char text[65];
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    json_field_str(j, name, str_of(text));
}

/* Everything a handler can see. */
static enum request_step run_echo(struct request *r)
{
    int64_t n = -1;
    bool bad = false;
    struct str text = { 0 };
    if (request_query_int(r, "n", -10, 9223372036854775807, &n, &bad), bad)
        return REQUEST_DONE;
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_field_str(&j, "route", str_of(r->route->name));
    if (strchr(r->route->path, '{')) {
        json_field_str(&j, "param", r->params[0]);
        json_field_uuid(&j, "id", r->ids[0]);
    }
    json_field_int(&j, "n", n);
    if (request_query(r, "text", &text))
        json_field_str(&j, "text", text);
    json_field_str(&j, "title", body_str(r, "title"));
    json_field_int(&j, "bodyBytes", (int64_t)r->body_bytes.len);
    json_field_str(&j, "trace", str_of(r->trace));
    json_field_str(&j, "requestId", str_of(r->request_id));
    json_field_uuid(&j, "commandId", r->command_id);
    json_key(&j, "hasIdempotencyKey");
    json_bool(&j, r->has_idempotency_key);
    json_key(&j, "respondAsync");
    json_bool(&j, r->respond_async);
    hex_field(&j, "hash", r->hash, sizeof r->hash);
    json_field_uuid(&j, "user", r->claims.user_id);
    json_close(&j, '}');
    response_header(r, "X-Handler", "%s", r->route->name);
    return REQUEST_DONE;
}

static enum request_step run_large(struct request *r)
{
    int64_t bytes = 0;
    bool bad = false;
    request_query_int(r, "bytes", 0, 100000000, &bytes, &bad);
    if (bad)
        return REQUEST_DONE;
    r->response.status = 200;
    r->response.content_type = "text/plain";
    buf_clear(&r->response.body);
    buf_reserve(&r->response.body, (size_t)bytes);
    memset(r->response.body.ptr, 'x', (size_t)bytes);
    r->response.body.len = (size_t)bytes;
    return REQUEST_DONE;
}

static enum request_step run_no_answer(struct request *r)
{
    (void)r;
    return REQUEST_DONE;
}

static enum request_step run_away(struct request *r)
{
    problem_err(r, err_set(RETRY, "PostgreSQL at secret-host does not answer"));
    return REQUEST_DONE;
}

static enum request_step run_no_content(struct request *r)
{
    response_json(r, 204);
    return REQUEST_DONE;
}

/* Of the thread that serves this connection. */
static enum request_step run_allocations(struct request *r)
{
    struct json j = response_json(r, 200);
    json_int(&j, (int64_t)allocations());
    return REQUEST_DONE;
}

static enum request_step run_break_dependency(struct request *r)
{
    atomic_store(&dependency_is_up, !atomic_load(&dependency_is_up));
    return run_no_content(r);
}

static enum request_step run_turn_beginning(struct request *r)
{
    atomic_store(&beginning_is_up, !atomic_load(&beginning_is_up));
    return run_no_content(r);
}

static const struct body_field thing_fields[] = {
    { "title", FIELD_TEXT, true, 1, 10, .doc = "A title." },
    { "username", FIELD_TEXT, false, 3, 32, .pattern = "username" },
    { "email", FIELD_TEXT, false, 3, 254, .pattern = "email" },
    { "label", FIELD_TEXT, false, 1, 50, .pattern = "name" },
    { "id", FIELD_UUID, false },
    { "count", FIELD_INT, false, 1, 100 },
    { "loud", FIELD_BOOL, false },
    { "kind", FIELD_CHOICE, false, .choices = "public|private" },
    { 0 },
};
static const struct body thing = { "Thing", thing_fields };

static const struct route table[] = {
    { GET, "/hello", "hello", AUTH_NONE, NULL, run_hello, "" },
    { GET, "/things/{thing}", "thing_get", AUTH_NONE, NULL, run_echo, "" },
    { PUT, "/things/{thing}", "thing_put", AUTH_NONE, &thing, run_echo, "" },
    { POST, "/things/{thing}/parts/{part}", "part_post", AUTH_NONE, NULL, run_echo, "" },
    { GET, "/things/best", "thing_best", AUTH_NONE, NULL, run_echo, "" },
    { POST, "/things", "thing_post", AUTH_NONE, &thing, run_echo, "" },
    { DELETE, "/things", "thing_delete", AUTH_NONE, NULL, run_no_content, "" },
    { GET, "/named/{name}", "named", AUTH_NONE, NULL, run_echo, "", .plain_params = true },
    { GET, "/private", "private_get", AUTH_USER, NULL, run_echo, "" },
    { POST, "/private", "private_post", AUTH_USER, &thing, run_echo, "" },
    { GET, "/private/later", "private_later", AUTH_USER, NULL, run_later, "" },
    { GET, "/private/office", "private_office", AUTH_USER, NULL, run_echo, "", .roles = ROLE_MODERATOR | ROLE_ADMIN },
    { POST, "/bare", "bare", AUTH_NONE, NULL, run_echo, "" },
    { GET, "/later", "later", AUTH_NONE, NULL, run_later, "" },
    { POST, "/later", "later_post", AUTH_NONE, &thing, run_later, "" },
    { GET, "/never", "never", AUTH_NONE, NULL, run_never, "" },
    { GET, "/refused", "refused", AUTH_NONE, NULL, run_refused_after_all, "" },
    { GET, "/pieces", "pieces", AUTH_NONE, NULL, run_pieces, "" },
    { GET, "/large", "large", AUTH_NONE, NULL, run_large, "" },
    { GET, "/no-answer", "no_answer", AUTH_NONE, NULL, run_no_answer, "" },
    { GET, "/away", "away", AUTH_NONE, NULL, run_away, "" },
    { GET, "/allocations", "allocations", AUTH_NONE, NULL, run_allocations, "" },
    { POST, "/dependency", "dependency", AUTH_NONE, NULL, run_break_dependency, "" },
    { POST, "/beginning", "beginning", AUTH_NONE, NULL, run_turn_beginning, "" },
    { GET, "/api/v1/health", "health_live", AUTH_NONE, NULL, health_live, "" },
    { GET, "/api/v1/health/ready", "health_ready", AUTH_NONE, NULL, health_ready, "" },
    { GET, "/api/v1/health/detailed", "health_detailed", AUTH_NONE, NULL, health_detailed, "" },
    { GET, "/metrics", "metrics", AUTH_NONE, NULL, metrics_show, "" },
    { 0 },
};

static bool authenticate(struct request *r)
{
    const char *header = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Authorization");
    if (header && (strcmp(header, "Bearer good") == 0 || strcmp(header, "Bearer admin") == 0)) {
        memset(r->claims.user_id.bytes, 0x11, sizeof r->claims.user_id.bytes);
        r->claims.roles = strcmp(header, "Bearer admin") == 0 ? ROLE_USER | ROLE_ADMIN : ROLE_USER;
        return true;
    }
    problem(r, 401, "invalid_token", NULL, "Say Bearer good.");
    response_header(r, "WWW-Authenticate", "Bearer error=\"invalid_token\"");
    return false;
}

/* ?admit=: yes (or absent), no, later, later-no, never, moderator, user (the role the person has by now) */
static enum request_step admit(struct request *r)
{
    struct str how = { 0 };
    request_query(r, "admit", &how);
    if (str_equal(how, STR("later")))
        return settle_later(r, 1, LET_IN);
    if (str_equal(how, STR("later-no")))
        return settle_later(r, 1, TURNED_AWAY);
    if (str_equal(how, STR("never")))
        return run_never(r);
    if (str_equal(how, STR("moderator")))
        r->claims.roles = ROLE_USER | ROLE_MODERATOR;
    if (str_equal(how, STR("user")))
        r->claims.roles = ROLE_USER;
    if (str_equal(how, STR("no")))
        turn_away(r);
    return REQUEST_DONE;
}

static bool ask_dependency(void *context, struct health_answer *ret)
{
    (void)context;
    ret->latency_us = 1500;
    return atomic_load(&dependency_is_up);
}

static bool ask_luxury(void *context, struct health_answer *ret)
{
    (void)context, (void)ret;
    return false;
}

static bool ask_beginning(void *context, struct health_answer *ret)
{
    (void)context;
    snprintf(ret->reason, sizeof ret->reason, "not yet");
    return atomic_load(&beginning_is_up);
}

static int fail(void)
{
    fprintf(stderr, "%s\n", err_message());
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const struct setting log_settings[] = {
        { "log.level", SETTING_CHOICE, .def = "warn", .choices = "debug|info|warn|error", .doc = "Least level." },
        { 0 },
    };
    static const struct setting *const tables[] = { http_settings, log_settings, NULL };
    static const struct health_probe probes[] = {
        { "dependency", HEALTH_REQUIRED, ask_dependency, NULL },
        { "luxury", HEALTH_OPTIONAL, ask_luxury, NULL },
        { "beginning", HEALTH_TO_BEGIN, ask_beginning, NULL },
    };
    struct config *config;
    if (config_load("http_server", "The HTTP server under test.", tables, &argc, argv, &config) != OK)
        return fail();
    const char *level = config_text(config, "log.level");
    log_init("http_server", level[0] == 'd'   ? LOG_LEVEL_DEBUG
                            : level[0] == 'i' ? LOG_LEVEL_INFO
                            : level[0] == 'w' ? LOG_LEVEL_WARN
                                              : LOG_LEVEL_ERROR);
    stop_init();
    pthread_t thread;
    struct health *health;
    struct server *server;
    struct http_metrics *metrics = http_metrics_create(table, NULL, 0);
    if (health_create(probes, sizeof probes / sizeof *probes, &health) != OK)
        return fail();
    struct server_options options = {
        .config = config,
        .routes = table,
        .metrics = metrics,
        .health = health,
        .authenticate = authenticate,
        .admit = admit,
        .deadline_ms = 5000,
    };
    if (server_create(&options, &server) != OK)
        return fail();
    pthread_create(&thread, NULL, answer_later, NULL);
    printf("port %d\n", server_port(server));
    fflush(stdout);

    struct pollfd stop = { .fd = stop_fd(), .events = POLLIN };
    while (!stop_requested())
        poll(&stop, 1, -1);
    int64_t asked_us = clock_mono_us();
    server_stop(server);
    printf("stopped after %lld ms\n", (long long)(clock_mono_us() - asked_us) / 1000);

    pthread_mutex_lock(&later.lock);
    later.stopping = true;
    pthread_cond_signal(&later.changed);
    pthread_mutex_unlock(&later.lock);
    pthread_join(thread, NULL);
    /* Whoever still holds a request may give it back, long after nobody waits for it. */
    for (size_t i = 0; i < later.count; i++)
        request_resume(later.waiting[i].request);
    server_destroy(server);
    health_destroy(health);
    http_metrics_destroy(metrics);
    config_destroy(config);
    return EXIT_SUCCESS;
}
