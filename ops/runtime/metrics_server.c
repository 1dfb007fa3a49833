#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/metrics.h"

#define MAX_CONNECTIONS 16
#define IDLE_TIMEOUT_S  10u

struct metrics_server {
    struct metrics *metrics;
    const _Atomic int64_t *alive_until_us;
    struct MHD_Daemon *daemon;
    struct buf text; /* only the daemon's thread uses it */
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, struct str body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.ptr, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_len, void **request)
{
    (void)version, (void)upload;
    static const char seen; /* only its address: libmicrohttpd wants an answer at the second call */
    struct metrics_server *s = context;
    if (!*request) {
        *request = (void *)(uintptr_t)&seen;
        return MHD_YES;
    }
    if (*upload_len > 0) { /* a body nobody asked for */
        *upload_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", STR("only GET and HEAD\n"));
    if (strcmp(url, "/metrics") == 0) {
        buf_clear(&s->text);
        metrics_render(s->metrics, &s->text);
        return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", buf_view(&s->text));
    }
    if (strcmp(url, "/health") == 0) {
        const bool alive = !s->alive_until_us || atomic_load(s->alive_until_us) > clock_mono_us();
        return alive ? answer(connection, MHD_HTTP_OK, "text/plain", STR("alive\n"))
                     : answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", STR("stuck\n"));
    }
    return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain", STR("GET /metrics or /health\n"));
}

static void drop_log(void *context, const char *format, va_list args)
{
    (void)context, (void)format, (void)args; /* MHD's lines are no JSON, and about clients that went away */
}

static err resolve(const char *address, int port, struct addrinfo **ret)
{
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    const int failed = getaddrinfo(address && *address ? address : "127.0.0.1", service, &hints, ret);
    if (failed)
        return err_set(FATAL, "metrics cannot be served at '%s': %s", address, gai_strerror(failed));
    return OK;
}

err metrics_serve(struct metrics *m, const char *address, int port, const _Atomic int64_t *alive_until_us,
                  struct metrics_server **ret)
{
    struct addrinfo *resolved = NULL;
    TRY(resolve(address, port, &resolved));
    struct metrics_server *s = mem_alloc(sizeof *s);
    s->metrics = m;
    s->alive_until_us = alive_until_us;
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;
    if (resolved->ai_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    s->daemon = MHD_start_daemon(flags, (uint16_t)port, NULL, NULL, handle, s, MHD_OPTION_EXTERNAL_LOGGER, drop_log,
                                 NULL, MHD_OPTION_SOCK_ADDR, resolved->ai_addr, MHD_OPTION_CONNECTION_LIMIT,
                                 MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_END);
    const int failed = errno;
    freeaddrinfo(resolved);
    if (!s->daemon) {
        metrics_server_destroy(s);
        return err_set(FATAL, "metrics cannot be served at %s port %d: %s; free it or choose another port",
                       address && *address ? address : "127.0.0.1", port, failed ? strerror(failed) : "no socket");
    }
    *ret = s;
    return OK;
}

int metrics_server_port(const struct metrics_server *s)
{
    return MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

void metrics_server_destroy(struct metrics_server *s)
{
    if (!s)
        return;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    buf_finish(&s->text);
    free(s);
}
