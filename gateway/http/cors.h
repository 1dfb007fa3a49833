/* cors: which other origins may read our answers in a browser (Fetch Standard, CORS protocol). Tokens come in a header
 * that a page has to know, never in a cookie, so no answer allows credentials. Pure. */
#pragma once

#include "gateway/http/http_check.h"
#include "ops/runtime/err.h"

#define CORS_ORIGINS_MAX 32

struct cors {
    const char *origins[CORS_ORIGINS_MAX]; /* "https://app.example.org"; "*" alone: everybody */
    size_t count;
    char *text; /* theirs */
};

/* "https://app.example.org, http://localhost:3000", "*", or empty: nobody. FATAL names what is no origin. */
MUST_CHECK err cors_parse(const char *text, struct cors *ret);
void cors_finish(struct cors *c);

/* What Access-Control-Allow-Origin says to the request with this head; NULL: nothing. */
const char *cors_allow(const struct cors *c, const struct http_head *head);
/* Whether an answer depends on the Origin, as caches must know. */
bool cors_varies(const struct cors *c);
