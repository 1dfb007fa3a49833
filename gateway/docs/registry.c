/* registry: the read endpoints of a Confluent-compatible schema registry, from the schemas that are compiled in, so
 * that stock deserializers need nothing but this gateway's address. Paths and members are those of Confluent's API v1;
 * errors are problems with the same status. Nothing is registered here. */
#include <stdio.h>

#include "gateway/resources.h"
#include "schemas/codec.h"

#define MEDIA_TYPE "application/vnd.schemaregistry.v1+json"

static const struct shape_field schema_text_fields[] = {
    { "schema", SHAPE_TEXT, "The Avro schema, as JSON in a string.", .example = "\"{\\\"type\\\":\\\"record\\\"}\"" },
    { 0 },
};
const struct shape schema_text_shape = { "SchemaText", schema_text_fields };

static const struct shape_field schema_version_fields[] = {
    { "subject", SHAPE_TEXT, "By TopicRecordNameStrategy: topic, '-', full name of the record.",
      .example = "\"rooms.events-aether.rooms.MessagePosted\"" },
    { "version", SHAPE_INT, "From 1, within the subject." },
    { "id", SHAPE_INT, "What stands in the frame of a record." },
    { "schema", SHAPE_TEXT, "The Avro schema, as JSON in a string.", .example = "\"{\\\"type\\\":\\\"record\\\"}\"" },
    { 0 },
};
const struct shape schema_version_shape = { "SchemaVersion", schema_version_fields };

static struct json begin(struct request *r)
{
    struct json j = response_json(r, 200);
    r->response.content_type = MEDIA_TYPE;
    return j;
}

static enum request_step no_subject(struct request *r)
{
    problem(r, 404, "subject_not_found", NULL, "There is no such subject.");
    return REQUEST_DONE;
}

static bool is_of(const struct schema_version *v, struct str subject)
{
    return str_equal(str_of(v->subject), subject);
}

static bool is_newest(const struct schema_version *v)
{
    for (size_t i = 0; i < schema_versions_count; i++)
        if (schema_versions[i].version > v->version && is_of(&schema_versions[i], str_of(v->subject)))
            return false;
    return true;
}

static bool has_number(struct str text, int number)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    return str_equal(text, str_of(digits));
}

static const struct schema_version *by_id(struct str id)
{
    for (size_t i = 0; i < schema_versions_count; i++)
        if (has_number(id, schema_versions[i].id))
            return &schema_versions[i];
    return NULL;
}

enum request_step schemas_get(struct request *r)
{
    const struct schema_version *v = by_id(r->params[0]);
    if (!v) {
        problem(r, 404, "schema_not_found", NULL, "There is no schema with this id.");
        return REQUEST_DONE;
    }
    struct json j = begin(r);
    json_open(&j, '{');
    json_field_str(&j, "schema", str_of(v->json));
    json_close(&j, '}');
    return REQUEST_DONE;
}

enum request_step subjects_list(struct request *r)
{
    struct json j = begin(r);
    json_open(&j, '[');
    for (size_t i = 0; i < schema_versions_count; i++)
        if (schema_versions[i].version == 1)
            json_str(&j, str_of(schema_versions[i].subject));
    json_close(&j, ']');
    return REQUEST_DONE;
}

enum request_step subjects_versions(struct request *r)
{
    bool found = false;
    struct json j = begin(r);
    json_open(&j, '[');
    for (size_t i = 0; i < schema_versions_count; i++)
        if (is_of(&schema_versions[i], r->params[0])) {
            json_int(&j, schema_versions[i].version);
            found = true;
        }
    json_close(&j, ']');
    return found ? REQUEST_DONE : no_subject(r);
}

enum request_step subjects_version(struct request *r)
{
    bool found = false, latest = str_equal(r->params[1], STR("latest"));
    for (size_t i = 0; i < schema_versions_count; i++) {
        const struct schema_version *v = &schema_versions[i];
        if (!is_of(v, r->params[0]))
            continue;
        found = true;
        if (latest ? !is_newest(v) : !has_number(r->params[1], v->version))
            continue;
        struct json j = begin(r);
        json_open(&j, '{');
        json_field_str(&j, "subject", str_of(v->subject));
        json_field_int(&j, "version", v->version);
        json_field_int(&j, "id", v->id);
        json_field_str(&j, "schema", str_of(v->json));
        json_close(&j, '}');
        return REQUEST_DONE;
    }
    if (!found)
        return no_subject(r);
    problem(r, 404, "version_not_found", NULL, "The subject has no such version.");
    return REQUEST_DONE;
}
