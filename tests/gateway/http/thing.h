/* A route whose body has a field of every type and pattern. */
#pragma once

#include "gateway/http/route.h"

static const struct body_field fields[] = {
    { "title", FIELD_TEXT, true, 1, 10 },
    { "username", FIELD_TEXT, false, 3, 32, .pattern = "username" },
    { "email", FIELD_TEXT, false, 3, 254, .pattern = "email" },
    { "label", FIELD_TEXT, false, 1, 50, .pattern = "name" },
    { "id", FIELD_UUID, false },
    { "count", FIELD_INT, false, -5, 100 },
    { "loud", FIELD_BOOL, false },
    { "kind", FIELD_CHOICE, false, .choices = "public|private" },
    { "kinds", FIELD_CHOICES, false, 1, 2, .choices = "a|b|c" },
    { "when", FIELD_TIME, false },
    { "bio", FIELD_TEXT, false, 0, 20, .pattern = "prose", .nullable = true },
    { "phone", FIELD_TEXT, false, .max = 20, .pattern = "phone" },
    { "born", FIELD_TEXT, false, .max = 20, .pattern = "date" },
    { "site", FIELD_TEXT, false, .max = 50, .pattern = "url" },
    { "locale", FIELD_TEXT, false, .max = 70, .pattern = "locale" },
    { "zone", FIELD_TEXT, false, .max = 70, .pattern = "time_zone" },
    { 0 },
};
static const struct body body = { "Thing", fields };
static const struct route route = { .method = POST, .path = "/", .name = "thing", .body = &body };
