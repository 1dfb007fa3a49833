/* json: writes JSON text into a buf without building a tree (reading is jansson's). Commas are placed by the writer.
 *     json_open(&j, '{'); json_key(&j, "items"); json_open(&j, '['); … json_close(&j, ']'); json_close(&j, '}');
 * Allocates nothing but the buf's growth. RFC 8259; strings must be valid UTF-8 (they are escaped, not checked). */
#pragma once

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

struct json {
    struct buf *out;
    bool comma;
};

static inline struct json json_writer(struct buf *out)
{
    return (struct json){ .out = out };
}

void json_open(struct json *j, char bracket);  /* '{' or '[' */
void json_close(struct json *j, char bracket); /* '}' or ']' */
void json_key(struct json *j, const char *name);
void json_str(struct json *j, struct str s);
void json_int(struct json *j, int64_t i);
void json_number(struct json *j, double d); /* three decimals at most */
void json_bool(struct json *j, bool b);
void json_none(struct json *j); /* null; jansson has a json_null, and both are in one program */
void json_uuid(struct json *j, struct uuid id);
void json_time(struct json *j, int64_t unix_ms); /* RFC 3339, UTC, milliseconds */
void json_raw(struct json *j, struct str text);  /* already JSON */

static inline void json_field_str(struct json *j, const char *name, struct str s)
{
    json_key(j, name);
    json_str(j, s);
}

static inline void json_field_int(struct json *j, const char *name, int64_t i)
{
    json_key(j, name);
    json_int(j, i);
}

static inline void json_field_uuid(struct json *j, const char *name, struct uuid id)
{
    json_key(j, name);
    json_uuid(j, id);
}

static inline void json_field_time(struct json *j, const char *name, int64_t unix_ms)
{
    json_key(j, name);
    json_time(j, unix_ms);
}
