/* record: structs to Avro and back, by their layouts.
 *
 * Writing needs no schema at run time: a layout is its own newest schema, so its fields are written one after the
 * other. Reading goes by the writer's schema: a link says, for each field of ours, where the writer has it and how its
 * type becomes ours. Links are made once per codec, schema id and layout; a record is then read without looking up a
 * name. */
#include <inttypes.h>
#include <stdlib.h>

#include "schemas/layout.h"

struct items {
    const void *items;
    size_t count;
};

const char *enum_layout_symbol(const struct enum_layout *layout, int value)
{
    return value >= 0 && value < layout->count ? layout->symbols[value] : NULL;
}

int enum_layout_find(const struct enum_layout *layout, struct str symbol)
{
    for (int i = 0; i < layout->count; i++)
        if (str_equal(symbol, str_of(layout->symbols[i])))
            return i;
    return -1;
}

/* --- writing --- */

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
        if (s->cipher.len == 0)
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

/* --- linking --- */

struct link {
    enum link_kind {
        LINK_MISMATCH, /* the writer's type cannot become ours */
        LINK_DEFAULT,  /* the writer does not have the field */
        LINK_NULL,     /* null, for an optional field */
        LINK_UNION,    /* by the branch that is there: links */
        LINK_STRING,
        LINK_BYTES,
        LINK_INT,
        LINK_LONG,
        LINK_FLOAT,
        LINK_DOUBLE,
        LINK_BOOL,
        LINK_ENUM,
        LINK_RECORD, /* fields: links */
        LINK_ARRAY,  /* items: links[0] */
    } kind;
    const struct field *field;
    size_t writer_index; /* in the writer's record */
    struct link *links;
    size_t link_count;
    const struct record_layout *layout; /* RECORD */
    int *symbols;                       /* ENUM: ours by the writer's; -1: unknown here */
};

static bool link_value(struct link *l, avro_schema_t writer, struct reader *r);

/* Lays a writer's record beside one of our layouts. False, with the reason kept, when they cannot be linked. */
static bool link_record(struct link *l, const struct record_layout *layout, avro_schema_t writer, struct reader *r)
{
    l->kind = LINK_RECORD;
    l->layout = layout;
    l->link_count = layout->field_count;
    l->links = ARENA_ARRAY(&r->memory, struct link, layout->field_count);
    for (size_t i = 0; i < layout->field_count; i++) {
        struct link *child = &l->links[i];
        child->field = &layout->fields[i];
        int at = avro_schema_record_field_get_index(writer, child->field->name);
        if (at < 0 && !child->field->has_default) {
            r->reason = arena_printf(&r->memory, "the writer of %s had no field %s, and it has no default",
                                     layout->name, child->field->name);
            return false;
        }
        if (at < 0) {
            child->kind = LINK_DEFAULT;
            continue;
        }
        child->writer_index = (size_t)at;
        if (!link_value(child, avro_schema_record_field_get_by_index(writer, at), r))
            return false;
    }
    return true;
}

static void link_symbols(struct link *l, avro_schema_t writer, struct reader *r)
{
    int count = avro_schema_enum_number_of_symbols(writer);
    l->kind = LINK_ENUM;
    l->symbols = ARENA_ARRAY(&r->memory, int, count);
    for (int i = 0; i < count; i++) {
        int ours = enum_layout_find(l->field->symbols, str_of(avro_schema_enum_get(writer, i)));
        l->symbols[i] = ours >= 0 ? ours : l->field->symbols->default_symbol;
    }
}

/* Each branch by itself: one that cannot become ours is a mistake only of a record that has it. */
static bool link_branches(struct link *l, avro_schema_t writer, struct reader *r)
{
    bool any = false;
    l->kind = LINK_UNION;
    l->link_count = avro_schema_union_size(writer);
    l->links = ARENA_ARRAY(&r->memory, struct link, l->link_count);
    for (size_t i = 0; i < l->link_count; i++) {
        l->links[i].field = l->field;
        if (link_value(&l->links[i], avro_schema_union_branch(writer, (int)i), r))
            any = true;
        else
            l->links[i].kind = LINK_MISMATCH;
    }
    return any;
}

/* Schema resolution of the Avro 1.11 specification, for the types that our fields have. */
static bool link_value(struct link *l, avro_schema_t writer, struct reader *r)
{
    static const struct {
        avro_type_t writer;
        enum link_kind kind;
        unsigned readers; /* bits of enum field_type */
    } promotions[] = {
#define BIT(type) (1U << FIELD_##type)
        { AVRO_STRING, LINK_STRING, BIT(STRING) | BIT(BYTES) | BIT(UUID) | BIT(SEALED) },
        { AVRO_BYTES, LINK_BYTES, BIT(STRING) | BIT(BYTES) | BIT(UUID) | BIT(SEALED) },
        { AVRO_INT32, LINK_INT, BIT(INT) | BIT(LONG) | BIT(DOUBLE) },
        { AVRO_INT64, LINK_LONG, BIT(LONG) | BIT(DOUBLE) },
        { AVRO_FLOAT, LINK_FLOAT, BIT(DOUBLE) },
        { AVRO_DOUBLE, LINK_DOUBLE, BIT(DOUBLE) },
        { AVRO_BOOLEAN, LINK_BOOL, BIT(BOOL) },
        { AVRO_NULL, LINK_NULL, 0 },
        { AVRO_ENUM, LINK_ENUM, BIT(ENUM) },
        { AVRO_RECORD, LINK_RECORD, BIT(RECORD) },
        { AVRO_ARRAY, LINK_ARRAY, BIT(ARRAY) },
#undef BIT
    };
    const struct field *f = l->field;
    avro_type_t type = avro_typeof(writer);
    if (type == AVRO_LINK)
        return link_value(l, avro_schema_link_target(writer), r);
    if (type == AVRO_UNION)
        return link_branches(l, writer, r);

    l->kind = LINK_MISMATCH;
    for (size_t i = 0; i < sizeof promotions / sizeof *promotions; i++)
        if (promotions[i].writer == type &&
            (promotions[i].readers & 1U << f->type || (type == AVRO_NULL && f->optional)))
            l->kind = promotions[i].kind;
    switch (l->kind) {
    case LINK_MISMATCH:
        r->reason = arena_printf(&r->memory, "the writer's type of %s cannot become the reader's", f->name);
        return false;
    case LINK_ENUM:
        link_symbols(l, writer, r);
        return true;
    case LINK_RECORD:
        return link_record(l, f->record, writer, r);
    case LINK_ARRAY:
        l->links = ARENA_NEW(&r->memory, struct link);
        l->links->field = f->item;
        return link_value(l->links, avro_schema_array_items(writer), r);
    default:
        return true;
    }
}

static struct reader *reader_find(const struct writer *w, const void *layout)
{
    for (struct reader *r = w->readers; r; r = r->next)
        if (r->layout == layout)
            return r;
    return NULL;
}

static struct reader *reader_add(struct writer *w, const void *layout)
{
    struct reader *r = mem_alloc(sizeof *r);
    arena_init(&r->memory, 2048);
    r->layout = layout;
    r->next = w->readers;
    w->readers = r;
    return r;
}

static void reader_link(struct reader *r, const struct record_layout *layout, const struct writer *w)
{
    struct link *l = ARENA_NEW(&r->memory, struct link);
    if (link_record(l, layout, w->schema, r))
        r->link = l;
}

/* --- reading --- */

static err take_value(const struct link *l, avro_value_t *v, char *record, struct arena *arena);

static err take_record(const struct link *l, avro_value_t *v, char *record, struct arena *arena);

/* Puts text or bytes into a field of any type that is made of them. */
static err take_text(const struct field *f, struct str text, char *at, struct arena *arena)
{
    switch (f->type) {
    case FIELD_UUID:
        if (!uuid_parse(text, (struct uuid *)at))
            return err_set(REJECT, "field %s is no UUID", f->name);
        return OK;
    case FIELD_SEALED:
        *(struct sealed *)at = (struct sealed){ .cipher = arena_str(arena, text), .state = SEALED };
        return OK;
    default:
        *(struct str *)at = arena_str(arena, text);
        return OK;
    }
}

static void take_integer(const struct field *f, int64_t n, char *at)
{
    if (f->type == FIELD_INT)
        *(int32_t *)at = (int32_t)n; /* the writer's type was int */
    else if (f->type == FIELD_LONG)
        *(int64_t *)at = n;
    else
        *(double *)at = (double)n;
}

static err take_default(const struct field *f, char *record, struct arena *arena)
{
    char *at = record + f->offset;
    if (f->optional)
        return OK; /* null: the record starts zeroed */
    switch (f->type) {
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_UUID:
    case FIELD_SEALED:
        return take_text(f, f->default_text, at, arena);
    case FIELD_INT:
    case FIELD_LONG:
        take_integer(f, f->default_integer, at);
        return OK;
    case FIELD_DOUBLE:
        *(double *)at = f->default_number;
        return OK;
    case FIELD_BOOL:
        *(bool *)at = f->default_integer != 0;
        return OK;
    case FIELD_ENUM:
        memcpy(at, &(unsigned){ (unsigned)f->default_integer }, sizeof(unsigned));
        return OK;
    case FIELD_RECORD:
    case FIELD_ARRAY:
        return OK; /* the only default is the empty one: the record starts zeroed */
    }
    __builtin_unreachable();
}

static err take_array(const struct link *l, avro_value_t *v, char *at, struct arena *arena)
{
    size_t count = 0;
    avro_value_get_size(v, &count);
    if (count == 0)
        return OK;
    char *items = arena_alloc(arena, count * l->field->item_size);
    for (size_t i = 0; i < count; i++) {
        avro_value_t item;
        avro_value_get_by_index(v, i, &item, NULL);
        TRY(take_value(l->links, &item, items + i * l->field->item_size, arena));
    }
    memcpy(at, &(struct items){ items, count }, sizeof(struct items));
    return OK;
}

static err take_union(const struct link *l, avro_value_t *v, char *record, struct arena *arena)
{
    int branch = 0;
    avro_value_t value;
    avro_value_get_discriminant(v, &branch);
    avro_value_get_current_branch(v, &value);
    return take_value(&l->links[branch], &value, record, arena);
}

static err take_value(const struct link *l, avro_value_t *v, char *record, struct arena *arena)
{
    const struct field *f = l->field;
    char *at = record + f->offset;
    const char *text = "";
    const void *bytes = NULL;
    size_t size = 0;
    int32_t i = 0;
    int64_t n = 0;
    float single = 0;
    int flag = 0;

    if (f->optional && l->kind > LINK_UNION)
        *(bool *)(record + f->has_offset) = true;
    switch (l->kind) {
    case LINK_MISMATCH:
        return err_set(REJECT, "field %s has a type of the writer's that cannot become the reader's", f->name);
    case LINK_DEFAULT:
        return take_default(f, record, arena);
    case LINK_NULL:
        return OK;
    case LINK_UNION:
        return take_union(l, v, record, arena);
    case LINK_STRING:
        avro_value_get_string(v, &text, &size);
        return take_text(f, (struct str){ text, size - 1 }, at, arena); /* size counts a NUL */
    case LINK_BYTES:
        avro_value_get_bytes(v, &bytes, &size);
        if (f->type == FIELD_STRING && !text_is_utf8((struct str){ bytes, size })) /* codec_check saw only bytes */
            return err_set(REJECT, "field %s is not UTF-8", f->name);
        return take_text(f, (struct str){ bytes, size }, at, arena);
    case LINK_INT:
        avro_value_get_int(v, &i);
        take_integer(f, i, at);
        return OK;
    case LINK_LONG:
        avro_value_get_long(v, &n);
        take_integer(f, n, at);
        return OK;
    case LINK_FLOAT:
        avro_value_get_float(v, &single);
        *(double *)at = (double)single;
        return OK;
    case LINK_DOUBLE:
        avro_value_get_double(v, (double *)at);
        return OK;
    case LINK_BOOL:
        avro_value_get_boolean(v, &flag);
        *(bool *)at = flag != 0;
        return OK;
    case LINK_ENUM:
        avro_value_get_enum(v, &flag);
        if (l->symbols[flag] < 0)
            return err_set(REJECT, "field %s has a symbol that is not known here, and its enum has no default",
                           f->name);
        memcpy(at, &(unsigned){ (unsigned)l->symbols[flag] }, sizeof(unsigned));
        return OK;
    case LINK_RECORD:
        return take_record(l, v, at, arena);
    case LINK_ARRAY:
        return take_array(l, v, at, arena);
    }
    __builtin_unreachable();
}

static err take_record(const struct link *l, avro_value_t *v, char *record, struct arena *arena)
{
    for (const struct link *child = l->links; child < l->links + l->link_count; child++) {
        avro_value_t value = { 0 };
        if (child->kind != LINK_DEFAULT)
            avro_value_get_by_index(v, child->writer_index, &value, NULL);
        TRY(take_value(child, &value, record, arena));
    }
    return OK;
}

static err record_take(struct codec *codec, struct writer *w, const struct reader *r, struct str framed,
                       struct arena *arena, void *record)
{
    if (!r->link)
        return err_set(REJECT, "schema id %" PRId32 " (%s): %s", w->id, w->name, r->reason);
    struct str payload = { framed.ptr + WIRE_HEADER_LEN, framed.len - WIRE_HEADER_LEN };
    TRY(codec_read(codec, w, payload));
    memset(record, 0, r->link->layout->size);
    err e = take_record(r->link, &w->value, record, arena);
    codec_done(w, payload);
    return e;
}

static err writer_of(struct codec *codec, struct str framed, struct writer **ret)
{
    int32_t id;
    TRY(wire_schema_id(framed, &id));
    return codec_writer(codec, id, ret);
}

err record_decode(const struct record_layout *layout, struct codec *codec, struct str framed, struct arena *arena,
                  void *ret)
{
    struct writer *w;
    TRY(writer_of(codec, framed, &w));
    struct reader *r = reader_find(w, layout);
    if (!r) {
        r = reader_add(w, layout);
        if (strcmp(layout->name, w->name) == 0)
            reader_link(r, layout, w);
        else
            r->reason = arena_printf(&r->memory, "is no %s", layout->name);
    }
    return record_take(codec, w, r, framed, arena, ret);
}

/* --- unions --- */

static char *payload_of(struct any_record *record)
{
    return (char *)record + offsetof(struct any_record, meta);
}

static const char *const_payload_of(const struct any_record *record)
{
    return (const char *)record + offsetof(struct any_record, meta);
}

static const struct record_layout *layout_of(const struct union_layout *layout, int type)
{
    return type >= 1 && (size_t)type <= layout->record_count ? layout->records[type - 1] : NULL;
}

static err no_record(const struct union_layout *layout, int type)
{
    return err_set(REJECT, "%d is no type of record of %s", type, layout->name);
}

err union_decode(const struct union_layout *layout, struct codec *codec, struct str framed, struct arena *arena,
                 struct any_record *ret)
{
    ret->type = 0;
    struct writer *w;
    TRY(writer_of(codec, framed, &w));
    struct reader *r = reader_find(w, layout);
    if (!r) {
        r = reader_add(w, layout);
        r->reason = arena_printf(&r->memory, "is no record of %s", layout->name);
        for (size_t i = 0; i < layout->record_count; i++)
            if (strcmp(layout->records[i]->name, w->name) == 0) {
                r->type = (int)i + 1;
                reader_link(r, layout->records[i], w);
            }
    }
    TRY(record_take(codec, w, r, framed, arena, payload_of(ret)));
    ret->type = r->type;
    return OK;
}

err union_encode(const struct union_layout *layout, struct codec *codec, const struct any_record *record,
                 struct buf *out)
{
    const struct record_layout *l = layout_of(layout, record->type);
    return l ? record_encode(l, codec, const_payload_of(record), out) : no_record(layout, record->type);
}

struct uuid union_key(const struct union_layout *layout, const struct any_record *record)
{
    const struct record_layout *l = layout_of(layout, record->type);
    return l ? *(const struct uuid *)(const_payload_of(record) + l->key_offset) : uuid_nil;
}

const char *union_name(const struct union_layout *layout, int type)
{
    const struct record_layout *l = layout_of(layout, type);
    return l ? l->name : NULL;
}

/* --- sealed fields --- */

static bool is_sealed_here(const struct field *f, const char *record)
{
    return f->type == FIELD_SEALED && (!f->optional || *(const bool *)(record + f->has_offset));
}

size_t union_subjects(const struct union_layout *layout, const struct any_record *any, struct uuid ret[8])
{
    const struct record_layout *l = layout_of(layout, any->type);
    size_t count = 0;
    if (!l)
        return 0;
    const char *record = const_payload_of(any);
    for (const struct field *f = l->fields; f < l->fields + l->field_count; f++) {
        if (!is_sealed_here(f, record))
            continue;
        struct uuid subject = *(const struct uuid *)(record + f->subject_offset);
        bool seen = false;
        for (size_t i = 0; i < count; i++)
            seen |= uuid_equal(ret[i], subject);
        if (!seen)
            ret[count++] = subject;
    }
    return count;
}

err record_seal(const struct record_layout *layout, void *record, struct vault *vault, struct arena *arena)
{
    char *base = record;
    for (const struct field *f = layout->fields; f < layout->fields + layout->field_count; f++) {
        struct sealed *s = (struct sealed *)(base + f->offset);
        if (is_sealed_here(f, base) && s->cipher.len == 0)
            TRY(sealed_seal(vault, *(struct uuid *)(base + f->subject_offset), str_of(f->name), s, arena));
    }
    return OK;
}

err record_open(const struct record_layout *layout, void *record, struct vault *vault, struct arena *arena)
{
    char *base = record;
    for (const struct field *f = layout->fields; f < layout->fields + layout->field_count; f++)
        if (is_sealed_here(f, base))
            TRY(sealed_open(vault, *(struct uuid *)(base + f->subject_offset), str_of(f->name),
                            (struct sealed *)(base + f->offset), arena));
    return OK;
}

err union_seal(const struct union_layout *layout, struct any_record *record, struct vault *vault, struct arena *arena)
{
    const struct record_layout *l = layout_of(layout, record->type);
    return l ? record_seal(l, payload_of(record), vault, arena) : no_record(layout, record->type);
}

err union_open(const struct union_layout *layout, struct any_record *record, struct vault *vault, struct arena *arena)
{
    const struct record_layout *l = layout_of(layout, record->type);
    return l ? record_open(l, payload_of(record), vault, arena) : no_record(layout, record->type);
}
