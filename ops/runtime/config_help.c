#include "ops/runtime/config_help.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum { COLUMN_NAME, COLUMN_VARIABLE, COLUMN_DEFAULT, COLUMN_ALLOWED, COLUMN_DOC, COLUMNS };

#define CELL_MAX 512

struct row {
    char cells[COLUMNS][CELL_MAX];
};

void config_variable(const char *name, char *ret, size_t size)
{
    size_t at = (size_t)snprintf(ret, size, "AETHER_");
    for (; *name && at + 1 < size; name++)
        ret[at++] = *name == '.' ? '_' : (char)toupper((unsigned char)*name);
    ret[at] = '\0';
}

void config_allowed(const struct setting *s, char *ret, size_t size)
{
    const char *space = s->unit ? " " : "", *unit = s->unit ? s->unit : "";
    switch (s->type) {
    case SETTING_INT:
        snprintf(ret, size, "%" PRId64 " to %" PRId64 "%s%s", s->min, s->max, space, unit);
        return;
    case SETTING_BOOL:
        snprintf(ret, size, "true|false");
        return;
    case SETTING_CHOICE:
        snprintf(ret, size, "%s", s->choices);
        return;
    case SETTING_TEXT:
    case SETTING_SECRET:
        break;
    }
    const char *kind = s->type == SETTING_SECRET ? "secret text" : "text";
    if (s->max > 0)
        snprintf(ret, size, "%s, %" PRId64 " to %" PRId64 " bytes", kind, s->min, s->max);
    else if (s->min > 0)
        snprintf(ret, size, "%s, not empty", kind);
    else
        snprintf(ret, size, "%s", kind);
}

/* The default of a SECRET comes from the source, not from the installation: it is no secret. */
static struct row row_of(const struct setting *s)
{
    struct row r;
    snprintf(r.cells[COLUMN_NAME], CELL_MAX, "%s", s->name);
    config_variable(s->name, r.cells[COLUMN_VARIABLE], CELL_MAX);
    snprintf(r.cells[COLUMN_DEFAULT], CELL_MAX, "%s", !s->def ? "(must be set)" : *s->def ? s->def : "(empty)");
    config_allowed(s, r.cells[COLUMN_ALLOWED], CELL_MAX);
    snprintf(r.cells[COLUMN_DOC], CELL_MAX, "%s", s->doc);
    return r;
}

static const struct row titles = {
    .cells = { "setting", "environment variable", "default", "allowed", "what it is" },
};

static void widen(const struct row *r, int widths[COLUMNS])
{
    for (int i = 0; i < COLUMNS; i++)
        if ((int)strlen(r->cells[i]) > widths[i])
            widths[i] = (int)strlen(r->cells[i]);
}

static void print_aligned(const struct row *r, const int widths[COLUMNS])
{
    for (int i = 0; i < COLUMN_DOC; i++)
        printf("%-*s  ", widths[i], r->cells[i]);
    printf("%s\n", r->cells[COLUMN_DOC]);
}

static void print_markdown(const struct row *r)
{
    for (int i = 0; i < COLUMNS; i++) {
        fputs("| ", stdout);
        for (const char *at = r->cells[i]; *at; at++)
            printf(*at == '|' ? "\\%c" : "%c", *at);
        putchar(' ');
    }
    puts("|");
}

static void print_rows(const struct setting *const *tables, bool markdown, const int widths[COLUMNS])
{
    for (size_t t = 0; tables[t]; t++)
        for (const struct setting *s = tables[t]; s->name; s++) {
            const struct row r = row_of(s);
            if (markdown)
                print_markdown(&r);
            else
                print_aligned(&r, widths);
        }
}

void config_help(const char *program, const char *summary, const struct setting *const *tables, bool markdown)
{
    if (markdown) {
        printf("## %s\n\n%s\n\n", program, summary);
        print_markdown(&titles);
        puts("| --- | --- | --- | --- | --- |");
        print_rows(tables, true, NULL);
        return;
    }
    printf("%s - %s\n\n"
           "usage: %s [--set NAME=VALUE]… [--config FILE] [--check] [--help[=markdown]] [--version]\n\n"
           "A setting is taken from --set, else from its environment variable, else from FILE (lines 'name = value'),\n"
           "else it has its default. kafka.<property> (AETHER_KAFKA_<PROPERTY>) goes to librdkafka as it is.\n"
           "--check reads the settings, says what is wrong with them and does nothing else.\n\n",
           program, summary, program);
    int widths[COLUMNS] = { 0 };
    widen(&titles, widths);
    for (size_t t = 0; tables[t]; t++)
        for (const struct setting *s = tables[t]; s->name; s++) {
            const struct row r = row_of(s);
            widen(&r, widths);
        }
    print_aligned(&titles, widths);
    print_rows(tables, false, widths);
}
