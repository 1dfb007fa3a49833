/* If-Match: which version a command expects; a number that is not one of 64 bits is no version of anything. */
#include "gateway/if_match.h"
#include "tests/suite.h"

#define NOBODYS 0
#define REFUSED (-2)

static const struct row {
    const char *header;
    int64_t now, then; /* -1: any */
} rows[] = {
    { NULL, 7, -1 },
    { "*", 7, -1 },
    { "\"7\"", 7, 7 },
    { "\"6\"", 7, 6 }, /* a repetition, perhaps */
    { "\"6\", \"7\",\t\"8\"", 7, 7 },
    { "\"6\",\"8\"", 7, 6 },
    { "W/\"7\"", 7, NOBODYS },
    { "\"07\"", 7, NOBODYS },
    { "\"\"", 7, NOBODYS },
    { "\"-7\"", 7, NOBODYS },
    { "\"+7\"", 7, NOBODYS },
    { "\" 7\"", 7, NOBODYS },
    { "\"7a\"", 7, NOBODYS },
    { "\"2147483648\"", 7, 2147483648 },
    { "\"4294967303\"", 7, 4294967303 }, /* 7 in 32 bits */
    { "\"999999999999999999\"", 7, 999999999999999999 },
    { "\"1000000000000000007\"", 1000000000000000007, 1000000000000000007 },
    { "\"9223372036854775807\"", INT64_MAX, INT64_MAX },
    { "\"9223372036854775808\"", INT64_MAX, NOBODYS },
    { "\"18446744073709551623\"", 7, NOBODYS }, /* 7 in 64 bits */
    { "\"340282366920938463463374607431768211463\"", 7, NOBODYS },
    { "\"18446744073709551623\", \"7\"", 7, 7 },
    { "7", 7, REFUSED },
    { "\"7", 7, REFUSED },
    { "\"7\"x", 7, REFUSED },
    { "w/\"7\"", 7, REFUSED },
};

START_TEST(a_header_names_the_version_that_is_expected)
{
    const struct row *row = &rows[_i];
    struct if_match m = { 0 };
    const int64_t got = if_match_parse(row->header, &m) ? if_match_expects(&m, row->now) : REFUSED;
    ck_assert_msg(got == row->then, "%s: %lld, not %lld", row->header, (long long)got, (long long)row->then);
}
END_TEST

START_TEST(a_version_beyond_32_bits_is_nobodys_where_versions_have_32)
{
    static const struct {
        const char *header;
        int32_t then;
    } narrow[] = {
        { NULL, -1 },
        { "\"7\"", 7 },
        { "\"2147483647\"", INT32_MAX },
        { "\"2147483648\"", NOBODYS },
        { "\"4294967303\"", NOBODYS },
        { "\"9223372036854775807\"", NOBODYS },
        { "\"4294967303\", \"7\"", 7 },
    };
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        struct if_match m = { 0 };
        ck_assert(if_match_parse(narrow[i].header, &m));
        ck_assert_int_eq(if_match_expects_int(&m, 7), narrow[i].then);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("if match");
    TCase *tests = suite_case("if match");
    tcase_add_loop_test(tests, a_header_names_the_version_that_is_expected, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tests, a_version_beyond_32_bits_is_nobodys_where_versions_have_32);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
