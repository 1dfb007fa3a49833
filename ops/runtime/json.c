#include "ops/runtime/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/escape.h"

#define NUMBER_MAX 340 /* %.3f of the largest double */

static void value_begins(struct json *j)
{
    if (j->comma)
        buf_char(j->out, ',');
    j->comma = true;
}

void json_open(struct json *j, char bracket)
{
    assert(bracket == '{' || bracket == '[');
    value_begins(j);
    buf_char(j->out, bracket);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    assert(bracket == '}' || bracket == ']');
    buf_char(j->out, bracket);
    j->comma = true;
}

static void put_string(struct buf *out, struct str s)
{
    buf_reserve(out, s.len + 2);
    buf_char(out, '"');
    size_t plain = 0; /* start of the bytes that stand for themselves */
    char scratch[7];
    for (size_t i = 0; i < s.len; i++) {
        const char *escape = json_escape((unsigned char)s.ptr[i], scratch);
        if (!escape)
            continue;
        buf_append(out, s.ptr + plain, i - plain);
        buf_append(out, escape, strlen(escape));
        plain = i + 1;
    }
    if (plain < s.len)
        buf_append(out, s.ptr + plain, s.len - plain);
    buf_char(out, '"');
}

void json_key(struct json *j, const char *name)
{
    value_begins(j);
    put_string(j->out, str_of(name));
    buf_char(j->out, ':');
    j->comma = false;
}

void json_str(struct json *j, struct str s)
{
    value_begins(j);
    put_string(j->out, s);
}

void json_int(struct json *j, int64_t i)
{
    value_begins(j);
    char text[20], *at = text + sizeof text;
    uint64_t left = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (i < 0)
        *--at = '-';
    buf_append(j->out, at, (size_t)(text + sizeof text - at));
}

void json_number(struct json *j, double d)
{
    if (!isfinite(d)) {
        json_none(j);
        return;
    }
    value_begins(j);
    char text[NUMBER_MAX];
    int len = snprintf(text, sizeof text, "%.3f", d);
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    buf_append(j->out, text, (size_t)len);
}

void json_bool(struct json *j, bool b)
{
    json_raw(j, b ? STR("true") : STR("false"));
}

void json_none(struct json *j)
{
    json_raw(j, STR("null"));
}

void json_uuid(struct json *j, struct uuid id)
{
    value_begins(j);
    char text[UUID_TEXT_LEN + 3];
    text[0] = '"';
    uuid_format(id, text + 1);
    text[UUID_TEXT_LEN + 1] = '"';
    buf_append(j->out, text, UUID_TEXT_LEN + 2);
}

void json_time(struct json *j, int64_t unix_ms)
{
    value_begins(j);
    char text[RFC3339_LEN + 3];
    text[0] = '"';
    clock_rfc3339(unix_ms, text + 1);
    text[RFC3339_LEN + 1] = '"';
    buf_append(j->out, text, RFC3339_LEN + 2);
}

void json_raw(struct json *j, struct str text)
{
    value_begins(j);
    buf_str(j->out, text);
}
