/* fill: a record's fields by their names, for who knows them from a table and not from the struct: a plain command of a
 * route. A name that the record has not, and a value that its field cannot have, is a fault of that table: FATAL. */
#pragma once

#include "schemas/stream.h"

struct value {
    enum value_type {
        VALUE_TEXT, /* a string; what will be sealed; a UUID; an instant (RFC 3339); an enum, "readOnly" of READ_ONLY */
        VALUE_TEXTS,   /* an array of strings or enums */
        VALUE_INTEGER, /* a long, or an int that has room for it */
        VALUE_BOOL,
        VALUE_UUID,
    } type;
    union {
        struct str text;
        struct {
            const struct str *items;
            size_t count;
        } texts;
        int64_t integer;
        bool boolean;
        struct uuid uuid;
    };
};

/* A new record in the arena: what its schema has a default for has that, all else is zero. */
MUST_CHECK err record_begin(const struct record_union *u, int type, struct arena *arena, struct any_record **ret);
/* Texts are kept, not copied; the arena holds the items of an array. */
MUST_CHECK err record_put(const struct record_union *u, struct any_record *record, const char *name,
                          const struct value *value, struct arena *arena);
/* Of a field that is one; nil: there is none. */
struct uuid record_uuid(const struct record_union *u, const struct any_record *record, const char *name);

/* The fields of a type of record but meta, which is the first, from 0; NULL: no more. */
const char *record_field_name(const struct record_union *u, int type, size_t index);
bool record_has_field(const struct record_union *u, int type, const char *name);
bool record_has_default(const struct record_union *u, int type, const char *name);
