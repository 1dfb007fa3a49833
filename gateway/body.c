/* body_check: a JSON body against its route's table. What is wrong is collected, so that one answer names every field.
 */
#include <assert.h>
#include <stdio.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "gateway/json_arena.h"
#include "gateway/problem.h"
#include "gateway/profile_text.h"
#include "gateway/route.h"
#include "ops/runtime/clock.h"

#define FAULTS_MAX     16
#define USERNAME_UNITS 256 /* UTF-16 */

struct faults {
    struct arena *arena;
    struct problem_field fields[FAULTS_MAX];
    size_t count;
};

#define FAULT(faults, name, ...)                                                                                       \
    do {                                                                                                               \
        if ((faults)->count < FAULTS_MAX)                                                                              \
            (faults)->fields[(faults)->count++] =                                                                      \
                (struct problem_field){ (name), arena_printf((faults)->arena, __VA_ARGS__) };                          \
    } while (0)

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

/* White space of Unicode (White_Space) that can stand in a line. */
static size_t space_at(struct str s, size_t at)
{
    const uint8_t *p = (const uint8_t *)s.ptr + at;
    size_t left = s.len - at;
    if (p[0] == ' ' || p[0] == '\t')
        return 1;
    if (left >= 2 && p[0] == 0xc2 && (p[1] == 0xa0 || p[1] == 0x85))
        return 2;
    if (left >= 3 && p[0] == 0xe2 && p[1] == 0x80 &&
        ((p[2] >= 0x80 && p[2] <= 0x8b) || p[2] == 0xa8 || p[2] == 0xa9 || p[2] == 0xaf))
        return 3;
    if (left >= 3 && ((p[0] == 0xe3 && p[1] == 0x80 && p[2] == 0x80) || (p[0] == 0xe2 && p[1] == 0x81 && p[2] == 0x9f)))
        return 3;
    return 0;
}

static bool is_blank(struct str s)
{
    size_t at = 0;
    while (at < s.len) {
        size_t space = space_at(s, at);
        if (space == 0)
            return false;
        at += space;
    }
    return true;
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
            if (label == 0 || domain.ptr[i - 1] == '-')
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
    return !is_blank(s);
}

static const struct {
    const char *name;
    bool (*holds)(struct str s);
    const char *allowed;
} patterns[] = {
    { "username", is_username,
      "may have letters, digits, '.', '_' and '-', and begins and ends with a letter or digit" },
    { "email", is_email, "must be an e-mail address like somebody@example.org" },
    { "name", is_name, "must not be blank and must not have control characters" },
    { "prose", text_is_prose, "must not have control characters but line breaks and tabs" },
    { "phone", text_is_phone, "must be a telephone number in the form of E.164, like +4930123456" },
    { "date", text_is_date, "must be a day like 1990-12-31, from 1900-01-01 to today" },
    { "url", text_is_web_address, "must be an address like https://example.org/me" },
    { "locale", text_is_language_tag, "must be a BCP 47 language tag like de-AT" },
    { "time_zone", text_is_time_zone, "must be a time zone of the IANA database, like Europe/Vienna" },
};

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
        if (strcmp(patterns[i].name, field->pattern) == 0 && !patterns[i].holds(text))
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

static void check_choices(struct faults *faults, const struct body_field *field, struct str name, const json_t *value)
{
    size_t count = json_array_size(value); /* 0 when it is none */
    bool good = json_is_array(value) && (int64_t)count >= field->min && (int64_t)count <= field->max;
    for (size_t i = 0; i < count && good; i++) {
        const json_t *item = json_array_get(value, i);
        good = json_is_string(item) &&
               is_choice(field->choices, (struct str){ json_string_value(item), json_string_length(item) });
        for (size_t k = 0; k < i && good; k++)
            good = strcmp(json_string_value(item), json_string_value(json_array_get(value, k))) != 0;
    }
    if (!good)
        FAULT(faults, name, "must be an array of %lld to %lld of these, none twice: %s.", (long long)field->min,
              (long long)field->max, choice_list(faults->arena, field->choices));
}

static void check_field(struct faults *faults, const struct body_field *field, const json_t *value)
{
    struct str name = str_of(field->name);
    struct str text = { 0 };
    struct uuid id;
    int64_t time;
    if (field->nullable && json_is_null(value))
        return;
    if (json_is_string(value))
        text = (struct str){ json_string_value(value), json_string_length(value) };
    switch (field->type) {
    case FIELD_TEXT:
        if (!text.ptr)
            FAULT(faults, name, "must be a string of %lld to %lld characters.", (long long)field->min,
                  (long long)field->max);
        else
            check_text(faults, field, name, text);
        break;
    case FIELD_UUID:
        if (!text.ptr || !uuid_parse(text, &id))
            FAULT(faults, name, "must be a UUID in the form 8-4-4-4-12.");
        break;
    case FIELD_INT:
        if (!json_is_integer(value) || json_integer_value(value) < field->min || json_integer_value(value) > field->max)
            FAULT(faults, name, "must be a whole number from %lld to %lld.", (long long)field->min,
                  (long long)field->max);
        break;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            FAULT(faults, name, "must be true or false.");
        break;
    case FIELD_CHOICE:
        if (!text.ptr || !is_choice(field->choices, text))
            FAULT(faults, name, "must be one of %s.", choice_list(faults->arena, field->choices));
        break;
    case FIELD_CHOICES:
        check_choices(faults, field, name, value);
        break;
    case FIELD_TIME:
        if (!text.ptr || !clock_parse_rfc3339(text, &time))
            FAULT(faults, name, "must be a time like 2027-01-31T12:00:00Z (RFC 3339).");
        break;
    }
}

static const struct body_field *field_of(const struct body *body, const char *name)
{
    for (const struct body_field *field = body->fields; field->name; field++)
        if (strcmp(field->name, name) == 0)
            return field;
    return NULL;
}

static void check_fields(struct faults *faults, const struct body *body, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct body_field *field = field_of(body, name);
        if (field)
            check_field(faults, field, value);
        else
            FAULT(faults, str_of(name), "is not a field of %s.", body->name);
    }
    for (const struct body_field *field = body->fields; field->name; field++)
        if (field->required && !json_object_get(object, field->name))
            FAULT(faults, str_of(field->name), "is required.");
}

/* --- text that is no JSON --- */

static const char *parse_fault(enum json_error_code code)
{
    switch (code) {
    case json_error_duplicate_key:
        return "a name stands twice in one object";
    case json_error_invalid_utf8:
        return "a string is not valid UTF-8";
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return "a name has a NUL character";
    case json_error_premature_end_of_input:
        return "the text ends too early";
    case json_error_end_of_input_expected:
        return "there is text behind the end";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_stack_overflow:
        return "arrays or objects are nested too deeply";
    default:
        return "this is not JSON (RFC 8259)";
    }
}

/* "name" of a name that stands twice: jansson stops just behind it. Empty when it is not found, as it was escaped. */
static struct str name_before(struct str text, int position)
{
    struct str none = { 0 };
    if (position < 2 || (size_t)position > text.len || text.ptr[position - 1] != '"')
        return none;
    size_t end = (size_t)position - 1, start = end;
    while (start > 0 && text.ptr[start - 1] != '"')
        start--;
    struct str name = { text.ptr + start, end - start };
    return name.len == 0 || memchr(name.ptr, '\\', name.len) ? none : name;
}

static bool no_json(struct request *r, const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    const char *why = parse_fault(code);
    const char *detail = r->body_bytes.len == 0
                             ? "The body is empty; it must be a JSON object."
                             : arena_printf(&r->arena, "The body is no JSON object: %s (line %d, column %d).", why,
                                            error->line, error->column);
    struct str name =
        code == json_error_duplicate_key ? name_before(buf_view(&r->body_bytes), error->position) : (struct str){ 0 };
    struct problem_field field = { name, "stands twice." };
    problem_fields(r, 400, "malformed_json", detail, &field, name.len > 0 ? 1 : 0);
    return false;
}

bool body_check(struct request *r)
{
    json_error_t error;
    const struct body *body = r->route->body;
    /* jansson 2.14 drops a NUL behind a number or a literal: "1\0" reads as 1. */
    if (r->body_bytes.len > 0 && memchr(r->body_bytes.ptr, '\0', r->body_bytes.len)) {
        problem(r, 400, "malformed_json", NULL, "The body is no JSON object: it has a NUL byte.");
        return false;
    }
    r->body = json_parse(&r->arena, buf_view(&r->body_bytes), &error);
    if (!r->body)
        return no_json(r, &error);
    if (!json_is_object(r->body)) {
        problem(r, 400, "malformed_json", NULL, "The body must be a JSON object.");
        return false;
    }
    struct faults faults = { .arena = &r->arena };
    check_fields(&faults, body, r->body);
    if (faults.count == 0)
        return true;
    const struct problem_field *first = &faults.fields[0];
    const char *detail = faults.count == 1 && first->field.len <= 64
                             ? arena_printf(&r->arena, "%s: %s", first->field.ptr, first->detail)
                             : "Fields are not as they must be; see errors.";
    problem_fields(r, 400, "invalid_body", detail, faults.fields, faults.count);
    return false;
}
