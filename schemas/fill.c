#include "schemas/fill.h"

#include <ctype.h>

#include "ops/runtime/clock.h"
#include "schemas/layout.h"

static const struct field *find(const struct record_layout *layout, const char *name)
{
    for (size_t i = 0; layout && i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return &layout->fields[i];
    return NULL;
}

const char *record_field_name(const struct record_union *u, int type, size_t index)
{
    const struct record_layout *layout = union_record(u->layout, type);
    return layout && index + 1 < layout->field_count ? layout->fields[index + 1].name : NULL;
}

bool record_has_field(const struct record_union *u, int type, const char *name)
{
    return find(union_record(u->layout, type), name) != NULL;
}

bool record_has_default(const struct record_union *u, int type, const char *name)
{
    const struct field *f = find(union_record(u->layout, type), name);
    return f && f->has_default;
}

err record_begin(const struct record_union *u, int type, struct arena *arena, struct any_record **ret)
{
    const struct record_layout *layout = union_record(u->layout, type);
    if (!layout)
        return err_set(FATAL, "%d is no type of record of %s", type, u->layout->name);
    struct any_record *record = arena_alloc(arena, u->size);
    record->type = type;
    for (const struct field *f = layout->fields; f < layout->fields + layout->field_count; f++)
        if (f->has_default && f->type != FIELD_SEALED) /* its default is a text that was sealed already */
            TRY(field_default(f, union_payload(record), arena));
    *ret = record;
    return OK;
}

/* --- values --- */

/* Whether the symbol is written so in JSON. */
static bool symbol_is(const char *symbol, struct str text)
{
    size_t at = 0;
    for (bool begins = false; *symbol; symbol++) {
        const char c = *symbol;
        if (c != '_' && (at == text.len || text.ptr[at++] != (begins ? c : (char)tolower((unsigned char)c))))
            return false;
        begins = c == '_';
    }
    return at == text.len;
}

static bool put_symbol(const struct enum_layout *symbols, char *at, struct str text)
{
    for (unsigned i = 0; i < (unsigned)symbols->count; i++)
        if (symbol_is(symbols->symbols[i], text)) {
            memcpy(at, &i, sizeof i);
            return true;
        }
    return false;
}

static bool put_text(const struct field *f, char *at, struct str text)
{
    switch (f->type) {
    case FIELD_STRING:
        *(struct str *)at = text;
        return true;
    case FIELD_SEALED:
        *(struct sealed *)at = (struct sealed){ .clear = text };
        return true;
    case FIELD_UUID:
        return uuid_parse(text, (struct uuid *)at);
    case FIELD_LONG:
        return clock_parse_rfc3339(text, (int64_t *)at);
    case FIELD_ENUM:
        return put_symbol(f->symbols, at, text);
    default:
        return false;
    }
}

static bool put_texts(const struct field *f, char *at, const struct value *value, struct arena *arena)
{
    if (f->type != FIELD_ARRAY)
        return false;
    char *items = arena_alloc(arena, value->texts.count * f->item_size);
    for (size_t i = 0; i < value->texts.count; i++)
        if (!put_text(f->item, items + i * f->item_size, value->texts.items[i]))
            return false;
    memcpy(at, &(struct items){ items, value->texts.count }, sizeof(struct items));
    return true;
}

static bool put_integer(const struct field *f, char *at, int64_t integer)
{
    if (f->type == FIELD_LONG)
        *(int64_t *)at = integer;
    else if (f->type == FIELD_INT && integer >= INT32_MIN && integer <= INT32_MAX)
        *(int32_t *)at = (int32_t)integer;
    else
        return false;
    return true;
}

static bool put(const struct field *f, char *at, const struct value *value, struct arena *arena)
{
    switch (value->type) {
    case VALUE_TEXT:
        return put_text(f, at, value->text);
    case VALUE_TEXTS:
        return put_texts(f, at, value, arena);
    case VALUE_INTEGER:
        return put_integer(f, at, value->integer);
    case VALUE_BOOL:
        if (f->type == FIELD_BOOL)
            *(bool *)at = value->boolean;
        return f->type == FIELD_BOOL;
    case VALUE_UUID:
        if (f->type == FIELD_UUID)
            *(struct uuid *)at = value->uuid;
        return f->type == FIELD_UUID;
    }
    __builtin_unreachable();
}

err record_put(const struct record_union *u, struct any_record *record, const char *name, const struct value *value,
               struct arena *arena)
{
    const struct record_layout *layout = union_record(u->layout, record->type);
    const struct field *f = find(layout, name);
    char *base = union_payload(record);
    if (!f)
        return err_set(FATAL, "%s has no field %s", layout ? layout->name : u->layout->name, name);
    if (!put(f, base + f->offset, value, arena))
        return err_set(FATAL, "the field %s of %s cannot have such a value", name, layout->name);
    if (f->optional)
        *(bool *)(base + f->has_offset) = true;
    return OK;
}

struct uuid record_uuid(const struct record_union *u, const struct any_record *record, const char *name)
{
    const struct field *f = find(union_record(u->layout, record->type), name);
    return f && f->type == FIELD_UUID ? *(const struct uuid *)(union_const_payload(record) + f->offset) : uuid_nil;
}
