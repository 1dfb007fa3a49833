/* account_fields: what names a person, as rows of body tables (route.h): registration, changes and imports ask the same
 * of it. */
#pragma once

#include "gateway/http/route.h"

#define USERNAME_FIELD(text)                                                                                           \
    {                                                                                                                  \
        "username", FIELD_TEXT, .required = true, .min = 3, .max = 50, .pattern = "username", .doc = (text)            \
    }
#define EMAIL_FIELD(text)                                                                                              \
    {                                                                                                                  \
        "email", FIELD_TEXT, .required = true, .min = 3, .max = 254, .pattern = "email", .doc = (text)                 \
    }
#define PERSON_NAME_FIELD(field, text)                                                                                 \
    {                                                                                                                  \
        field, FIELD_TEXT, .min = 1, .max = 100, .pattern = "name", .doc = (text)                                      \
    }
