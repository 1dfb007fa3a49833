/* head: a struct http_head from the text of a request's head, for tests. Lines end in CR LF; a header is cut at its
 * first colon and white space after it removed, as libmicrohttpd does. */
#pragma once

#include "gateway/http/http_check.h"

static inline struct str head_line(struct str *text)
{
    const char *end = text->len ? memchr(text->ptr, '\n', text->len) : NULL;
    size_t len = end ? (size_t)(end - text->ptr) : text->len;
    struct str line = { text->ptr, len };
    size_t cut = end ? len + 1 : len;
    *text = (struct str){ text->ptr + cut, text->len - cut };
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static inline struct str head_word(struct str *line)
{
    const char *space = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
    size_t len = space ? (size_t)(space - line->ptr) : line->len;
    struct str word = { line->ptr, len };
    size_t cut = space ? len + 1 : len;
    *line = (struct str){ line->ptr + cut, line->len - cut };
    return word;
}

static inline void head_of(struct str text, struct http_head *ret)
{
    struct str line = head_line(&text);
    *ret = (struct http_head){ .count = 0 };
    ret->method = head_word(&line);
    ret->target = head_word(&line);
    ret->version = line;
    while (text.len > 0 && ret->count < HTTP_MAX_HEADERS) {
        line = head_line(&text);
        if (line.len == 0)
            break;
        const char *colon = memchr(line.ptr, ':', line.len);
        size_t name = colon ? (size_t)(colon - line.ptr) : line.len;
        struct str value = colon ? (struct str){ colon + 1, line.len - name - 1 } : (struct str){ "", 0 };
        while (value.len > 0 && (*value.ptr == ' ' || *value.ptr == '\t'))
            value = (struct str){ value.ptr + 1, value.len - 1 };
        ret->headers[ret->count++] = (struct http_header){ { line.ptr, name }, value };
    }
}
