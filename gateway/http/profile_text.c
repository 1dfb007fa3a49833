#include "gateway/http/profile_text.h"

#include <stdio.h>
#include <unicode/ucal.h>
#include <unicode/uloc.h>

#include "gateway/http/message_text.h"
#include "ops/runtime/clock.h"

#define NAME_MAX_LEN 64 /* of a language tag or a time zone; more is not looked at */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool text_is_phone(struct str s)
{
    if (s.len < 3 || s.len > 16 || s.ptr[0] != '+' || s.ptr[1] == '0')
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_digit(s.ptr[i]))
            return false;
    return true;
}

bool text_is_date(struct str s)
{
    char instant[RFC3339_LEN + 1];
    int64_t at, earliest;
    if (s.len != 10)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (i == 4 || i == 7 ? s.ptr[i] != '-' : !is_digit(s.ptr[i]))
            return false;
    snprintf(instant, sizeof instant, "%.10sT00:00:00.000Z", s.ptr);
    return clock_parse_rfc3339(str_of(instant), &at) &&
           clock_parse_rfc3339(STR("1900-01-01T00:00:00.000Z"), &earliest) && at >= earliest && at <= clock_wall_ms();
}

bool text_is_web_address(struct str s)
{
    static const struct str schemes[] = { { "https://", 8 }, { "http://", 7 } };
    struct str rest = { 0 };
    for (size_t i = 0; i < 2 && !rest.ptr; i++)
        if (s.len > schemes[i].len && memcmp(s.ptr, schemes[i].ptr, schemes[i].len) == 0)
            rest = (struct str){ s.ptr + schemes[i].len, s.len - schemes[i].len };
    if (!rest.ptr || strchr("/?#:@", rest.ptr[0]))
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if ((uint8_t)rest.ptr[i] <= ' ' || strchr("\"<>\\^`{|}\x7f", rest.ptr[i]))
            return false;
    return true;
}

static bool copy_name(struct str s, char ret[NAME_MAX_LEN + 1])
{
    if (s.len == 0 || s.len > NAME_MAX_LEN || memchr(s.ptr, '\0', s.len))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] <= ' ' || (uint8_t)s.ptr[i] >= 0x7f)
            return false;
    memcpy(ret, s.ptr, s.len);
    ret[s.len] = '\0';
    return true;
}

bool text_is_language_tag(struct str s)
{
    char tag[NAME_MAX_LEN + 1], locale[ULOC_FULLNAME_CAPACITY];
    UErrorCode code = U_ZERO_ERROR;
    int32_t parsed = 0;
    if (!copy_name(s, tag))
        return false;
    uloc_forLanguageTag(tag, locale, sizeof locale, &parsed, &code);
    return U_SUCCESS(code) && parsed == (int32_t)s.len;
}

bool text_is_time_zone(struct str s)
{
    char name[NAME_MAX_LEN + 1];
    UChar wide[NAME_MAX_LEN + 1], canonical[128];
    UErrorCode code = U_ZERO_ERROR;
    UBool is_system = false;
    if (!copy_name(s, name))
        return false;
    for (size_t i = 0; i <= s.len; i++)
        wide[i] = (UChar)name[i];
    ucal_getCanonicalTimeZoneID(wide, (int32_t)s.len, canonical, 128, &is_system, &code);
    return U_SUCCESS(code) && is_system;
}

bool text_is_prose(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((uint8_t)s.ptr[i] < ' ' && !strchr("\n\r\t", s.ptr[i])) || s.ptr[i] == 0x7f)
            return false;
    return s.len == 0 || text_is_visible(s);
}
