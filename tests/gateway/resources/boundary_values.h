/* boundary_values: texts of a length that a pattern of field.c allows, as JSON. They are made here, not by the code
 * that checks them. */
#pragma once

#include <string.h>

#include "ops/runtime/mem.h"

static inline void put(struct buf *out, const char *character, int64_t times)
{
    for (int64_t i = 0; i < times; i++)
        buf_str(out, str_of(character));
}

/* "aaa@bbb.bbb.c" */
static inline bool put_email(struct buf *out, int64_t n)
{
    if (n < 5)
        return false;
    const int64_t name = n - 4 < 64 ? n - 4 : 64;
    int64_t left = n - name - 3;
    put(out, "a", name);
    put(out, "@", 1);
    for (; left > 63; left -= 63) {
        put(out, "b", left == 64 ? 61 : 62); /* the last one is not empty */
        put(out, ".", 1);
        left += left == 64;
    }
    put(out, "b", left);
    put(out, ".c", 1);
    return true;
}

/* "ee", "eee", "ee-x-aaaaaaaa-aaaa" */
static inline bool put_locale(struct buf *out, int64_t n)
{
    if (n < 2 || n == 4 || n == 5)
        return false;
    put(out, "e", n == 3 ? 3 : 2);
    if (n > 3)
        put(out, "-x", 1);
    for (int64_t left = n - 4; left > 0;) {
        const int64_t len = left <= 9 ? left - 1 : left == 10 ? 4 : 8;
        put(out, "-", 1);
        put(out, "a", len);
        left -= len + 1;
    }
    return true;
}

/* From 4000 on, which is as many as people may count, with accents. */
static inline void put_message(struct buf *out, int64_t n, const char *character)
{
    const int64_t bases = n < 4000 ? n : 4000;
    for (int64_t i = 0; i < bases; i++) {
        put(out, character, 1);
        put(out, "\xcc\x81", (n - bases) / bases + (i < (n - bases) % bases));
    }
}

/* As many numbers as there are from `first`: "+1111" */
static inline void put_phone(struct buf *out, int64_t n)
{
    put(out, "+", 1);
    put(out, "1", n - 1);
}

static inline void put_url(struct buf *out, int64_t n)
{
    put(out, n == 8 ? "http://" : "https://", 1);
    put(out, "a", n == 8 ? 1 : n - 8);
}

/* `n` code points, each of several bytes if `wide`, where the pattern (NULL: none) allows it. NULL: no such text is
 * allowed. In *out, as a C string. */
static inline const char *text_of(struct buf *out, const char *pattern, int64_t n, bool wide)
{
    const char *character = wide ? "\xc3\xa9" : "x", *kind = pattern ? pattern : "any";
    bool allowed = true;
    buf_clear(out);
    put(out, "\"", 1);
    if (strcmp(kind, "email") == 0)
        allowed = put_email(out, n);
    else if (strcmp(kind, "locale") == 0)
        allowed = put_locale(out, n);
    else if (strcmp(kind, "message") == 0)
        put_message(out, n, character);
    else if (strcmp(kind, "phone") == 0)
        put_phone(out, n), allowed = n >= 3;
    else if (strcmp(kind, "date") == 0)
        put(out, "1990-12-31", 1), allowed = n == 10;
    else if (strcmp(kind, "url") == 0)
        put_url(out, n), allowed = n >= 8;
    else if (strcmp(kind, "time_zone") == 0)
        put(out, "America/Argentina/ComodRivadavia", 1), allowed = n == 32;
    else
        put(out, character, n);
    buf_append(out, "\"", 2); /* with the NUL */
    return allowed ? out->ptr : NULL;
}

/* `n` code points, whatever the pattern says. */
static inline const char *any_text(struct buf *out, int64_t n)
{
    return text_of(out, NULL, n, false);
}

/* JSON of a value that a row of this kind allows. */
static inline const char *good_text(const char *pattern)
{
    static const char *const samples[][2] = { { "username", "\"ada.l-1\"" }, { "email", "\"ada@example.org\"" },
                                              { "name", "\"Ada\"" },         { "message", "\"Hello\"" },
                                              { "prose", "\"Why not.\"" },   { "phone", "\"+4930123456\"" },
                                              { "date", "\"1990-12-31\"" },  { "url", "\"https://example.org/\"" },
                                              { "locale", "\"de-AT\"" },     { "time_zone", "\"Europe/Rome\"" } };
    for (size_t i = 0; pattern && i < sizeof samples / sizeof *samples; i++)
        if (strcmp(samples[i][0], pattern) == 0)
            return samples[i][1];
    return "\"abcdefghijkl\"";
}
