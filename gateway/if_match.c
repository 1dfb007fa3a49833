#include "gateway/if_match.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>

#define ETAG_UNTAGGED   (-1)
#define NOBODYS_VERSION 0

/* One entity tag off the front of *text: its version, or ETAG_UNTAGGED when it is nobody's version. false: no tag. */
static bool take_etag(const char **text, int64_t *ret_version)
{
    const char *at = *text;
    bool weak = strncmp(at, "W/", 2) == 0;
    at += weak ? 2 : 0;
    if (*at != '"')
        return false;
    const char *end = strchr(at + 1, '"');
    if (!end)
        return false;
    size_t len = (size_t)(end - at - 1);
    bool number = !weak && len > 0 && strspn(at + 1, "0123456789") == len && (at[1] != '0' || len == 1);
    *ret_version = ETAG_UNTAGGED;
    errno = 0;
    long long version = number ? strtoll(at + 1, NULL, 10) : 0;
    if (number && errno == 0)
        *ret_version = version;
    *text = end + 1;
    return true;
}

bool if_match_parse(const char *text, struct if_match *m)
{
    if (!text || strcmp(text, "*") == 0)
        return true;
    m->given = true;
    for (;;) {
        int64_t version;
        text += strspn(text, " \t,");
        if (*text == '\0')
            return true;
        if (!take_etag(&text, &version) || !strchr(" \t,", *text))
            return false;
        if (version != ETAG_UNTAGGED && m->count < ETAGS_MAX)
            m->versions[m->count++] = version;
    }
}

bool if_match_read(struct request *r, struct if_match *m)
{
    if (if_match_parse(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MATCH), m))
        return true;
    problem(r, 400, "bad_header", "If-Match", "must be *, or entity tags as ETag gives them, like \"7\".");
    return false;
}

int64_t if_match_expects(const struct if_match *m, int64_t now)
{
    if (!m->given)
        return -1;
    for (size_t i = 0; i < m->count; i++)
        if (m->versions[i] == now)
            return now;
    return m->count > 0 ? m->versions[0] : NOBODYS_VERSION;
}

int64_t if_match_named(const struct if_match *m)
{
    return if_match_expects(m, m->count > 0 ? m->versions[0] : NOBODYS_VERSION);
}

int32_t if_match_expects_int(const struct if_match *m, int32_t now)
{
    int64_t version = if_match_expects(m, now);
    return version <= INT32_MAX ? (int32_t)version : NOBODYS_VERSION;
}
