#include "gateway/http/admission.h"

#include "gateway/http/answer_headers.h"

#include <stdio.h>

static void allow_header(struct request *r, unsigned allowed, bool may_be_preflight)
{
    char text[64];
    size_t len = 0;
    for (enum method m = GET; m <= DELETE; m++)
        if (allowed & (1u << m))
            len += (size_t)snprintf(text + len, sizeof text - len, "%s, ", method_name(m));
    if (allowed & (1u << GET))
        len += (size_t)snprintf(text + len, sizeof text - len, "HEAD, ");
    snprintf(text + len, sizeof text - len, "OPTIONS");
    response_header(r, "Allow", "%s", text);
    if (may_be_preflight)
        answer_preflight(r, text);
}

/* false: the response is filled. */
static bool find_route(const struct admission *a, struct request *r, struct str method, struct str path)
{
    bool is_options = str_equal(method, STR("OPTIONS"));
    enum method parsed = GET;
    bool known = is_options || str_equal(method, STR("HEAD")) || method_parse(method, &parsed);
    size_t count;
    unsigned allowed;
    const struct route *route = router_find(a->router, parsed, path, r->params, &count, &allowed);
    if (allowed == 0) {
        problem(r, 404, "not_found", NULL, "There is nothing at this path.");
        return false;
    }
    if (is_options) {
        r->response.status = 204;
        allow_header(r, allowed, true);
        return false;
    }
    if (!route || !known) {
        problem(r, 405, "method_not_allowed", NULL, "This path does not know the method; Allow says which it knows.");
        allow_header(r, allowed, false);
        return false;
    }
    r->route = route;
    return true;
}

/* The {…} parts as UUIDs. */
static bool parse_ids(struct request *r)
{
    if (r->route->plain_params)
        return true;
    size_t i = 0;
    for (const char *at = r->route->path; (at = strchr(at, '{')); i++) {
        size_t len = strcspn(++at, "}");
        if (uuid_parse(r->params[i], &r->ids[i]))
            continue;
        problem(r, 400, "bad_path", arena_str(&r->arena, (struct str){ at, len }).ptr,
                "must be a UUID in the form 8-4-4-4-12.");
        return false;
    }
    return true;
}

bool admission_role(struct request *r)
{
    if (r->route->roles == 0 || (r->claims.roles & r->route->roles))
        return true;
    problem(r, 403, "forbidden_role", NULL, "Your account has none of the roles that may do this.");
    return false;
}

static bool check_media_type(struct request *r, const struct http_facts *facts)
{
    if (!r->route->body)
        return true;
    bool is_patch = r->route->body->is_patch;
    if (!http_is_json(facts->content_type) && !(is_patch && http_is_merge_patch(facts->content_type))) {
        problem(r, 415, "unsupported_media_type", "Content-Type", "must be application/json%s.",
                is_patch ? " or application/merge-patch+json" : "");
        response_header(r, is_patch ? "Accept-Patch" : "Accept", "%sapplication/json",
                        is_patch ? "application/merge-patch+json, " : "");
        return false;
    }
    if (facts->content_encoding.len > 0 && !http_equal_caseless(facts->content_encoding, STR("identity"))) {
        problem(r, 415, "unsupported_media_type", "Content-Encoding", "must be absent; bodies are taken as they are.");
        return false;
    }
    return true;
}

void admission_too_large(const struct admission *a, struct request *r)
{
    problem(r, 413, "too_large", NULL, "The body may have at most %zu bytes.", a->max_body_bytes);
}

static bool check_length(const struct admission *a, struct request *r, const struct http_facts *facts)
{
    if (facts->content_length <= (int64_t)a->max_body_bytes)
        return true;
    admission_too_large(a, r);
    return false;
}

static bool admit_user(const struct admission *a, struct request *r)
{
    if (r->route->auth == AUTH_NONE)
        return true;
    return a->authenticate(r) && (!a->limit || a->limit(r, LIMIT_BY_USER));
}

bool admission_check(const struct admission *a, struct request *r, struct str method, const struct http_facts *facts)
{
    bool found = find_route(a, r, method, facts->path);
    if (a->limit && !a->limit(r, LIMIT_BY_ADDRESS)) /* also who looks for what is not there */
        return false;
    return found && admit_user(a, r) && parse_ids(r) && query_check(r) && check_media_type(r, facts) &&
           check_length(a, r, facts);
}
