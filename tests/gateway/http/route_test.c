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
    { GET, "/users/{user}/sessions/{session}", "session" },
    { GET, "/deep/{a}/{b}/{c}/{d}", "four" },
    { GET, "/deep/{a}/{b}/{c}/{d}/{e}", "five" },
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
    ck_assert_str_eq(find(GET, "/users/me/sessions/s1"), "session"); /* not one of my things */
    ck_assert_uint_eq(count, 2);
    ck_assert(str_equal(params[0], STR("me")) && str_equal(params[1], STR("s1")));
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

START_TEST(no_more_parts_are_taken_than_there_is_room_for)
{
    ck_assert_str_eq(find(GET, "/deep/1/2/3/4"), "four");
    ck_assert_uint_eq(count, REQUEST_MAX_PARAMS);
    ck_assert(str_equal(params[3], STR("4")));
    ck_assert_str_eq(find(GET, "/deep/1/2/3/4/5"), "none");
}
END_TEST

START_TEST(an_alias_stands_for_whole_segments)
{
    static const struct route_alias aliases[] = { { "/api/auth", "/api/v1/auth" }, { "/old", "" }, { 0 } };
    static const char *const paths[][2] = {
        { "/api/auth", "/api/v1/auth" },    { "/api/auth/login", "/api/v1/auth/login" },
        { "/api/auth/", "/api/v1/auth/" },  { "/api/authx", "/api/authx" },
        { "/api/aut", "/api/aut" },         { "/x/api/auth", "/x/api/auth" },
        { "/api/v1/auth", "/api/v1/auth" }, { "/old/thing", "/thing" }
    };
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const struct str path = route_path(aliases, str_of(paths[i][0]), &arena);
        ck_assert_msg(str_equal(path, str_of(paths[i][1])), "%s: %.*s", paths[i][0], (int)path.len, path.ptr);
    }
    ck_assert(str_equal(route_path(NULL, STR("/a"), &arena), STR("/a")));
    arena_finish(&arena);
}
END_TEST

START_TEST(a_method_is_known_by_its_exact_name)
{
    static const char *const names[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
    static const char *const others[] = { "", "get", "GE", "GETS", "HEAD", "OPTIONS", "PATC", "PUTX" };
    enum method method;
    for (size_t i = 0; i < 5; i++) {
        ck_assert(method_parse(str_of(names[i]), &method) && method == (enum method)i);
        ck_assert_str_eq(method_name((enum method)i), names[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!method_parse(str_of(others[i]), &method), "%s", others[i]);
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

START_TEST(flags_go_on_and_a_new_trace_is_sampled)
{
    char text[TRACEPARENT_LEN + 1];
    trace_continue(STR("00-" TRACE "-2222222222222222-00"), text);
    ck_assert_str_eq(text + 52, "-00");
    trace_continue(STR("cc-" TRACE "-2222222222222222-ab-x"), text);
    ck_assert_str_eq(text + 52, "-ab");
    ck_assert(!goes_on("cc-" TRACE "-2222222222222222-01x"));
    ck_assert(!goes_on("00-" TRACE "-2222222222222222-0G"));
    trace_continue(STR(""), text);
    ck_assert_str_eq(text + 52, "-01");
}
END_TEST

START_TEST(no_two_traces_or_spans_are_the_same)
{
    enum { TRACES = 300 }; /* more than are drawn at once */
    static char texts[TRACES][TRACEPARENT_LEN + 1];
    for (size_t i = 0; i < TRACES; i++) {
        trace_continue(STR(""), texts[i]);
        for (size_t k = 0; k < i; k++) {
            ck_assert(memcmp(texts[i] + 3, texts[k] + 3, 32) != 0);
            ck_assert(memcmp(texts[i] + 36, texts[k] + 36, 16) != 0);
        }
    }
}
END_TEST

static void add(TCase *tests)
{
    router = router_create(table);
    tcase_add_test(tests, a_path_finds_its_row);
    tcase_add_test(tests, a_literal_segment_wins_and_the_search_goes_back);
    tcase_add_test(tests, a_path_that_is_unknown_allows_nothing);
    tcase_add_test(tests, a_path_that_is_known_says_which_methods_it_knows);
    tcase_add_test(tests, no_more_parts_are_taken_than_there_is_room_for);
    tcase_add_test(tests, an_alias_stands_for_whole_segments);
    tcase_add_test(tests, a_method_is_known_by_its_exact_name);
    tcase_add_test(tests, flags_go_on_and_a_new_trace_is_sampled);
    tcase_add_test(tests, no_two_traces_or_spans_are_the_same);
    tcase_add_test(tests, a_trace_goes_on_with_a_new_span);
    tcase_add_test(tests, what_is_no_trace_begins_a_new_one);
}

int main(void)
{
    int status = suite_run_together("route", add);
    router_destroy(router);
    return status;
}
