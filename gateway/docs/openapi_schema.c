#include "gateway/docs/openapi_schema.h"

#include <stdio.h>

#include "gateway/http/field.h"

#define EXAMPLE_ID   "\"01a1fd93-167b-7643-bae4-8bc701e0721a\""
#define EXAMPLE_TIME "\"2026-11-21T10:07:17.938Z\""
#define EXAMPLE_DATE "\"1990-12-31\""
#define EXAMPLE_TEXT "a text that is long enough for everybody"

static void text(struct json *j, const char *name, const char *value)
{
    json_field_str(j, name, str_of(value));
}

static void raw(struct json *j, const char *name, const char *value)
{
    json_key(j, name);
    json_raw(j, str_of(value));
}

/* "integer", or ["integer", "null"] */
static void type_of(struct json *j, const char *type, bool nullable)
{
    if (!nullable) {
        text(j, "type", type);
        return;
    }
    json_key(j, "type");
    json_open(j, '[');
    json_str(j, str_of(type));
    json_str(j, STR("null"));
    json_close(j, ']');
}

static void enum_of(struct json *j, const char *choices, bool nullable)
{
    json_key(j, "enum");
    json_open(j, '[');
    for (const char *at = choices; *at;) {
        size_t len = strcspn(at, "|");
        json_str(j, (struct str){ at, len });
        at += len + (at[len] == '|');
    }
    if (nullable)
        json_none(j);
    json_close(j, ']');
}

/* The rest of the field stands beside it, as OpenAPI 3.1 allows. */
static void enum_reference(struct json *j, const char *name)
{
    char path[96];
    const int len = snprintf(path, sizeof path, "#/components/schemas/%s", name);
    json_field_str(j, "$ref", (struct str){ path, (size_t)len });
}

void schema_enum(struct json *j, const char *choices)
{
    json_open(j, '{');
    text(j, "type", "string");
    enum_of(j, choices, false);
    json_close(j, '}');
}

static void first_choice(struct json *j, const char *choices)
{
    json_str(j, (struct str){ choices, strcspn(choices, "|") });
}

/* --- what comes in --- */

static void text_limits(struct json *j, const struct body_field *field)
{
    const struct field_format *format = field_format(field);
    if (field->min > 0)
        json_field_int(j, "minLength", field->min);
    if (field->max > 0)
        json_field_int(j, "maxLength", field->max);
    if (format && format->format)
        text(j, "format", format->format);
    if (format && format->regex)
        text(j, "pattern", format->regex);
}

void schema_field(struct json *j, const struct body_field *field)
{
    static const char *const types[] = {
        [FIELD_TEXT] = "string",   [FIELD_UUID] = "string",   [FIELD_INT] = "integer", [FIELD_BOOL] = "boolean",
        [FIELD_CHOICE] = "string", [FIELD_CHOICES] = "array", [FIELD_TIME] = "string",
    };
    const bool named = field->type == FIELD_CHOICE && field->enumeration && !field->nullable;
    json_open(j, '{');
    if (named)
        enum_reference(j, field->enumeration);
    else
        type_of(j, types[field->type], field->nullable);
    if (field->type == FIELD_TEXT) {
        text_limits(j, field);
    } else if (field->type == FIELD_UUID) {
        text(j, "format", "uuid");
    } else if (field->type == FIELD_TIME) {
        text(j, "format", "date-time");
    } else if (field->type == FIELD_INT) {
        text(j, "format", "int64");
        json_field_int(j, "minimum", field->min);
        json_field_int(j, "maximum", field->max);
    } else if (field->type == FIELD_CHOICE && !named) {
        enum_of(j, field->choices, field->nullable);
    } else if (field->type == FIELD_CHOICES) {
        json_key(j, "items");
        if (field->enumeration) {
            json_open(j, '{');
            enum_reference(j, field->enumeration);
            json_close(j, '}');
        } else {
            schema_enum(j, field->choices);
        }
        json_field_int(j, "minItems", field->min);
        json_field_int(j, "maxItems", field->max);
        json_key(j, "uniqueItems");
        json_bool(j, true);
    }
    if (field->preset)
        raw(j, "default", field->preset);
    if (field->doc)
        text(j, "description", field->doc);
    json_close(j, '}');
}

static void text_example(struct json *j, const struct body_field *field)
{
    const struct field_format *format = field_format(field);
    struct str example = STR(EXAMPLE_TEXT);
    if (format) {
        json_raw(j, str_of(format->example));
        return;
    }
    if (field->max > 0 && example.len > (size_t)field->max)
        example.len = (size_t)field->max;
    json_str(j, example);
}

void schema_field_example(struct json *j, const struct body_field *field)
{
    const char *given = field->example ? field->example : field->preset;
    if (given) {
        json_raw(j, str_of(given));
        return;
    }
    switch (field->type) {
    case FIELD_TEXT:
        text_example(j, field);
        break;
    case FIELD_UUID:
        json_raw(j, STR(EXAMPLE_ID));
        break;
    case FIELD_INT:
        json_int(j, field->min > 1 ? field->min : field->max < 1 ? field->max : 1);
        break;
    case FIELD_BOOL:
        json_bool(j, true);
        break;
    case FIELD_CHOICE:
        first_choice(j, field->choices);
        break;
    case FIELD_CHOICES:
        json_open(j, '[');
        first_choice(j, field->choices);
        json_close(j, ']');
        break;
    case FIELD_TIME:
        json_raw(j, STR(EXAMPLE_TIME));
        break;
    }
}

void schema_body(struct json *j, const struct body *body)
{
    bool any_required = false;
    json_open(j, '{');
    text(j, "type", "object");
    json_key(j, "properties");
    json_open(j, '{');
    for (const struct body_field *field = body->fields; field->name; field++) {
        json_key(j, field->name);
        schema_field(j, field);
        any_required |= field->required;
    }
    json_close(j, '}');
    if (any_required) {
        json_key(j, "required");
        json_open(j, '[');
        for (const struct body_field *field = body->fields; field->name; field++)
            if (field->required)
                json_str(j, str_of(field->name));
        json_close(j, ']');
    }
    json_key(j, "additionalProperties");
    json_bool(j, false);
    json_close(j, '}');
}

void schema_body_example(struct json *j, const struct body *body)
{
    json_open(j, '{');
    for (const struct body_field *field = body->fields; field->name; field++) {
        json_key(j, field->name);
        schema_field_example(j, field);
    }
    json_close(j, '}');
}

/* --- what goes out --- */

static void shape_value(struct json *j, const struct shape_field *field)
{
    static const char *const types[] = {
        [SHAPE_TEXT] = "string",  [SHAPE_UUID] = "string", [SHAPE_INT] = "integer", [SHAPE_NUMBER] = "number",
        [SHAPE_BOOL] = "boolean", [SHAPE_TIME] = "string", [SHAPE_DATE] = "string", [SHAPE_CHOICE] = "string",
    };
    static const char *const formats[] = {
        [SHAPE_UUID] = "uuid", [SHAPE_INT] = "int64", [SHAPE_TIME] = "date-time",
        [SHAPE_DATE] = "date", [SHAPE_ANY] = NULL,
    };
    bool nullable = field->nullable && !field->list;
    if (field->type == SHAPE_OBJECT) {
        struct buf reference = { 0 };
        buf_printf(&reference, "{\"$ref\":\"#/components/schemas/%s\"}", field->of->name);
        buf_char(&reference, '\0');
        if (nullable) {
            json_key(j, "anyOf");
            json_open(j, '[');
            json_raw(j, str_of(reference.ptr));
            json_raw(j, STR("{\"type\":\"null\"}"));
            json_close(j, ']');
        } else {
            json_key(j, "allOf");
            json_open(j, '[');
            json_raw(j, str_of(reference.ptr));
            json_close(j, ']');
        }
        buf_finish(&reference);
    } else if (field->type == SHAPE_CHOICE && field->enumeration && !nullable) {
        enum_reference(j, field->enumeration);
    } else if (field->type != SHAPE_ANY) {
        type_of(j, types[field->type], nullable);
        if (formats[field->type])
            text(j, "format", formats[field->type]);
        if (field->type == SHAPE_CHOICE)
            enum_of(j, field->choices, nullable);
    }
}

static void shape_field(struct json *j, const struct shape_field *field)
{
    json_open(j, '{');
    if (field->list) {
        type_of(j, "array", field->nullable);
        json_key(j, "items");
        json_open(j, '{');
        shape_value(j, field);
        json_close(j, '}');
    } else {
        shape_value(j, field);
    }
    if (field->doc)
        text(j, "description", field->doc);
    json_close(j, '}');
}

void schema_shape(struct json *j, const struct shape *shape)
{
    json_open(j, '{');
    text(j, "type", "object");
    json_key(j, "properties");
    json_open(j, '{');
    for (const struct shape_field *field = shape->fields; field->name; field++) {
        json_key(j, field->name);
        shape_field(j, field);
    }
    json_close(j, '}');
    json_key(j, "required");
    json_open(j, '[');
    for (const struct shape_field *field = shape->fields; field->name; field++)
        if (!field->optional)
            json_str(j, str_of(field->name));
    json_close(j, ']');
    json_close(j, '}');
}

static void shape_value_example(struct json *j, const struct shape_field *field)
{
    switch (field->type) {
    case SHAPE_TEXT:
        json_str(j, STR("text"));
        break;
    case SHAPE_UUID:
        json_raw(j, STR(EXAMPLE_ID));
        break;
    case SHAPE_INT:
        json_int(j, 1);
        break;
    case SHAPE_NUMBER:
        json_raw(j, STR("0.5"));
        break;
    case SHAPE_BOOL:
        json_bool(j, true);
        break;
    case SHAPE_TIME:
        json_raw(j, STR(EXAMPLE_TIME));
        break;
    case SHAPE_DATE:
        json_raw(j, STR(EXAMPLE_DATE));
        break;
    case SHAPE_CHOICE:
        first_choice(j, field->choices);
        break;
    case SHAPE_OBJECT:
        schema_shape_example(j, field->of);
        break;
    case SHAPE_ANY:
        json_raw(j, STR("{}"));
        break;
    }
}

void schema_shape_example(struct json *j, const struct shape *shape)
{
    json_open(j, '{');
    for (const struct shape_field *field = shape->fields; field->name; field++) {
        json_key(j, field->name);
        if (field->example) {
            json_raw(j, str_of(field->example));
        } else if (field->nullable) {
            json_none(j);
        } else if (field->list) {
            json_open(j, '[');
            shape_value_example(j, field);
            json_close(j, ']');
        } else {
            shape_value_example(j, field);
        }
    }
    json_close(j, '}');
}
