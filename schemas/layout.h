/* layout: what the generated tables say about a struct, and what reads and writes structs by them. Only generated code
 * and schemas/ include this; everyone else uses the typed functions of <stream>.gen.h and the unions of stream.h.
 *
 * A struct is written by its layout in the order of the fields, which is the order of its own schema. It is read by a
 * link: the writer's schema laid beside the layout, made once per codec and schema id (see decode.c). */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <uthash.h>

#include "schemas/stream.h"

enum field_type {
    FIELD_STRING, /* struct str, UTF-8 */
    FIELD_BYTES,  /* struct str */
    FIELD_UUID,   /* struct uuid; a string in Avro */
    FIELD_SEALED, /* struct sealed; bytes in Avro */
    FIELD_INT,    /* int32_t */
    FIELD_LONG,   /* int64_t */
    FIELD_DOUBLE, /* double */
    FIELD_BOOL,   /* bool */
    FIELD_ENUM,   /* a C enum that counts from 0 */
    FIELD_RECORD, /* a struct with a layout of its own */
    FIELD_ARRAY,  /* struct { const T *items; size_t count; } */
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    bool optional; /* ["null", T] */
    bool has_default;
    size_t has_offset;                  /* of the bool has_<name> */
    size_t subject_offset;              /* SEALED: of the struct uuid whose key it is */
    const struct record_layout *record; /* RECORD */
    const struct enum_layout *symbols;  /* ENUM */
    const struct field *item;           /* ARRAY; at offset 0 of an item */
    size_t item_size;
    int64_t default_integer; /* INT, LONG, BOOL, ENUM */
    double default_number;
    struct str default_text; /* STRING, BYTES, UUID, SEALED */
};

struct record_layout {
    const char *name; /* "aether.rooms.PostMessage" */
    size_t size;
    const struct field *fields;
    size_t field_count;
    int32_t schema_id; /* of the newest version; 0 for a nested record */
    size_t key_offset; /* of the aggregate's struct uuid */
};

struct enum_layout {
    const char *const *symbols;
    int count;
    int default_symbol; /* stands for a symbol that is not known here; -1: there is none */
};

struct union_layout {
    const char *name; /* the topic, for messages */
    size_t size;
    const struct record_layout *const *records; /* [type - 1] */
    size_t record_count;
};

/* The layout of a type of the union; NULL when there is none. */
static inline const struct record_layout *union_record(const struct union_layout *layout, int type)
{
    return type >= 1 && (size_t)type <= layout->record_count ? layout->records[type - 1] : NULL;
}

/* Where the record itself starts in a union. */
static inline char *union_payload(struct any_record *record)
{
    return (char *)record + offsetof(struct any_record, meta);
}

static inline const char *union_const_payload(const struct any_record *record)
{
    return (const char *)record + offsetof(struct any_record, meta);
}

err union_no_record(const struct union_layout *layout, int type); /* REJECT that says so */

/* How an array stands in a struct. */
struct items {
    const void *items;
    size_t count;
};

const char *enum_layout_symbol(const struct enum_layout *layout, int value);
int enum_layout_find(const struct enum_layout *layout, struct str symbol); /* -1: none */

/* Puts what the schema says when the field is not there (has_default) into a record that starts zeroed. */
MUST_CHECK err field_default(const struct field *f, char *record, struct arena *arena);

/* RFC 3629: shortest form, no surrogates, at most U+10FFFF. */
bool text_is_utf8(struct str text);

MUST_CHECK err record_encode(const struct record_layout *layout, struct codec *codec, const void *record,
                             struct buf *out);
MUST_CHECK err record_decode(const struct record_layout *layout, struct codec *codec, struct str framed,
                             struct arena *arena, void *ret);
MUST_CHECK err record_seal(const struct record_layout *layout, void *record, struct vault *vault, struct arena *arena);
MUST_CHECK err record_open(const struct record_layout *layout, void *record, struct vault *vault, struct arena *arena);

/* struct record_union's functions. */
MUST_CHECK err union_decode(const struct union_layout *layout, struct codec *codec, struct str framed,
                            struct arena *arena, struct any_record *ret);
MUST_CHECK err union_encode(const struct union_layout *layout, struct codec *codec, const struct any_record *record,
                            struct buf *out);
MUST_CHECK err union_seal(const struct union_layout *layout, struct any_record *record, struct vault *vault,
                          struct arena *arena);
MUST_CHECK err union_open(const struct union_layout *layout, struct any_record *record, struct vault *vault,
                          struct arena *arena);
size_t union_subjects(const struct union_layout *layout, const struct any_record *any, struct uuid ret[8]);
struct uuid union_key(const struct union_layout *layout, const struct any_record *record);
const char *union_name(const struct union_layout *layout, int type);

/* --- the writer's side of a codec (codec.c), and what decode.c keeps with it --- */

struct link;

/* What reads a writer's payloads into one of our layouts, or the reason there is none. */
struct reader {
    const void *layout; /* a record_layout or a union_layout */
    int type;           /* in the union */
    struct link *link;  /* NULL: see reason */
    const char *reason;
    struct arena memory; /* holds link and reason */
    struct reader *next;
};

/* A writer's schema in one codec. */
struct writer {
    int32_t id;
    avro_schema_t schema; /* a record */
    const char *name;     /* its full name */
    avro_value_iface_t *interface;
    avro_value_t value; /* reused for every payload */
    bool bloated;       /* what is in value took so much room that it is not kept */
    struct reader *readers;
    UT_hash_handle hh;
};

/* The writer of a schema id: known, compiled in, or from the registry. REJECT when nobody knows it, RETRY when the
 * registry does not answer. */
MUST_CHECK err codec_writer(struct codec *codec, int32_t id, struct writer **ret);

/* Checks a payload (without the frame) and reads it into writer->value; valid until codec_done. */
MUST_CHECK err codec_read(struct codec *codec, struct writer *writer, struct str payload);
void codec_done(struct writer *writer);

/* codec_check that also says how many items its arrays and maps have together. */
MUST_CHECK err check_payload(avro_schema_t schema, struct str payload, uint32_t *ret_items);
