/* admission: whether a request whose head is well-formed gets a handler. In this order: what there is, how much
 * the address may ask, who asks, how much they may ask, what they send. Pure but for `authenticate` and `limit`. */
#pragma once

#include "gateway/http/http_check.h"
#include "gateway/http/route.h"

struct admission {
    const struct router *router;
    bool (*authenticate)(struct request *r);
    bool (*limit)(struct request *r, enum limit_by by); /* NULL: no limits */
    size_t max_body_bytes;
};

/* Fills r->route, params, ids and claims. false: the response is filled, a problem or the answer to OPTIONS. */
bool admission_check(const struct admission *a, struct request *r, struct str method, const struct http_facts *facts);

/* Whether r->claims has a role that the route wants. false: a 403 has been filled. */
bool admission_role(struct request *r);

/* 413, which may also turn out while the body is read. */
void admission_too_large(const struct admission *a, struct request *r);
