/* openapi_answers: what routes answer, as the document says it: responses with their headers, examples and links; the
 * problems, which are the same for all. */
#pragma once

#include "gateway/docs/openapi_private.h"

/* A row of the table answers with this status. */
bool answers_status(const struct route *route, int status);

/* "responses" of an operation. */
void answers_of(struct document *d, const struct route *route);

/* "responses", "examples" and "headers" of the components. */
void answers_components(struct json *j);
/* The schema of a problem. */
void answers_problem_schema(struct json *j);
