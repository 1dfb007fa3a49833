/* problem: RFC 9457 answers. problem() itself is declared in request.h, for every handler. */
#pragma once

#include "gateway/http/request.h"

struct problem_field {
    struct str field;   /* what it is about, as the client named it; {NULL, 0}: the whole */
    const char *detail; /* what is allowed */
};

/* A problem about several fields at once. Replaces whatever the response held. */
void problem_fields(struct request *r, int status, const char *code, const char *detail,
                    const struct problem_field *fields, size_t count);

/* The reason phrase of RFC 9110, which is also a problem's title. */
const char *status_text(int status);

/* The same request may succeed later, as it is. */
bool problem_is_retryable(int status, const char *code);
