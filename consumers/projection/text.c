#include "consumers/projection/text.h"

#include <assert.h>

/* Length of the character at p, 0 when none begins there. RFC 3629: no overlong forms, no surrogates, up
 * to U+10FFFF. */
static size_t character_len(const uint8_t *p, size_t left)
{
    const uint8_t lead = p[0];
    if (lead < 0x80)
        return lead != 0;
    const size_t len = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || left < len)
        return 0;
    const uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < least || p[1] > most)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

/* Eight bytes of ASCII without NUL at once: most text is nothing else. */
static bool plain_word(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    const uint64_t low = 0x0101010101010101u, high = 0x8080808080808080u;
    return !((word | (word - low)) & high);
}

static size_t valid_prefix(const uint8_t *p, size_t len)
{
    size_t at = 0;
    while (at < len) {
        if (len - at >= 8 && plain_word(p + at)) {
            at += 8;
            continue;
        }
        const size_t step = character_len(p + at, len - at);
        if (!step)
            break;
        at += step;
    }
    return at;
}

struct str text_storable(struct arena *arena, struct str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t at = valid_prefix(p, text.len);
    if (at == text.len)
        return text;
    char *copy = arena_alloc_raw(arena, 3 * text.len);
    size_t len = 0;
    for (;;) {
        memcpy(copy + len, text.ptr, at);
        len += at;
        text = (struct str){ text.ptr + at, text.len - at };
        if (text.len == 0)
            break;
        memcpy(copy + len, "\xEF\xBF\xBD", 3);
        len += 3;
        text = (struct str){ text.ptr + 1, text.len - 1 };
        at = valid_prefix((const uint8_t *)text.ptr, text.len);
    }
    return (struct str){ copy, len };
}

void text_sealed(struct pg_array *column, struct arena *arena, const struct sealed *field)
{
    assert(field->state != SEALED);
    if (field->state == ERASED)
        pg_array_null(column);
    else
        pg_array_str(column, text_storable(arena, field->clear));
}
