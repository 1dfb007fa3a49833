#include "ops/runtime/json.h"

#include <float.h>
#include <jansson.h>
#include <math.h>

#include "tests/runtime/allocations.h"
#include "tests/suite.h"

static struct buf out;

static void ck_text(const char *expected)
{
    buf_char(&out, '\0');
    ck_assert_str_eq(out.ptr, expected);
    buf_clear(&out);
}

START_TEST(commas_stand_between_and_nowhere_else)
{
    struct json j = json_writer(&out);
    json_open(&j, '{');
    json_key(&j, "none");
    json_open(&j, '[');
    json_close(&j, ']');
    json_key(&j, "items");
    json_open(&j, '[');
    for (int i = -1; i < 2; i++)
        json_int(&j, i);
    json_open(&j, '{');
    json_close(&j, '}');
    json_bool(&j, true);
    json_none(&j);
    json_raw(&j, STR("{\"a\":1}"));
    json_close(&j, ']');
    json_field_int(&j, "last", 7);
    json_close(&j, '}');
    ck_text("{\"none\":[],\"items\":[-1,0,1,{},true,null,{\"a\":1}],\"last\":7}");
}
END_TEST

START_TEST(integers_are_exact_up_to_their_limits)
{
    struct json j = json_writer(&out);
    json_open(&j, '[');
    json_int(&j, INT64_MIN);
    json_int(&j, INT64_MAX);
    json_close(&j, ']');
    ck_text("[-9223372036854775808,9223372036854775807]");
}
END_TEST

START_TEST(numbers_have_three_decimals_at_most)
{
    struct json j = json_writer(&out);
    json_open(&j, '[');
    json_number(&j, 1.5);
    json_number(&j, 0);
    json_number(&j, -2.0006);
    json_number(&j, 100);
    json_number(&j, NAN);
    json_number(&j, INFINITY);
    json_close(&j, ']');
    ck_text("[1.5,0,-2.001,100,null,null]");
    j = json_writer(&out);
    json_number(&j, -DBL_MAX);
    ck_assert_uint_gt(out.len, 300);
    buf_clear(&out);
}
END_TEST

START_TEST(ids_and_times_are_strings)
{
    struct json j = json_writer(&out);
    struct uuid id;
    ck_assert(uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &id));
    json_open(&j, '{');
    json_field_uuid(&j, "id", id);
    json_field_time(&j, "at", 1);
    json_close(&j, '}');
    ck_text("{\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"at\":\"1970-01-01T00:00:00.001Z\"}");
}
END_TEST

START_TEST(any_text_reads_back_as_it_was)
{
    char text[3 * 128 + 8];
    size_t len = 0;
    for (char c = 0; c < 127; c++) {
        text[len++] = c;
        text[len++] = 'x';
    }
    text[len++] = 127;
    memcpy(text + len, "\xc3\xa9\xf0\x9f\x99\x82", 6);
    len += 6;

    struct json j = json_writer(&out);
    json_open(&j, '[');
    json_str(&j, (struct str){ text, len });
    json_str(&j, (struct str){ 0 });
    json_close(&j, ']');
    json_t *read = json_loadb(out.ptr, out.len, JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(read);
    const json_t *back = json_array_get(read, 0);
    ck_assert_uint_eq(json_string_length(back), len);
    ck_assert_mem_eq(json_string_value(back), text, len);
    ck_assert_uint_eq(json_string_length(json_array_get(read, 1)), 0);
    json_decref(read);
    buf_clear(&out);
}
END_TEST

START_TEST(writing_again_allocates_nothing)
{
    size_t before = 0;
    for (int round = 0; round < 100; round++) {
        if (round == 1)
            before = allocations();
        buf_clear(&out);
        struct json j = json_writer(&out);
        json_open(&j, '[');
        for (int i = 0; i < 50; i++) {
            json_open(&j, '{');
            json_field_uuid(&j, "id", uuid_nil);
            json_field_str(&j, "body", STR("\"quoted\"\nand in two lines"));
            json_field_time(&j, "at", 1700000000000);
            json_close(&j, '}');
        }
        json_close(&j, ']');
    }
    ck_assert_uint_eq(allocations(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *t = suite_case("json");
    tcase_add_test(t, commas_stand_between_and_nowhere_else);
    tcase_add_test(t, integers_are_exact_up_to_their_limits);
    tcase_add_test(t, numbers_have_three_decimals_at_most);
    tcase_add_test(t, ids_and_times_are_strings);
    tcase_add_test(t, any_text_reads_back_as_it_was);
    tcase_add_test(t, writing_again_allocates_nothing);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
