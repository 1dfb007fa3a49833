/* A line is built on the stack and goes out by one write(2). It has at most PIPE_BUF bytes, the most that the kernel
 * promises not to mix with another writer's bytes in a pipe (pipe(7)): a field that does not fit is cut, the line stays
 * valid JSON. */
#include "ops/runtime/log.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/escape.h"

#define CONTEXT_MAX 64
#define CUT         "…"
#define LINE_END    "}\n"

/* Set once by log_init, before the first thread. */
static struct {
    const char *program;
    enum log_level level;
} settings = { .level = LOG_LEVEL_INFO };

static _Thread_local char contexts[3][CONTEXT_MAX];
static const char *const context_names[] = { "request_id", "command_id", "trace_id" };

struct line {
    char bytes[PIPE_BUF];
    size_t len;
};

/* Room for LINE_END is always left. */
static size_t room(const struct line *l)
{
    return sizeof l->bytes - l->len - (sizeof LINE_END - 1);
}

static void put(struct line *l, const char *bytes, size_t len)
{
    memcpy(l->bytes + l->len, bytes, len);
    l->len += len;
}

/* Length of the valid UTF-8 sequence at `s`, 0 when there is none (RFC 3629 section 4). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    const unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    const size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    unsigned char low = 0x80, high = 0xbf;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* Escaped, without the quotes, at most `most` bytes; ends with CUT where something is left out. */
static void put_escaped(struct line *l, struct str s, size_t most)
{
    const size_t end = l->len + most;
    size_t cut_at = l->len; /* the last place where CUT still fits */
    char scratch[7];
    for (size_t i = 0; i < s.len;) {
        const unsigned char *at = (const unsigned char *)s.ptr + i;
        size_t taken = utf8_length(at, s.len - i);
        struct str piece = taken ? (struct str){ s.ptr + i, taken } : STR("\xef\xbf\xbd");
        const char *escape = json_escape(*at, scratch);
        if (taken == 1 && escape)
            piece = str_of(escape);
        if (taken == 0)
            taken = 1;
        if (l->len + piece.len > end) {
            l->len = cut_at;
            put(l, CUT, sizeof CUT - 1);
            return;
        }
        put(l, piece.ptr, piece.len);
        if (l->len + sizeof CUT - 1 <= end)
            cut_at = l->len;
        i += taken;
    }
}

/* ,"name": and the value. A field is left out when not even a few bytes of it fit. */
static void put_str(struct line *l, const char *name, struct str value)
{
    const size_t frame = strlen(name) + 6; /* ,"":"" */
    if (room(l) < frame + 16)
        return;
    put(l, ",\"", 2);
    put(l, name, strlen(name));
    put(l, "\":\"", 3);
    put_escaped(l, value, room(l) - 1);
    put(l, "\"", 1);
}

static void put_plain(struct line *l, const char *name, const char *text)
{
    const size_t len = strlen(text);
    if (room(l) < strlen(name) + 4 + len)
        return;
    put(l, ",\"", 2);
    put(l, name, strlen(name));
    put(l, "\":", 2);
    put(l, text, len);
}

static void put_field(struct line *l, const struct log_field *f)
{
    char text[UUID_TEXT_LEN + 1];
    switch (f->type) {
    case LOG_FIELD_STR:
        put_str(l, f->name, f->str);
        return;
    case LOG_FIELD_UUID:
        uuid_format(f->uuid, text);
        put_str(l, f->name, str_of(text));
        return;
    case LOG_FIELD_INT:
        snprintf(text, sizeof text, "%lld", (long long)f->integer);
        put_plain(l, f->name, text);
        return;
    case LOG_FIELD_NUMBER:
        snprintf(text, sizeof text, "%.6g", f->number);
        put_plain(l, f->name, isfinite(f->number) ? text : "null");
        return;
    }
}

static void write_line(const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t written = write(STDERR_FILENO, bytes, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nobody reads it; there is nowhere to say so */
        bytes += written;
        len -= (size_t)written;
    }
}

void log_init(const char *program, enum log_level level)
{
    settings.program = program;
    settings.level = level;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    if (level < settings.level)
        return;
    const int saved = errno;
    struct line l;
    l.len = 0;
    char now[RFC3339_LEN + 1];
    clock_rfc3339(clock_wall_ms(), now);
    put(&l, "{\"time\":\"", 9);
    put(&l, now, RFC3339_LEN);
    put(&l, "\"", 1);
    put_str(&l, "level", str_of(names[level]));
    if (settings.program)
        put_str(&l, "program", str_of(settings.program));
    put_str(&l, "event", str_of(event));
    for (size_t i = 0; i < 3; i++)
        if (contexts[i][0])
            put_str(&l, context_names[i], str_of(contexts[i]));
    for (size_t i = 0; i < count; i++)
        put_field(&l, &fields[i]);
    put(&l, LINE_END, sizeof LINE_END - 1);
    write_line(l.bytes, l.len);
    errno = saved;
}

void log_context(const char *request_id, const char *command_id, const char *trace_id)
{
    const char *const values[] = { request_id, command_id, trace_id };
    for (size_t i = 0; i < 3; i++) {
        const size_t len = values[i] ? strnlen(values[i], CONTEXT_MAX - 1) : 0;
        if (len > 0)
            memcpy(contexts[i], values[i], len);
        contexts[i][len] = '\0';
    }
}
