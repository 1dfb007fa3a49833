/* codec: Confluent wire format (0x00, schema id as 4 bytes big endian, Avro binary) to generated structs and back.
 *
 * A payload is read with its writer's schema, by field name; fields the writer did not have get the reader's default,
 * fields the reader does not know are skipped. Writer schemas come from the compiled-in history by pinned id, else,
 * with schemas.registry_url set, from that registry (looked up once, cached for good). Every length and count in a
 * payload is walked against the bytes that are really there before avro-c sees it (codec_check).
 *
 * A codec belongs to one thread; it keeps one avro_value_t a schema and allocates nothing per record once warm. Decoded
 * strings and bytes point into the arena. REJECT with the reason for anything that is not a valid record. */
#pragma once

#include <avro.h>

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"

#define WIRE_HEADER_LEN 5

struct codec;

extern const struct setting codec_settings[]; /* schemas.registry_url ("" = none) */

MUST_CHECK err codec_create(const struct config *config, struct codec **ret); /* config NULL: no registry */
void codec_destroy(struct codec *c);

/* Makes a writer's schema known to this codec under an id: what the registry's answer goes through, and how tests read
 * what older and newer writers wrote. The compiled-in ids are taken. REJECT when it is no record schema or the id is
 * taken. */
MUST_CHECK err codec_add_schema(struct codec *c, int32_t id, struct str json);

/* The schema id of a framed payload; REJECT when shorter than the header or another magic byte. */
MUST_CHECK err wire_schema_id(struct str framed, int32_t *ret_id);

/* OK when `payload` (without the frame) is exactly one datum of `schema`: every length, count, enum index, union
 * branch, UTF-8 string and nesting depth (32) lies in bounds, and nothing is left over. Allocates nothing. REJECT says
 * what is wrong and at which byte. */
MUST_CHECK err codec_check(avro_schema_t schema, struct str payload);

/* The pinned schemas, for the registry endpoints, AsyncAPI and tests. Ordered by id. */
struct schema_version {
    int32_t id;
    const char *subject; /* TopicRecordNameStrategy: "rooms.events-aether.rooms.MessagePosted" */
    int version;         /* from 1 */
    const char *json;    /* resolved schema */
};
extern const struct schema_version schema_versions[];
extern const size_t schema_versions_count;
