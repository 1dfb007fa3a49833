/* boundary_rows: tests/gateway/boundaries.txt, which says what of each route's fields may be how long, large or many.
 * Its lines are "<route>: <method> <path> <who> …" and "<route> <place>.<field>: <type> <min>..<max> <pattern or
 * choices> <flags>", sorted; they are compared with what the routes declare, which must not be the only one to
 * say it. */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/http/route.h"

#define BOUNDARY_LINES_MAX 2000

struct row {
    char line[512]; /* cut into what follows */
    char *route, *place, *field, *type;
    int64_t min, max;
    char *pattern, *choices; /* NULL: none */
    bool required, nullable;
};

/* --- what the routes declare, as lines --- */

static const char *const row_types[] = {
    [FIELD_TEXT] = "text",     [FIELD_UUID] = "uuid",       [FIELD_INT] = "int",   [FIELD_BOOL] = "bool",
    [FIELD_CHOICE] = "choice", [FIELD_CHOICES] = "choices", [FIELD_TIME] = "time",
};

static inline void rows_declare_fields(struct buf *out, const struct route *route, const char *place,
                                       const struct body_field *field)
{
    for (; field && field->name; field++) {
        buf_printf(out, "%s %s.%s: %s", route->name, place, field->name, row_types[field->type]);
        if (field->type == FIELD_TEXT || field->type == FIELD_INT || field->type == FIELD_CHOICES)
            buf_printf(out, " %" PRId64 "..%" PRId64, field->min, field->max);
        if (field->pattern)
            buf_printf(out, " %s", field->pattern);
        if (field->choices)
            buf_printf(out, " %s", field->choices);
        buf_printf(out, "%s%s%s\n", field->required ? " required" : "", field->nullable ? " nullable" : "",
                   field->secret ? " secret" : "");
    }
}

static inline void rows_declare(struct buf *out, const struct route *route)
{
    buf_printf(out, "%s: %s %s %s", route->name, method_name(route->method), route->path,
               route->auth == AUTH_NONE ? "anybody" : "user");
    buf_printf(out, "%s%s%s%s%s\n", route->roles & ROLE_MODERATOR ? " moderator" : "",
               route->roles & ROLE_ADMIN ? " admin" : "", route->body && route->body->is_patch ? " patch" : "",
               route->etag ? " etag" : "", route->if_match ? " if-match" : "");
    for (const char *at = route->path; (at = strchr(at, '{'));) {
        size_t len = strcspn(++at, "}");
        buf_printf(out, "%s path.%.*s: %s\n", route->name, (int)len, at, route->plain_params ? "text" : "uuid");
    }
    rows_declare_fields(out, route, "query", route->query);
    rows_declare_fields(out, route, "body", route->body ? route->body->fields : NULL);
}

/* --- lines --- */

static inline int lines_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Cuts `text` into its lines, sorted. */
static inline size_t lines_of(char *text, char *ret[static BOUNDARY_LINES_MAX])
{
    size_t count = 0;
    for (char *saved, *line = strtok_r(text, "\n", &saved); line && count < BOUNDARY_LINES_MAX;
         line = strtok_r(NULL, "\n", &saved))
        ret[count++] = line;
    qsort(ret, count, sizeof *ret, lines_order);
    return count;
}

/* NULL: it cannot be read. To be freed. */
static inline char *file_text(const char *path)
{
    FILE *in = fopen(path, "r");
    struct buf text = { 0 };
    size_t got = 0;
    do {
        buf_reserve(&text, 65536);
        text.len += got = in ? fread(text.ptr + text.len, 1, 65535, in) : 0;
    } while (got > 0);
    text.ptr[text.len] = '\0';
    if (in)
        fclose(in);
    else
        buf_finish(&text);
    return text.ptr;
}

/* --- lines as rows --- */

static inline void row_read_spec(struct row *row, char *spec)
{
    char *saved;
    row->type = strtok_r(spec, " ", &saved);
    for (char *word; (word = strtok_r(NULL, " ", &saved));) {
        if (sscanf(word, "%" SCNd64 "..%" SCNd64, &row->min, &row->max) == 2 || strcmp(word, "secret") == 0)
            continue;
        if (strcmp(word, "required") == 0)
            row->required = true;
        else if (strcmp(word, "nullable") == 0)
            row->nullable = true;
        else if (strchr(word, '|'))
            row->choices = word;
        else
            row->pattern = word;
    }
}

/* false: the line is about a route, not a field. */
static inline bool row_read(struct row *row, const char *line)
{
    snprintf(row->line, sizeof row->line, "%s", line);
    char *colon = strstr(row->line, ": "), *space = strchr(row->line, ' '), *dot = strchr(row->line, '.');
    if (!colon || !dot || space > colon || dot > colon)
        return false;
    *colon = *space = *dot = '\0';
    row->route = row->line;
    row->place = space + 1;
    row->field = dot + 1;
    row_read_spec(row, colon + 2);
    return true;
}
