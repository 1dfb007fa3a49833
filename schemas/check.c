/* check: walks a payload beside its schema before avro-c is let near it. avro-c allocates what a length claims and
 * recurses as deep as the bytes say; here nothing is believed that is not there. Avro 1.11 specification, "Binary
 * Encoding". */
#include <inttypes.h>

#include "schemas/layout.h"

#define MAX_DEPTH 32

/* Items of arrays and maps in one payload, also those that take no bytes (null, an empty record): each costs avro-c far
 * more memory than its bytes. */
#define MAX_ITEMS 65536

struct walk {
    const uint8_t *start, *at, *end;
    int depth;
    uint32_t items;
};

static err wrong(const struct walk *w, const char *what)
{
    return err_set(REJECT, "payload is no valid datum at byte %zu: %s", (size_t)(w->at - w->start), what);
}

static size_t left(const struct walk *w)
{
    return (size_t)(w->end - w->at);
}

static err walk_long(struct walk *w, int64_t *ret)
{
    uint64_t raw = 0;
    const uint8_t *at = w->at;
    for (unsigned shift = 0; at < w->end; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            return wrong(w, "a number of more than 64 bits");
        raw |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            w->at = at;
            *ret = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
            return OK;
        }
    }
    return wrong(w, "a number is cut off");
}

static err walk_int(struct walk *w, int64_t *ret)
{
    int64_t n = 0;
    const uint8_t *at = w->at;
    TRY(walk_long(w, &n));
    if (n < INT32_MIN || n > INT32_MAX) {
        w->at = at;
        return wrong(w, "a number of more than 32 bits");
    }
    *ret = n;
    return OK;
}

static err walk_skip(struct walk *w, uint64_t length)
{
    if (length > left(w))
        return wrong(w, "the payload ends before the value does");
    w->at += length;
    return OK;
}

static err walk_bytes(struct walk *w, struct str *ret)
{
    int64_t length = 0;
    const uint8_t *at = w->at;
    TRY(walk_long(w, &length));
    if (length < 0 || (uint64_t)length > left(w)) {
        w->at = at;
        return wrong(w, length < 0 ? "a negative length" : "a length beyond the end of the payload");
    }
    *ret = (struct str){ (const char *)w->at, (size_t)length };
    w->at += length;
    return OK;
}

bool text_is_utf8(struct str text)
{
    if (text.len == 0)
        return true; /* and its pointer may be NULL */
    const uint8_t *at = (const uint8_t *)text.ptr, *end = at + text.len;
    while (at < end) {
        uint8_t lead = *at++;
        if (lead < 0x80)
            continue;
        uint8_t low = 0x80, high = 0xbf;
        int more;
        if (lead >= 0xc2 && lead <= 0xdf) {
            more = 1;
        } else if (lead >= 0xe0 && lead <= 0xef) {
            more = 2;
            if (lead == 0xe0)
                low = 0xa0;
            else if (lead == 0xed)
                high = 0x9f;
        } else if (lead >= 0xf0 && lead <= 0xf4) {
            more = 3;
            if (lead == 0xf0)
                low = 0x90;
            else if (lead == 0xf4)
                high = 0x8f;
        } else {
            return false;
        }
        for (; more > 0; more--, low = 0x80, high = 0xbf)
            if (at == end || *at < low || *at++ > high)
                return false;
    }
    return true;
}

static err walk_string(struct walk *w)
{
    struct str text = { 0 };
    const uint8_t *at = w->at;
    TRY(walk_bytes(w, &text));
    if (!text_is_utf8(text)) {
        w->at = at;
        return wrong(w, "a string that is not UTF-8");
    }
    return OK;
}

static err walk_datum(struct walk *w, avro_schema_t schema);

/* The blocks of an array or a map: a count, then as many items, until a count of 0. A negative count is followed by the
 * block's length in bytes. */
static err walk_blocks(struct walk *w, avro_schema_t item, bool keyed)
{
    for (;;) {
        int64_t count = 0, size = -1;
        const uint8_t *at = w->at;
        TRY(walk_long(w, &count));
        if (count == 0)
            return OK;
        if (count < 0) {
            TRY(walk_long(w, &size));
            if (size < 0 || (uint64_t)size > left(w)) {
                w->at = at;
                return wrong(w, "a block that is longer than the payload");
            }
            if (count == INT64_MIN)
                count = INT64_MAX; /* too many, and said so below */
            else
                count = -count;
        }
        if (count > MAX_ITEMS - (int64_t)w->items) {
            w->at = at;
            return wrong(w, "too many items");
        }
        w->items += (uint32_t)count;
        const uint8_t *block = w->at;
        for (; count > 0; count--) {
            if (keyed)
                TRY(walk_string(w));
            TRY(walk_datum(w, item));
        }
        if (size >= 0 && w->at - block != size)
            return wrong(w, "a block whose length is not that of its items");
    }
}

static err walk_fields(struct walk *w, avro_schema_t schema)
{
    size_t count = avro_schema_record_size(schema);
    for (size_t i = 0; i < count; i++)
        TRY(walk_datum(w, avro_schema_record_field_get_by_index(schema, (int)i)));
    return OK;
}

static err walk_branch(struct walk *w, avro_schema_t schema)
{
    int64_t branch = 0;
    const uint8_t *at = w->at;
    TRY(walk_long(w, &branch));
    if (branch < 0 || (uint64_t)branch >= avro_schema_union_size(schema)) {
        w->at = at;
        return wrong(w, "a union branch that does not exist");
    }
    return walk_datum(w, avro_schema_union_branch(schema, (int)branch));
}

static err walk_symbol(struct walk *w, avro_schema_t schema)
{
    int64_t symbol = 0;
    const uint8_t *at = w->at;
    TRY(walk_int(w, &symbol));
    if (symbol < 0 || symbol >= avro_schema_enum_number_of_symbols(schema)) {
        w->at = at;
        return wrong(w, "an enum symbol that does not exist");
    }
    return OK;
}

static err walk_nested(struct walk *w, avro_schema_t schema)
{
    switch (avro_typeof(schema)) {
    case AVRO_RECORD:
        return walk_fields(w, schema);
    case AVRO_UNION:
        return walk_branch(w, schema);
    case AVRO_ARRAY:
        return walk_blocks(w, avro_schema_array_items(schema), false);
    case AVRO_MAP:
        return walk_blocks(w, avro_schema_map_values(schema), true);
    default:
        return walk_datum(w, avro_schema_link_target(schema));
    }
}

static err walk_datum(struct walk *w, avro_schema_t schema)
{
    int64_t number = 0;
    struct str bytes = { 0 };
    switch (avro_typeof(schema)) {
    case AVRO_NULL:
        return OK;
    case AVRO_BOOLEAN:
        if (left(w) > 0 && *w->at > 1)
            return wrong(w, "a boolean that is neither 0 nor 1");
        return walk_skip(w, 1);
    case AVRO_INT32:
        return walk_int(w, &number);
    case AVRO_INT64:
        return walk_long(w, &number);
    case AVRO_FLOAT:
        return walk_skip(w, 4);
    case AVRO_DOUBLE:
        return walk_skip(w, 8);
    case AVRO_STRING:
        return walk_string(w);
    case AVRO_BYTES:
        return walk_bytes(w, &bytes);
    case AVRO_FIXED:
        return walk_skip(w, (uint64_t)avro_schema_fixed_size(schema));
    case AVRO_ENUM:
        return walk_symbol(w, schema);
    case AVRO_RECORD:
    case AVRO_UNION:
    case AVRO_ARRAY:
    case AVRO_MAP:
    case AVRO_LINK:
        break;
    }
    if (w->depth == MAX_DEPTH)
        return wrong(w, "nested too deep");
    w->depth++;
    err e = walk_nested(w, schema);
    w->depth--;
    return e;
}

err check_payload(avro_schema_t schema, struct str payload, uint32_t *ret_items)
{
    const uint8_t *start = (const uint8_t *)payload.ptr;
    struct walk w = { .start = start, .at = start, .end = start + payload.len };
    TRY(walk_datum(&w, schema));
    if (w.at != w.end)
        return wrong(&w, "bytes are left over");
    *ret_items = w.items;
    return OK;
}

err codec_check(avro_schema_t schema, struct str payload)
{
    uint32_t items;
    return check_payload(schema, payload, &items);
}
