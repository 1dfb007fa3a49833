/* rejection: the reasons a command is not accepted, as the table of rejections.def. */
#pragma once

#include <stddef.h>

enum rejection_code {
    ACCEPTED = 0,
#define REJECTION(number, name, status, code, title) name = number,
#include "consumers/outcome/rejections.def"
#undef REJECTION
};

struct rejection {
    int number;
    int status;        /* HTTP */
    const char *code;  /* of the problem+json, stable */
    const char *title; /* for people */
};

extern const struct rejection rejections[];
extern const size_t rejections_count;

const struct rejection *rejection_find(int number); /* NULL when there is none */
