/* The first look at a request's head: what passes, what does not, and what of it ends the connection. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/gateway/http/head.h"
#include "tests/gateway/http/text.h"
#include "tests/suite.h"

#define GOOD "GET /things?limit=5 HTTP/1.1\r\nHost: a.example:80\r\n"

static char path[65536], value[65536];
static struct http_facts facts;
static struct http_fault fault;

static bool check(const char *text)
{
    struct http_head head;
    head_of(str_of(text), &head);
    memset(&facts, 0, sizeof facts);
    memset(&fault, 0, sizeof fault);
    return http_check(&head, path, &facts, &fault);
}

static void passes(const char *text)
{
    ck_assert_msg(check(text), "%s: %s", text, fault.detail);
}

static void fails(const char *text, int status, bool close)
{
    ck_assert_msg(!check(text), "passes: %s", text);
    ck_assert_msg(fault.status == status && fault.close == close, "%s: %d %s%s", text, fault.status, fault.detail,
                  fault.close ? " and closes" : "");
    ck_assert(fault.code && fault.detail);
}

static void target_fails(const char *target)
{
    char text[8192];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n", target);
    fails(text, 400, false);
}

static void header_closes(const char *headers)
{
    char text[8192];
    snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\n%s", headers);
    fails(text, 400, true);
}

START_TEST(a_plain_request_passes)
{
    passes(GOOD);
    ck_assert(str_equal(facts.path, STR("/things")) && str_equal(facts.query, STR("limit=5")));
    ck_assert(facts.content_length == -1 && !facts.chunked && !facts.expects_continue && !facts.respond_async);
    passes("GET / HTTP/1.0\r\n");
    passes("POST / HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n");
    ck_assert(facts.content_length == 12 && facts.expects_continue);
    passes("POST / HTTP/1.1\r\nhost: a\r\nTRANSFER-ENCODING: Chunked\r\n");
    ck_assert(facts.chunked);
}
END_TEST

START_TEST(a_length_that_two_servers_may_read_differently_closes)
{
    header_closes("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n");
    header_closes("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n");
    header_closes("Content-Length: 4\r\nContent-Length: 4\r\n");
    header_closes("Content-Length: 4\r\ncontent-length: 5\r\n");
    header_closes("Content-Length: 4, 4\r\n");
    header_closes("Content-Length: +4\r\n");
    header_closes("Content-Length: -4\r\n");
    header_closes("Content-Length: 0x4\r\n");
    header_closes("Content-Length: 4 \r\n");
    header_closes("Content-Length:\r\n");
    header_closes("Content-Length: 9999999999999999999\r\n");
    header_closes("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    header_closes("Transfer-Encoding: chunked, chunked\r\n");
    header_closes("Transfer-Encoding: gzip, chunked\r\n");
    header_closes("Transfer-Encoding: identity\r\n");
    header_closes("Transfer-Encoding: xchunked\r\n");
    header_closes("Transfer-Encoding: chunked \r\n");
    header_closes("Transfer-Encoding:\r\n");
    fails("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400, true);
}
END_TEST

START_TEST(a_header_name_that_is_no_token_closes)
{
    header_closes("Content-Length : 4\r\n");
    header_closes("Content-Length\t: 4\r\n");
    header_closes(" Folded: x\r\n");
    header_closes(": empty\r\n");
    header_closes("No colon\r\n");
    header_closes("Na(me: x\r\n");
    header_closes("N\xc3\xa4me: x\r\n");
    header_closes("Name: x\x01y\r\n");
    header_closes("Name: x\ry\r\n");
    passes("GET / HTTP/1.1\r\nHost: a\r\nX-~!#$%&'*+-.^_`|: b\tc \xc3\xa4\r\n");
}
END_TEST

START_TEST(an_http_1_1_request_names_one_host)
{
    fails("GET / HTTP/1.1\r\n", 400, true);
    fails("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400, true);
    fails("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400, true);
    fails("GET / HTTP/1.1\r\nHost:\r\n", 400, true);
    fails("GET / HTTP/1.1\r\nHost: a b\r\n", 400, true);
    fails("GET / HTTP/1.1\r\nHost: a/b\r\n", 400, true);
    fails("GET / HTTP/1.1\r\nHost: me@a\r\n", 400, true);
}
END_TEST

START_TEST(a_request_line_of_another_form_closes)
{
    fails("GET http://a/ HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("OPTIONS * HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("GET things HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("GET  HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("GET /a\x01 HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("G(T / HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails(" / HTTP/1.1\r\nHost: a\r\n", 400, true);
    fails("GET / HTTP/1.2\r\nHost: a\r\n", 505, true);
    fails("GET / HTTP/2.0\r\nHost: a\r\n", 505, true);
    fails("GET / http/1.1\r\nHost: a\r\n", 505, true);
}
END_TEST

START_TEST(another_expectation_is_417)
{
    fails("POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n", 417, true);
    fails("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n", 400, true);
}
END_TEST

START_TEST(a_path_is_decoded_once)
{
    passes("GET /a%20b/%C3%A4/%2525/.. HTTP/1.1\r\nHost: a\r\n");
    ck_assert(str_equal(facts.path, STR("/a b/\xc3\xa4/%25/..")));
    passes("GET /a+b HTTP/1.1\r\nHost: a\r\n");
    ck_assert(str_equal(facts.path, STR("/a+b"))); /* a space in queries alone */
    target_fails("/%");
    target_fails("/%4");
    target_fails("/%zz");
    target_fails("/%00");
    target_fails("/a%2fb");
    target_fails("/a%2Fb");
    target_fails("/%ff");
    target_fails("/%c0%af");
    target_fails("/%ed%a0%80");
    target_fails("/%f4%90%80%80");
    target_fails("/\xc3\xa4");
    target_fails("/a\\b");
    target_fails("/a\"b");
    target_fails("/a#b");
}
END_TEST

START_TEST(a_query_is_checked_as_a_whole)
{
    passes("GET /?a=1&b=&c&d=%C3%A4+x&e=[1]|2 HTTP/1.1\r\nHost: a\r\n");
    struct str found;
    ck_assert(http_query(facts.query, STR("d"), value, &found) && str_equal(found, STR("\xc3\xa4 x")));
    ck_assert(http_query(facts.query, STR("b"), value, &found) && found.len == 0);
    ck_assert(http_query(facts.query, STR("c"), value, &found) && found.len == 0);
    ck_assert(!http_query(facts.query, STR("f"), value, &found));
    passes("GET /?%61=1 HTTP/1.1\r\nHost: a\r\n");
    ck_assert(http_query(facts.query, STR("a"), value, &found) && str_equal(found, STR("1")));
    passes("GET /?&&a=1&& HTTP/1.1\r\nHost: a\r\n");
    target_fails("/?cursor=%00");
    ck_assert(str_equal(fault.field, STR("cursor")));
    target_fails("/?cursor=%ff");
    ck_assert(str_equal(fault.field, STR("cursor")));
    target_fails("/?a=1&a=2");
    target_fails("/?a=1&%61=2");
    target_fails("/?a=%4");
    target_fails("/?a=b#c");
    target_fails("/?%ff=1");
    char many[1024] = "/?";
    for (int i = 0; i < 33; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "p%d=1&", i);
    target_fails(many);
}
END_TEST

START_TEST(a_long_value_is_decoded_and_checked_across_pieces)
{
    char text[8192] = "GET /?v=";
    for (int i = 0; i < 700; i++)
        text_add(text, "%s", i % 3 ? "%E2%82%AC" : "x");
    text_add(text, " HTTP/1.1\r\nHost: a\r\n");
    passes(text);
    char *last = strrchr(text, '%');
    last[1] = '2'; /* the last byte of a character */
    fails(text, 400, false);
}
END_TEST

START_TEST(a_length_has_eighteen_digits_at_most)
{
    passes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n");
    ck_assert_int_eq(facts.content_length, 999999999999999999);
    passes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000012\r\n");
    ck_assert_int_eq(facts.content_length, 12);
    header_closes("Content-Length: 1000000000000000000\r\n");
    header_closes("Content-Length: 0000000000000000012\r\n");
}
END_TEST

START_TEST(a_query_has_thirty_two_parameters_at_most)
{
    char text[1024] = "GET /?";
    for (int i = 0; i < 32; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "p%d=%d&&", i, i);
    const size_t len = strlen(text);
    text_add(text, " HTTP/1.1\r\nHost: a\r\n");
    passes(text);
    struct str found;
    ck_assert(http_query(facts.query, STR("p31"), value, &found) && str_equal(found, STR("31")));
    text[len] = '\0';
    text_add(text, "x= HTTP/1.1\r\nHost: a\r\n");
    fails(text, 400, false);
}
END_TEST

START_TEST(text_that_is_no_utf_8_is_told_apart_at_its_edges)
{
    static const char *const good[] = { "%7f",       "%c2%80",    "%df%bf",       "%e0%a0%80",   "%ed%9f%bf",
                                        "%ee%80%80", "%ef%bf%bf", "%f0%90%80%80", "%f4%8f%bf%bf" };
    static const char *const bad[] = { "%80",       "%bf",       "%c0%80",       "%c1%bf",       "%c2",
                                       "%c2%7f",    "%c2%c0",    "%e0%9f%bf",    "%ed%a0%80",    "%e2%82",
                                       "%e2%82%c0", "%e2%7f%80", "%f0%8f%bf%bf", "%f4%90%80%80", "%f5%80%80%80",
                                       "%f0%90%80", "%ff" };
    char text[256];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "GET /%s?a=%s HTTP/1.1\r\nHost: a\r\n", good[i], good[i]);
        passes(text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "/%s", bad[i]);
        target_fails(text);
        snprintf(text, sizeof text, "/?a=%s", bad[i]);
        target_fails(text);
        snprintf(text, sizeof text, "/?a=%sx", bad[i]);
        target_fails(text);
    }
}
END_TEST

START_TEST(a_header_that_may_stand_once_stands_once)
{
    static const char *const names[] = { "Content-Type", "Content-Encoding", "Authorization",
                                         "X-Request-Id", "traceparent",      "Idempotency-Key" };
    char text[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(text, sizeof text, GOOD "%s: a\r\n", names[i]);
        passes(text);
        snprintf(text, sizeof text, GOOD "%s: a\r\n%s: a\r\n", names[i], names[i]);
        fails(text, 400, false);
        ck_assert(str_equal(fault.field, str_of(names[i])));
    }
    passes(GOOD "X-Other: a\r\nX-Other: b\r\n");
}
END_TEST

START_TEST(control_characters_close)
{
    char text[256];
    for (int c = 1; c < 0x80; c++) {
        if (c == '\r' || c == '\n')
            continue;
        const bool control = c < 0x20 || c == 0x7f;
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: a%cb\r\n", c);
        if (control && c != '\t')
            fails(text, 400, true);
        else
            passes(text);
        snprintf(text, sizeof text, "GET /a%c HTTP/1.1\r\nHost: a\r\n", c);
        if (control)
            fails(text, 400, true);
    }
}
END_TEST

START_TEST(http_1_0_knows_no_expectation)
{
    passes("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 200-ok\r\n");
    ck_assert(!facts.expects_continue);
}
END_TEST

START_TEST(headers_that_frame_nothing_leave_the_connection_usable)
{
    char text[4096];
    fails(GOOD "Content-Type: a/b\r\nContent-Type: a/b\r\n", 400, false);
    fails(GOOD "Authorization: x\r\nAuthorization: y\r\n", 400, false);
    fails(GOOD "Idempotency-Key:\r\n", 400, false);
    fails(GOOD "Idempotency-Key: a b\r\n", 400, false);
    fails(GOOD "Idempotency-Key: \xc3\xa4\r\n", 400, false);
    ck_assert(str_equal(fault.field, STR("Idempotency-Key")));
    snprintf(text, sizeof text, GOOD "Idempotency-Key: %0*d\r\n", 255, 0);
    passes(text);
    snprintf(text, sizeof text, GOOD "Idempotency-Key: %0*d\r\n", 256, 0);
    fails(text, 400, false);
}
END_TEST

START_TEST(a_preference_is_found_in_a_list)
{
    passes(GOOD "Prefer: respond-async\r\n");
    ck_assert(facts.respond_async);
    passes(GOOD "Prefer: wait=10\r\nPrefer: handling=lenient, Respond-Async ; x=y\r\n");
    ck_assert(facts.respond_async);
    passes(GOOD "Prefer: respond-asynchronously, x-respond-async\r\n");
    ck_assert(!facts.respond_async);
}
END_TEST

START_TEST(the_request_id_is_known_even_of_a_bad_request)
{
    fails("POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc\r\nContent-Length: 1\r\nContent-Length: 1\r\n", 400, true);
    ck_assert(str_equal(facts.request_id, STR("abc")));
}
END_TEST

START_TEST(json_has_one_media_type)
{
    static const char *const good[] = { "application/json", "Application/JSON", "application/json; charset=utf-8",
                                        "application/json;charset=UTF-8", "application/json ; charset=\"utf-8\"" };
    static const char *const bad[] = { "",
                                       "json",
                                       "application/jsonp",
                                       "text/json",
                                       "application/json; charset=latin1",
                                       "application/json;",
                                       "application/json; charset=utf-8; charset=utf-8",
                                       "application/json; charset = utf-8",
                                       "application/json; boundary=x",
                                       "application/merge-patch+json",
                                       "application/json, text/plain" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(http_is_json(str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!http_is_json(str_of(bad[i])), "%s", bad[i]);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, a_plain_request_passes);
    tcase_add_test(tests, a_length_that_two_servers_may_read_differently_closes);
    tcase_add_test(tests, a_header_name_that_is_no_token_closes);
    tcase_add_test(tests, an_http_1_1_request_names_one_host);
    tcase_add_test(tests, a_request_line_of_another_form_closes);
    tcase_add_test(tests, another_expectation_is_417);
    tcase_add_test(tests, a_path_is_decoded_once);
    tcase_add_test(tests, a_query_is_checked_as_a_whole);
    tcase_add_test(tests, a_long_value_is_decoded_and_checked_across_pieces);
    tcase_add_test(tests, a_length_has_eighteen_digits_at_most);
    tcase_add_test(tests, a_query_has_thirty_two_parameters_at_most);
    tcase_add_test(tests, text_that_is_no_utf_8_is_told_apart_at_its_edges);
    tcase_add_test(tests, a_header_that_may_stand_once_stands_once);
    tcase_add_test(tests, control_characters_close);
    tcase_add_test(tests, http_1_0_knows_no_expectation);
    tcase_add_test(tests, headers_that_frame_nothing_leave_the_connection_usable);
    tcase_add_test(tests, a_preference_is_found_in_a_list);
    tcase_add_test(tests, the_request_id_is_known_even_of_a_bad_request);
    tcase_add_test(tests, json_has_one_media_type);
}

int main(void)
{
    return suite_run_together("http_check", add);
}
