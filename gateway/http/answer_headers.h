/* answer_headers: what an answer says besides its body: its own headers, and what all of them say: what a browser may
 * do with it, who may read it from another origin, how much is left of the limits
 * (draft-ietf-httpapi-ratelimit-headers). */
#pragma once

#include "gateway/http/cors.h"
#include "gateway/http/request.h"

#define ANSWER_HEADERS_MAX (REQUEST_MAX_HEADERS + 12)
/* Nothing may be loaded, run or framed: right for everything but a page. */
#define CLOSED_POLICY "default-src 'none'; frame-ancestors 'none'"

struct answer_header {
    const char *name, *value;
};

struct answer_headers_options {
    const struct cors *cors;
    const char *transport_security; /* Strict-Transport-Security, for who comes over TLS; NULL: none */
};

/* Fills `ret`; values live as long as the request. */
size_t answer_headers(const struct answer_headers_options *options, struct request *r,
                      struct answer_header ret[ANSWER_HEADERS_MAX]);

/* What answers say that are sent without a look at their request: it was not read, or is somebody else's by now. Nobody
 * knows its origin; that this gateway is full or stops is no secret, so every page may know. Ends with a NULL name. */
extern const struct answer_header answer_headers_bare[];

/* On the answer to OPTIONS, for a page of another origin that asks what it may send (a preflight). */
void answer_preflight(struct request *r, const char *methods);
