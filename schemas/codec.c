#include "schemas/codec.h"

#include <inttypes.h>

#include "schemas/layout.h"
#include "schemas/registry.h"

/* A generic value keeps the room that its largest payload took, in each item of each array; after one beyond these it
 * is made anew. */
#define RETAIN_LEN   16384 /* bytes */
#define RETAIN_ITEMS 256

struct codec {
    struct writer *writers; /* by id */
    avro_reader_t reader;
    struct registry *registry; /* NULL: none */
};

const struct setting codec_settings[] = {
    { "schemas.registry_url", SETTING_TEXT, .def = "", .max = 400,
      .doc =
          "Confluent-compatible schema registry to look up writer schemas in that are not compiled in; empty: none." },
    { .name = NULL },
};

err codec_create(const struct config *config, struct codec **ret)
{
    struct codec *c = mem_alloc(sizeof *c);
    c->reader = avro_reader_memory("", 0);
    const char *url = config ? config_text(config, "schemas.registry_url") : "";
    if (*url)
        c->registry = registry_create(url);
    *ret = c;
    return OK;
}

static void writer_destroy(struct writer *w)
{
    while (w->readers) {
        struct reader *r = w->readers;
        w->readers = r->next;
        arena_finish(&r->memory);
        free(r);
    }
    if (w->value.iface)
        avro_value_decref(&w->value);
    if (w->interface)
        avro_value_iface_decref(w->interface);
    avro_schema_decref(w->schema);
    free((char *)w->name);
    free(w);
}

void codec_destroy(struct codec *c)
{
    if (!c)
        return;
    struct writer *w, *next;
    HASH_ITER(hh, c->writers, w, next)
    {
        HASH_DEL(c->writers, w);
        writer_destroy(w);
    }
    avro_reader_free(c->reader);
    registry_destroy(c->registry);
    free(c);
}

static const struct schema_version *compiled_in(int32_t id)
{
    /* ids.lock counts from 1 without a gap. */
    return id >= 1 && (size_t)id <= schema_versions_count ? &schema_versions[id - 1] : NULL;
}

static err add_schema(struct codec *c, int32_t id, struct str json, struct writer **ret)
{
    avro_schema_t schema;
    if (avro_schema_from_json_length(json.ptr, json.len, &schema) != 0)
        return err_set(REJECT, "schema id %" PRId32 " cannot be parsed: %s", id, avro_strerror());
    if (!is_avro_record(schema)) {
        avro_schema_decref(schema);
        return err_set(REJECT, "schema id %" PRId32 " is no record", id);
    }
    struct writer *w = mem_alloc(sizeof *w);
    w->id = id;
    w->schema = schema;
    struct buf name = { 0 };
    const char *namespace = avro_schema_namespace(schema);
    buf_printf(&name, "%s%s%s", namespace ? namespace : "", namespace ? "." : "", avro_schema_name(schema));
    w->name = name.ptr;
    HASH_ADD(hh, c->writers, id, sizeof w->id, w);
    *ret = w;
    return OK;
}

err codec_add_schema(struct codec *c, int32_t id, struct str json)
{
    struct writer *w;
    HASH_FIND(hh, c->writers, &id, sizeof id, w);
    if (w || compiled_in(id))
        return err_set(REJECT, "schema id %" PRId32 " is taken", id);
    return add_schema(c, id, json, &w);
}

static err from_registry(struct codec *c, int32_t id, struct writer **ret)
{
    if (!c->registry)
        return err_set(REJECT, "schema id %" PRId32 " is not known, and schemas.registry_url is not set", id);
    struct buf json = { 0 };
    err e = registry_schema(c->registry, id, &json);
    if (e == OK)
        e = add_schema(c, id, buf_view(&json), ret);
    buf_finish(&json);
    return e;
}

err codec_writer(struct codec *c, int32_t id, struct writer **ret)
{
    struct writer *w;
    HASH_FIND(hh, c->writers, &id, sizeof id, w);
    if (w) {
        *ret = w;
        return OK;
    }
    const struct schema_version *version = compiled_in(id);
    return version ? add_schema(c, id, str_of(version->json), ret) : from_registry(c, id, ret);
}

err codec_read(struct codec *c, struct writer *w, struct str payload)
{
    uint32_t items = 0;
    TRY(check_payload(w->schema, payload, &items));
    if (!w->interface && !(w->interface = avro_generic_class_from_schema(w->schema)))
        return err_set(REJECT, "schema id %" PRId32 " cannot be read by avro-c: %s", w->id, avro_strerror());
    if (!w->value.iface && avro_generic_value_new(w->interface, &w->value) != 0)
        return err_set(REJECT, "schema id %" PRId32 " cannot be read by avro-c: %s", w->id, avro_strerror());
    w->bloated = payload.len > RETAIN_LEN || items > RETAIN_ITEMS;
    avro_reader_memory_set_source(c->reader, payload.ptr, (int64_t)payload.len);
    if (avro_value_read(c->reader, &w->value) != 0)
        return err_set(REJECT, "avro-c refuses the payload: %s", avro_strerror());
    return OK;
}

void codec_done(struct writer *w)
{
    if (w->bloated && w->value.iface) {
        avro_value_decref(&w->value);
        w->value.iface = NULL;
    }
}

err wire_schema_id(struct str framed, int32_t *ret_id)
{
    if (framed.len < WIRE_HEADER_LEN)
        return err_set(REJECT, "payload of %zu bytes is shorter than its frame", framed.len);
    const uint8_t *p = (const uint8_t *)framed.ptr;
    if (p[0] != 0)
        return err_set(REJECT, "payload starts with 0x%02x, not with the 0x00 of the Confluent wire format", p[0]);
    *ret_id = (int32_t)((uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4]);
    return OK;
}
