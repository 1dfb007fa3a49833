/* Values are read in the order of precedence, highest first; a value that is already there is left alone. Everything is
 * copied, so argv and the environment may change afterwards. */
#include "ops/runtime/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ops/runtime/config_help.h"

#define PREFIX       "AETHER_"
#define KAFKA_PREFIX "kafka."
#define NAME_MAX_LEN 128

#define LOG_LEVEL_ROW                                                                                                  \
    {                                                                                                                  \
        "log.level", SETTING_CHOICE, .def = "info", .choices = "debug|info|warn|error",                                \
                                     .doc = "Lines below this level are not written."                                  \
    }
#define BOOTSTRAP_ROW                                                                                                  \
    {                                                                                                                  \
        "kafka.bootstrap.servers", SETTING_TEXT, .def = "127.0.0.1:9092", .min = 1,                                    \
                                                 .doc = "Kafka brokers to start from: host:port, separated by commas." \
    }

const struct setting runtime_kafka_settings[] = { LOG_LEVEL_ROW, BOOTSTRAP_ROW, { .name = NULL } };

const struct setting runtime_settings[] = {
    LOG_LEVEL_ROW,
    BOOTSTRAP_ROW,
    { "postgres.dsn", SETTING_SECRET, .def = NULL, .min = 1,
      .doc = "PostgreSQL: a URI or keyword=value pairs (libpq)." },
    { "redis.url", SETTING_SECRET, .def = "redis://127.0.0.1:6379/0", .min = 1,
      .doc = "Redis: redis://[[user]:password@]host[:port][/database]." },
    { .name = NULL },
};

/* What the programs of one installation share one set of environment variables for: a name of an area that is no area
 * of this program is another program's business. */
static const char *const known_areas[] = {
    "admin",    "auth",       "dispatch",      "gateway", "hashing",  "http",     "kafka",    "limits", "log",
    "messages", "moderation", "notifications", "ops",     "postgres", "presence", "producer", "reads",  "redis",
    "runtime",  "schemas",    "test",          "topics",  "users",    "vault",    "worker",
};

struct value {
    const struct setting *setting;
    char *text; /* NULL: not given so far */
    int64_t number;
    char *source; /* for the message about a wrong value */
};

struct property {
    char *name, *text;
};

struct config {
    struct value *values; /* by name */
    size_t count;
    struct property *kafka; /* in the order given, one entry a name */
    size_t kafka_count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct value *)a)->setting->name, ((const struct value *)b)->setting->name);
}

static struct value *find(const struct config *c, const char *name)
{
    const struct setting key_setting = { .name = name };
    const struct value key = { .setting = &key_setting };
    return c->count ? bsearch(&key, c->values, c->count, sizeof key, by_name) : NULL;
}

static struct config *config_create(const struct setting *const *tables)
{
    struct config *c = mem_alloc(sizeof *c);
    for (size_t t = 0; tables[t]; t++)
        for (const struct setting *s = tables[t]; s->name; s++)
            c->count++;
    c->values = mem_alloc(c->count * sizeof *c->values);
    size_t at = 0;
    for (size_t t = 0; tables[t]; t++)
        for (const struct setting *s = tables[t]; s->name; s++)
            c->values[at++].setting = s;
    qsort(c->values, c->count, sizeof *c->values, by_name);
    return c;
}

void config_destroy(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        free(c->values[i].text);
        free(c->values[i].source);
    }
    for (size_t i = 0; i < c->kafka_count; i++) {
        free(c->kafka[i].name);
        free(c->kafka[i].text);
    }
    free(c->values);
    free(c->kafka);
    free(c);
}

/* --- one value --- */

static bool is_choice(const char *choices, const char *text)
{
    const size_t len = strlen(text);
    for (const char *at = choices; at; at = strchr(at, '|'), at += at != NULL)
        if (len > 0 && strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == '\0'))
            return true;
    return false;
}

static bool parse_bool(const char *text, int64_t *ret)
{
    static const char *const names[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i]) == 0) {
            *ret = (int64_t)(i & 1);
            return true;
        }
    return false;
}

static bool parse_int(const char *text, int64_t *ret)
{
    if (!isdigit((unsigned char)*text) && *text != '-')
        return false;
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool is_allowed(const struct setting *s, const char *text, int64_t *ret_number)
{
    switch (s->type) {
    case SETTING_INT:
        return parse_int(text, ret_number) && *ret_number >= s->min && *ret_number <= s->max;
    case SETTING_BOOL:
        return parse_bool(text, ret_number);
    case SETTING_CHOICE:
        return is_choice(s->choices, text);
    case SETTING_TEXT:
    case SETTING_SECRET:
        break;
    }
    const int64_t len = (int64_t)strlen(text);
    return len >= s->min && (s->max == 0 || len <= s->max);
}

static err check(struct value *v)
{
    const struct setting *s = v->setting;
    char variable[NAME_MAX_LEN], allowed[256];
    config_variable(s->name, variable, sizeof variable);
    config_allowed(s, allowed, sizeof allowed);
    if (!v->text && !s->def)
        return err_set(FATAL, "%s is not set: give it with %s or --set %s=…; allowed: %s", s->name, variable, s->name,
                       allowed);
    if (!v->text) {
        v->text = mem_copy_string(s->def);
        v->source = mem_copy_string("the default");
    }
    if (is_allowed(s, v->text, &v->number))
        return OK;
    if (s->type == SETTING_SECRET)
        return err_set(FATAL, "%s (from %s) is wrong, it has %zu bytes; allowed: %s", s->name, v->source,
                       strlen(v->text), allowed);
    return err_set(FATAL, "%s = '%.100s' (from %s) is wrong; allowed: %s", s->name, v->text, v->source, allowed);
}

/* --- names --- */

static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    const size_t len = strlen(b);
    if (len > NAME_MAX_LEN)
        return SIZE_MAX;
    for (size_t i = 0; i <= len; i++)
        row[i] = i;
    for (size_t i = 1; *a; a++, i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= len; k++) {
            size_t best = corner + (*a != b[k - 1]);
            corner = row[k];
            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            row[k] = best;
        }
    }
    return row[len];
}

static const char *nearest(const struct config *c, const char *name)
{
    const char *best = c->values[0].setting->name;
    for (size_t i = 1; i < c->count; i++)
        if (distance(name, c->values[i].setting->name) < distance(name, best))
            best = c->values[i].setting->name;
    return best;
}

static bool same_area(const char *name, const char *area, size_t len)
{
    return strncmp(name, area, len) == 0 && (name[len] == '.' || name[len] == '\0');
}

/* `name` is unknown to this program; true: it may well be a setting of another one. */
static bool is_foreign(const struct config *c, const char *name)
{
    const size_t len = strcspn(name, ".");
    for (size_t i = 0; i < c->count; i++)
        if (same_area(c->values[i].setting->name, name, len))
            return false;
    for (size_t i = 0; i < sizeof known_areas / sizeof *known_areas; i++)
        if (same_area(known_areas[i], name, len))
            return true;
    return false;
}

static bool is_kafka(const char *name)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): strncmp has read as far */
    return strncmp(name, KAFKA_PREFIX, sizeof KAFKA_PREFIX - 1) == 0 && name[sizeof KAFKA_PREFIX - 1] != '\0';
}

static void kafka_give(struct config *c, const char *property, const char *text)
{
    for (size_t i = 0; i < c->kafka_count; i++)
        if (strcmp(c->kafka[i].name, property) == 0)
            return;
    c->kafka = mem_resize(c->kafka, (c->kafka_count + 1) * sizeof *c->kafka);
    c->kafka[c->kafka_count++] = (struct property){ mem_copy_string(property), mem_copy_string(text) };
}

static void give(struct value *v, const char *text, const char *source)
{
    if (v->text)
        return;
    v->text = mem_copy_string(text);
    v->source = mem_copy_string(source);
}

/* `strict`: a name of another program's area is an error too. */
static err assign(struct config *c, const char *name, const char *text, const char *source, bool strict)
{
    struct value *v = find(c, name);
    if (v) {
        give(v, text, source);
        return OK;
    }
    if (is_kafka(name)) {
        kafka_give(c, name + sizeof KAFKA_PREFIX - 1, text);
        return OK;
    }
    if (!strict && is_foreign(c, name))
        return OK;
    return err_set(FATAL, "no setting is called '%.100s' (from %s); did you mean %s? --help lists them all", name,
                   source, nearest(c, name));
}

/* --- environment --- */

/* AETHER_KAFKA_SSL_CA_LOCATION as "kafka.ssl.ca.location". */
static void dotted(const char *variable, char *ret, size_t size)
{
    size_t at = 0;
    for (const char *from = variable + sizeof PREFIX - 1; *from && at + 1 < size; from++)
        ret[at++] = *from == '_' ? '.' : (char)tolower((unsigned char)*from);
    ret[at] = '\0';
}

static err read_variable(struct config *c, const char *variable, const char *text)
{
    char name[NAME_MAX_LEN], candidate[NAME_MAX_LEN];
    for (size_t i = 0; i < c->count; i++) {
        config_variable(c->values[i].setting->name, candidate, sizeof candidate);
        if (strcmp(candidate, variable) == 0) {
            give(&c->values[i], text, variable);
            return OK;
        }
    }
    dotted(variable, name, sizeof name);
    if (is_kafka(name)) {
        kafka_give(c, name + sizeof KAFKA_PREFIX - 1, text);
        return OK;
    }
    if (is_foreign(c, name))
        return OK;
    config_variable(nearest(c, name), candidate, sizeof candidate);
    return err_set(FATAL, "no setting has the variable %.100s; did you mean %s? --help lists them all", variable,
                   candidate);
}

static err read_environment(struct config *c)
{
    for (char **at = environ; at && *at; at++) {
        if (strncmp(*at, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        const char *equals = strchr(*at, '=');
        if (!equals)
            continue;
        char variable[NAME_MAX_LEN];
        snprintf(variable, sizeof variable, "%.*s", (int)(equals - *at), *at);
        TRY(read_variable(c, variable, equals + 1));
    }
    return OK;
}

/* --- file --- */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    for (size_t len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]); len--)
        text[len - 1] = '\0';
    return text;
}

static err read_line(struct config *c, char *line, const char *path, int number)
{
    char source[512];
    snprintf(source, sizeof source, "%.480s:%d", path, number);
    char *text = trim(line);
    if (*text == '\0' || *text == '#')
        return OK;
    char *equals = strchr(text, '=');
    if (!equals)
        return err_set(FATAL, "%s: a line is 'name = value' or a # comment", source);
    *equals = '\0';
    return assign(c, trim(text), trim(equals + 1), source, false);
}

static err read_file(struct config *c, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(FATAL, "the configuration file %s cannot be read: %s", path, strerror(errno));
    char *line = NULL;
    size_t size = 0;
    err e = OK;
    for (int number = 1; e == OK && getline(&line, &size, file) >= 0; number++)
        e = read_line(c, line, path, number);
    if (e == OK && ferror(file))
        e = err_set(FATAL, "the configuration file %s cannot be read: %s", path, strerror(errno));
    free(line);
    fclose(file);
    return e;
}

/* --- arguments --- */

struct arguments {
    const char *file;  /* --config */
    const char **sets; /* --set, in the order given */
    size_t set_count;
    enum { NO_HELP, HELP_TABLE, HELP_MARKDOWN, HELP_VERSION } help;
    bool check; /* --check */
};

/* `--option VALUE` or `--option=VALUE`; NULL: this is not the option. FATAL: its value is missing. */
static err option_value(const char *option, int argc, char **argv, int *at, const char **ret)
{
    const size_t len = strlen(option);
    *ret = NULL;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): *at is below argc */
    if (strncmp(argv[*at], option, len) != 0)
        return OK;
    if (argv[*at][len] == '=') {
        *ret = argv[*at] + len + 1;
    } else if (argv[*at][len] == '\0') {
        if (*at + 1 == argc)
            return err_set(FATAL, "%s needs a value", option);
        *ret = argv[++*at];
    }
    return OK;
}

static err read_arguments(int *argc, char **argv, struct arguments *a)
{
    int kept = *argc > 0 ? 1 : 0;
    for (int i = 1; i < *argc; i++) {
        const char *set = NULL, *file = NULL;
        if (strcmp(argv[i], "--") == 0) {
            while (++i < *argc)
                argv[kept++] = argv[i];
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            a->help = HELP_TABLE;
        } else if (strcmp(argv[i], "--help=markdown") == 0) {
            a->help = HELP_MARKDOWN;
        } else if (strcmp(argv[i], "--version") == 0) {
            a->help = HELP_VERSION;
        } else if (strcmp(argv[i], "--check") == 0) {
            a->check = true;
        } else {
            TRY(option_value("--set", *argc, argv, &i, &set));
            if (!set)
                TRY(option_value("--config", *argc, argv, &i, &file));
            if (set)
                a->sets[a->set_count++] = set;
            else if (file)
                a->file = file;
            else
                argv[kept++] = argv[i];
        }
    }
    if (kept < *argc)
        argv[kept] = NULL;
    *argc = kept;
    return OK;
}

static err read_set(struct config *c, const char *set)
{
    const char *equals = strchr(set, '=');
    if (!equals)
        return err_set(FATAL, "--set '%.100s' is wrong; allowed: --set NAME=VALUE", set);
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof name, "%.*s", (int)(equals - set), set);
    return assign(c, name, equals + 1, "--set", true);
}

static err read_all(struct config *c, const struct arguments *a)
{
    for (size_t i = a->set_count; i > 0; i--) /* the last one counts */
        TRY(read_set(c, a->sets[i - 1]));
    TRY(read_environment(c));
    if (a->file)
        TRY(read_file(c, a->file));
    for (size_t i = 0; i < c->count; i++)
        TRY(check(&c->values[i]));
    return OK;
}

err config_load(const char *program, const char *summary, const struct setting *const *tables, int *argc, char **argv,
                struct config **ret)
{
    struct arguments a = { .sets = mem_alloc((size_t)*argc * sizeof *a.sets) };
    err e = read_arguments(argc, argv, &a);
    if (e == OK && a.help != NO_HELP) {
        if (a.help == HELP_VERSION)
            printf("%s %s\n", program, AETHER_VERSION);
        else
            config_help(program, summary, tables, a.help == HELP_MARKDOWN);
        exit(EXIT_SUCCESS);
    }
    struct config *c = config_create(tables);
    if (e == OK)
        e = read_all(c, &a);
    free(a.sets);
    if (e == OK && a.check) {
        config_destroy(c);
        exit(EXIT_SUCCESS);
    }
    if (e != OK)
        config_destroy(c);
    else
        *ret = c;
    return e;
}

/* --- reading --- */

static const struct value *given(const struct config *c, const char *name)
{
    const struct value *v = find(c, name);
    if (!v) {
        fprintf(stderr, "the program asks for the setting %s, which is in none of its tables\n", name);
        abort();
    }
    return v;
}

int64_t config_int(const struct config *c, const char *name)
{
    const struct value *v = given(c, name);
    assert(v->setting->type == SETTING_INT);
    return v->number;
}

bool config_bool(const struct config *c, const char *name)
{
    const struct value *v = given(c, name);
    assert(v->setting->type == SETTING_BOOL);
    return v->number != 0;
}

const char *config_text(const struct config *c, const char *name)
{
    return given(c, name)->text;
}

void config_each_kafka(const struct config *c, void (*each)(void *context, const char *property, const char *value),
                       void *context)
{
    for (size_t i = 0; i < c->kafka_count; i++)
        each(context, c->kafka[i].name, c->kafka[i].text);
}
