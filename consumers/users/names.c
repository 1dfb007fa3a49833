#include "consumers/users/names.h"

#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>

/* ICU fails here for want of memory or of its own data only. */
static void must(UErrorCode code)
{
    if (U_FAILURE(code))
        abort();
}

struct utf16 {
    UChar *text;
    int32_t len;
};

static struct str trimmed(struct str text)
{
    while (text.len && (uint8_t)text.ptr[0] <= ' ')
        text = (struct str){ text.ptr + 1, text.len - 1 };
    while (text.len && (uint8_t)text.ptr[text.len - 1] <= ' ')
        text.len--;
    return text;
}

/* UTF-16 has at most as many units as UTF-8 has bytes. */
static struct utf16 utf16_of(struct arena *arena, struct str text)
{
    struct utf16 u = { arena_alloc_raw(arena, (text.len + 1) * sizeof(UChar)), 0 };
    UErrorCode code = U_ZERO_ERROR;
    u_strFromUTF8WithSub(u.text, (int32_t)text.len + 1, &u.len, text.ptr ? text.ptr : "", (int32_t)text.len, 0xFFFD,
                         NULL, &code);
    must(code);
    return u;
}

static struct str utf8_of(struct arena *arena, struct utf16 u)
{
    const int32_t room = 3 * u.len + 1;
    char *text = arena_alloc_raw(arena, (size_t)room);
    int32_t len;
    UErrorCode code = U_ZERO_ERROR;
    u_strToUTF8WithSub(text, room, &len, u.text, u.len, 0xFFFD, NULL, &code);
    must(code);
    text[len] = '\0';
    return (struct str){ text, (size_t)len };
}

static struct utf16 normalised(struct arena *arena, const UNormalizer2 *form, struct utf16 from)
{
    int32_t room = from.len + from.len / 2 + 32;
    for (;;) {
        struct utf16 to = { arena_alloc_raw(arena, (size_t)room * sizeof(UChar)), 0 };
        UErrorCode code = U_ZERO_ERROR;
        to.len = unorm2_normalize(form, from.text, from.len, to.text, room, &code);
        if (code != U_BUFFER_OVERFLOW_ERROR) {
            must(code);
            return to;
        }
        room = to.len + 1;
    }
}

static struct utf16 folded(struct arena *arena, struct str text)
{
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *form = unorm2_getNFKCCasefoldInstance(&code);
    must(code);
    return normalised(arena, form, utf16_of(arena, text));
}

/* The usual case needs no ICU. */
static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] >= 0x80)
            return false;
    return true;
}

static struct str ascii_lower(struct arena *arena, struct str text)
{
    char *lower = arena_alloc_raw(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        lower[i] = text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? (char)(text.ptr[i] + ('a' - 'A')) : text.ptr[i];
    lower[text.len] = '\0';
    return (struct str){ lower, text.len };
}

struct str username_normalise(struct arena *arena, struct str username)
{
    const struct str text = trimmed(username);
    return is_ascii(text) ? ascii_lower(arena, text) : utf8_of(arena, folded(arena, text));
}

struct str email_normalise(struct arena *arena, struct str email)
{
    return username_normalise(arena, email);
}

bool username_is_spoof(struct str username)
{
    if (is_ascii(username))
        return false;
    UErrorCode code = U_ZERO_ERROR;
    USpoofChecker *checker = uspoof_open(&code);
    must(code);
    uspoof_setRestrictionLevel(checker, USPOOF_HIGHLY_RESTRICTIVE);
    uspoof_setChecks(checker, USPOOF_RESTRICTION_LEVEL | USPOOF_INVISIBLE | USPOOF_MIXED_NUMBERS, &code);
    must(code);
    const int32_t failed = uspoof_check2UTF8(checker, username.ptr, (int32_t)username.len, NULL, &code);
    uspoof_close(checker);
    return U_FAILURE(code) || failed != 0;
}

struct str search_fold(struct arena *arena, struct str text)
{
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *decomposed = unorm2_getNFDInstance(&code);
    must(code);
    const struct utf16 from = normalised(arena, decomposed, folded(arena, text));
    struct utf16 to = { arena_alloc_raw(arena, (size_t)(from.len + 1) * sizeof(UChar)), 0 };
    bool space = false;
    for (int32_t i = 0; i < from.len;) {
        const int32_t start = i;
        U16_FWD_1(from.text, i, from.len);
        const UChar32 c =
            i - start == 2 ? U16_GET_SUPPLEMENTARY(from.text[start], from.text[start + 1]) : from.text[start];
        if (u_charType(c) == U_NON_SPACING_MARK)
            continue;
        if (u_isUWhiteSpace(c) || c == 0) {
            space = to.len > 0;
            continue;
        }
        if (space)
            to.text[to.len++] = ' ';
        space = false;
        for (int32_t unit = start; unit < i; unit++)
            to.text[to.len++] = from.text[unit];
    }
    return utf8_of(arena, to);
}
