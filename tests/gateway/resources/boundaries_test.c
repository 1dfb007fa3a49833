/* Every route and every field that comes in, at its bounds: what is smallest and largest is taken, and what lies behind
 * is refused by name. The bounds stand in tests/gateway/boundaries.txt (the program's argument) as well as in the
 * routes, so that one of them changes only on purpose:
 *
 *     AETHER_WRITE_BOUNDARIES=1 gateway_boundaries_test tests/gateway/boundaries.txt
 *
 * writes the file anew, to be read as a change. */
#include <jansson.h>

#include "gateway/docs/openapi.h"
#include "gateway/http/admission.h"
#include "gateway/http/json_arena.h"
#include "tests/gateway/resources/boundary_rows.h"
#include "tests/gateway/resources/boundary_values.h"
#include "tests/suite.h"

#define ID       "01890000-0000-7000-8000-000000000000"
#define BODY_MAX 1000 /* bytes, of the admission under test */

static const char *file;
static char *file_lines[BOUNDARY_LINES_MAX];
static size_t file_count;
static struct row rows[BOUNDARY_LINES_MAX];
static size_t row_count;

static struct request r;
static struct buf made; /* a value */

static const char *said(void)
{
    return arena_str(&r.arena, buf_view(&r.response.body)).ptr;
}

/* --- the table --- */

static void write_file(char **lines, size_t count)
{
    FILE *out = fopen(file, "w");
    ck_assert_msg(out != NULL, "%s cannot be written", file);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s\n", lines[i]);
    ck_assert_int_eq(fclose(out), 0);
}

START_TEST(the_routes_declare_what_was_reviewed)
{
    static char *is[BOUNDARY_LINES_MAX];
    struct buf text = { 0 };
    for (const struct route *route = routes; route->path; route++)
        rows_declare(&text, route);
    buf_append(&text, "", 1);
    size_t count = lines_of(text.ptr, is), i = 0, k = 0, wrong = 0;
    if (getenv("AETHER_WRITE_BOUNDARIES"))
        write_file(is, count);
    while (i < count || k < file_count) {
        int order = i == count ? 1 : k == file_count ? -1 : strcmp(is[i], file_lines[k]);
        if (order < 0)
            fprintf(stderr, "declared, not reviewed: %s\n", is[i]);
        else if (order > 0)
            fprintf(stderr, "reviewed, not declared: %s\n", file_lines[k]);
        wrong += order != 0;
        i += order <= 0;
        k += order >= 0;
    }
    buf_finish(&text);
    ck_assert_msg(wrong == 0,
                  "%zu lines are not those of %s; if that is meant, this program writes it with "
                  "AETHER_WRITE_BOUNDARIES=1",
                  wrong, file);
}
END_TEST

/* --- asking --- */

static bool is_query(const struct row *row)
{
    return strcmp(row->place, "query") == 0;
}

static bool is_path(const struct row *row)
{
    return strcmp(row->place, "path") == 0;
}

static bool is(const struct row *row, const char *type)
{
    return strcmp(row->type, type) == 0;
}

static const struct route *route_named(const char *name)
{
    const struct route *route = routes;
    while (route->path && strcmp(route->name, name) != 0)
        route++;
    ck_assert_msg(route->path != NULL, "there is no route %s", name);
    return route;
}

static void begin(const struct route *route)
{
    arena_reset(&r.arena);
    buf_clear(&r.body_bytes);
    buf_clear(&r.response.body);
    r.response.status = 0;
    r.response.header_count = 0;
    r.query = (struct str){ 0 };
    r.route = route;
    r.claims = (struct claims){ .roles = ROLE_USER };
}

/* JSON of a value that the row allows. */
static const char *good_value(const struct row *row, char ret[static 128])
{
    if (is(row, "text"))
        return good_text(row->pattern);
    if (is(row, "uuid"))
        return "\"" ID "\"";
    if (is(row, "time"))
        return "\"2027-01-31T12:00:00Z\"";
    if (is(row, "bool"))
        return "true";
    if (is(row, "int"))
        snprintf(ret, 128, "%" PRId64, row->min);
    else
        snprintf(ret, 128, is(row, "choice") ? "\"%.*s\"" : "[\"%.*s\"]", (int)strcspn(row->choices, "|"),
                 row->choices);
    return ret;
}

/* A string without its quotes, every byte percent-encoded. */
static void put_query(struct buf *out, const char *name, const char *json)
{
    const size_t quote = json[0] == '"', len = strlen(json);
    buf_printf(out, "%s%s=", out->len > 0 ? "&" : "", name);
    for (size_t i = quote; i < len - quote; i++)
        buf_printf(out, "%%%02X", (unsigned)(uint8_t)json[i]);
}

static void put_member(struct buf *out, const char *name, const char *json)
{
    buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
    buf_str(out, str_of(json)); /* longer than what is printed may be */
}

/* What else the row's place needs, and the row itself as `value`; NULL: left out. */
static void ask(const struct row *row, const char *value)
{
    void (*const add)(struct buf *, const char *, const char *) = is_query(row) ? put_query : put_member;
    struct buf text = { 0 };
    char other[128];
    begin(route_named(row->route));
    buf_str(&text, is_query(row) ? STR("") : STR("{"));
    for (size_t i = 0; i < row_count; i++)
        if (&rows[i] != row && rows[i].required && strcmp(rows[i].route, row->route) == 0 &&
            strcmp(rows[i].place, row->place) == 0)
            add(&text, rows[i].field, good_value(&rows[i], other));
    if (value)
        add(&text, row->field, value);
    if (is_query(row)) {
        r.query = arena_str(&r.arena, buf_view(&text));
        query_check(&r);
    } else {
        buf_str(&r.body_bytes, buf_view(&text));
        buf_str(&r.body_bytes, STR("}"));
        body_check(&r);
    }
    buf_finish(&text);
}

static void takes(const struct row *row, const char *value)
{
    ask(row, value);
    ck_assert_msg(r.response.status == 0, "%s %s.%s does not take %.200s: %s", row->route, row->place, row->field,
                  value ? value : "nothing", said());
}

/* With 400, by the field's name, in these words. */
static void refuses(const struct row *row, const char *value, const char *words)
{
    char name[128];
    ask(row, value);
    snprintf(name, sizeof name, "\"field\":\"%s\"", row->field);
    ck_assert_msg(r.response.status == 400 && strstr(said(), is_query(row) ? "\"bad_query\"" : "\"invalid_body\"") &&
                      strstr(said(), name) && strstr(said(), words),
                  "%s %s.%s and %.200s: %d %s", row->route, row->place, row->field, value ? value : "nothing",
                  r.response.status, r.response.status ? said() : "taken");
}

/* --- each type --- */

static void check_text(const struct row *row)
{
    char words[128];
    const char *value;
    snprintf(words, sizeof words, "%" PRId64 " to %" PRId64 " characters, not", row->min, row->max);
    for (int wide = 0; wide < 2; wide++) {
        if ((value = text_of(&made, row->pattern, row->min, wide)))
            takes(row, value);
        if ((value = text_of(&made, row->pattern, row->max, wide)))
            takes(row, value);
    }
    takes(row, good_text(row->pattern));
    refuses(row, any_text(&made, row->max + 1), words);
    if (row->min > 0)
        refuses(row, any_text(&made, row->min - 1), words);
    if (!is_query(row))
        refuses(row, "\"ab\\u0000cdefghij\"", "NUL");
    if (row->pattern && strcmp(row->pattern, "message") == 0) {
        takes(row, any_text(&made, 4000));
        refuses(row, any_text(&made, 4001), "4000 characters, as people count");
    }
}

/* What a pattern allows where the field's own bounds are wider. */
static void check_pattern(const struct row *row)
{
    static const struct {
        const char *pattern, *good[4], *bad[4];
    } patterns[] = {
        { "message", { "\"a\\u0301\"" }, { NULL } },
        { "email", { "\"a@b.c\"" }, { "\"a@b\"", "\"@b.c\"", "\"a@.c\"", "\"a b@c.d\"" } },
        { "phone", { "\"+12\"", "\"+123456789012345\"" }, { "\"+1\"", "\"+1234567890123456\"", "\"+0123\"" } },
        { "date", { "\"1900-01-01\"" }, { "\"1899-12-31\"", "\"9999-12-31\"", "\"2001-02-29\"" } },
        { "url", { "\"http://a\"" }, { "\"https://\"", "\"ftp://ab.c\"" } },
        { "locale", { "\"de\"" }, { "\"d\"", "\"de_AT\"" } },
        { "time_zone", { "\"UTC\"" }, { "\"Nowhere/City\"" } },
        { "username", { "\"a.b\"" }, { "\".ab\"", "\"ab.\"", "\"a b\"" } },
        { "name", { "\" a \"" }, { "\" \"", "\"a\\u001fb\"", "\"a\\u007fb\"" } },
        { "prose", { "\"a\\nb\\tc\"" }, { "\"a\\u001fb\"", "\"a\\u007fb\"" } },
    };
    for (size_t i = 0; row->pattern && i < sizeof patterns / sizeof *patterns; i++) {
        if (strcmp(patterns[i].pattern, row->pattern) != 0)
            continue;
        for (size_t k = 0; k < 4 && patterns[i].good[k]; k++)
            if (!(is_query(row) && strchr(patterns[i].good[k], '\\')))
                takes(row, patterns[i].good[k]);
        for (size_t k = 0; k < 4 && patterns[i].bad[k]; k++)
            if (!(is_query(row) && strchr(patterns[i].bad[k], '\\')))
                refuses(row, patterns[i].bad[k], "");
    }
}

static void check_int(const struct row *row)
{
    char value[32], words[128];
    snprintf(words, sizeof words, "a whole number from %" PRId64 " to %" PRId64 ".", row->min, row->max);
    snprintf(value, sizeof value, "%" PRId64, row->min);
    takes(row, value);
    snprintf(value, sizeof value, "%" PRId64, row->max);
    takes(row, value);
    snprintf(value, sizeof value, "%" PRId64, row->min - 1);
    refuses(row, value, words);
    if (row->max < INT64_MAX) {
        snprintf(value, sizeof value, "%" PRId64, row->max + 1);
        refuses(row, value, words);
    } else if (is_query(row)) {
        refuses(row, "9223372036854775808", words);
    } else {
        ask(row, "9223372036854775808");
        ck_assert(r.response.status == 400 && strstr(said(), "a number is too large"));
    }
    refuses(row, "1.0", words);
    refuses(row, is_query(row) ? "0x1" : "\"1\"", words);
}

static void check_choice(const struct row *row)
{
    char value[128];
    for (const char *at = row->choices; *at; at += strspn(at, "|")) {
        const int len = (int)strcspn(at, "|");
        snprintf(value, sizeof value, "\"%.*s\"", len, at);
        takes(row, value);
        snprintf(value, sizeof value, "\"%.*s\"", len - 1, at);
        refuses(row, value, "must be one of");
        snprintf(value, sizeof value, "\"%.*ss\"", len, at);
        refuses(row, value, "must be one of");
        snprintf(value, sizeof value, "\"%c%.*s\"", at[0] - 'a' + 'A', len - 1, at + 1);
        refuses(row, value, "must be one of");
        at += len;
    }
    snprintf(value, sizeof value, "\"%s\"", row->choices);
    refuses(row, value, "must be one of");
    refuses(row, "\"\"", "must be one of");
}

/* The first `count` of the choices, from the first one on again where there are no more. */
static const char *some_choices(const struct row *row, int64_t count)
{
    const char *at = row->choices;
    buf_clear(&made);
    put(&made, "[", 1);
    for (int64_t i = 0; i < count; i++) {
        const size_t len = strcspn(at, "|");
        put(&made, i > 0 ? ",\"" : "\"", 1);
        buf_append(&made, at, len);
        put(&made, "\"", 1);
        at = at[len] ? at + len + 1 : row->choices;
    }
    buf_append(&made, "]", 2);
    return made.ptr;
}

static void check_choices(const struct row *row)
{
    takes(row, some_choices(row, row->min));
    takes(row, some_choices(row, row->max));
    refuses(row, some_choices(row, row->min - 1), "none twice");
    refuses(row, some_choices(row, row->max + 1), "none twice");
    refuses(row, "[\"none\"]", "none twice");
    refuses(row, "\"user\"", "none twice");
}

static void check_values(const struct row *row, const char *const good[], const char *const bad[], const char *words)
{
    for (size_t i = 0; good[i]; i++)
        takes(row, good[i]);
    for (size_t i = 0; bad[i]; i++)
        if (!(is_query(row) && bad[i][0] != '"'))
            refuses(row, bad[i], words);
}

static void check_field(const struct row *row)
{
    static const char *const ids[] = { "\"" ID "\"", "\"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\"", NULL };
    static const char *const no_ids[] = { "\"\"",
                                          "\"01890000-0000-7000-8000-00000000000\"",
                                          "\"01890000-0000-7000-8000-0000000000000\"",
                                          "\"g1890000-0000-7000-8000-000000000000\"",
                                          "\"018900000000-7000-8000-0000-00000000\"",
                                          "{}",
                                          "7",
                                          NULL };
    static const char *const times[] = { "\"0000-01-01T00:00:00Z\"", "\"9999-12-31T23:59:59.999Z\"",
                                         "\"2024-02-29T12:00:00+23:59\"", NULL };
    static const char *const no_times[] = { "\"2027-01-31\"",
                                            "\"10000-01-01T00:00:00Z\"",
                                            "\"2027-13-01T00:00:00Z\"",
                                            "\"2027-00-01T00:00:00Z\"",
                                            "\"2027-02-29T00:00:00Z\"",
                                            "\"2027-01-00T00:00:00Z\"",
                                            "\"2027-01-01T24:00:00Z\"",
                                            "\"2027-01-01T00:60:00Z\"",
                                            "\"2027-01-01T00:00:60Z\"",
                                            "\"2027-01-01T00:00:00\"",
                                            "\"2027-01-01T00:00:00+24:00\"",
                                            "7",
                                            "[]",
                                            NULL };
    static const char *const truths[] = { "true", "false", NULL };
    static const char *const no_truths[] = { "\"TRUE\"", "\"\"", "\"1\"", "\"yes\"", "\"tru\"", "0", NULL };
    if (is(row, "text"))
        check_text(row), check_pattern(row);
    else if (is(row, "int"))
        check_int(row);
    else if (is(row, "choice"))
        check_choice(row);
    else if (is(row, "choices"))
        check_choices(row);
    else if (is(row, "uuid"))
        check_values(row, ids, no_ids, "must be a UUID");
    else if (is(row, "time"))
        check_values(row, times, no_times, "RFC 3339");
    else if (is(row, "bool"))
        check_values(row, truths, no_truths, "must be true or false");
    else
        ck_abort_msg("%s: no such type", row->type);
}

/* A value of another JSON type, null, and nothing. */
static void check_presence(const struct row *row)
{
    if (row->required)
        refuses(row, NULL, "is required");
    else
        takes(row, NULL);
    if (is_query(row))
        return;
    if (row->nullable)
        takes(row, "null");
    else
        refuses(row, "null", "must be");
    refuses(row, "{\"a\":1}", "must be");
    if (!is(row, "bool"))
        refuses(row, "true", "must be");
    if (!is(row, "int"))
        refuses(row, "1", "must be");
    if (!is(row, "choices"))
        refuses(row, "[]", "must be");
}

START_TEST(a_field_is_taken_at_its_bounds_and_refused_behind_them)
{
    size_t fields = 0;
    for (size_t i = 0; i < row_count; i++) {
        if (is_path(&rows[i]))
            continue;
        check_field(&rows[i]);
        check_presence(&rows[i]);
        fields++;
    }
    ck_assert_uint_gt(fields, 80);
}
END_TEST

START_TEST(a_body_takes_no_field_that_it_does_not_have)
{
    for (size_t i = 0; i < row_count; i++) {
        struct row other = rows[i];
        if (is_path(&other) || is_query(&other))
            continue;
        other.field = "somethingElse";
        refuses(&other, "1", "is not a field of");
    }
}
END_TEST

/* --- what clients are told --- */

/* What "#/components/…" stands for, where the value is nothing but a name. */
static const json_t *resolved(const json_t *document, const json_t *value)
{
    const char *at = json_string_value(json_object_get(value, "$ref"));
    if (!at)
        return value;
    value = document;
    for (size_t len; *(at += strspn(at, "#/")); at += len) {
        char name[128];
        len = strcspn(at, "/");
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        value = json_object_get(value, name);
    }
    return value;
}

/* The row's schema in the document; *ret_required: the document says that it is. */
static const json_t *schema_of(const json_t *document, const struct row *row, bool *ret_required)
{
    const struct route *route = route_named(row->route);
    char method[16];
    snprintf(method, sizeof method, "%s", method_name(route->method));
    for (char *at = method; *at; at++)
        *at = (char)(*at | 0x20);
    const json_t *operation = json_object_get(json_object_get(json_object_get(document, "paths"), route->path), method);
    const json_t *parameter, *body, *name;
    size_t i;
    if (is_query(row)) {
        json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
        {
            if (strcmp(json_string_value(json_object_get(parameter, "name")), row->field) != 0)
                continue;
            *ret_required = json_is_true(json_object_get(parameter, "required"));
            return resolved(document, json_object_get(parameter, "schema"));
        }
        return NULL;
    }
    body = json_object_get(json_object_get(operation, "requestBody"), "content");
    const json_t *plain = json_object_get(body, "application/json");
    body = plain ? plain : json_object_get(body, "application/merge-patch+json");
    body = resolved(document, json_object_get(body, "schema"));
    *ret_required = false;
    json_array_foreach(json_object_get(body, "required"), i,
                       name) if (strcmp(json_string_value(name), row->field) == 0) *ret_required = true;
    ck_assert(json_is_false(json_object_get(body, "additionalProperties")));
    return resolved(document, json_object_get(json_object_get(body, "properties"), row->field));
}

static void tells(const struct row *row, const json_t *schema, const char *name, int64_t value)
{
    const json_t *told = json_object_get(schema, name);
    ck_assert_msg(told ? json_integer_value(told) == value : value == 0, "%s %s.%s: %s is not %lld", row->route,
                  row->place, row->field, name, (long long)value);
}

START_TEST(the_openapi_document_tells_the_bounds)
{
    struct buf text = { 0 };
    openapi_render(routes, &text);
    json_t *document = json_loadb(text.ptr, text.len, 0, NULL);
    ck_assert(document != NULL);
    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        bool required;
        if (is_path(row))
            continue;
        const json_t *schema = schema_of(document, row, &required);
        ck_assert_msg(schema && required == row->required, "%s %s.%s", row->route, row->place, row->field);
        if (is(row, "text"))
            tells(row, schema, "minLength", row->min), tells(row, schema, "maxLength", row->max);
        else if (is(row, "int"))
            tells(row, schema, "minimum", row->min), tells(row, schema, "maximum", row->max);
        else if (is(row, "choices"))
            tells(row, schema, "minItems", row->min), tells(row, schema, "maxItems", row->max);
        ck_assert(json_is_array(json_object_get(schema, "type")) == row->nullable || is(row, "choice"));
    }
    json_decref(document);
    buf_finish(&text);
}
END_TEST

/* --- the way in: method, path, who, media type, length --- */

static bool asked_who;

static bool anybody(struct request *request)
{
    asked_who = true;
    request->claims.roles = ROLE_USER | ROLE_MODERATOR | ROLE_ADMIN;
    return true;
}

static bool nobody(struct request *request)
{
    asked_who = true;
    problem(request, 401, "unauthorized", NULL, "Who are you?");
    return false;
}

static struct admission admission = { .authenticate = anybody, .max_body_bytes = BODY_MAX };

/* The route's path with `value` for its part number `which`; a good one for the others. */
static struct str path_of(const struct route *route, int which, const char *value)
{
    struct buf path = { 0 };
    int part = 0;
    for (const char *at = route->path; *at;) {
        const size_t len = strcspn(at, "{");
        buf_append(&path, at, len);
        at += len;
        if (!*at)
            break;
        buf_str(&path, str_of(part++ == which ? value : ID));
        at = strchr(at, '}') + 1;
    }
    struct str kept = arena_str(&r.arena, buf_view(&path));
    buf_finish(&path);
    return kept;
}

static bool admit(const struct route *route, const char *method, struct str path, const struct http_facts *more)
{
    struct http_facts facts = { .content_length = -1, .content_type = STR("application/json") };
    char value[128];
    struct buf query = { 0 };
    if (more)
        facts = *more;
    facts.path = path;
    for (size_t i = 0; i < row_count; i++)
        if (is_query(&rows[i]) && rows[i].required && strcmp(rows[i].route, route->name) == 0)
            put_query(&query, rows[i].field, good_value(&rows[i], value));
    r.query = arena_str(&r.arena, buf_view(&query));
    buf_finish(&query);
    asked_who = false;
    r.route = NULL;
    return admission_check(&admission, &r, str_of(method), &facts);
}

static void is_let_in(const struct route *route, const char *method, int which, const char *value,
                      const struct http_facts *facts)
{
    begin(NULL);
    ck_assert_msg(admit(route, method, path_of(route, which, value), facts), "%s %s: %s", method, route->name, said());
    ck_assert_ptr_eq(r.route, route);
    ck_assert_int_eq(r.response.status, 0);
}

static void is_refused(const struct route *route, const char *method, int which, const char *value,
                       const struct http_facts *facts, int status, const char *words)
{
    begin(NULL);
    ck_assert_msg(!admit(route, method, path_of(route, which, value), facts), "%s %s %s is let in", method, route->name,
                  value);
    ck_assert_msg(r.response.status == status && strstr(said(), words), "%s %s %s: %d %s", method, route->name, value,
                  r.response.status, said());
}

static const char *header(const char *name)
{
    for (size_t i = 0; i < r.response.header_count; i++)
        if (strcmp(r.response.headers[i].name, name) == 0)
            return r.response.headers[i].value;
    return "";
}

static bool allows(const char *method)
{
    return strstr(header("Allow"), method) != NULL;
}

START_TEST(a_route_asks_who_it_is_where_that_was_reviewed)
{
    for (size_t i = 0; i < file_count; i++) {
        char name[64], method[16], path[128], who[64], more[128] = "";
        if (sscanf(file_lines[i], "%63[^: ]: %15s %127s %63s %127[^\n]", name, method, path, who, more) < 4)
            continue;
        const struct route *route = route_named(name);
        ck_assert_str_eq(route->path, path);
        is_let_in(route, method, -1, "", NULL);
        ck_assert_msg(asked_who == (strcmp(who, "user") == 0), "%s", name);
        admission.authenticate = nobody;
        if (asked_who)
            is_refused(route, method, -1, "", NULL, 401, "unauthorized");
        else
            is_let_in(route, method, -1, "", NULL);
        admission.authenticate = anybody;
        r.route = route;
        r.claims.roles = ROLE_USER;
        ck_assert_msg(admission_role(&r) == (strstr(more, "admin") == NULL), "%s", name);
        r.claims.roles = ROLE_USER | ROLE_ADMIN;
        ck_assert_msg(admission_role(&r), "%s", name);
    }
}
END_TEST

START_TEST(a_part_of_a_path_is_a_uuid_and_is_named_when_it_is_none)
{
    static const char *const bad[] = { "01890000-0000-7000-8000-00000000000",
                                       "01890000-0000-7000-8000-0000000000000",
                                       "01890000+0000-7000-8000-000000000000",
                                       "0189000000007000800000000000000000000",
                                       "..",
                                       "\xc3\xa4" };
    size_t parts = 0;
    for (size_t i = 0; i < row_count; i++) {
        if (!is_path(&rows[i]))
            continue;
        const struct route *route = route_named(rows[i].route);
        char sought[64], named[128];
        snprintf(sought, sizeof sought, "{%s}", rows[i].field);
        snprintf(named, sizeof named, "\"field\":\"%s\"", rows[i].field);
        int which = 0;
        for (const char *at = route->path; (at = strchr(at, '{')) && strncmp(at, sought, strlen(sought)) != 0; at++)
            which++;
        is_let_in(route, method_name(route->method), which, "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", NULL);
        if (is(&rows[i], "uuid"))
            ck_assert_int_eq(r.ids[which].bytes[15], 0xff);
        for (size_t k = 0; is(&rows[i], "uuid") && k < sizeof bad / sizeof *bad; k++)
            is_refused(route, method_name(route->method), which, bad[k], NULL, 400, named);
        parts++;
    }
    ck_assert_uint_gt(parts, 40);
}
END_TEST

START_TEST(a_path_knows_its_methods_and_says_so)
{
    for (const struct route *route = routes; route->path; route++) {
        is_refused(route, "BREW", -1, "", NULL, 405, "method_not_allowed");
        ck_assert(allows(method_name(route->method)) && allows("OPTIONS") && allows("HEAD") == allows("GET"));
        ck_assert(!asked_who);
        begin(NULL);
        ck_assert(!admit(route, "OPTIONS", path_of(route, -1, ""), NULL));
        ck_assert_int_eq(r.response.status, 204);
        ck_assert(allows(method_name(route->method)) && !asked_who && r.response.body.len == 0);
        if (route->method == GET)
            is_let_in(route, "HEAD", -1, "", NULL);
    }
}
END_TEST

static int address_asked, user_asked;
static bool address_may, user_may;

static bool limit(struct request *request, enum limit_by by)
{
    ck_assert_msg(by == LIMIT_BY_ADDRESS || asked_who, "who it is must be known first");
    *(by == LIMIT_BY_ADDRESS ? &address_asked : &user_asked) += 1;
    if (by == LIMIT_BY_ADDRESS ? address_may : user_may)
        return true;
    problem(request, 429, "rate_limited", NULL, "Slowly.");
    return false;
}

static void limits_are(bool address, bool user)
{
    address_may = address;
    user_may = user;
    address_asked = user_asked = 0;
}

START_TEST(every_request_counts_against_its_address_and_then_its_user)
{
    admission.limit = limit;
    for (const struct route *route = routes; route->path; route++) {
        const char *method = method_name(route->method);
        const bool user = route->auth == AUTH_USER;
        limits_are(true, true);
        is_let_in(route, method, -1, "", NULL);
        ck_assert_msg(address_asked == 1 && user_asked == user, "%s", route->name);
        limits_are(false, true);
        is_refused(route, method, -1, "", NULL, 429, "rate_limited");
        ck_assert(address_asked == 1 && user_asked == 0 && !asked_who);
        limits_are(true, false);
        if (user)
            is_refused(route, method, -1, "", NULL, 429, "rate_limited");
        limits_are(true, true);
        is_refused(route, "BREW", -1, "", NULL, 405, "method_not_allowed"); /* who looks for what is not there */
        ck_assert(address_asked == 1 && user_asked == 0);
    }
    begin(NULL);
    limits_are(false, true);
    ck_assert(!admit(routes, "GET", STR("/nothing"), NULL));
    ck_assert_int_eq(r.response.status, 429);
    begin(NULL);
    limits_are(true, true);
    ck_assert(!admit(routes, "GET", STR("/nothing"), NULL));
    ck_assert(r.response.status == 404 && address_asked == 1);
    admission.limit = NULL;
}
END_TEST

START_TEST(a_body_has_its_media_type_and_no_encoding)
{
    for (const struct route *route = routes; route->path; route++) {
        const char *method = method_name(route->method);
        const struct http_facts plain = { .content_length = -1, .content_type = STR("text/plain") };
        const struct http_facts none = { .content_length = -1 };
        const struct http_facts patch = { .content_length = -1, .content_type = STR("application/merge-patch+json") };
        const struct http_facts packed = { .content_length = -1,
                                           .content_type = STR("application/json"),
                                           .content_encoding = STR("gzip") };
        const struct http_facts identity = { .content_length = -1,
                                             .content_type = STR("application/json"),
                                             .content_encoding = STR("Identity") };
        if (!route->body) {
            is_let_in(route, method, -1, "", &plain);
            is_let_in(route, method, -1, "", &none);
            continue;
        }
        is_refused(route, method, -1, "", &plain, 415, "Content-Type");
        if (route->method == PATCH)
            ck_assert_str_eq(header("Accept-Patch"), "application/merge-patch+json, application/json");
        else
            ck_assert_str_eq(header("Accept"), "application/json");
        is_refused(route, method, -1, "", &none, 415, "Content-Type");
        is_refused(route, method, -1, "", &packed, 415, "Content-Encoding");
        is_let_in(route, method, -1, "", &identity);
        if (route->method == PATCH)
            is_let_in(route, method, -1, "", &patch);
        else
            is_refused(route, method, -1, "", &patch, 415, "Content-Type");
    }
}
END_TEST

START_TEST(a_body_is_as_long_as_it_may_be_and_no_longer)
{
    for (const struct route *route = routes; route->path; route++) {
        struct http_facts facts = { .content_length = BODY_MAX, .content_type = STR("application/json") };
        is_let_in(route, method_name(route->method), -1, "", &facts);
        facts.content_length = BODY_MAX + 1;
        is_refused(route, method_name(route->method), -1, "", &facts, 413, "at most 1000 bytes");
    }
}
END_TEST

/* --- */

static char *load(void)
{
    char *text = file_text(file);
    if (!text)
        return NULL;
    file_count = lines_of(text, file_lines);
    for (size_t i = 0; i < file_count; i++)
        row_count += row_read(&rows[row_count], file_lines[i]);
    return text;
}

static void add(TCase *tests)
{
    tcase_add_test(tests, the_routes_declare_what_was_reviewed);
    tcase_add_test(tests, a_field_is_taken_at_its_bounds_and_refused_behind_them);
    tcase_add_test(tests, a_body_takes_no_field_that_it_does_not_have);
    tcase_add_test(tests, the_openapi_document_tells_the_bounds);
    tcase_add_test(tests, a_route_asks_who_it_is_where_that_was_reviewed);
    tcase_add_test(tests, a_part_of_a_path_is_a_uuid_and_is_named_when_it_is_none);
    tcase_add_test(tests, a_path_knows_its_methods_and_says_so);
    tcase_add_test(tests, every_request_counts_against_its_address_and_then_its_user);
    tcase_add_test(tests, a_body_has_its_media_type_and_no_encoding);
    tcase_add_test(tests, a_body_is_as_long_as_it_may_be_and_no_longer);
}

int main(int argc, char **argv)
{
    file = argc > 1 ? argv[1] : "tests/gateway/boundaries.txt";
    char *text = load();
    if (!text) {
        fprintf(stderr, "%s cannot be read\n", file);
        return EXIT_FAILURE;
    }
    json_arena_init();
    arena_init(&r.arena, 0);
    struct router *router = router_create(routes);
    admission.router = router;
    int status = suite_run_together("boundaries", add);
    router_destroy(router);
    arena_finish(&r.arena);
    buf_finish(&r.body_bytes);
    buf_finish(&r.response.body);
    buf_finish(&made);
    free(text);
    return status;
}
