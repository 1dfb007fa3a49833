/* openapi_private: what the files that write the document share: where they stand in it, and its small parts. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "gateway/http/route.h"
#include "ops/runtime/json.h"

#define NAMES_MAX  256
#define STATUS_MAX 600
#define TYPE_JSON  "application/json"

/* What was said once already. */
struct names {
    const char *said[NAMES_MAX];
    size_t count;
};

struct document {
    struct json j;
    const struct route *routes;
    struct names names;
};

static inline bool say_once(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->said[i], name) == 0)
            return false;
    if (names->count < NAMES_MAX)
        names->said[names->count++] = name;
    return true;
}

static inline void text(struct json *j, const char *name, const char *value)
{
    json_field_str(j, name, str_of(value));
}

static inline void open_at(struct json *j, const char *name, char bracket)
{
    json_key(j, name);
    json_open(j, bracket);
}

static inline void reference(struct json *j, const char *kind, const char *name, const char *suffix)
{
    char path[160];
    int len = snprintf(path, sizeof path, "#/components/%s/%s%s", kind, name, suffix);
    json_open(j, '{');
    json_field_str(j, "$ref", (struct str){ path, (size_t)len });
    json_close(j, '}');
}

static inline void key_status(struct json *j, int status)
{
    char name[8];
    snprintf(name, sizeof name, "%d", status);
    json_key(j, name);
}
