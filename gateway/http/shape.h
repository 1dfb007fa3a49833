/* shape: how the JSON of an answer looks, as a table beside the resource that writes it. OpenAPI's schemas, examples
 * and links come from these rows. What comes in is described by struct body (route.h), which is checked as well. */
#pragma once

#include <stdbool.h>

enum shape_type {
    SHAPE_TEXT,
    SHAPE_UUID,
    SHAPE_INT,
    SHAPE_NUMBER,
    SHAPE_BOOL,
    SHAPE_TIME, /* RFC 3339 */
    SHAPE_DATE, /* 1990-12-31 */
    SHAPE_CHOICE,
    SHAPE_OBJECT, /* `of` */
    SHAPE_ANY     /* any JSON */
};

struct shape_field {
    const char *name; /* camelCase */
    enum shape_type type;
    const char *doc;
    const char *choices;     /* CHOICE: "public|private" */
    const struct shape *of;  /* OBJECT */
    bool list;               /* an array of these */
    bool optional;           /* not always there; the others are in every answer */
    bool nullable;           /* may be null */
    const char *example;     /* JSON: "\"Ada\"", "42"; NULL: made from the type */
    const char *enumeration; /* CHOICE: the name of its schema in OpenAPI, "RoomKind"; one name, one set of choices */
};

struct shape {
    const char *name;                 /* schema name in OpenAPI: "Room" */
    const struct shape_field *fields; /* ended by name NULL */
    const char *param;                /* NULL, or "room": its field `id` is the {room} of paths (links of OpenAPI) */
};
