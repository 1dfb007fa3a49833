/* What an answer says besides its body: problems, headers that all have, limits, other origins. */
#include <jansson.h>
#include <stdio.h>

#include "gateway/http/answer_headers.h"
#include "gateway/http/problem.h"
#include "tests/gateway/http/head.h"
#include "tests/gateway/http/text.h"
#include "tests/suite.h"

static struct request r;
static struct cors cors;
static struct answer_headers_options options = { .cors = &cors };
static struct answer_header headers[ANSWER_HEADERS_MAX];
static size_t count;

static void clear(void)
{
    arena_reset(&r.arena);
    r.response.header_count = 0;
    r.response.content_type = r.response.security_policy = NULL;
    r.response.next = NULL;
    r.why = NULL;
    r.origin = NULL;
    r.rate_count = 0;
    r.client = (struct client){ 0 };
    options.transport_security = NULL;
    response_json(&r, 200);
}

static const char *header(const char *name)
{
    const char *found = NULL;
    count = answer_headers(&options, &r, headers);
    ck_assert_uint_le(count, ANSWER_HEADERS_MAX);
    for (size_t i = 0; i < count; i++)
        if (strcmp(headers[i].name, name) == 0) {
            ck_assert_msg(!found, "%s stands twice", name);
            found = headers[i].value;
        }
    return found;
}

static void header_is(const char *name, const char *value)
{
    const char *has = header(name);
    ck_assert_msg(value ? has && strcmp(has, value) == 0 : !has, "%s: %s, not %s", name, has ? has : "none",
                  value ? value : "none");
}

static const char *said(void)
{
    return arena_str(&r.arena, buf_view(&r.response.body)).ptr;
}

/* --- headers --- */

START_TEST(every_answer_says_that_it_is_not_kept_guessed_or_run)
{
    clear();
    header_is("X-Content-Type-Options", "nosniff");
    header_is("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    header_is("Cache-Control", "no-store");
    header_is("X-Request-Id", "test");
    header_is("Content-Type", NULL);
    header_is("Access-Control-Allow-Origin", NULL);
    header_is("Strict-Transport-Security", NULL);
    header_is("RateLimit", NULL);
    header_is("Vary", NULL);
    response_header(&r, "Cache-Control", "no-cache");
    r.response.security_policy = "default-src 'self'";
    header_is("Cache-Control", "no-cache");
    header_is("Content-Security-Policy", "default-src 'self'");
}
END_TEST

START_TEST(a_body_has_the_media_type_of_its_status_unless_another_is_named)
{
    clear();
    buf_str(&r.response.body, STR("{}"));
    header_is("Content-Type", "application/json");
    r.response.status = 399;
    header_is("Content-Type", "application/json");
    r.response.status = 400;
    header_is("Content-Type", "application/problem+json");
    r.response.content_type = "text/plain";
    header_is("Content-Type", "text/plain");
}
END_TEST

START_TEST(a_browser_is_told_to_come_over_tls_when_it_did)
{
    clear();
    options.transport_security = "max-age=5";
    header_is("Strict-Transport-Security", NULL);
    r.client.secure = true;
    header_is("Strict-Transport-Security", "max-age=5");
    options.transport_security = NULL;
    header_is("Strict-Transport-Security", NULL);
}
END_TEST

START_TEST(limits_are_told_by_name)
{
    clear();
    r.rates[0] = (struct rate){ "address", 100, 60, 99, 1 };
    r.rates[1] = (struct rate){ "user", 20, 10, 0, 7 };
    r.rate_count = 1;
    header_is("RateLimit-Policy", "\"address\";q=100;w=60");
    header_is("RateLimit", "\"address\";r=99;t=1");
    r.rate_count = 2;
    header_is("RateLimit-Policy", "\"address\";q=100;w=60, \"user\";q=20;w=10");
    header_is("RateLimit", "\"address\";r=99;t=1, \"user\";r=0;t=7");
}
END_TEST

START_TEST(a_header_that_is_set_again_is_another_value_and_no_other_header)
{
    static const char *const names[] = { "A", "B", "C", "D", "E", "F", "G", "H", "I" };
    clear();
    response_header(&r, "Location", "/%d", 1);
    response_header(&r, "Location", "/%d", 2);
    header_is("Location", "/2");
    clear();
    for (size_t i = 0; i < 9; i++)
        response_header(&r, names[i], "%zu", i);
    ck_assert_uint_eq(r.response.header_count, REQUEST_MAX_HEADERS);
    header_is("H", "7");
    header_is("I", NULL);
    response_header(&r, "H", "8"); /* there is a place for it already */
    header_is("H", "8");
}
END_TEST

START_TEST(the_largest_set_of_headers_has_room)
{
    static const char *const names[] = { "A", "B", "C", "D", "E", "F", "G", "H" };
    clear();
    ck_ok(cors_parse("https://a.example", &cors));
    buf_str(&r.response.body, STR("{}"));
    r.origin = "https://a.example";
    r.client.secure = true;
    options.transport_security = "max-age=5";
    r.rates[0] = (struct rate){ "address", INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX };
    r.rates[1] = r.rates[0];
    r.rate_count = 2;
    for (size_t i = 0; i < 8; i++)
        response_header(&r, names[i], "%0200zu", i); /* cut to what there is room for */
    ck_assert_uint_eq(strlen(header("A")), sizeof r.response.headers[0].value - 1);
    header_is("Vary", "Origin");
    header_is("Access-Control-Allow-Origin", "https://a.example");
    header_is("Access-Control-Expose-Headers", "*");
    ck_assert_uint_gt(count, 16);
    cors_finish(&cors);
}
END_TEST

/* --- problems --- */

START_TEST(a_problem_replaces_what_was_said_before)
{
    clear();
    response_header(&r, "Location", "/1");
    r.response.content_type = "text/plain";
    r.response.security_policy = "default-src *";
    buf_str(&r.response.body, STR("half an answer"));
    problem(&r, 409, "rejected", NULL, "No: %s.", "not so");
    header_is("Location", NULL);
    header_is("Content-Type", "application/problem+json");
    header_is("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    ck_assert_str_eq(said(), "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,\"code\":\"rejected\","
                             "\"detail\":\"No: not so.\",\"retryable\":false,\"requestId\":\"test\"}");
    problem(&r, 400, "bad_query", "limit", "must be less.");
    ck_assert(strstr(said(), "\"detail\":\"limit: must be less.\",\"retryable\":false,\"requestId\":\"test\","
                             "\"errors\":[{\"field\":\"limit\",\"detail\":\"must be less.\"}]}"));
}
END_TEST

START_TEST(a_problem_says_whether_the_same_request_may_succeed_later)
{
    static const int again[] = { 408, 429, 503, 504 };
    for (int status = 400; status < 600; status++) {
        bool expected = false;
        for (size_t i = 0; i < 4; i++)
            expected |= status == again[i];
        clear();
        problem(&r, status, "some_code", NULL, "No.");
        ck_assert_msg((strstr(said(), "\"retryable\":true") != NULL) == expected, "%d: %s", status, said());
    }
    ck_assert(problem_is_retryable(409, "request_in_progress") && !problem_is_retryable(409, "room_exists"));
}
END_TEST

START_TEST(every_status_that_is_answered_has_its_own_title)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        ck_assert_str_eq(status_text(titles[i].status), titles[i].title);
}
END_TEST

START_TEST(what_a_client_said_is_cut_between_characters)
{
    char field[200] = "", detail[900] = "";
    clear();
    for (int i = 0; i < 40; i++)
        text_add(field, "\xe2\x82\xac");
    for (int i = 0; i < 250; i++)
        text_add(detail, "\xe2\x82\xac");
    problem(&r, 400, "bad_query", field, "x%s", detail);
    json_t *body = json_loadb(r.response.body.ptr, r.response.body.len, 0, NULL);
    ck_assert_msg(body != NULL, "%s", said());
    const json_t *error = json_array_get(json_object_get(body, "errors"), 0);
    ck_assert_uint_eq(json_string_length(json_object_get(error, "field")), 63);   /* of at most 64 bytes */
    ck_assert_uint_eq(json_string_length(json_object_get(error, "detail")), 508); /* of less than 512, an x first */
    json_decref(body);
}
END_TEST

START_TEST(an_error_of_ours_is_answered_by_its_kind_and_told_to_the_log_alone)
{
    static const struct {
        err kind;
        int status;
        const char *code, *retry_after;
    } kinds[] = { { RETRY, 503, "\"unavailable\"", "1" },
                  { REJECT, 400, "\"bad_request\"", NULL },
                  { FATAL, 500, "\"internal\"", NULL } };
    for (size_t i = 0; i < 3; i++) {
        clear();
        problem_err(&r, err_set(kinds[i].kind, "secret-host is away"));
        ck_assert_int_eq(r.response.status, kinds[i].status);
        ck_assert(strstr(said(), kinds[i].code) && !strstr(said(), "secret-host"));
        header_is("Retry-After", kinds[i].retry_after);
        ck_assert_str_eq(r.why, "secret-host is away");
    }
}
END_TEST

/* --- other origins --- */

static const char *allowed(const char *text, const char *head_text)
{
    struct http_head head;
    head_of(str_of(head_text), &head);
    ck_ok(cors_parse(text, &cors));
    const char *found = cors_allow(&cors, &head);
    static char kept[128];
    snprintf(kept, sizeof kept, "%s", found ? found : "");
    cors_finish(&cors);
    return found ? kept : NULL;
}

#define FROM(origin) "GET / HTTP/1.1\r\nHost: a\r\nOrigin: " origin "\r\n"

START_TEST(an_origin_is_allowed_when_it_is_listed_as_it_is)
{
    static const char list[] = "https://app.example.org, http://localhost:3000";
    ck_assert_str_eq(allowed(list, FROM("https://app.example.org")), "https://app.example.org");
    ck_assert_str_eq(allowed(list, FROM("http://localhost:3000")), "http://localhost:3000");
    static const char *const others[] = { FROM("https://app.example.org:443"),
                                          FROM("http://app.example.org"),
                                          FROM("https://app.example.or"),
                                          FROM("https://app.example.org.evil.example"),
                                          FROM("HTTPS://app.example.org"),
                                          FROM("null"),
                                          FROM("*"),
                                          "GET / HTTP/1.1\r\nHost: a\r\n" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!allowed(list, others[i]), "%s", others[i]);
    ck_assert_str_eq(allowed("*", FROM("https://anybody.example")), "*");
    ck_assert(!allowed("*", "GET / HTTP/1.1\r\nHost: a\r\n"));
    ck_assert(!allowed("", FROM("https://anybody.example")));
}
END_TEST

START_TEST(an_answer_varies_by_origin_when_some_are_allowed)
{
    static const char *const lists[] = { "", "*", "https://a.example", "https://a.example, https://b.example" };
    for (size_t i = 0; i < 4; i++) {
        ck_ok(cors_parse(lists[i], &cors));
        ck_assert_msg(cors_varies(&cors) == (i > 1), "%s", lists[i]);
        cors_finish(&cors);
    }
}
END_TEST

START_TEST(what_is_no_origin_is_refused_at_the_start)
{
    static const char *const bad[] = { "app.example.org",      "https://",
                                       "ftp://a.example",      "https://a.example/",
                                       "https://me@a.example", "https://*.example",
                                       "https://A.example",    "*, https://a.example",
                                       "https://a.example *",  "null",
                                       "https://a.example?b" };
    char many[2048] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cors c = { 0 };
        ck_assert_msg(cors_parse(bad[i], &c) == FATAL, "%s", bad[i]);
        cors_finish(&c);
    }
    for (size_t i = 0; i < 33; i++) {
        struct cors c = { 0 };
        ck_assert_int_eq(cors_parse(many, &c), OK);
        ck_assert_uint_eq(c.count, i);
        cors_finish(&c);
        snprintf(many + strlen(many), sizeof many - strlen(many), "https://a%zu.example,", i);
    }
    struct cors c = { 0 };
    ck_assert_int_eq(cors_parse(many, &c), FATAL);
    cors_finish(&c);
}
END_TEST

START_TEST(a_preflight_is_answered_to_an_origin_that_is_allowed)
{
    clear();
    answer_preflight(&r, "GET, OPTIONS");
    header_is("Access-Control-Allow-Methods", NULL);
    r.origin = "*";
    answer_preflight(&r, "GET, OPTIONS");
    header_is("Access-Control-Allow-Methods", "GET, OPTIONS");
    header_is("Access-Control-Allow-Headers", "Authorization, *");
    header_is("Access-Control-Max-Age", "600");
}
END_TEST

static void add(TCase *tests)
{
    arena_init(&r.arena, 0);
    snprintf(r.request_id, sizeof r.request_id, "test");
    tcase_add_test(tests, every_answer_says_that_it_is_not_kept_guessed_or_run);
    tcase_add_test(tests, a_body_has_the_media_type_of_its_status_unless_another_is_named);
    tcase_add_test(tests, a_browser_is_told_to_come_over_tls_when_it_did);
    tcase_add_test(tests, limits_are_told_by_name);
    tcase_add_test(tests, a_header_that_is_set_again_is_another_value_and_no_other_header);
    tcase_add_test(tests, the_largest_set_of_headers_has_room);
    tcase_add_test(tests, a_problem_replaces_what_was_said_before);
    tcase_add_test(tests, a_problem_says_whether_the_same_request_may_succeed_later);
    tcase_add_test(tests, every_status_that_is_answered_has_its_own_title);
    tcase_add_test(tests, what_a_client_said_is_cut_between_characters);
    tcase_add_test(tests, an_error_of_ours_is_answered_by_its_kind_and_told_to_the_log_alone);
    tcase_add_test(tests, an_origin_is_allowed_when_it_is_listed_as_it_is);
    tcase_add_test(tests, an_answer_varies_by_origin_when_some_are_allowed);
    tcase_add_test(tests, what_is_no_origin_is_refused_at_the_start);
    tcase_add_test(tests, a_preflight_is_answered_to_an_origin_that_is_allowed);
}

int main(void)
{
    int status = suite_run_together("answer", add);
    arena_finish(&r.arena);
    buf_finish(&r.response.body);
    return status;
}
