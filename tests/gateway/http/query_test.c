/* Queries against a route's table: each mistake is named, and a handler is given nothing that was not looked at. */
#include <stdlib.h>

#include "gateway/http/json_arena.h"
#include "gateway/http/route.h"
#include "tests/suite.h"

static const struct body_field fields[] = {
    { "limit", FIELD_INT, .min = 1, .max = 100 },
    { "q", FIELD_TEXT, .required = true, .min = 1, .max = 5, .pattern = "name" },
    { "who", FIELD_UUID },
    { "from", FIELD_TIME },
    { "open", FIELD_BOOL },
    { "any", FIELD_INT, .min = INT64_MIN, .max = INT64_MAX },
    { "kind", FIELD_CHOICE, .choices = "public|private" },
    { 0 },
};
static const struct route route = { .method = GET, .path = "/", .name = "things", .query = fields };
static struct request r;

static bool check(const char *query)
{
    arena_reset(&r.arena);
    r.route = &route;
    r.query = str_of(query);
    r.response.status = 0;
    return query_check(&r);
}

static const char *answer(void)
{
    return arena_str(&r.arena, buf_view(&r.response.body)).ptr;
}

static void fails(const char *query, const char *first, const char *second)
{
    ck_assert_msg(!check(query), "passes: %s", query);
    ck_assert_int_eq(r.response.status, 400);
    ck_assert_msg(strstr(answer(), "bad_query") && strstr(answer(), first) && strstr(answer(), second), "%s: %s", query,
                  answer());
}

START_TEST(what_is_right_is_given_to_the_handler)
{
    struct str text = { 0 };
    struct uuid id = { 0 };
    int64_t number = 7, time = 0;
    bool truth = false;
    ck_assert(check("q=a%20b&limit=100&who=01a1fd93-167b-7643-bae4-8bc701e0721a&from=1970-01-01T00:00:01Z&open=true"));
    ck_assert(query_text(&r, "q", &text) && str_equal(text, STR("a b")));
    ck_assert(query_int(&r, "limit", &number) && number == 100);
    ck_assert(query_uuid(&r, "who", &id) && !uuid_is_nil(id));
    ck_assert(query_time(&r, "from", &time) && time == 1000);
    ck_assert(query_bool(&r, "open", &truth) && truth);
    ck_assert(!query_text(&r, "kind", &text));
}
END_TEST

START_TEST(what_is_wrong_is_named_with_what_is_allowed)
{
    fails("q=a&limit=0", "limit", "from 1 to 100");
    fails("q=a&limit=1e2", "limit", "whole number");
    fails("q=a&limit=", "limit", "whole number");
    fails("q=", "q", "1 to 5 characters");
    fails("q=%20", "q", "blank");
    fails("q=abcdef", "q", "not 6");
    fails("q=a&who=me", "who", "UUID");
    fails("q=a&from=today", "from", "RFC 3339");
    fails("q=a&open=yes", "open", "true or false");
    fails("q=a&kind=secret", "kind", "public, private");
    fails("limit=1", "q", "is required");
    fails("limit=0&open=1&q=a", "limit", "open");
}
END_TEST

START_TEST(a_number_is_read_as_far_as_64_bits_reach)
{
    int64_t number;
    ck_assert(check("q=a&any=-9223372036854775808"));
    ck_assert(query_int(&r, "any", &number) && number == INT64_MIN);
    ck_assert(check("q=a&any=9223372036854775807"));
    ck_assert(query_int(&r, "any", &number) && number == INT64_MAX);
    ck_assert(check("q=a&any=-0"));
    ck_assert(query_int(&r, "any", &number) && number == 0);
    static const char *const bad[] = { "9223372036854775808",
                                       "-9223372036854775809",
                                       "92233720368547758070",
                                       "-",
                                       "--1",
                                       "+1",
                                       "1-",
                                       "%201",
                                       "1%20",
                                       "1.0",
                                       "%00",
                                       "%D9%A1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char query[64];
        snprintf(query, sizeof query, "q=a&any=%s", bad[i]);
        fails(query, "any", "whole number");
    }
}
END_TEST

START_TEST(a_truth_that_is_false_is_given_as_such)
{
    bool truth = true;
    ck_assert(check("q=a&open=false"));
    ck_assert(query_bool(&r, "open", &truth) && !truth);
    ck_assert(check("q=a"));
    ck_assert(!query_bool(&r, "open", &truth));
}
END_TEST

START_TEST(what_the_table_does_not_have_is_not_given)
{
    struct str text = { 0 };
    ck_assert(check("q=a&more=1"));
    ck_assert(!query_text(&r, "more", &text));
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, what_is_right_is_given_to_the_handler);
    tcase_add_test(tests, what_is_wrong_is_named_with_what_is_allowed);
    tcase_add_test(tests, a_number_is_read_as_far_as_64_bits_reach);
    tcase_add_test(tests, a_truth_that_is_false_is_given_as_such);
    tcase_add_test(tests, what_the_table_does_not_have_is_not_given);
}

int main(void)
{
    json_arena_init();
    arena_init(&r.arena, 0);
    int status = suite_run_together("query", add);
    arena_finish(&r.arena);
    buf_finish(&r.response.body);
    return status;
}
