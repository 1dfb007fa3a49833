/* stream: what generic code (the worker's loop, producers, the gateway's dispatch) may know of a generated stream.
 *
 * For the stream "rooms" the generator writes rooms.gen.h with, for each record, `struct post_message`, and
 *     enum rooms_command_type { ROOMS_COMMAND_NONE, ROOMS_CREATE_ROOM, ROOMS_JOIN_ROOM, ROOMS_POST_MESSAGE, … };
 *     struct rooms_command { int type; union { struct meta meta; struct create_room create_room; … }; };
 *     struct rooms_fact { int type; union { struct meta meta; struct room_created room_created; … }; };
 * (types in alphabetical order of the record names are not stable numbers and are never stored), and
 *     extern const struct stream rooms_stream;
 *     err post_message_encode(struct codec *, const struct post_message *, struct buf *out);   framed, appended
 *     err post_message_decode(struct codec *, struct str framed, struct arena *, struct post_message *ret);
 * and, when it has sealed fields,
 *     err post_message_seal(struct post_message *, struct vault *, struct arena *);
 *     err post_message_open(struct post_message *, struct vault *, struct arena *);
 *
 * Every union starts as struct any_record, so generic code reads and writes meta without knowing the rest. Meta.avsc
 * gives, in meta.gen.h,
 *     struct meta { struct uuid id; int64_t at; struct uuid actor, command_id; int64_t command_offset;
 *                   struct str request_hash, trace; };
 *
 * C types:
 *     string, bytes            struct str
 *     sealed bytes             struct sealed
 *     uuid                     struct uuid
 *     int                      int32_t
 *     long, timestamp-millis   int64_t
 *     boolean                  bool
 *     double                   double
 *     enum                     enum <name> (ROOM_KIND_PUBLIC), with room_kind_symbol and room_kind_parse
 *     array of T               struct { const T *items; size_t count; }
 *     ["null", T]              bool has_<name> and T <name> */
#pragma once

#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"
#include "schemas/codec.h"
#include "schemas/meta.gen.h"
#include "schemas/vault.h"

/* may_alias: it is a view of another struct's first fields, which the compiler must know. */
struct __attribute__((may_alias)) any_record {
    int type; /* 0: none */
    union {
        struct meta meta;
    };
};

struct union_layout; /* layout.h */

enum record_kind { RECORD_COMMAND, RECORD_FACT };

/* One of the two tagged unions of a stream. `size` is sizeof the union; records are passed as struct any_record *. */
struct record_union {
    size_t size;
    int type_count;                    /* types run from 1 to type_count */
    const struct union_layout *layout; /* for fill.h */

    /* Decodes a framed payload into *ret (size bytes). Strings point into the arena. On failure ret->type is 0, and
     * what else *ret holds is worth nothing. */
    err (*decode)(struct codec *c, struct str framed, struct arena *arena, struct any_record *ret) MUST_CHECK;
    /* Appends the framed payload to out. Sealed fields need their cipher. */
    err (*encode)(struct codec *c, const struct any_record *record, struct buf *out) MUST_CHECK;
    /* The subjects of the record's sealed fields; at most 8; returns how many. */
    size_t (*subjects)(const struct any_record *record, struct uuid ret[8]);
    /* Opens every sealed field; vault_fetch the subjects first. */
    err (*open)(struct any_record *record, struct vault *v, struct arena *arena) MUST_CHECK;
    /* Seals every sealed field that has no cipher yet; vault_fetch or vault_ensure the subjects first. */
    err (*seal)(struct any_record *record, struct vault *v, struct arena *arena) MUST_CHECK;
    /* The aggregate's id, the Kafka key. */
    struct uuid (*key)(const struct any_record *record);
    const char *(*name)(int type); /* "aether.rooms.MessagePosted"; the ce_type */
};

struct stream {
    const char *name;           /* "rooms" */
    const char *commands_topic; /* "rooms.commands" */
    const char *events_topic;   /* "rooms.events" */
    struct record_union command, fact;
};

extern const struct stream *const all_streams[]; /* ended by NULL */
