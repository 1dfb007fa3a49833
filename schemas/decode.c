/* decode: Avro to structs, by the writer's schema.
 *
 * A link lays a writer's schema beside one of our layouts: for each field of ours, where the writer has it and how its
 * type becomes ours. Links are made once per codec, schema id and layout; a record is then read without looking up a
 * name. */
#include <inttypes.h>
#include <stdlib.h>

#include "schemas/layout.h"

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

err field_default(const struct field *f, char *record, struct arena *arena)
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

/* A value is empty only for LINK_DEFAULT, which does not look at it. NOLINTBEGIN(clang-analyzer-core.NullDereference) */

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
        return field_default(f, record, arena);
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

/* NOLINTEND(clang-analyzer-core.NullDereference) */

static err record_take(struct codec *codec, struct writer *w, const struct reader *r, struct str framed,
                       struct arena *arena, void *record)
{
    if (!r->link)
        return err_set(REJECT, "schema id %" PRId32 " (%s): %s", w->id, w->name, r->reason);
    struct str payload = { framed.ptr + WIRE_HEADER_LEN, framed.len - WIRE_HEADER_LEN };
    TRY(codec_read(codec, w, payload));
    memset(record, 0, r->link->layout->size);
    err e = take_record(r->link, &w->value, record, arena);
    codec_done(w);
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
    TRY(record_take(codec, w, r, framed, arena, union_payload(ret)));
    ret->type = r->type;
    return OK;
}
