/* Ids and times. */
#include <ctype.h>
#include <pthread.h>
#include <time.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/uuid.h"
#include "tests/suite.h"

static struct uuid parsed(const char *text)
{
    struct uuid id;
    ck_assert_msg(uuid_parse(str_of(text), &id), "%s", text);
    return id;
}

START_TEST(a_version_7_id_carries_its_time_version_and_variant)
{
    const int64_t now = clock_wall_ms();
    const struct uuid id = uuid_v7(now);
    ck_assert_int_eq(uuid_v7_time(id), now);
    ck_assert_int_eq(id.bytes[6] >> 4, 7);
    ck_assert_int_eq(id.bytes[8] >> 6, 2);
    ck_assert_int_eq(uuid_v7_time(parsed("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")), 0x017F22E279B0); /* RFC 9562 A.6 */
}
END_TEST

START_TEST(other_versions_have_no_time)
{
    ck_assert_int_eq(uuid_v7_time(uuid_nil), -1);
    ck_assert_int_eq(uuid_v7_time(parsed("886313e1-3b8a-5372-9b90-0c9aee199e5d")), -1);
    ck_assert_int_eq(uuid_v7_time(parsed("017f22e2-79b0-7cc3-18c4-dc0c0c07398f")), -1); /* another variant */
}
END_TEST

START_TEST(ids_of_one_millisecond_ascend)
{
    struct uuid previous = uuid_v7(1000);
    for (int i = 0; i < 2000; i++) {
        const struct uuid next = uuid_v7(1000);
        ck_assert_int_lt(memcmp(&previous, &next, sizeof next), 0);
        previous = next;
    }
}
END_TEST

#define IDS 20000

static void *many_ids(void *ret)
{
    for (int i = 0; i < IDS; i++)
        ((struct uuid *)ret)[i] = uuid_v7(7);
    return NULL;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

START_TEST(no_two_ids_of_two_threads_are_equal)
{
    static struct uuid ids[2 * IDS];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, many_ids, ids + i * IDS);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    qsort(ids, 2 * IDS, sizeof *ids, by_bytes);
    for (int i = 1; i < 2 * IDS; i++)
        ck_assert(!uuid_equal(ids[i - 1], ids[i]));
}
END_TEST

START_TEST(version_5_is_what_everybody_else_computes)
{
    const struct uuid dns = parsed("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    ck_assert(uuid_equal(uuid_v5(dns, STR("python.org")), parsed("886313e1-3b8a-5372-9b90-0c9aee199e5d")));
    ck_assert(uuid_equal(uuid_v5(dns, (struct str){ 0 }), parsed("4ebd0208-8328-5d69-8c44-ec50939c0967")));
}
END_TEST

START_TEST(an_id_reads_back_from_its_text_in_either_case)
{
    for (int i = 0; i < 100; i++) {
        const struct uuid id = uuid_v7(clock_wall_ms() + i);
        char text[UUID_TEXT_LEN + 1];
        uuid_format(id, text);
        ck_assert_uint_eq(strlen(text), UUID_TEXT_LEN);
        ck_assert(uuid_equal(parsed(text), id));
        for (char *c = text; *c; c++) {
            ck_assert(*c == '-' || isdigit((unsigned char)*c) || islower((unsigned char)*c));
            *c = (char)toupper((unsigned char)*c);
        }
        ck_assert(uuid_equal(parsed(text), id));
    }
}
END_TEST

START_TEST(what_is_no_id_is_refused_and_leaves_the_result_alone)
{
    static const char *const wrong[] = {
        "",
        "x",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e279b0-7cc3-98c4-dc0c0c07398fxxxx",
        "g17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4_dc0c0c07398f",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398 ",
        "017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct uuid id = { { 42 } };
        ck_assert_msg(!uuid_parse(str_of(wrong[i]), &id), "%s", wrong[i]);
        ck_assert_int_eq(id.bytes[0], 42);
    }
    struct uuid id;
    ck_assert(!uuid_parse((struct str){ 0 }, &id));
}
END_TEST

START_TEST(a_time_is_written_as_the_c_library_writes_it)
{
    uint64_t seed = 1;
    for (int i = 0; i < 50000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        /* From year 0 to year 9999. */
        const int64_t ms = (int64_t)(seed >> 1) % (253402300800000 + 62167219200000) - 62167219200000;
        char text[RFC3339_LEN + 1], expected[64];
        clock_rfc3339(ms, text);
        const time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000));
        struct tm tm;
        gmtime_r(&seconds, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms - (int64_t)seconds * 1000));
        ck_assert_str_eq(text, expected);
        int64_t back;
        ck_assert(clock_parse_rfc3339(str_of(text), &back));
        ck_assert_int_eq(back, ms);
    }
}
END_TEST

START_TEST(a_time_out_of_range_is_the_nearest_that_can_be_written)
{
    char text[RFC3339_LEN + 1];
    clock_rfc3339(INT64_MAX, text);
    ck_assert_str_eq(text, "9999-12-31T23:59:59.999Z");
    clock_rfc3339(INT64_MIN, text);
    ck_assert_str_eq(text, "0000-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(offsets_fractions_and_lower_case_are_understood)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:00:00.5Z", 500 },
        { "1970-01-01t00:00:00.123987z", 123 },
        { "1970-01-01T01:00:00+01:00", 0 },
        { "1969-12-31T19:00:00-05:00", 0 },
        { "1970-01-01T00:00:00.001-00:30", 1800001 },
        { "2024-02-29T00:00:00Z", 1709164800000 },
        { "2000-02-29T23:59:59.999Z", 951868799999 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        ck_assert_msg(clock_parse_rfc3339(str_of(rows[i].text), &ms), "%s", rows[i].text);
        ck_assert_int_eq(ms, rows[i].ms);
    }
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
    static const char *const wrong[] = {
        "",
        "now",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00Zx",
        "24-01-01T00:00:00Z",
        "2024-1-01T00:00:00Z",
        "-024-01-01T00:00:00Z",
    };
    int64_t ms = 42;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_msg(!clock_parse_rfc3339(str_of(wrong[i]), &ms), "%s", wrong[i]);
    ck_assert(!clock_parse_rfc3339((struct str){ 0 }, &ms));
    ck_assert_int_eq(ms, 42);
}
END_TEST

START_TEST(the_steady_clock_never_goes_back)
{
    int64_t previous = clock_mono_us();
    for (int i = 0; i < 100000; i++) {
        const int64_t now = clock_mono_us();
        ck_assert_int_ge(now, previous);
        previous = now;
    }
    ck_assert_int_le(llabs(clock_wall_ms() / 1000 - (int64_t)time(NULL)), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity");
    TCase *t = suite_case("identity");
    tcase_add_test(t, a_version_7_id_carries_its_time_version_and_variant);
    tcase_add_test(t, other_versions_have_no_time);
    tcase_add_test(t, ids_of_one_millisecond_ascend);
    tcase_add_test(t, no_two_ids_of_two_threads_are_equal);
    tcase_add_test(t, version_5_is_what_everybody_else_computes);
    tcase_add_test(t, an_id_reads_back_from_its_text_in_either_case);
    tcase_add_test(t, what_is_no_id_is_refused_and_leaves_the_result_alone);
    tcase_add_test(t, a_time_is_written_as_the_c_library_writes_it);
    tcase_add_test(t, a_time_out_of_range_is_the_nearest_that_can_be_written);
    tcase_add_test(t, offsets_fractions_and_lower_case_are_understood);
    tcase_add_test(t, what_is_no_time_is_refused);
    tcase_add_test(t, the_steady_clock_never_goes_back);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
