/* field: one row of a table of fields (route.h) against what a client gave. What is wrong is collected, so that one
 * answer names every field. */
#pragma once

#include "gateway/http/problem.h"
#include "gateway/http/route.h"

#define FAULTS_MAX 16 /* more are not told */

struct faults {
    struct arena *arena;
    struct problem_field fields[FAULTS_MAX];
    size_t count;
};

#define FAULT(faults, name, ...)                                                                                       \
    do {                                                                                                               \
        if ((faults)->count < FAULTS_MAX)                                                                              \
            (faults)->fields[(faults)->count++] =                                                                      \
                (struct problem_field){ (name), arena_printf((faults)->arena, __VA_ARGS__) };                          \
    } while (0)

/* What OpenAPI says of a `pattern`. The check itself may ask for more. */
struct field_format {
    const char *format, *regex; /* JSON Schema's; NULL: none */
    const char *example;        /* JSON */
};
const struct field_format *field_format(const struct body_field *field); /* NULL: it has no pattern */

void field_check_json(struct faults *faults, const struct body_field *field, const json_t *value);
/* A parameter as it stands in the query, decoded. */
void field_check_query(struct faults *faults, const struct body_field *field, struct str text);

/* Decimal digits with an optional '-', and nothing else. */
bool field_parse_int(struct str s, int64_t *ret);

/* Fills the 400 that says what is wrong; returns false. */
bool faults_answer(const struct faults *faults, struct request *r, const char *code);
