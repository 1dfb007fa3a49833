/* openapi_schema: rows of body tables and shapes as JSON Schema (2020-12), with an example each. */
#pragma once

#include "gateway/http/route.h"
#include "ops/runtime/json.h"

/* One field or parameter: {"type": …}. */
void schema_field(struct json *j, const struct body_field *field);
void schema_field_example(struct json *j, const struct body_field *field);

/* "public|private" */
void schema_enum(struct json *j, const char *choices);

/* The object's schema. */
void schema_body(struct json *j, const struct body *body);
void schema_body_example(struct json *j, const struct body *body);
void schema_shape(struct json *j, const struct shape *shape);
void schema_shape_example(struct json *j, const struct shape *shape);
