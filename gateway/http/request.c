#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "gateway/http/field.h"
#include "gateway/http/http_check.h"
#include "gateway/http/request.h"
#include "ops/runtime/clock.h"

bool request_query(struct request *r, const char *name, struct str *ret)
{
    if (r->query.len == 0)
        return false;
    return http_query(r->query, str_of(name), arena_alloc_raw(&r->arena, r->query.len), ret);
}

bool request_query_int(struct request *r, const char *name, int64_t min, int64_t max, int64_t *ret, bool *ret_bad)
{
    struct str text;
    int64_t value;
    if (!request_query(r, name, &text))
        return false;
    if (field_parse_int(text, &value) && value >= min && value <= max) {
        *ret = value;
        return true;
    }
    problem(r, 400, "bad_query", name, "must be a whole number from %lld to %lld.", (long long)min, (long long)max);
    *ret_bad = true;
    return false;
}

struct str body_str(const struct request *r, const char *name)
{
    const json_t *value = json_object_get(r->body, name);
    if (!json_is_string(value))
        return (struct str){ 0 };
    return (struct str){ json_string_value(value), json_string_length(value) };
}

bool body_int(const struct request *r, const char *name, int64_t *ret)
{
    const json_t *value = json_object_get(r->body, name);
    if (!json_is_integer(value))
        return false;
    *ret = json_integer_value(value);
    return true;
}

bool body_bool(const struct request *r, const char *name, bool *ret)
{
    const json_t *value = json_object_get(r->body, name);
    if (!json_is_boolean(value))
        return false;
    *ret = json_is_true(value);
    return true;
}

bool body_uuid(const struct request *r, const char *name, struct uuid *ret)
{
    const struct str text = body_str(r, name);
    return text.ptr && uuid_parse(text, ret);
}

bool body_time(const struct request *r, const char *name, int64_t *ret_unix_ms)
{
    const struct str text = body_str(r, name);
    return text.ptr && clock_parse_rfc3339(text, ret_unix_ms);
}

void response_header(struct request *r, const char *name, const char *format, ...)
{
    struct response *response = &r->response;
    size_t i = 0;
    while (i < response->header_count && strcmp(response->headers[i].name, name) != 0)
        i++;
    if (i == REQUEST_MAX_HEADERS)
        return; /* the table of headers is larger than any handler needs */
    response->headers[i].name = name;
    va_list args;
    va_start(args, format);
    vsnprintf(response->headers[i].value, sizeof response->headers[i].value, format, args);
    va_end(args);
    if (i == response->header_count)
        response->header_count++;
}

struct json response_json(struct request *r, int status)
{
    r->response.status = status;
    buf_clear(&r->response.body);
    return json_writer(&r->response.body);
}

void request_hash(struct request *r, struct str method, struct str path, const uint8_t *key)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, 32, sizeof r->hash);
    crypto_generichash_update(&state, (const uint8_t *)method.ptr, method.len);
    crypto_generichash_update(&state, (const uint8_t *)"", 1);
    crypto_generichash_update(&state, (const uint8_t *)path.ptr, path.len);
    crypto_generichash_update(&state, (const uint8_t *)"", 1);
    crypto_generichash_update(&state, (const uint8_t *)r->body_bytes.ptr, r->body_bytes.len);
    crypto_generichash_final(&state, r->hash, sizeof r->hash);
}
