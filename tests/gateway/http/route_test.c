/* Routes and traces: paths find their rows, and a client's trace goes on. */
#include <stdlib.h>

#include "gateway/http/route.h"
#include "gateway/http/trace.h"
#include "tests/suite.h"

static const struct route table[] = {
    { GET, "/users/{user}", "user" },
    { GET, "/users/me", "me" },
    { PUT, "/users/me", "me_put" },
    { GET, "/rooms", "rooms" },
    { POST, "/rooms", "rooms_post" },
    { GET, "/rooms/{room}/members/{member}", "member" },
    { GET, "/users/me/{thing}", "my_thing" },
    { DELETE, "/users/{user}/sessions", "sessions" },
    { GET, "/", "root" },
    { 0 },
};
static struct router *router;
static struct str params[REQUEST_MAX_PARAMS];
static size_t count;
static unsigned allowed;

static const char *find(enum method method, const char *path)
{
    const struct route *route = router_find(router, method, str_of(path), params, &count, &allowed);
    return route ? route->name : "none";
}

START_TEST(a_path_finds_its_row)
{
    ck_assert_str_eq(find(GET, "/rooms"), "rooms");
    ck_assert_str_eq(find(POST, "/rooms"), "rooms_post");
    ck_assert_str_eq(find(GET, "/"), "root");
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(find(GET, "/rooms/r1/members/m2"), "member");
    ck_assert_uint_eq(count, 2);
    ck_assert(str_equal(params[0], STR("r1")) && str_equal(params[1], STR("m2")));
}
END_TEST

START_TEST(a_literal_segment_wins_and_the_search_goes_back)
{
    ck_assert_str_eq(find(GET, "/users/me"), "me");
    ck_assert_str_eq(find(GET, "/users/you"), "user");
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(find(GET, "/users/me/x"), "my_thing");
    ck_assert_str_eq(find(DELETE, "/users/you/sessions"), "sessions");
    ck_assert_uint_eq(count, 1);
    ck_assert(str_equal(params[0], STR("you")));
}
END_TEST

START_TEST(a_path_that_is_unknown_allows_nothing)
{
    static const char *const unknown[] = { "/room",
                                           "/roomsx",
                                           "/rooms/",
                                           "//rooms",
                                           "/rooms/r1",
                                           "/rooms/r1/members/",
                                           "/rooms//members/m",
                                           "/users/",
                                           "rooms",
                                           "",
                                           "/rooms/r/members/m/x",
                                           "/.." };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        ck_assert_str_eq(find(GET, unknown[i]), "none");
        ck_assert_msg(allowed == 0, "%s", unknown[i]);
    }
}
END_TEST

START_TEST(a_path_that_is_known_says_which_methods_it_knows)
{
    ck_assert_str_eq(find(DELETE, "/rooms"), "none");
    ck_assert_uint_eq(allowed, 1u << GET | 1u << POST);
    ck_assert_str_eq(find(DELETE, "/users/me"), "none");
    ck_assert_uint_eq(allowed, 1u << GET | 1u << PUT);
}
END_TEST

#define TRACE "11111111111111111111111111111111"

static bool goes_on(const char *traceparent)
{
    char text[TRACEPARENT_LEN + 1];
    trace_continue(str_of(traceparent), text);
    ck_assert_uint_eq(strlen(text), TRACEPARENT_LEN);
    ck_assert(text[2] == '-' && text[35] == '-' && text[52] == '-' && memcmp(text, "00-", 3) == 0);
    ck_assert_msg(strncmp(text + 36, "2222222222222222", 16) != 0, "the span is a new one");
    ck_assert_int_eq((int)strspn(text + 3, "0123456789abcdef"), 32);
    ck_assert_int_eq((int)strspn(text + 36, "0123456789abcdef"), 16);
    return memcmp(text + 3, TRACE, 32) == 0;
}

START_TEST(a_trace_goes_on_with_a_new_span)
{
    ck_assert(goes_on("00-" TRACE "-2222222222222222-01"));
    ck_assert(goes_on("00-" TRACE "-2222222222222222-00"));
    ck_assert_msg(goes_on("01-" TRACE "-2222222222222222-01-more"), "a later version is read as far as it is known");
}
END_TEST

START_TEST(what_is_no_trace_begins_a_new_one)
{
    ck_assert(!goes_on(""));
    ck_assert(!goes_on("00-" TRACE "-2222222222222222-01-more"));
    ck_assert(!goes_on("00-" TRACE "-2222222222222222-1"));
    ck_assert(!goes_on("ff-" TRACE "-2222222222222222-01"));
    ck_assert(!goes_on("00-" TRACE "-0000000000000000-01"));
    ck_assert(!goes_on("00-00000000000000000000000000000000-2222222222222222-01"));
    ck_assert(!goes_on("00-1111111111111111111111111111111A-2222222222222222-01"));
    ck_assert(!goes_on("00_" TRACE "-2222222222222222-01"));
    ck_assert(!goes_on("0g-" TRACE "-2222222222222222-01"));
}
END_TEST

static void add(TCase *tests)
{
    router = router_create(table);
    tcase_add_test(tests, a_path_finds_its_row);
    tcase_add_test(tests, a_literal_segment_wins_and_the_search_goes_back);
    tcase_add_test(tests, a_path_that_is_unknown_allows_nothing);
    tcase_add_test(tests, a_path_that_is_known_says_which_methods_it_knows);
    tcase_add_test(tests, a_trace_goes_on_with_a_new_span);
    tcase_add_test(tests, what_is_no_trace_begins_a_new_one);
}

int main(void)
{
    int status = suite_run_together("route", add);
    router_destroy(router);
    return status;
}
