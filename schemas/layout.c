/* layout: what can be said of a record or a union by its layout alone, and its sealed fields. */
#include "schemas/layout.h"

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

/* --- unions --- */

err union_no_record(const struct union_layout *layout, int type)
{
    return err_set(REJECT, "%d is no type of record of %s", type, layout->name);
}

struct uuid union_key(const struct union_layout *layout, const struct any_record *record)
{
    const struct record_layout *l = union_record(layout, record->type);
    return l ? *(const struct uuid *)(union_const_payload(record) + l->key_offset) : uuid_nil;
}

const char *union_name(const struct union_layout *layout, int type)
{
    const struct record_layout *l = union_record(layout, type);
    return l ? l->name : NULL;
}

/* --- sealed fields --- */

static bool is_sealed_here(const struct field *f, const char *record)
{
    return f->type == FIELD_SEALED && (!f->optional || *(const bool *)(record + f->has_offset));
}

size_t union_subjects(const struct union_layout *layout, const struct any_record *any, struct uuid ret[8])
{
    const struct record_layout *l = union_record(layout, any->type);
    size_t count = 0;
    if (!l)
        return 0;
    const char *record = union_const_payload(any);
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
    const struct record_layout *l = union_record(layout, record->type);
    return l ? record_seal(l, union_payload(record), vault, arena) : union_no_record(layout, record->type);
}

err union_open(const struct union_layout *layout, struct any_record *record, struct vault *vault, struct arena *arena)
{
    const struct record_layout *l = union_record(layout, record->type);
    return l ? record_open(l, union_payload(record), vault, arena) : union_no_record(layout, record->type);
}
