#include "gateway/http/field.h"

#include <stdio.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "gateway/http/message_text.h"
#include "gateway/http/profile_text.h"
#include "ops/runtime/clock.h"

#define USERNAME_UNITS 256 /* UTF-16 */
#define LABEL_MAX      63  /* bytes of a label of a domain (RFC 1035, section 2.3.4) */

/* --- text --- */

static int64_t code_points(struct str s)
{
    int64_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
    return count;
}

static bool is_control(char c)
{
    return (uint8_t)c < 0x20 || c == 0x7f;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Of any script; the marks are what such scripts as Devanagari write their vowels with. */
static bool is_letter_or_digit(UChar32 c, bool or_mark)
{
    int8_t type = u_charType(c);
    return u_isUAlphabetic(c) || type == U_DECIMAL_DIGIT_NUMBER ||
           (or_mark && (type == U_NON_SPACING_MARK || type == U_COMBINING_SPACING_MARK));
}

static bool is_username(struct str s)
{
    UChar units[USERNAME_UNITS];
    UChar32 points[USERNAME_UNITS];
    int32_t len = 0;
    UErrorCode code = U_ZERO_ERROR;
    u_strFromUTF8(units, USERNAME_UNITS, &len, s.ptr, (int32_t)s.len, &code);
    u_strToUTF32(points, USERNAME_UNITS, &len, units, len, &code);
    if (U_FAILURE(code) || len == 0 || !is_letter_or_digit(points[0], false) ||
        !is_letter_or_digit(points[len - 1], true))
        return false;
    for (int32_t i = 0; i < len; i++)
        if (!is_letter_or_digit(points[i], true) && points[i] != '.' && points[i] != '_' && points[i] != '-')
            return false;
    return true;
}

/* Something, one '@', and a domain of labels. Whether it is somebody's, only a message to it can tell. */
static bool is_email(struct str s)
{
    const char *at = s.len > 0 ? memchr(s.ptr, '@', s.len) : NULL;
    if (!at || at == s.ptr || at - s.ptr > 64 || s.len > 254)
        return false;
    struct str domain = { at + 1, s.len - (size_t)(at + 1 - s.ptr) };
    for (const char *c = s.ptr; c < at; c++)
        if (is_control(*c) || strchr(" \"(),:;<>[\\]", *c))
            return false;
    size_t label = 0, labels = 0;
    for (size_t i = 0; i <= domain.len; i++) {
        char c = i < domain.len ? domain.ptr[i] : '.';
        if (c == '.') {
            if (label == 0 || label > LABEL_MAX || domain.ptr[i - 1] == '-')
                return false;
            label = 0;
            labels++;
            continue;
        }
        bool letter = is_alphanumeric(c) || (uint8_t)c >= 0x80;
        if (!letter && !(c == '-' && label > 0))
            return false;
        label++;
    }
    return labels > 1;
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_control(s.ptr[i]))
            return false;
    return text_is_visible(s);
}

static const struct pattern {
    const char *name;
    bool (*holds)(struct str s);
    const char *allowed;
    struct field_format format;
} patterns[] = {
    { "username",
      is_username,
      "may have letters, digits, '.', '_' and '-', and begins and ends with a letter or digit",
      { .regex = "^[^\\x00-,/:-@\\[-^`{-\\x7f]+$", .example = "\"ada\"" } },
    { "email",
      is_email,
      "must be an e-mail address like somebody@example.org",
      { .format = "email", .example = "\"ada@example.org\"" } },
    { "name",
      is_name,
      "must not be blank and must not have control characters",
      { .regex = "^[^\\x00-\\x1f\\x7f]*[^\\x00-\\x20\\x7f][^\\x00-\\x1f\\x7f]*$", .example = "\"Ada\"" } },
    { "message",
      text_is_message,
      "must not be blank, and must have at most 4000 characters, as people count them",
      { .example = "\"Is anybody here?\"" } },
    { "prose",
      text_is_prose,
      "must be empty or not blank, and must not have control characters but line breaks and tabs",
      { .regex = "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]*$", .example = "\"I like engines.\"" } },
    { "phone",
      text_is_phone,
      "must be a telephone number in the form of E.164, like +4930123456",
      { .regex = "^\\+[1-9][0-9]{1,14}$", .example = "\"+4930123456\"" } },
    { "date",
      text_is_date,
      "must be a day like 1990-12-31, from 1900-01-01 to today",
      { .format = "date", .example = "\"1990-12-31\"" } },
    { "url",
      text_is_web_address,
      "must be an address like https://example.org/me",
      { .format = "uri", .example = "\"https://example.org/me\"" } },
    { "locale",
      text_is_language_tag,
      "must be a BCP 47 language tag like de-AT",
      { .regex = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", .example = "\"de-AT\"" } },
    { "printable", NULL, NULL, { .regex = "^[!-~]+$" } }, /* of headers, which http_check looks at */
    { "etag", NULL, NULL, { .regex = "^(\\*|\"[!#-~]*\")$" } },
    { "time_zone",
      text_is_time_zone,
      "must be a time zone of the IANA database, like Europe/Vienna",
      { .regex = "^[A-Za-z0-9_+/-]+$", .example = "\"Europe/Vienna\"" } },
};

const struct field_format *field_format(const struct body_field *field)
{
    for (size_t i = 0; field->pattern && i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(patterns[i].name, field->pattern) == 0)
            return &patterns[i].format;
    return NULL;
}

static void check_text(struct faults *faults, const struct body_field *field, struct str name, struct str text)
{
    if (memchr(text.ptr, '\0', text.len)) {
        FAULT(faults, name, "must not have a NUL character.");
        return;
    }
    int64_t length = code_points(text);
    if (length < field->min || (field->max > 0 && length > field->max)) {
        FAULT(faults, name, "must have %lld to %lld characters, not %lld.", (long long)field->min,
              (long long)field->max, (long long)length);
        return;
    }
    for (size_t i = 0; field->pattern && i < sizeof patterns / sizeof *patterns; i++)
        if (patterns[i].holds && strcmp(patterns[i].name, field->pattern) == 0 && !patterns[i].holds(text))
            FAULT(faults, name, "%s.", patterns[i].allowed);
}

static bool is_choice(const char *choices, struct str text)
{
    if (memchr(text.ptr, '|', text.len))
        return false;
    for (const char *at = choices; *at;) {
        size_t len = strcspn(at, "|");
        if (str_equal((struct str){ at, len }, text))
            return true;
        at += len + (at[len] == '|');
    }
    return false;
}

/* "public|private" as "public, private" */
static const char *choice_list(struct arena *arena, const char *choices)
{
    char *list = arena_alloc(arena, strlen(choices) * 2 + 1), *to = list;
    for (const char *at = choices; *at; at++) {
        *to++ = *at == '|' ? ',' : *at;
        if (*at == '|')
            *to++ = ' ';
    }
    return list;
}

/* --- fields --- */

/* An array of different choices. */
static bool is_choices(const struct body_field *field, const json_t *value)
{
    size_t count = json_array_size(value); /* 0 when it is none */
    if (!json_is_array(value) || (int64_t)count < field->min || (int64_t)count > field->max)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item) ||
            !is_choice(field->choices, (struct str){ json_string_value(item), json_string_length(item) }))
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(json_string_value(item), json_string_value(json_array_get(value, k))) == 0)
                return false;
    }
    return true;
}

/* What is said of a value that has not even the right type, or is none of those that are allowed. */
static void fault_of(struct faults *faults, const struct body_field *field)
{
    struct str name = str_of(field->name);
    long long min = field->min, max = field->max;
    switch (field->type) {
    case FIELD_TEXT:
        FAULT(faults, name, "must be a string of %lld to %lld characters.", min, max);
        break;
    case FIELD_UUID:
        FAULT(faults, name, "must be a UUID in the form 8-4-4-4-12.");
        break;
    case FIELD_INT:
        FAULT(faults, name, "must be a whole number from %lld to %lld.", min, max);
        break;
    case FIELD_BOOL:
        FAULT(faults, name, "must be true or false.");
        break;
    case FIELD_CHOICE:
        FAULT(faults, name, "must be one of %s.", choice_list(faults->arena, field->choices));
        break;
    case FIELD_CHOICES:
        FAULT(faults, name, "must be an array of %lld to %lld of these, none twice: %s.", min, max,
              choice_list(faults->arena, field->choices));
        break;
    case FIELD_TIME:
        FAULT(faults, name, "must be a time like 2027-01-31T12:00:00Z (RFC 3339).");
        break;
    }
}

static bool is_int(const struct body_field *field, int64_t value)
{
    return value >= field->min && value <= field->max;
}

/* A string of JSON. */
static void check_string(struct faults *faults, const struct body_field *field, struct str text)
{
    struct uuid id;
    int64_t time;
    if (field->type == FIELD_TEXT)
        check_text(faults, field, str_of(field->name), text);
    else if (!(field->type == FIELD_UUID && uuid_parse(text, &id)) &&
             !(field->type == FIELD_CHOICE && is_choice(field->choices, text)) &&
             !(field->type == FIELD_TIME && clock_parse_rfc3339(text, &time)))
        fault_of(faults, field);
}

void field_check_json(struct faults *faults, const struct body_field *field, const json_t *value)
{
    if (field->nullable && json_is_null(value))
        return;
    if (json_is_string(value))
        check_string(faults, field, (struct str){ json_string_value(value), json_string_length(value) });
    else if (!(field->type == FIELD_INT && json_is_integer(value) && is_int(field, json_integer_value(value))) &&
             !(field->type == FIELD_BOOL && json_is_boolean(value)) &&
             !(field->type == FIELD_CHOICES && is_choices(field, value)))
        fault_of(faults, field);
}

/* --- text of a query --- */

bool field_parse_int(struct str s, int64_t *ret)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    int64_t value = 0;
    size_t at = negative ? 1 : 0;
    if (at == s.len)
        return false;
    for (; at < s.len; at++) {
        int digit = s.ptr[at] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return false;
    *ret = value;
    return true;
}

void field_check_query(struct faults *faults, const struct body_field *field, struct str text)
{
    int64_t value;
    if (field->type == FIELD_INT) {
        if (!field_parse_int(text, &value) || !is_int(field, value))
            fault_of(faults, field);
    } else if (field->type == FIELD_BOOL) {
        if (!str_equal(text, STR("true")) && !str_equal(text, STR("false")))
            fault_of(faults, field);
    } else {
        check_string(faults, field, text);
    }
}

/* --- the answer --- */

bool faults_answer(const struct faults *faults, struct request *r, const char *code)
{
    const struct problem_field *first = &faults->fields[0];
    const char *detail = faults->count == 1 && first->field.len <= 64
                             ? arena_printf(&r->arena, "%s: %s", first->field.ptr, first->detail)
                             : "Fields are not as they must be; see errors.";
    problem_fields(r, 400, code, detail, faults->fields, faults->count);
    return false;
}
