#include "gateway/http/cors.h"

#include <stdlib.h>

/* scheme://host[:port] in lower case, as browsers send it: no path, no user, no wildcard in it. */
static bool is_origin(const char *text)
{
    const char *rest = strstr(text, "://");
    return rest && (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0) && rest[3] != '\0' &&
           strspn(rest + 3, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") == strlen(rest + 3);
}

err cors_parse(const char *text, struct cors *ret)
{
    ret->text = mem_copy_string(text);
    for (char *at = ret->text, *saved; (at = strtok_r(at, ", \t", &saved)); at = NULL) {
        if (ret->count == CORS_ORIGINS_MAX)
            return err_set(FATAL, "gateway.cors_origins has more than %d origins", CORS_ORIGINS_MAX);
        if (!is_origin(at) && strcmp(at, "*") != 0)
            return err_set(FATAL,
                           "gateway.cors_origins: '%s' is no origin; allowed: origins like https://app.example.org or "
                           "http://localhost:3000, separated by commas, or * alone",
                           at);
        ret->origins[ret->count++] = at;
    }
    for (size_t i = 0; i < ret->count && ret->count > 1; i++)
        if (strcmp(ret->origins[i], "*") == 0)
            return err_set(FATAL, "gateway.cors_origins: * stands alone or not at all");
    return OK;
}

void cors_finish(struct cors *c)
{
    free(c->text);
    *c = (struct cors){ .count = 0 };
}

static bool is_for_everybody(const struct cors *c)
{
    return c->count == 1 && strcmp(c->origins[0], "*") == 0;
}

bool cors_varies(const struct cors *c)
{
    return c->count > 0 && !is_for_everybody(c);
}

const char *cors_allow(const struct cors *c, const struct http_head *head)
{
    if (c->count == 0)
        return NULL;
    struct str origin = { 0 };
    for (size_t i = 0; i < head->count; i++)
        if (http_equal_caseless(head->headers[i].name, STR("Origin")))
            origin = head->headers[i].value;
    if (origin.len == 0)
        return NULL;
    if (is_for_everybody(c))
        return c->origins[0];
    for (size_t i = 0; i < c->count; i++)
        if (str_equal(origin, str_of(c->origins[i])))
            return c->origins[i];
    return NULL;
}
