/* Who a request comes from: what proxies say, and what others say in their name. */
#include "tests/gateway/http/head.h"
#include "tests/suite.h"

#include "gateway/http/client_address.h"
#include "gateway/http/request.h"

static struct address address(const char *text)
{
    struct address a = { 0 };
    ck_assert_msg(address_parse(str_of(text), &a), "%s", text);
    return a;
}

static void is(struct address a, const char *text)
{
    struct request r = { .client.address = a };
    arena_init(&r.arena, 0);
    struct str said = client_address(&r);
    ck_assert_msg(str_equal(said, str_of(text)), "%.*s is not %s", (int)said.len, said.ptr, text);
    arena_finish(&r.arena);
}

static struct client find(const char *networks, enum proxy_header which, const char *peer, const char *headers)
{
    struct proxies p = { .header = which };
    struct http_head head;
    char text[4096];
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", headers);
    head_of(str_of(text), &head);
    ck_assert_int_eq(proxies_parse(networks, &p), OK);
    return client_find(&p, address(peer), &head);
}

static void by_x(const char *peer, const char *headers, const char *client)
{
    is(find("10.0.0.0/8, 2001:db8:aaaa::/48", PROXY_X_FORWARDED_FOR, peer, headers).address, client);
}

static void by_forwarded(const char *peer, const char *headers, const char *client)
{
    is(find("10.0.0.0/8, 2001:db8:aaaa::/48", PROXY_FORWARDED, peer, headers).address, client);
}

START_TEST(an_address_is_read_in_each_form_that_headers_use)
{
    is(address("192.0.2.1"), "192.0.2.1");
    is(address("192.0.2.1:65535"), "192.0.2.1");
    is(address("2001:DB8::1"), "2001:db8::1");
    is(address("[2001:db8::1]"), "2001:db8::1");
    is(address("[2001:db8::1]:443"), "2001:db8::1");
    is(address("::ffff:192.0.2.1"), "192.0.2.1");
    static const char *const bad[] = { "",
                                       "unknown",
                                       "_hidden",
                                       "192.0.2",
                                       "192.0.2.256",
                                       "192.0.2.1:",
                                       "192.0.2.1:x",
                                       "[192.0.2.1]",
                                       "[2001:db8::1",
                                       "[2001:db8::1]443",
                                       "[::1]:",
                                       "localhost",
                                       "192.0.2.1, ::1",
                                       "2001:db8::g",
                                       "192.0.2.1:123456",
                                       "fe80::1%eth0" };
    struct address a;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!address_parse(str_of(bad[i]), &a), "%s", bad[i]);
}
END_TEST

START_TEST(a_network_ends_at_its_bits)
{
    struct proxies p = { .count = 0 };
    ck_assert_int_eq(proxies_parse("10.1.0.0/15,192.0.2.7, 2001:db8::/33 ,0.0.0.0/32", &p), OK);
    ck_assert_uint_eq(p.count, 4);
    static const char *const in[] = { "10.0.0.0", "10.1.255.255", "192.0.2.7", "2001:db8:7fff::1", "::ffff:10.1.2.3" };
    static const char *const out[] = { "10.2.0.0",        "192.0.2.6",       "192.0.2.8",
                                       "2001:db8:8000::", "2001:db7:ffff::", "0.0.0.1" };
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        ck_assert_msg(proxies_contain(&p, address(in[i])), "%s", in[i]);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        ck_assert_msg(!proxies_contain(&p, address(out[i])), "%s", out[i]);
    struct proxies all = { .count = 0 };
    ck_assert_int_eq(proxies_parse("0.0.0.0/0", &all), OK);
    ck_assert(proxies_contain(&all, address("203.0.113.1")) && !proxies_contain(&all, address("2001:db8::1")));
}
END_TEST

START_TEST(a_wrong_network_is_named)
{
    static const char *const wrong[] = { "10.0.0.0/33", "2001:db8::/129", "proxy.example",
                                         "10.0.0.0/",   "10.0.0.0/x",     "10.0.0.0/8,,::1",
                                         "10.0.0.0/-1", "[::1]",          "10.0.0.0/8 10.1.0.0/8" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct proxies p = { .count = 0 };
        ck_assert_msg(proxies_parse(wrong[i], &p) == FATAL, "%s", wrong[i]);
        ck_assert_ptr_nonnull(strstr(err_message(), "gateway.proxies"));
    }
}
END_TEST

START_TEST(who_is_no_proxy_is_the_client_whatever_it_says)
{
    by_x("203.0.113.9", "X-Forwarded-For: 198.51.100.1\r\n", "203.0.113.9");
    by_forwarded("203.0.113.9", "Forwarded: for=198.51.100.1\r\n", "203.0.113.9");
    by_x("2001:db8:aaab::1", "X-Forwarded-For: 198.51.100.1\r\n", "2001:db8:aaab::1");
    is(find("", PROXY_X_FORWARDED_FOR, "10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n").address, "10.0.0.1");
}
END_TEST

START_TEST(only_what_a_proxy_has_appended_counts)
{
    by_x("10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1");
    by_x("10.0.0.1", "X-Forwarded-For: 127.0.0.1, 198.51.100.1\r\n", "198.51.100.1");
    by_x("10.0.0.1", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1");
    by_x("10.0.0.1", "x-forwarded-for: 127.0.0.1\r\nHost: a\r\nX-FORWARDED-FOR: 198.51.100.1, 10.9.9.9\r\n",
         "198.51.100.1");
    by_x("10.0.0.1", "X-Forwarded-For: 10.1.1.1\r\n", "10.1.1.1");
    by_x("2001:db8:aaaa::9", "X-Forwarded-For: 2001:db8:bbbb::1\r\n", "2001:db8:bbbb::1");
    by_x("10.0.0.1", "", "10.0.0.1");
    by_x("10.0.0.1", "X-Forwarded-For: ,, \r\n", "10.0.0.1");
}
END_TEST

START_TEST(what_is_no_address_ends_at_the_last_proxy_that_is_known)
{
    by_x("10.0.0.1", "X-Forwarded-For: 198.51.100.1, unknown\r\n", "10.0.0.1");
    by_x("10.0.0.1", "X-Forwarded-For: 198.51.100.1, nonsense, 10.0.0.2\r\n", "10.0.0.2");
    by_forwarded("10.0.0.1", "Forwarded: for=198.51.100.1, for=_hidden\r\n", "10.0.0.1");
    by_forwarded("10.0.0.1", "Forwarded: for=198.51.100.1, proto=https\r\n", "10.0.0.1");
}
END_TEST

START_TEST(the_other_header_is_the_clients_own)
{
    by_x("10.0.0.1", "Forwarded: for=192.0.2.66\r\nX-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1");
    by_x("10.0.0.1", "Forwarded: for=192.0.2.66\r\n", "10.0.0.1");
    by_forwarded("10.0.0.1", "X-Forwarded-For: 192.0.2.66\r\nForwarded: for=198.51.100.1\r\n", "198.51.100.1");
}
END_TEST

START_TEST(forwarded_is_read_as_rfc_7239_writes_it)
{
    by_forwarded("10.0.0.1", "Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n", "192.0.2.60");
    by_forwarded("10.0.0.1", "Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17");
    by_forwarded("10.0.0.1", "Forwarded: by=203.0.113.43; FOR=\"192.0.2.60:80\" ; host=a\r\n", "192.0.2.60");
    by_forwarded("10.0.0.1", "Forwarded: for=192.0.2.66, for=\"198.51.100.1\";host=\"a,b;for=192.0.2.66\"\r\n",
                 "198.51.100.1");
    by_forwarded("10.0.0.1", "Forwarded: for=192.0.2.43, for=10.0.0.7\r\n", "192.0.2.43");
}
END_TEST

START_TEST(a_quote_that_the_client_left_open_hides_nothing)
{
    by_forwarded("10.0.0.1", "Forwarded: for=\"192.0.2.66, for=198.51.100.1\r\n", "198.51.100.1");
    by_forwarded("10.0.0.1", "Forwarded: x=\"\\\", for=\"[2001:db8::1]\"\r\n", "2001:db8::1");
}
END_TEST

START_TEST(only_a_proxy_says_that_a_connection_is_secure)
{
    static const char *const https = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n";
    ck_assert(find("10.0.0.0/8", PROXY_X_FORWARDED_FOR, "10.0.0.1", https).secure);
    ck_assert(!find("10.0.0.0/8", PROXY_X_FORWARDED_FOR, "203.0.113.9", https).secure);
    ck_assert(!find("10.0.0.0/8", PROXY_FORWARDED, "10.0.0.1", https).secure);
    ck_assert(!find("10.0.0.0/8", PROXY_X_FORWARDED_FOR, "10.0.0.1", "X-Forwarded-Proto: https, http\r\n").secure);
    ck_assert(find("10.0.0.0/8", PROXY_FORWARDED, "10.0.0.1", "Forwarded: for=198.51.100.1;proto=HTTPS\r\n").secure);
    ck_assert(find("10.0.0.0/8", PROXY_FORWARDED, "10.0.0.1",
                   "Forwarded: for=198.51.100.1;proto=https, for=10.0.0.2;proto=http\r\n")
                  .secure);
    ck_assert(!find("10.0.0.0/8", PROXY_FORWARDED, "10.0.0.1",
                    "Forwarded: for=192.0.2.66;proto=https, for=198.51.100.1;proto=http\r\n")
                   .secure);
}
END_TEST

START_TEST(one_subscriber_has_a_64_of_ipv6_and_one_address_of_ipv4)
{
    is(client_network(address("2001:db8:1:2:3:4:5:6")), "2001:db8:1:2::");
    is(client_network(address("2001:db8:1:2ff:ff00::6")), "2001:db8:1:2ff::");
    is(client_network(address("2001:db8:1:ffff:8000::")), "2001:db8:1:ffff::");
    is(client_network(address("192.0.2.1")), "192.0.2.1");
    is(client_network(address("::ffff:192.0.2.1")), "192.0.2.1");
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, an_address_is_read_in_each_form_that_headers_use);
    tcase_add_test(tests, a_network_ends_at_its_bits);
    tcase_add_test(tests, a_wrong_network_is_named);
    tcase_add_test(tests, who_is_no_proxy_is_the_client_whatever_it_says);
    tcase_add_test(tests, only_what_a_proxy_has_appended_counts);
    tcase_add_test(tests, what_is_no_address_ends_at_the_last_proxy_that_is_known);
    tcase_add_test(tests, the_other_header_is_the_clients_own);
    tcase_add_test(tests, forwarded_is_read_as_rfc_7239_writes_it);
    tcase_add_test(tests, a_quote_that_the_client_left_open_hides_nothing);
    tcase_add_test(tests, only_a_proxy_says_that_a_connection_is_secure);
    tcase_add_test(tests, one_subscriber_has_a_64_of_ipv6_and_one_address_of_ipv4);
}

int main(void)
{
    return suite_run_together("client_address", add);
}
