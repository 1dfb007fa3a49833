/* PostgreSQL's binary formats: numbers in network order, timestamptz as microseconds since 2000, arrays as in
 * src/backend/utils/adt/arrayfuncs.c (array_recv). */
#include <assert.h>
#include <endian.h>
#include <limits.h>

#include "ops/runtime/pg.h"

#define EPOCH_2000_MS 946684800000
#define MOST_MS       (INT64_MAX / 1000) /* beyond it microseconds overflow: -infinity and infinity */

static int64_t to_pg_time(int64_t unix_ms)
{
    if (unix_ms > MOST_MS)
        return INT64_MAX;
    if (unix_ms < -MOST_MS + EPOCH_2000_MS)
        return INT64_MIN;
    return (unix_ms - EPOCH_2000_MS) * 1000;
}

static int64_t from_pg_time(int64_t microseconds)
{
    if (microseconds == INT64_MAX || microseconds == INT64_MIN)
        return microseconds;
    int64_t ms = microseconds / 1000;
    if (microseconds % 1000 < 0)
        ms--;
    return ms + EPOCH_2000_MS;
}

/* --- parameters --- */

static void add(struct pg_args *a, const void *value, size_t len)
{
    assert(a->count < PG_MAX_ARGS);
    assert(len <= INT_MAX);
    a->values[a->count] = value;
    a->lengths[a->count] = (int)len;
    a->formats[a->count] = 1;
    a->count++;
}

static void add_copy(struct pg_args *a, const void *value, size_t len)
{
    add(a, memcpy(arena_alloc_raw(a->arena, len), value, len), len);
}

void pg_arg_null(struct pg_args *a)
{
    add(a, NULL, 0);
}

void pg_arg_bool(struct pg_args *a, bool b)
{
    add(a, b ? "\1" : "\0", 1);
}

void pg_arg_int2(struct pg_args *a, int16_t i)
{
    const uint16_t n = htobe16((uint16_t)i);
    add_copy(a, &n, sizeof n);
}

void pg_arg_int4(struct pg_args *a, int32_t i)
{
    const uint32_t n = htobe32((uint32_t)i);
    add_copy(a, &n, sizeof n);
}

void pg_arg_int8(struct pg_args *a, int64_t i)
{
    const uint64_t n = htobe64((uint64_t)i);
    add_copy(a, &n, sizeof n);
}

void pg_arg_text(struct pg_args *a, struct str s)
{
    add(a, s.ptr ? s.ptr : "", s.len); /* a NULL pointer would be SQL's NULL */
}

void pg_arg_bytes(struct pg_args *a, struct str s)
{
    pg_arg_text(a, s);
}

void pg_arg_uuid(struct pg_args *a, struct uuid id)
{
    add_copy(a, id.bytes, sizeof id.bytes);
}

void pg_arg_time(struct pg_args *a, int64_t unix_ms)
{
    pg_arg_int8(a, to_pg_time(unix_ms));
}

/* --- arrays --- */

#define HEADER_SIZE 20 /* dimensions, has NULLs, element type, length, lower bound */

struct pg_array {
    struct arena *arena;
    enum pg_type element;
    bool has_null;
    size_t count, len, cap;
    char *bytes; /* the header's place, then each element's length and bytes */
};

static size_t element_size(enum pg_type element)
{
    switch (element) {
    case PG_BOOL:
        return 1;
    case PG_INT2:
        return 2;
    case PG_INT4:
        return 4;
    case PG_INT8:
    case PG_TIMESTAMPTZ:
        return 8;
    case PG_UUID:
        return 16;
    case PG_TEXT:
    case PG_BYTEA:
        break;
    }
    return 24; /* a guess; it grows */
}

struct pg_array *pg_array(struct arena *arena, enum pg_type element, size_t count_hint)
{
    struct pg_array *a = ARENA_NEW(arena, struct pg_array);
    a->arena = arena;
    a->element = element;
    a->cap = HEADER_SIZE + count_hint * (4 + element_size(element));
    a->bytes = arena_alloc_raw(arena, a->cap);
    a->len = HEADER_SIZE;
    return a;
}

static char *grow(struct pg_array *a, size_t more)
{
    if (a->cap - a->len < more) {
        a->cap = (a->len + more) * 2;
        a->bytes = memcpy(arena_alloc_raw(a->arena, a->cap), a->bytes, a->len);
    }
    char *at = a->bytes + a->len;
    a->len += more;
    a->count++;
    return at;
}

static void put32(char *at, uint32_t value)
{
    const uint32_t n = htobe32(value);
    memcpy(at, &n, sizeof n);
}

static void append(struct pg_array *a, const void *value, size_t len)
{
    assert(len <= INT_MAX);
    char *at = grow(a, 4 + len);
    put32(at, (uint32_t)len);
    if (len > 0)
        memcpy(at + 4, value, len);
}

void pg_array_null(struct pg_array *a)
{
    put32(grow(a, 4), UINT32_MAX);
    a->has_null = true;
}

void pg_array_bool(struct pg_array *a, bool b)
{
    assert(a->element == PG_BOOL);
    append(a, b ? "\1" : "\0", 1);
}

void pg_array_int2(struct pg_array *a, int16_t i)
{
    assert(a->element == PG_INT2);
    const uint16_t n = htobe16((uint16_t)i);
    append(a, &n, sizeof n);
}

void pg_array_int4(struct pg_array *a, int32_t i)
{
    assert(a->element == PG_INT4);
    const uint32_t n = htobe32((uint32_t)i);
    append(a, &n, sizeof n);
}

static void append_int8(struct pg_array *a, int64_t i)
{
    const uint64_t n = htobe64((uint64_t)i);
    append(a, &n, sizeof n);
}

void pg_array_int8(struct pg_array *a, int64_t i)
{
    assert(a->element == PG_INT8);
    append_int8(a, i);
}

void pg_array_str(struct pg_array *a, struct str s)
{
    assert(a->element == PG_TEXT || a->element == PG_BYTEA);
    append(a, s.ptr, s.len);
}

void pg_array_uuid(struct pg_array *a, struct uuid id)
{
    assert(a->element == PG_UUID);
    append(a, id.bytes, sizeof id.bytes);
}

void pg_array_time(struct pg_array *a, int64_t unix_ms)
{
    assert(a->element == PG_TIMESTAMPTZ);
    append_int8(a, to_pg_time(unix_ms));
}

size_t pg_array_count(const struct pg_array *a)
{
    return a->count;
}

void pg_arg_array(struct pg_args *args, struct pg_array *a)
{
    assert(a->count <= INT_MAX);
    put32(a->bytes, a->count > 0);
    put32(a->bytes + 4, a->has_null);
    put32(a->bytes + 8, (uint32_t)a->element);
    put32(a->bytes + 12, (uint32_t)a->count);
    put32(a->bytes + 16, 1);
    add(args, a->bytes, a->count > 0 ? a->len : 12); /* an empty array has no dimension */
}

/* --- results --- */

bool pg_null(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) != 0;
}

struct str pg_str(const PGresult *r, int row, int column)
{
    if (pg_null(r, row, column))
        return (struct str){ 0 };
    return (struct str){ PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column) };
}

bool pg_bool(const PGresult *r, int row, int column)
{
    const struct str s = pg_str(r, row, column);
    return s.len == 1 && s.ptr[0] != 0;
}

int64_t pg_int(const PGresult *r, int row, int column)
{
    const struct str s = pg_str(r, row, column);
    uint16_t n2;
    uint32_t n4;
    uint64_t n8;
    switch (s.len) {
    case sizeof n2:
        memcpy(&n2, s.ptr, sizeof n2);
        return (int16_t)be16toh(n2);
    case sizeof n4:
        memcpy(&n4, s.ptr, sizeof n4);
        return (int32_t)be32toh(n4);
    case sizeof n8:
        memcpy(&n8, s.ptr, sizeof n8);
        return (int64_t)be64toh(n8);
    default:
        assert(s.len == 0); /* NULL; anything else is no integer column */
        return 0;
    }
}

struct uuid pg_uuid(const PGresult *r, int row, int column)
{
    const struct str s = pg_str(r, row, column);
    struct uuid id = uuid_nil;
    if (s.len == sizeof id.bytes)
        memcpy(id.bytes, s.ptr, sizeof id.bytes);
    else
        assert(s.len == 0);
    return id;
}

int64_t pg_time(const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? 0 : from_pg_time(pg_int(r, row, column));
}
