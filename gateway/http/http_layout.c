#include "gateway/http/http_layout.h"

bool http_layout_is_known(const char *libmicrohttpd_version)
{
    return strcmp(libmicrohttpd_version, "0.9.75") == 0;
}

/* Two NULs that were CR LF. A bare LF leaves one, and then the next line begins too early. */
static bool skip_line_end(const char **at, const char *end)
{
    if (end - *at < 2 || (*at)[0] != '\0' || (*at)[1] != '\0')
        return false;
    *at += 2;
    return true;
}

bool http_layout_is_clean(const struct http_head *head, const char *target_in_place, size_t size)
{
    const char *at = head->method.ptr, *end = at + size;
    if (target_in_place != at + head->method.len + 1)
        return false;
    if (head->version.ptr != target_in_place + head->target.len + 1)
        return false;
    at = head->version.ptr + head->version.len;
    if (at > end || !skip_line_end(&at, end))
        return false;
    for (size_t i = 0; i < head->count; i++) {
        const struct http_header *h = &head->headers[i];
        if (h->name.ptr != at || h->value.ptr <= at || h->value.ptr + h->value.len > end)
            return false;
        at += h->name.len + 1; /* the colon */
        while (at < h->value.ptr && (*at == ' ' || *at == '\t'))
            at++;
        if (at != h->value.ptr)
            return false;
        at += h->value.len;
        if (!skip_line_end(&at, end))
            return false;
    }
    return skip_line_end(&at, end) && at == end;
}
