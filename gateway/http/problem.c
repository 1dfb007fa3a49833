#include "gateway/http/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "ops/runtime/err.h"

#define DETAIL_MAX 512
#define NAME_MAX   64 /* bytes of a client's own text that are said back */

const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return status < 400 ? "OK" : status < 500 ? "Bad Request" : "Internal Server Error";
    }
}

bool problem_is_retryable(int status, const char *code)
{
    return status == 408 || status == 429 || status == 503 || status == 504 || strcmp(code, "request_in_progress") == 0;
}

/* Not cut inside a character. */
static struct str shortened(struct str s, size_t most)
{
    if (s.len <= most)
        return s;
    s.len = most;
    while (s.len > 0 && ((uint8_t)s.ptr[s.len] & 0xc0) == 0x80)
        s.len--;
    return s;
}

void problem_fields(struct request *r, int status, const char *code, const char *detail,
                    const struct problem_field *fields, size_t count)
{
    r->response.header_count = 0;
    r->response.content_type = r->response.security_policy = NULL;
    struct json j = response_json(r, status);
    json_open(&j, '{');
    /* The kind of problem is told by `code`; there is no page behind a type. */
    json_field_str(&j, "type", STR("about:blank"));
    json_field_str(&j, "title", str_of(status_text(status)));
    json_field_int(&j, "status", status);
    json_field_str(&j, "code", str_of(code));
    json_field_str(&j, "detail", str_of(detail));
    json_key(&j, "retryable");
    json_bool(&j, problem_is_retryable(status, code));
    json_field_str(&j, "requestId", str_of(r->request_id));
    if (count > 0) {
        json_key(&j, "errors");
        json_open(&j, '[');
        for (size_t i = 0; i < count; i++) {
            json_open(&j, '{');
            json_field_str(&j, "field", shortened(fields[i].field, NAME_MAX));
            json_field_str(&j, "detail", str_of(fields[i].detail));
            json_close(&j, '}');
        }
        json_close(&j, ']');
    }
    json_close(&j, '}');
}

void problem(struct request *r, int status, const char *code, const char *field, const char *detail, ...)
{
    char text[DETAIL_MAX];
    va_list args;
    va_start(args, detail);
    int len = vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    if (len >= DETAIL_MAX)
        text[shortened((struct str){ text, DETAIL_MAX - 1 }, DETAIL_MAX - 2).len] = '\0';
    if (!field) {
        problem_fields(r, status, code, text, NULL, 0);
        return;
    }
    struct problem_field one = { shortened(str_of(field), NAME_MAX), text };
    char named[DETAIL_MAX + NAME_MAX + 2];
    snprintf(named, sizeof named, "%.*s: %s", (int)one.field.len, field, text);
    problem_fields(r, status, code, named, &one, 1);
}

void problem_err(struct request *r, err kind)
{
    /* The message is the operator's: it goes into the request's log line. Taken before anything sets another. */
    const char *why = arena_str(&r->arena, str_of(err_message())).ptr;
    switch (kind) {
    case RETRY:
        problem(r, 503, "unavailable", NULL, "A part of the service is away. Try again in a moment.");
        response_header(r, "Retry-After", "1");
        break;
    case REJECT:
        problem(r, 400, "bad_request", NULL, "The request cannot be processed as it is.");
        break;
    default:
        problem(r, 500, "internal", NULL, "Something went wrong here; the request id helps to find it.");
    }
    r->why = why;
}
