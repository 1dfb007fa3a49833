#include "gateway/http/answer_headers.h"

#include <stdio.h>

#define PREFLIGHT_KEPT_S "600"

static const char *content_type(const struct response *response)
{
    if (response->content_type)
        return response->content_type;
    return response->status >= 400 ? "application/problem+json" : "application/json";
}

static bool says(const struct response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcmp(response->headers[i].name, name) == 0)
            return true;
    return false;
}

/* Structured fields (RFC 9651): a list of the limits by name, q and w what is allowed, r and t what is left of it. */
static size_t rate_headers(struct request *r, struct answer_header *ret)
{
    char policies[192], left[192];
    size_t policies_len = 0, left_len = 0;
    for (size_t i = 0; i < r->rate_count; i++) {
        const struct rate *rate = &r->rates[i];
        const char *comma = i > 0 ? ", " : "";
        policies_len +=
            (size_t)snprintf(policies + policies_len, sizeof policies - policies_len, "%s\"%s\";q=%lld;w=%lld", comma,
                             rate->name, (long long)rate->quota, (long long)rate->window_s);
        left_len += (size_t)snprintf(left + left_len, sizeof left - left_len, "%s\"%s\";r=%lld;t=%lld", comma,
                                     rate->name, (long long)rate->remaining, (long long)rate->reset_s);
    }
    ret[0] =
        (struct answer_header){ "RateLimit-Policy", arena_str(&r->arena, (struct str){ policies, policies_len }).ptr };
    ret[1] = (struct answer_header){ "RateLimit", arena_str(&r->arena, (struct str){ left, left_len }).ptr };
    return 2;
}

size_t answer_headers(const struct answer_headers_options *options, struct request *r,
                      struct answer_header ret[ANSWER_HEADERS_MAX])
{
    const struct response *response = &r->response;
    size_t count = 0;
    if (response->body.len > 0 || response->next || response->content_type)
        ret[count++] = (struct answer_header){ "Content-Type", content_type(response) };
    ret[count++] = (struct answer_header){ "X-Content-Type-Options", "nosniff" };
    ret[count++] = (struct answer_header){ "Content-Security-Policy",
                                           response->security_policy ? response->security_policy : CLOSED_POLICY };
    if (!says(response, "Cache-Control"))
        ret[count++] = (struct answer_header){ "Cache-Control", "no-store" };
    ret[count++] = (struct answer_header){ "X-Request-Id", r->request_id };
    if (r->client.secure && options->transport_security)
        ret[count++] = (struct answer_header){ "Strict-Transport-Security", options->transport_security };
    if (cors_varies(options->cors))
        ret[count++] = (struct answer_header){ "Vary", "Origin" };
    if (r->origin) {
        ret[count++] = (struct answer_header){ "Access-Control-Allow-Origin", r->origin };
        ret[count++] = (struct answer_header){ "Access-Control-Expose-Headers", "*" };
    }
    if (r->rate_count > 0)
        count += rate_headers(r, ret + count);
    for (size_t i = 0; i < response->header_count; i++)
        ret[count++] = (struct answer_header){ response->headers[i].name, response->headers[i].value };
    return count;
}

const struct answer_header answer_headers_bare[] = {
    { "Content-Type", "application/problem+json" },
    { "X-Content-Type-Options", "nosniff" },
    { "Content-Security-Policy", CLOSED_POLICY },
    { "Cache-Control", "no-store" },
    { "Access-Control-Allow-Origin", "*" },
    { "Access-Control-Expose-Headers", "*" },
    { "Retry-After", "1" },
    { "Connection", "close" },
    { 0 },
};

void answer_preflight(struct request *r, const char *methods)
{
    if (!r->origin)
        return;
    response_header(r, "Access-Control-Allow-Methods", "%s", methods);
    /* The wildcard leaves Authorization out. */
    response_header(r, "Access-Control-Allow-Headers", "Authorization, *");
    response_header(r, "Access-Control-Max-Age", PREFLIGHT_KEPT_S);
}
