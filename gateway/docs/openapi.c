#include "gateway/docs/openapi.h"

#include "gateway/docs/openapi_answers.h"
#include "gateway/docs/openapi_schema.h"
#include "gateway/docs/problem_code.h"

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
    answers_of(d, route);
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

/* A set of choices that has a name is a schema of its own: clients have one type of it, wherever it occurs. */
static void enum_component(struct document *d, const char *name, const char *choices)
{
    if (!name || !say_once(&d->names, name))
        return;
    json_key(&d->j, name);
    schema_enum(&d->j, choices);
}

static void field_enums(struct document *d, const struct body_field *fields)
{
    for (const struct body_field *field = fields; field && field->name; field++)
        enum_component(d, field->enumeration, field->choices);
}

static void shape_component(struct document *d, const struct shape *shape)
{
    if (!say_once(&d->names, shape->name))
        return;
    json_key(&d->j, shape->name);
    schema_shape(&d->j, shape);
    for (const struct shape_field *field = shape->fields; field->name; field++) {
        enum_component(d, field->enumeration, field->choices);
        if (field->of)
            shape_component(d, field->of);
    }
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

static void schemas(struct document *d)
{
    struct json *j = &d->j;
    struct names pages = { 0 };
    open_at(j, "schemas", '{');
    answers_problem_schema(j);
    for (const struct route *route = d->routes; route->path; route++) {
        if (route->body && say_once(&d->names, route->body->name)) {
            json_key(j, route->body->name);
            schema_body(j, route->body);
            field_enums(d, route->body->fields);
        }
        field_enums(d, route->query);
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
    answers_components(j);
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
