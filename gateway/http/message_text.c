#include "gateway/http/message_text.h"

#include <stdlib.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utext.h>

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] >= 0x80)
            return false;
    return true;
}

int64_t text_graphemes(struct str s, int64_t most)
{
    if (is_ascii(s)) {
        int64_t count = 0;
        for (size_t i = 0; i < s.len && count <= most; i++)
            count += !(s.ptr[i] == '\n' && i > 0 && s.ptr[i - 1] == '\r');
        return count;
    }
    UErrorCode code = U_ZERO_ERROR;
    UText *text = utext_openUTF8(NULL, s.ptr, (int64_t)s.len, &code);
    UBreakIterator *breaks = ubrk_open(UBRK_CHARACTER, "", NULL, 0, &code);
    ubrk_setUText(breaks, text, &code);
    int64_t count = 0;
    if (U_SUCCESS(code))
        while (count <= most && ubrk_next(breaks) != UBRK_DONE)
            count++;
    if (breaks)
        ubrk_close(breaks);
    utext_close(text);
    return U_SUCCESS(code) ? count : most + 1;
}

bool text_is_message(struct str s)
{
    return text_graphemes(s, MESSAGE_GRAPHEMES_MAX) <= MESSAGE_GRAPHEMES_MAX && text_is_visible(s);
}

bool text_is_visible(struct str s)
{
    const uint8_t *bytes = (const uint8_t *)s.ptr;
    const int32_t len = (int32_t)s.len;
    for (int32_t at = 0; at < len;) {
        UChar32 c;
        U8_NEXT(bytes, at, len, c);
        if (c < 0 ||
            !(u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) || u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT)))
            return true;
    }
    return false;
}

struct str text_normalise(struct arena *arena, struct str s)
{
    if (s.len == 0 || is_ascii(s))
        return s;
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *form = unorm2_getNFCInstance(&code);
    const int32_t capacity = (int32_t)s.len + 1; /* UTF-16 never has more units than UTF-8 bytes */
    UChar *wide = arena_alloc_raw(arena, (size_t)capacity * sizeof *wide);
    int32_t len = 0;
    u_strFromUTF8(wide, capacity, &len, s.ptr, (int32_t)s.len, &code);
    if (U_FAILURE(code) || unorm2_quickCheck(form, wide, len, &code) == UNORM_YES)
        return s;
    /* Three times the length at most (Unicode Standard Annex 15, section 13). */
    UChar *normal = arena_alloc_raw(arena, 3 * (size_t)capacity * sizeof *normal);
    const int32_t normal_len = unorm2_normalize(form, wide, len, normal, 3 * capacity, &code);
    char *bytes = arena_alloc_raw(arena, 9 * (size_t)capacity);
    int32_t bytes_len = 0;
    u_strToUTF8(bytes, 9 * capacity, &bytes_len, normal, normal_len, &code);
    return U_FAILURE(code) ? s : (struct str){ bytes, (size_t)bytes_len };
}

#define EMOJI_UNITS 64 /* UTF-16; of 64 bytes there are no more */

bool text_is_emoji(struct str s)
{
    UChar units[EMOJI_UNITS];
    int32_t len = 0;
    UErrorCode code = U_ZERO_ERROR;
    if (s.len == 0 || s.len > EMOJI_UNITS)
        return false;
    u_strFromUTF8(units, EMOJI_UNITS, &len, s.ptr, (int32_t)s.len, &code);
    return U_SUCCESS(code) && u_stringHasBinaryProperty(units, len, UCHAR_RGI_EMOJI);
}

bool text_was_emoji(struct str s)
{
    if (s.len == 0 || s.len > 64 || text_graphemes(s, 1) != 1)
        return false;
    const uint8_t *bytes = (const uint8_t *)s.ptr;
    const int32_t len = (int32_t)s.len;
    bool pictured = false;
    for (int32_t at = 0; at < len;) {
        UChar32 c;
        U8_NEXT(bytes, at, len, c);
        if (c <= 0)
            return false;
        /* 0x20E3 ends a keycap; two regional indicators are a flag. */
        pictured |= u_hasBinaryProperty(c, UCHAR_EXTENDED_PICTOGRAPHIC) || c == 0x20E3 ||
                    u_hasBinaryProperty(c, UCHAR_REGIONAL_INDICATOR);
    }
    return pictured;
}
