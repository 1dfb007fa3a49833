/* The tables that the OpenAPI document is made of: nothing is named that is not there. What the document says is held
 * against the running system by tests/integration/test_openapi.py. */
#include <jansson.h>

#include "gateway/docs/openapi.h"
#include "gateway/docs/problem_code.h"
#include "gateway/http/problem.h"
#include "tests/suite.h"

START_TEST(the_document_is_json_and_has_every_route)
{
    struct buf text = { 0 };
    json_error_t error;
    openapi_render(routes, &text);
    json_t *document = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(document, "%s at %d", error.text, error.position);
    size_t operations = 0, rows = 0;
    const char *path, *method;
    json_t *item, *operation;
    json_object_foreach(json_object_get(document, "paths"), path, item) json_object_foreach(item, method, operation)
        operations++;
    while (routes[rows].path)
        rows++;
    ck_assert_uint_eq(operations, rows);
    json_decref(document);
    buf_finish(&text);
}
END_TEST

START_TEST(every_route_says_what_it_answers)
{
    for (const struct route *route = routes; route->path; route++)
        ck_assert_msg(route->answers && route->answers->status, "%s: .answers is missing in routes.c", route->name);
}
END_TEST

START_TEST(every_problem_that_a_route_names_is_in_the_table)
{
    for (const struct route *route = routes; route->path; route++)
        for (const char *at = route->problems; at && *at;) {
            struct str code = { at, strcspn(at, " ") };
            ck_assert_msg(problem_code_find(code), "%s: %.*s is neither in problems.def nor in rejections.def",
                          route->name, (int)code.len, code.ptr);
            at += code.len + strspn(at + code.len, " ");
        }
}
END_TEST

/* Schemas by name: a body or a shape. */
static struct {
    const char *name;
    const void *what;
} named[256];
static size_t named_count;

static bool is_named_before(const char *name, const void *what)
{
    for (size_t i = 0; i < named_count; i++)
        if (strcmp(named[i].name, name) == 0) {
            ck_assert_msg(named[i].what == what, "two schemas are named %s: the second one is lost", name);
            return true;
        }
    named[named_count].name = name;
    named[named_count++].what = what;
    return false;
}

static void name_shape(const struct shape *shape)
{
    if (!shape || is_named_before(shape->name, shape))
        return;
    for (const struct shape_field *field = shape->fields; field->name; field++)
        name_shape(field->of);
}

static struct {
    const char *name, *choices;
} enums[64];
static size_t enum_count;

static void name_enum(const char *name, const char *choices)
{
    if (!name || !choices)
        return;
    for (size_t i = 0; i < enum_count; i++)
        if (strcmp(enums[i].name, name) == 0) {
            ck_assert_msg(strcmp(enums[i].choices, choices) == 0, "two enums are named %s: %s, and %s", name, choices,
                          enums[i].choices);
            return;
        }
    enums[enum_count].name = name;
    enums[enum_count++].choices = choices;
}

static void name_enums(const struct body_field *fields)
{
    for (const struct body_field *field = fields; field && field->name; field++) {
        ck_assert_msg(!field->choices || field->enumeration, "%s: its choices have no name", field->name);
        name_enum(field->enumeration, field->choices);
    }
}

static void name_enums_of_shape(const struct shape *shape)
{
    for (const struct shape_field *field = shape->fields; field->name; field++) {
        ck_assert_msg(!field->choices || field->enumeration, "%s.%s: its choices have no name", shape->name,
                      field->name);
        name_enum(field->enumeration, field->choices);
        if (field->of)
            name_enums_of_shape(field->of);
    }
}

/* Generated clients have a type for each; without a name it is called after where it occurs, and two are called alike. */
START_TEST(every_set_of_choices_has_a_name_of_its_own)
{
    for (const struct route *route = routes; route->path; route++) {
        name_enums(route->query);
        if (route->body)
            name_enums(route->body->fields);
        for (const struct route_answer *answer = route->answers; answer && answer->status; answer++)
            if (answer->shape)
                name_enums_of_shape(answer->shape);
    }
    for (const struct route *route = routes; route->path; route++) {
        if (route->body)
            is_named_before(route->body->name, route->body);
        for (const struct route_answer *answer = route->answers; answer && answer->status; answer++)
            name_shape(answer->shape);
    }
    for (size_t i = 0; i < enum_count; i++)
        for (size_t k = 0; k < named_count; k++)
            ck_assert_str_ne(enums[i].name, named[k].name);
}
END_TEST

START_TEST(a_name_is_that_of_one_schema)
{
    for (const struct route *route = routes; route->path; route++) {
        if (route->body)
            is_named_before(route->body->name, route->body);
        for (const struct route_answer *answer = route->answers; answer->status; answer++)
            name_shape(answer->shape);
    }
    ck_assert_uint_gt(named_count, 40);
}
END_TEST

START_TEST(a_code_stands_once_in_the_table)
{
    for (size_t i = 0; i < problem_codes_count; i++)
        ck_assert_msg(problem_code_find(str_of(problem_codes[i].code)) == &problem_codes[i], "%s stands twice",
                      problem_codes[i].code);
}
END_TEST

START_TEST(every_problem_has_the_title_of_its_status)
{
    for (size_t i = 0; i < problem_codes_count; i++) {
        const int status = problem_codes[i].status;
        ck_assert_msg(status == 400 || status == 500 ||
                          (strcmp(status_text(status), status_text(400)) != 0 &&
                           strcmp(status_text(status), status_text(500)) != 0),
                      "%s: problem.c has no title for %d", problem_codes[i].code, status);
    }
}
END_TEST

START_TEST(a_read_cannot_fail_as_a_command_does)
{
    const struct route read = { .method = GET, .path = "/", .auth = AUTH_USER };
    const struct route write = { .method = POST, .path = "/", .auth = AUTH_USER };
    const struct route quiet = { .method = POST, .path = "/", .no_command = true };
    const struct problem_code *reused = problem_code_find(STR("idempotency_key_reused"));
    const struct problem_code *unauthorized = problem_code_find(STR("unauthorized"));
    ck_assert(!route_has_problem(&read, reused) && route_has_problem(&write, reused));
    ck_assert(!route_has_problem(&quiet, reused) && !route_has_problem(&quiet, unauthorized));
    ck_assert(route_has_problem(&read, unauthorized));
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, the_document_is_json_and_has_every_route);
    tcase_add_test(tests, every_route_says_what_it_answers);
    tcase_add_test(tests, every_problem_that_a_route_names_is_in_the_table);
    tcase_add_test(tests, a_name_is_that_of_one_schema);
    tcase_add_test(tests, every_set_of_choices_has_a_name_of_its_own);
    tcase_add_test(tests, a_code_stands_once_in_the_table);
    tcase_add_test(tests, every_problem_has_the_title_of_its_status);
    tcase_add_test(tests, a_read_cannot_fail_as_a_command_does);
}

int main(void)
{
    return suite_run_together("openapi", add);
}
