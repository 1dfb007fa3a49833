#include "gateway/http/answer.h"

#include <stdio.h>
#include <sys/socket.h>

#include "gateway/http/problem.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define WARNINGS_A_SECOND 20
#define READ_BYTES        (32 * 1024) /* asked of `read` at once */

/* A 503 without a reason is load that was turned away on purpose, 501 and 505 are the client's doing: the metrics count
 * them. */
static bool is_failure(const struct request *r)
{
    int status = r->response.status;
    return status >= 500 && status != 501 && status != 505 && (status != 503 || r->why);
}

/* false: enough has been said this second. */
static bool may_warn(struct answers *a, int *ret_unwarned)
{
    int64_t second = clock_mono_us() / 1000000;
    if (atomic_exchange(&a->warned_second, second) != second)
        atomic_store(&a->warned, 0);
    if (atomic_fetch_add(&a->warned, 1) >= WARNINGS_A_SECOND) {
        atomic_fetch_add(&a->unwarned, 1);
        return false;
    }
    *ret_unwarned = atomic_exchange(&a->unwarned, 0);
    return true;
}

static void log_request(struct answers *a, const struct request *r, int64_t took_us)
{
    int unwarned = 0;
    bool failed = is_failure(r);
    if (failed && !may_warn(a, &unwarned))
        return;
    const struct log_field fields[] = {
        F_STR("route", r->route ? r->route->name : "none"),
        F_INT("status", r->response.status),
        F_INT("microseconds", took_us),
        F_STR("request_id", r->request_id),
        F_STR("trace", r->trace),
        F_STR("error", r->why ? r->why : "not said"),
        F_INT("not_logged", unwarned),
    };
    if (!failed)
        log_write(LOG_LEVEL_DEBUG, "request", fields, 5);
    else
        log_write(r->response.status == 503 ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "request failed", fields, 7);
}

/* Counts and logs. */
static void finish(struct answers *a, struct request *r, int64_t took_us)
{
    if (r->response.status == 0) {
        problem(r, 500, "internal", NULL, "Something went wrong here; the request id helps to find it.");
        r->why = "the handler gave no answer";
    }
    http_metrics_request(a->metrics, r->route, r->response.status, took_us);
    log_request(a, r, took_us);
}

enum MHD_Result answer_queue(struct answers *a, struct request *r, int64_t took_us)
{
    finish(a, r, took_us);
    const struct response *response = &r->response;
    struct MHD_Response *out =
        response->next
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BYTES, a->read, r, NULL)
            : MHD_create_response_from_buffer(response->body.len, response->body.ptr, MHD_RESPMEM_PERSISTENT);
    if (!out)
        return MHD_NO;
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t count = answer_headers(&a->headers, r, headers);
    for (size_t i = 0; i < count; i++)
        MHD_add_response_header(out, headers[i].name, headers[i].value);
    if (atomic_load_explicit(&a->draining, memory_order_relaxed))
        MHD_add_response_header(out, "Connection", "close");
    enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)response->status, out);
    MHD_destroy_response(out);
    return result;
}

void answer_send_past(struct answers *a, struct request *r, int64_t took_us)
{
    finish(a, r, took_us);
    const struct response *response = &r->response;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return;
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t count = answer_headers(&a->headers, r, headers);
    struct buf head = { 0 };
    buf_printf(&head, "HTTP/1.1 %d %s\r\n", response->status, status_text(response->status));
    for (size_t i = 0; i < count; i++)
        buf_printf(&head, "%s: %s\r\n", headers[i].name, headers[i].value);
    buf_printf(&head, "Connection: close\r\nContent-Length: %zu\r\n\r\n", response->body.len);
    struct iovec parts[] = { { head.ptr, head.len }, { response->body.ptr, r->head ? 0 : response->body.len } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    if (sendmsg(info->connect_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        shutdown(info->connect_fd, SHUT_WR);
    else
        shutdown(info->connect_fd, SHUT_RDWR);
    buf_finish(&head);
}

enum MHD_Result answer_queue_abandoned(struct answers *a, struct MHD_Connection *connection, const struct route *route,
                                       int64_t took_us)
{
    static char text[] =
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"stopping\","
        "\"detail\":\"This gateway stops; the outcome is not known.\",\"retryable\":true,\"requestId\":\"\"}";
    struct MHD_Response *out = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    if (!out)
        return MHD_NO;
    for (const struct answer_header *header = answer_headers_bare; header->name; header++)
        MHD_add_response_header(out, header->name, header->value);
    http_metrics_request(a->metrics, route, 503, took_us);
    enum MHD_Result result = MHD_queue_response(connection, 503, out);
    MHD_destroy_response(out);
    return result;
}
