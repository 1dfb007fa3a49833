/* encode: structs to Avro by their layouts. No schema is needed at run time: a layout is its own newest schema, so its
 * fields are written one after the other. Avro 1.11 specification, "Binary Encoding"; measured in
 * ops/adr/0001-avro-encoding.md. */
#include "schemas/layout.h"

static void put_long(struct buf *out, int64_t n)
{
    buf_reserve(out, 10);
    uint64_t raw = ((uint64_t)n << 1) ^ (uint64_t)(n >> 63);
    char *at = out->ptr + out->len;
    while (raw >= 0x80) {
        *at++ = (char)(raw | 0x80);
        raw >>= 7;
    }
    *at++ = (char)raw;
    out->len = (size_t)(at - out->ptr);
}

static void put_bytes(struct buf *out, struct str s)
{
    put_long(out, (int64_t)s.len);
    if (s.len > 0)
        buf_str(out, s);
}

static void put_uuid(struct buf *out, struct uuid id)
{
    char text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    put_bytes(out, (struct str){ text, UUID_TEXT_LEN });
}

static void put_double(struct buf *out, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    char bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (char)(bits >> (8 * i));
    buf_append(out, bytes, sizeof bytes);
}

static err put_record(const struct record_layout *layout, const char *record, struct buf *out);

static err put_value(const struct field *f, const char *at, struct buf *out);

static err put_array(const struct field *f, const char *at, struct buf *out)
{
    struct items array;
    memcpy(&array, at, sizeof array);
    if (array.count > 0) {
        put_long(out, (int64_t)array.count);
        for (size_t i = 0; i < array.count; i++)
            TRY(put_value(f->item, (const char *)array.items + i * f->item_size, out));
    }
    put_long(out, 0);
    return OK;
}

static err put_value(const struct field *f, const char *at, struct buf *out)
{
    switch (f->type) {
    case FIELD_STRING:
        if (!text_is_utf8(*(const struct str *)at)) /* nobody could read it */
            return err_set(REJECT, "field %s is not UTF-8", f->name);
        put_bytes(out, *(const struct str *)at);
        return OK;
    case FIELD_BYTES:
        put_bytes(out, *(const struct str *)at);
        return OK;
    case FIELD_UUID:
        put_uuid(out, *(const struct uuid *)at);
        return OK;
    case FIELD_SEALED: {
        const struct sealed *s = (const struct sealed *)at;
        /* A record of before the field came to be has its default, nothing, and may be carried on. */
        if (s->cipher.len == 0 && (!f->has_default || s->clear.len > 0))
            return err_set(REJECT, "field %s must be sealed before it is encoded", f->name);
        put_bytes(out, s->cipher);
        return OK;
    }
    case FIELD_INT:
        put_long(out, *(const int32_t *)at);
        return OK;
    case FIELD_LONG:
        put_long(out, *(const int64_t *)at);
        return OK;
    case FIELD_DOUBLE:
        put_double(out, *(const double *)at);
        return OK;
    case FIELD_BOOL:
        buf_char(out, *(const bool *)at ? 1 : 0);
        return OK;
    case FIELD_ENUM: {
        unsigned symbol;
        memcpy(&symbol, at, sizeof symbol);
        if (symbol >= (unsigned)f->symbols->count)
            return err_set(REJECT, "field %s: %u is no symbol of its enum", f->name, symbol);
        put_long(out, symbol);
        return OK;
    }
    case FIELD_RECORD:
        return put_record(f->record, at, out);
    case FIELD_ARRAY:
        return put_array(f, at, out);
    }
    __builtin_unreachable();
}

static err put_record(const struct record_layout *layout, const char *record, struct buf *out)
{
    for (const struct field *f = layout->fields; f < layout->fields + layout->field_count; f++) {
        if (f->optional) {
            bool has = *(const bool *)(record + f->has_offset);
            put_long(out, has ? 1 : 0); /* ["null", T] */
            if (!has)
                continue;
        }
        TRY(put_value(f, record + f->offset, out));
    }
    return OK;
}

err record_encode(const struct record_layout *layout, struct codec *codec, const void *record, struct buf *out)
{
    (void)codec;
    size_t before = out->len;
    uint32_t id = (uint32_t)layout->schema_id;
    const uint8_t frame[WIRE_HEADER_LEN] = { 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8),
                                             (uint8_t)id };
    buf_append(out, frame, sizeof frame);
    err e = put_record(layout, record, out);
    if (e != OK)
        out->len = before;
    return e;
}

err union_encode(const struct union_layout *layout, struct codec *codec, const struct any_record *record,
                 struct buf *out)
{
    const struct record_layout *l = union_record(layout, record->type);
    return l ? record_encode(l, codec, union_const_payload(record), out) : union_no_record(layout, record->type);
}
