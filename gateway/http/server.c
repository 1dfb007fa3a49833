#include "gateway/http/server.h"

#include <microhttpd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gateway/http/connections.h"
#include "gateway/http/exchange.h"
#include "gateway/http/http_check.h"
#include "gateway/http/http_layout.h"
#include "gateway/http/json_arena.h"
#include "gateway/http/loop.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define POOL_BASE     3072 /* libmicrohttpd's memory a connection: response head and slack, */
#define POOL_A_HEADER 80   /* and what it needs for each header besides the bytes themselves */

const struct setting http_settings[] = {
    { "gateway.address", SETTING_TEXT, .def = "127.0.0.1", .min = 1, .max = 64,
      .doc = "Address to listen on, numeric. TLS belongs to a proxy in front." },
    { "gateway.port", SETTING_INT, .def = "8080", .min = 0, .max = 65535,
      .doc = "Port to listen on; 0: any free one." },
    { "gateway.threads", SETTING_INT, .def = "0", .min = 0, .max = 256, .unit = "threads",
      .doc = "Threads that serve HTTP; 0: one a processor." },
    { "gateway.max_connections", SETTING_INT, .def = "4096", .min = 1, .max = 1000000, .unit = "connections",
      .doc = "Connections open at once; more are answered 503." },
    { "gateway.max_connections_address", SETTING_INT, .def = "1024", .min = 0, .max = 1000000, .unit = "connections",
      .doc =
          "Of them from one address (IPv6: one /64; behind configured proxies: of one client); more are answered 429. "
          "A company shares one address, so this is far more than a browser needs. 0: no limit." },
    { "gateway.max_header_bytes", SETTING_INT, .def = "16384", .min = 1024, .max = 262144, .unit = "bytes",
      .doc = "Request line and headers; more are answered 431. Each connection holds about half as much again." },
    { "gateway.max_body_bytes", SETTING_INT, .def = "131072", .min = 1024, .max = 16777216, .unit = "bytes",
      .doc = "Body of a request; more are answered 413. The longest message takes 120 KB when its JSON is escaped." },
    { "gateway.idle_timeout_s", SETTING_INT, .def = "75", .min = 1, .max = 86400, .unit = "s",
      .doc = "How long a connection is kept open for the next request." },
    { "gateway.read_timeout_ms", SETTING_INT, .def = "10000", .min = 100, .max = 600000, .unit = "ms",
      .doc = "How long a client may take to send a request, headers and body." },
    { "gateway.write_timeout_ms", SETTING_INT, .def = "30000", .min = 100, .max = 600000, .unit = "ms",
      .doc = "How long a client may take to read an answer." },
    { "gateway.drain_timeout_ms", SETTING_INT, .def = "5000", .min = 0, .max = 600000, .unit = "ms",
      .doc = "How long a stopping gateway waits for requests that have begun." },
    { "gateway.proxies", SETTING_TEXT, .def = "", .max = 4096,
      .doc = "Proxies whose word about the client's address counts: addresses and networks like 10.0.0.0/8 or "
             "2001:db8::/32, separated by commas. Empty: none." },
    { "gateway.proxy_header", SETTING_CHOICE, .def = "x-forwarded-for", .choices = "x-forwarded-for|forwarded",
      .doc = "The header those proxies write: X-Forwarded-For (and X-Forwarded-Proto) or Forwarded (RFC 7239). The "
             "other one is not looked at, since it may be the client's." },
    { "gateway.cors_origins", SETTING_TEXT, .def = "", .max = 4096,
      .doc =
          "Origins of pages that may call this API from a browser, like https://app.example.org, separated by commas; "
          "*: all. Empty: none." },
    { "gateway.hsts_max_age_s", SETTING_INT, .def = "31536000", .min = 0, .max = 315360000, .unit = "s",
      .doc =
          "How long browsers are told to come over TLS only (Strict-Transport-Security), when a configured proxy says "
          "that they did. 0: not at all." },
    { 0 },
};

/* A thread of the server, as its daemon's callbacks see it. */
struct lane {
    struct server *server;
    struct loop *loop;
    struct heads heads;
    atomic_int connections;
};

struct server {
    struct server_options options;
    struct exchanges *exchanges;
    struct connections *connections;
    struct lane *lanes;
    int lane_count;
    struct proxies proxies;
    struct cors cors;
    char transport_security[64]; /* "": none */
    int64_t drain_timeout_us;
    atomic_bool draining;
};

/* --- what libmicrohttpd calls --- */

static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct lane *lane = context;
    return exchange_begin(lane->server->exchanges, connection, lane->loop, &lane->heads,
                          MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context,
                          target);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **exchange)
{
    (void)context, (void)connection, (void)url;
    return exchange_step(*exchange, method, version, upload, upload_size);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **exchange,
                         enum MHD_RequestTerminationCode why)
{
    (void)context, (void)connection, (void)why;
    if (*exchange)
        exchange_end(*exchange);
    *exchange = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct lane *lane = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context =
            connections_opened(lane->server->connections,
                               MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
        return;
    }
    connections_closed(lane->server->connections, *socket_context);
    atomic_fetch_sub_explicit(&lane->connections, 1, memory_order_relaxed);
}

/* libmicrohttpd is about to answer by itself. Its messages are the only sign of it. */
static void on_message(void *context, const char *format, va_list arguments)
{
    (void)arguments;
    struct lane *lane = context;
    if (strstr(format, "Content-Length"))
        heads_refuse_bad_lengths(&lane->heads);
}

/* Percent-encoding is http_check's; what libmicrohttpd decodes is not used. */
static size_t leave_encoded(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* --- life --- */

/* To the thread that has the fewest. */
static void serve(void *context, int fd)
{
    struct server *s = context;
    struct lane *least = &s->lanes[0];
    for (struct lane *lane = least + 1; lane < s->lanes + s->lane_count; lane++)
        if (atomic_load_explicit(&lane->connections, memory_order_relaxed) <
            atomic_load_explicit(&least->connections, memory_order_relaxed))
            least = lane;
    atomic_fetch_add_explicit(&least->connections, 1, memory_order_relaxed);
    loop_take_in(least->loop, fd);
}

static err start_lane(struct lane *lane, size_t memory, int most)
{
    const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, lane, MHD_OPTION_EXTERNAL_LOGGER, on_message, lane,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, lane, MHD_OPTION_NOTIFY_COMPLETED, on_completed, lane,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, lane, MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory,
        /* Never met: connections.h counts, and libmicrohttpd keeps a mutex locked when it meets its limit. */
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)most + 1, MHD_OPTION_END);
    if (!daemon)
        return err_set(FATAL,
                       "libmicrohttpd could not start: %m; see gateway.threads and the limit of file descriptors");
    err e = loop_create(daemon, most, &lane->loop);
    if (e != OK)
        MHD_stop_daemon(daemon);
    return e;
}

static err start_lanes(struct server *s, const struct config *config)
{
    size_t memory =
        (size_t)config_int(config, "gateway.max_header_bytes") + HTTP_MAX_HEADERS * POOL_A_HEADER + POOL_BASE;
    int threads = (int)config_int(config, "gateway.threads");
    if (threads == 0)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    s->lanes = mem_alloc(sizeof *s->lanes * (size_t)threads);
    for (; s->lane_count < threads; s->lane_count++) {
        struct lane *lane = &s->lanes[s->lane_count];
        lane->server = s;
        TRY(start_lane(lane, memory, (int)config_int(config, "gateway.max_connections")));
    }
    return OK;
}

static struct exchanges *start_exchanges(struct server *s, const struct config *config)
{
    bool layout_known = http_layout_is_known(MHD_get_version());
    if (!layout_known)
        LOG(WARN, "heads of requests are not compared byte by byte with this libmicrohttpd",
            F_STR("version", MHD_get_version()));
    return exchanges_create(&(struct exchanges_options){
        .server = s,
        .gateway = s->options.gateway,
        .routes = s->options.routes,
        .metrics = s->options.metrics,
        .authenticate = s->options.authenticate,
        .admit = s->options.admit,
        .hash_key = s->options.hash_key,
        .layout_known = layout_known,
        .proxies = &s->proxies,
        .connections = s->connections,
        .headers = { .cors = &s->cors, .transport_security = s->transport_security[0] ? s->transport_security : NULL },
        .aliases = s->options.aliases,
        .limit = s->options.limit,
        .max_header_bytes = (size_t)config_int(config, "gateway.max_header_bytes"),
        .max_body_bytes = (size_t)config_int(config, "gateway.max_body_bytes"),
        .read_timeout_us = config_int(config, "gateway.read_timeout_ms") * 1000,
        .write_timeout_us = config_int(config, "gateway.write_timeout_ms") * 1000,
        .idle_timeout_us = config_int(config, "gateway.idle_timeout_s") * 1000000,
        .deadline_us = s->options.deadline_ms * 1000,
    });
}

static err server_start(struct server *s, const struct config *config)
{
    s->proxies.header =
        strcmp(config_text(config, "gateway.proxy_header"), "forwarded") == 0 ? PROXY_FORWARDED : PROXY_X_FORWARDED_FOR;
    TRY(proxies_parse(config_text(config, "gateway.proxies"), &s->proxies));
    TRY(cors_parse(config_text(config, "gateway.cors_origins"), &s->cors));
    int64_t max_age_s = config_int(config, "gateway.hsts_max_age_s");
    if (max_age_s > 0)
        snprintf(s->transport_security, sizeof s->transport_security, "max-age=%lld", (long long)max_age_s);
    struct connections_options options = {
        .address = config_text(config, "gateway.address"),
        .port = (int)config_int(config, "gateway.port"),
        .max = (int)config_int(config, "gateway.max_connections"),
        .max_of_address = (int)config_int(config, "gateway.max_connections_address"),
        .proxies = &s->proxies,
        .kept = s->options.kept_sockets,
        .first_deadline_us = config_int(config, "gateway.read_timeout_ms") * 1000,
        .metrics = s->options.metrics,
        .serve = serve,
        .context = s,
    };
    TRY(connections_create(&options, &s->connections));
    s->exchanges = start_exchanges(s, config);
    TRY(start_lanes(s, config));
    return connections_start(s->connections);
}

err server_create(const struct server_options *options, struct server **ret)
{
    if (sodium_init() < 0)
        return err_set(FATAL, "libsodium could not start");
    json_arena_init();
    struct server *s = mem_alloc(sizeof *s);
    s->options = *options;
    s->drain_timeout_us = config_int(options->config, "gateway.drain_timeout_ms") * 1000;
    err e = server_start(s, options->config);
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
    exchanges_drain(s->exchanges);
    if (s->connections)
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

void server_stop(struct server *s)
{
    if (!s->lanes)
        return;
    server_quiesce(s);
    int64_t until_us = clock_mono_us() + s->drain_timeout_us;
    while (exchanges_in_progress(s->exchanges) > 0 && clock_mono_us() < until_us)
        rest(2000);
    while (!exchanges_close(s->exchanges))
        rest(1000);
    if (s->connections)
        connections_stop(s->connections);
    for (int i = 0; i < s->lane_count; i++)
        loop_destroy(s->lanes[i].loop);
    free(s->lanes);
    s->lanes = NULL;
}

void server_destroy(struct server *s)
{
    if (!s)
        return;
    server_stop(s);
    connections_destroy(s->connections);
    exchanges_destroy(s->exchanges);
    cors_finish(&s->cors);
    free(s);
}
