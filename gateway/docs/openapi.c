#include "gateway/docs/openapi.h"

#include <stdio.h>

#include "gateway/docs/openapi_schema.h"
#include "gateway/docs/problem_code.h"
#include "gateway/http/problem.h"

#define NAMES_MAX  256
#define STATUS_MAX 600
#define TYPE_JSON  "application/json"

/* Said by libmicrohttpd itself, in HTML (ops/adr/0006), or by it, too. */
#define TARGET_TOO_LONG 414
#define HEAD_TOO_LARGE  431
#define HTML            "{\"schema\":{\"type\":\"string\"}}"

/* What was said once already. */
struct names {
    const char *said[NAMES_MAX];
    size_t count;
};

struct document {
    struct json j;
    const struct route *routes;
    struct names names;
};

static bool say_once(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->said[i], name) == 0)
            return false;
    if (names->count < NAMES_MAX)
        names->said[names->count++] = name;
    return true;
}

static void text(struct json *j, const char *name, const char *value)
{
    json_field_str(j, name, str_of(value));
}

static void open_at(struct json *j, const char *name, char bracket)
{
    json_key(j, name);
    json_open(j, bracket);
}

static void reference(struct json *j, const char *kind, const char *name, const char *suffix)
{
    char path[160];
    int len = snprintf(path, sizeof path, "#/components/%s/%s%s", kind, name, suffix);
    json_open(j, '{');
    json_field_str(j, "$ref", (struct str){ path, (size_t)len });
    json_close(j, '}');
}

static void key_status(struct json *j, int status)
{
    char name[8];
    snprintf(name, sizeof name, "%d", status);
    json_key(j, name);
}

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

/* --- an operation --- */

static void parameter(struct json *j, const char *in, const struct body_field *field, bool required)
{
    json_open(j, '{');
    text(j, "name", field->name);
    text(j, "in", in);
    if (field->doc)
        text(j, "description", field->doc);
    json_key(j, "required");
    json_bool(j, required);
    json_key(j, "schema");
    schema_field(j, field);
    if (required) { /* Swagger UI sends what stands here: an old cursor, a key that was used */
        json_key(j, "example");
        schema_field_example(j, field);
    }
    json_close(j, '}');
}

static const struct body_field idempotency_key = {
    "Idempotency-Key",
    FIELD_TEXT,
    .min = 1,
    .max = 255,

    .pattern = "printable",
    .doc = "A retry with the same key and body gets the first outcome again.",
};
static const struct body_field prefer = {
    "Prefer",
    FIELD_TEXT,
    .max = 100,

    .pattern = "printable",
    .doc = "respond-async: be answered 202 at once, and look at Location for the outcome.",
};
static const struct body_field if_match = {
    "If-Match",
    FIELD_TEXT,
    .max = 100,
    .pattern = "etag",
    .doc = "The ETag that was read: 412 when it is another by now.",
};
static const struct body_field if_none_match = {
    "If-None-Match",
    FIELD_TEXT,
    .max = 100,
    .pattern = "etag",
    .doc = "The ETag that is known: 304 when it is still the same.",
};

static bool answers_status(const struct route *route, int status)
{
    for (const struct route_answer *answer = route->answers; answer && answer->status; answer++)
        if (answer->status == status)
            return true;
    return false;
}

static void parameters(struct json *j, const struct route *route)
{
    open_at(j, "parameters", '[');
    for (const char *at = route->path; (at = strchr(at, '{')); at++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
        const struct body_field field = { name, route->plain_params ? FIELD_TEXT : FIELD_UUID, .min = 1, .max = 200 };
        parameter(j, "path", &field, true);
    }
    for (const struct body_field *field = route->query; field && field->name; field++)
        parameter(j, "query", field, field->required);
    for (const struct body_field *field = route->headers; field && field->name; field++)
        parameter(j, "header", field, field->required);
    if (route_sends_command(route)) {
        parameter(j, "header", &idempotency_key, false);
        parameter(j, "header", &prefer, false);
    }
    if (route->if_match)
        parameter(j, "header", &if_match, false);
    if (answers_status(route, 304))
        parameter(j, "header", &if_none_match, false);
    json_close(j, ']');
}

static void request_body(struct json *j, const struct body *body)
{
    static const char *const types[] = { TYPE_JSON, "application/merge-patch+json" };
    open_at(j, "requestBody", '{');
    json_key(j, "required");
    json_bool(j, true);
    open_at(j, "content", '{');
    for (size_t i = 0; i < (body->is_patch ? 2 : 1); i++) {
        open_at(j, types[i], '{');
        json_key(j, "schema");
        reference(j, "schemas", body->name, "");
        json_key(j, "example");
        schema_body_example(j, body);
        json_close(j, '}');
    }
    json_close(j, '}');
    json_close(j, '}');
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

static void responses(struct document *d, const struct route *route)
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
static struct str tag_of(const struct route *route)
{
    static const char prefix[] = "/api/v1/";
    const char *at = strncmp(route->path, prefix, sizeof prefix - 1) == 0 ? route->path + sizeof prefix - 1 : NULL;
    return at ? (struct str){ at, strcspn(at, "/") } : STR("system");
}

static void operation(struct document *d, const struct route *route)
{
    struct json *j = &d->j;
    json_open(j, '{');
    text(j, "operationId", route->name);
    text(j, "summary", route->doc);
    open_at(j, "tags", '[');
    json_str(j, tag_of(route));
    json_close(j, ']');
    if (route->roles) {
        static const char *const roles[] = { "user", "moderator", "admin" };
        open_at(j, "x-roles", '[');
        for (unsigned i = 0; i < sizeof roles / sizeof *roles; i++)
            if (route->roles & (1u << i))
                json_str(j, str_of(roles[i]));
        json_close(j, ']');
    }
    open_at(j, "security", '[');
    if (route->auth == AUTH_USER)
        json_raw(j, STR("{\"accessToken\":[]}"));
    json_close(j, ']');
    parameters(j, route);
    if (route->body)
        request_body(j, route->body);
    responses(d, route);
    json_close(j, '}');
}

static void paths(struct document *d)
{
    struct json *j = &d->j;
    struct names said = { 0 };
    open_at(j, "paths", '{');
    for (const struct route *first = d->routes; first->path; first++) {
        if (!say_once(&said, first->path))
            continue;
        open_at(j, first->path, '{');
        for (const struct route *route = first; route->path; route++) {
            static const char *const methods[] = {
                [GET] = "get", [POST] = "post", [PUT] = "put", [PATCH] = "patch", [DELETE] = "delete"
            };
            if (strcmp(route->path, first->path) != 0)
                continue;
            json_key(j, methods[route->method]);
            operation(d, route);
        }
        json_close(j, '}');
    }
    json_close(j, '}');
}

/* --- components --- */

static void shape_component(struct document *d, const struct shape *shape)
{
    if (!say_once(&d->names, shape->name))
        return;
    json_key(&d->j, shape->name);
    schema_shape(&d->j, shape);
    for (const struct shape_field *field = shape->fields; field->name; field++)
        if (field->of)
            shape_component(d, field->of);
}

static void page_component(struct document *d, const struct shape *shape)
{
    struct json *j = &d->j;
    char name[96];
    snprintf(name, sizeof name, "%sPage", shape->name);
    json_key(j, name);
    json_open(j, '{');
    text(j, "type", "object");
    open_at(j, "properties", '{');
    open_at(j, "items", '{');
    text(j, "type", "array");
    json_key(j, "items");
    reference(j, "schemas", shape->name, "");
    json_close(j, '}');
    json_key(j, "nextCursor");
    json_raw(j, STR("{\"type\":[\"string\",\"null\"],\"description\":\"For the next page; null: there is none.\"}"));
    json_close(j, '}');
    json_key(j, "required");
    json_raw(j, STR("[\"items\",\"nextCursor\"]"));
    json_close(j, '}');
}

static void problem_schema(struct json *j)
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

static void schemas(struct document *d)
{
    struct json *j = &d->j;
    struct names pages = { 0 };
    open_at(j, "schemas", '{');
    problem_schema(j);
    for (const struct route *route = d->routes; route->path; route++) {
        if (route->body && say_once(&d->names, route->body->name)) {
            json_key(j, route->body->name);
            schema_body(j, route->body);
        }
        for (const struct route_answer *answer = route->answers; answer && answer->status; answer++) {
            if (answer->shape)
                shape_component(d, answer->shape);
            if (answer->shape && answer->page && say_once(&pages, answer->shape->name))
                page_component(d, answer->shape);
        }
    }
    json_close(j, '}');
}

static void components(struct document *d)
{
    struct json *j = &d->j;
    open_at(j, "components", '{');
    schemas(d);
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
    json_key(j, "securitySchemes");
    json_raw(j, STR("{\"accessToken\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\","
                    "\"description\":\"accessToken of POST /api/v1/auth/login.\"}}"));
    json_close(j, '}');
}

void openapi_render(const struct route *table, struct buf *out)
{
    struct document d = { .j = json_writer(out), .routes = table };
    struct json *j = &d.j;
    json_open(j, '{');
    text(j, "openapi", "3.1.0");
    json_key(j, "info");
    json_raw(j, STR("{\"title\":\"Aether\",\"version\":\"1\",\"license\":{\"name\":\"MIT\",\"identifier\":\"MIT\"},"
                    "\"description\":\"Chat and collaboration on a log. Every write is a command in the log, and its "
                    "outcome a fact (Aether-Position) or a problem with a stable `code`; a retry with the same "
                    "Idempotency-Key gets the first outcome. Paths of /api/v1/auth and /api/v1/health answer without "
                    "`/v1`, too.\"}"));
    json_key(j, "servers");
    json_raw(j, STR("[{\"url\":\"/\"}]"));
    paths(&d);
    components(&d);
    json_close(j, '}');
}
