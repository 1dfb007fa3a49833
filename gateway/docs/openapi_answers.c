#include "gateway/docs/openapi_answers.h"

#include "gateway/docs/openapi_schema.h"
#include "gateway/docs/problem_code.h"
#include "gateway/http/problem.h"

/* Said by libmicrohttpd itself, in HTML (ops/adr/0006), or by it, too. */
#define TARGET_TOO_LONG 414
#define HEAD_TOO_LARGE  431
#define HTML            "{\"schema\":{\"type\":\"string\"}}"

/* --- headers of answers --- */

static const struct {
    const char *name, *type, *doc;
} headers[] = {
    { "X-Request-Id", "string", "Of this request, as it stands in logs." },
    { "Aether-Position", "string", "stream/partition@offset of the fact in the log." },
    { "Idempotency-Replayed", "string", "true: this is the outcome of an earlier request with the same key." },
    { "Location", "string", "Where what was made, or what becomes of it, is found." },
    { "ETag", "string", "The version, for If-Match and If-None-Match." },
    { "Retry-After", "integer", "Seconds after which to try again." },
    { "WWW-Authenticate", "string", "How to log in (RFC 6750)." },
    { "Preference-Applied", "string", "respond-async, when it was heeded." },
    { "RateLimit-Policy", "string", "The limits that are counted (draft-ietf-httpapi-ratelimit-headers)." },
    { "RateLimit", "string", "What is left of them." },
};

static void header(struct json *j, const char *name)
{
    json_key(j, name);
    reference(j, "headers", name, "");
}

static void answer_headers(struct json *j, const struct route *route, int status)
{
    bool command = route && route_sends_command(route);
    open_at(j, "headers", '{');
    header(j, "X-Request-Id");
    header(j, "RateLimit-Policy");
    header(j, "RateLimit");
    if (command && status < 300 && status != 202)
        header(j, "Aether-Position");
    if (command && status != 202)
        header(j, "Idempotency-Replayed");
    if (status == 201 || status == 202)
        header(j, "Location");
    if (status == 202)
        header(j, "Preference-Applied");
    if (status == 202 || status == 409 || status == 429 || status == 503)
        header(j, "Retry-After");
    if (status == 401)
        header(j, "WWW-Authenticate");
    if (route && route->etag && (status == 200 || status == 304))
        header(j, "ETag");
    json_close(j, '}');
}

/* --- problems --- */

/* Those of the status that `route` can answer; NULL: those that every route can. */
static bool has_problem(const struct route *route, const struct problem_code *p, int status)
{
    return p->status == status && (route ? route_has_problem(route, p) : p->when == ALWAYS);
}

/* How many, and whether the route has more than every route has. */
static size_t problems_count(const struct route *route, int status, bool *ret_own)
{
    size_t count = 0;
    *ret_own = false;
    for (size_t i = 0; i < problem_codes_count; i++)
        if (has_problem(route, &problem_codes[i], status)) {
            *ret_own |= problem_codes[i].when != ALWAYS;
            count++;
        }
    return count;
}

/* {description, headers, content}: the schema of a problem with the codes that it can have here. */
static void problem_response(struct json *j, const struct route *route, int status)
{
    text(j, "description", status_text(status));
    answer_headers(j, route, status);
    open_at(j, "content", '{');
    open_at(j, "application/problem+json", '{');
    open_at(j, "schema", '{');
    open_at(j, "allOf", '[');
    reference(j, "schemas", "Problem", "");
    json_open(j, '{');
    open_at(j, "properties", '{');
    open_at(j, "code", '{');
    open_at(j, "enum", '[');
    for (size_t i = 0; i < problem_codes_count; i++)
        if (has_problem(route, &problem_codes[i], status))
            json_str(j, str_of(problem_codes[i].code));
    json_close(j, ']');
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, ']');
    json_close(j, '}');
    open_at(j, "examples", '{');
    for (size_t i = 0; i < problem_codes_count; i++)
        if (has_problem(route, &problem_codes[i], status)) {
            json_key(j, problem_codes[i].code);
            reference(j, "examples", problem_codes[i].code, "");
        }
    json_close(j, '}');
    json_close(j, '}');
    if (status == HEAD_TOO_LARGE) {
        json_key(j, "text/html");
        json_raw(j, STR(HTML));
    }
    json_close(j, '}');
}

static void problem_example(struct json *j, const struct problem_code *p)
{
    json_key(j, p->code);
    json_open(j, '{');
    text(j, "summary", p->doc);
    open_at(j, "value", '{');
    text(j, "type", "about:blank");
    text(j, "title", status_text(p->status));
    json_field_int(j, "status", p->status);
    text(j, "code", p->code);
    text(j, "detail", p->doc);
    json_key(j, "retryable");
    json_bool(j, problem_is_retryable(p->status, p->code));
    text(j, "requestId", "01a1fd93-167b-7643-bae4-8bc701e0721a");
    json_close(j, '}');
    json_close(j, '}');
}

/* --- links: what an answer's id can be given to --- */

static bool path_has(const char *path, const char *param, size_t len)
{
    for (const char *at = path; (at = strchr(at, '{')); at++)
        if (strncmp(at + 1, param, len) == 0 && at[1 + len] == '}')
            return true;
    return false;
}

/* Each {part} of the target is the id of the answer, or was a part of the request's own path. */
static bool link_fits(const struct route *from, const char *param, const struct route *to)
{
    if (!path_has(to->path, param, strlen(param)))
        return false;
    for (const char *at = to->path; (at = strchr(at, '{')); at++) {
        size_t len = strcspn(at + 1, "}");
        bool is_id = len == strlen(param) && strncmp(at + 1, param, len) == 0;
        if (!is_id && !path_has(from->path, at + 1, len))
            return false;
    }
    return true;
}

static void link(struct json *j, const char *param, const struct route *to)
{
    json_key(j, to->name);
    json_open(j, '{');
    text(j, "operationId", to->name);
    open_at(j, "parameters", '{');
    for (const char *at = to->path; (at = strchr(at, '{')); at++) {
        char name[64], value[96];
        size_t len = strcspn(at + 1, "}");
        snprintf(name, sizeof name, "%.*s", (int)len, at + 1);
        if (strcmp(name, param) == 0)
            snprintf(value, sizeof value, "$response.body#/id");
        else
            snprintf(value, sizeof value, "$request.path.%s", name);
        text(j, name, value);
    }
    json_close(j, '}');
    json_close(j, '}');
}

static void links(struct document *d, const struct route *from, const struct shape *shape)
{
    if (!shape || !shape->param)
        return;
    open_at(&d->j, "links", '{');
    for (const struct route *to = d->routes; to->path; to++)
        if (to != from && link_fits(from, shape->param, to))
            link(&d->j, shape->param, to);
    json_close(&d->j, '}');
}

/* --- responses --- */

bool answers_status(const struct route *route, int status)
{
    for (const struct route_answer *answer = route->answers; answer && answer->status; answer++)
        if (answer->status == status)
            return true;
    return false;
}

static const char *media_type(const struct route_answer *answer)
{
    return answer->media_type ? answer->media_type : TYPE_JSON;
}

static bool is_alternative(const struct route_answer *answer, const struct route_answer *of)
{
    return answer->status == of->status && (answer->shape || answer->media_type) &&
           strcmp(media_type(answer), media_type(of)) == 0;
}

static void answer_schema(struct json *j, const struct route_answer *answer)
{
    if (answer->shape)
        reference(j, "schemas", answer->shape->name, answer->page ? "Page" : "");
    else if (strstr(answer->media_type, "json") && !strstr(answer->media_type, "ndjson"))
        json_raw(j, STR("{}"));
    else
        json_raw(j, STR("{\"type\":\"string\"}"));
}

/* What an answer's body is, with the rows behind it that are of one status and media type with it. */
static void answer_content(struct json *j, const struct route_answer *answer)
{
    const struct route_answer *other = answer + 1;
    while (other->status && !is_alternative(other, answer))
        other++;
    open_at(j, media_type(answer), '{');
    json_key(j, "schema");
    if (other->status) {
        json_open(j, '{');
        open_at(j, "anyOf", '[');
        answer_schema(j, answer);
        for (; other->status; other++)
            if (is_alternative(other, answer))
                answer_schema(j, other);
        json_close(j, ']');
        json_close(j, '}');
    } else {
        answer_schema(j, answer);
    }
    if (answer->shape && !answer->page) {
        json_key(j, "example");
        schema_shape_example(j, answer->shape);
    }
    json_close(j, '}');
}

static bool is_said(const struct route_answer *answers, const struct route_answer *answer)
{
    for (; answers < answer; answers++)
        if (is_alternative(answers, answer))
            return true;
    return false;
}

/* The rows of one status: usually one, more when it depends on what is asked for. */
static void answer_response(struct document *d, const struct route *route, int status)
{
    struct json *j = &d->j;
    const struct shape *shape = NULL;
    const char *doc = NULL;
    bool content = false, own;
    for (const struct route_answer *answer = route->answers; answer && answer->status; answer++)
        if (answer->status == status) {
            doc = doc ? doc : answer->doc;
            content |= answer->shape || answer->media_type;
            shape = shape || answer->page ? shape : answer->shape;
        }
    key_status(j, status);
    json_open(j, '{');
    text(j, "description", doc ? doc : status_text(status));
    answer_headers(j, route, status);
    if (content) {
        open_at(j, "content", '{');
        for (const struct route_answer *answer = route->answers; answer->status; answer++)
            if (answer->status == status && (answer->shape || answer->media_type) && !is_said(route->answers, answer))
                answer_content(j, answer);
        if (status >= 400 && problems_count(route, status, &own) > 0) {
            open_at(j, "application/problem+json", '{');
            json_key(j, "schema");
            reference(j, "schemas", "Problem", "");
            json_close(j, '}');
        }
        json_close(j, '}');
    }
    if (status < 300)
        links(d, route, shape);
    json_close(j, '}');
}

/* 202: the outcome was not known in time, or was not to be waited for. */
static void accepted_response(struct document *d, const struct route *route)
{
    const struct route *operation = d->routes;
    while (operation->path && strcmp(operation->name, "operations_get") != 0)
        operation++;
    if (!operation->path)
        return;
    struct json *j = &d->j;
    key_status(j, 202);
    json_open(j, '{');
    text(j, "description", "The outcome is not known yet: look at Location.");
    answer_headers(j, route, 202);
    open_at(j, "content", '{');
    answer_content(j, operation->answers);
    json_close(j, '}');
    links(d, route, operation->answers->shape);
    json_close(j, '}');
}

void answers_of(struct document *d, const struct route *route)
{
    struct json *j = &d->j;
    open_at(j, "responses", '{');
    for (int status = 100; status < STATUS_MAX; status++) {
        bool own;
        if (answers_status(route, status)) {
            answer_response(d, route, status);
        } else if (status == 202 && route_sends_command(route)) {
            accepted_response(d, route);
        } else if (status == TARGET_TOO_LONG) {
            key_status(j, status);
            reference(j, "responses", "414", "");
        } else if (problems_count(route, status, &own) > 0) {
            key_status(j, status);
            if (own) {
                json_open(j, '{');
                problem_response(j, route, status);
                json_close(j, '}');
            } else {
                char name[8];
                snprintf(name, sizeof name, "%d", status);
                reference(j, "responses", name, "");
            }
        }
    }
    json_close(j, '}');
}

/* "rooms" of /api/v1/rooms/{room} */
/* --- components --- */

void answers_problem_schema(struct json *j)
{
    static const struct shape_field error_fields[] = {
        { "field", SHAPE_TEXT, "What it is about, as the client named it." },
        { "detail", SHAPE_TEXT, "What is allowed." },
        { 0 },
    };
    static const struct shape error = { "ProblemField", error_fields };
    static const struct shape_field fields[] = {
        { "type", SHAPE_CHOICE, "`code` says what it is.", .choices = "about:blank" },
        { "title", SHAPE_TEXT, "The status in words." },
        { "status", SHAPE_INT, "The status." },
        { "code", SHAPE_TEXT, "Stable." },
        { "detail", SHAPE_TEXT, "For people." },
        { "retryable", SHAPE_BOOL, "The same request may succeed later, as it is." },
        { "requestId", SHAPE_TEXT, "As in X-Request-Id." },
        { "errors", SHAPE_OBJECT, "What is wrong, field by field.", .of = &error, .list = true, .optional = true },
        { 0 },
    };
    static const struct shape problem_shape = { "Problem", fields };
    json_key(j, problem_shape.name);
    schema_shape(j, &problem_shape);
    json_key(j, error.name);
    schema_shape(j, &error);
}

void answers_components(struct json *j)
{
    open_at(j, "responses", '{');
    key_status(j, TARGET_TOO_LONG);
    json_raw(j, STR("{\"description\":\"The target is longer than the server's memory for it. Ends the connection.\","
                    "\"content\":{\"text/html\":" HTML "}}"));
    for (int status = 400; status < STATUS_MAX; status++) {
        bool own;
        if (problems_count(NULL, status, &own) == 0)
            continue;
        key_status(j, status);
        json_open(j, '{');
        problem_response(j, NULL, status);
        json_close(j, '}');
    }
    json_close(j, '}');
    open_at(j, "examples", '{');
    for (size_t i = 0; i < problem_codes_count; i++)
        problem_example(j, &problem_codes[i]);
    json_close(j, '}');
    open_at(j, "headers", '{');
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        open_at(j, headers[i].name, '{');
        text(j, "description", headers[i].doc);
        open_at(j, "schema", '{');
        text(j, "type", headers[i].type);
        json_close(j, '}');
        json_close(j, '}');
    }
    json_close(j, '}');
}
