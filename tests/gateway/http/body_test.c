/* JSON bodies against a route's table: each mistake is named, and nothing is allocated once the arena is warm. */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/http/json_arena.h"
#include "gateway/http/message_text.h"
#include "tests/gateway/http/text.h"
#include "tests/gateway/http/thing.h"
#include "tests/suite.h"

static struct request r;

static bool check_bytes(const char *bytes, size_t len)
{
    arena_reset(&r.arena);
    buf_clear(&r.body_bytes);
    buf_append(&r.body_bytes, bytes, len);
    r.response.status = 0;
    r.route = &route;
    return body_check(&r);
}

/* The answer as C string. */
static const char *answer(void)
{
    return arena_str(&r.arena, buf_view(&r.response.body)).ptr;
}

static void passes(const char *text)
{
    ck_assert_msg(check_bytes(text, strlen(text)), "%s: %s", text, answer());
}

/* Refused, and the answer contains each of the words. */
static void fails(const char *text, const char *first, const char *second)
{
    ck_assert_msg(!check_bytes(text, strlen(text)), "passes: %s", text);
    ck_assert_int_eq(r.response.status, 400);
    ck_assert_msg(strstr(answer(), first) && strstr(answer(), second), "%s: %s", text, answer());
    json_error_t error;
    json_t *parsed = json_loadb(r.response.body.ptr, r.response.body.len, 0, &error);
    ck_assert_msg(parsed, "%s: %s", error.text, answer());
    json_decref(parsed);
}

START_TEST(a_good_body_is_read)
{
    passes("{\"title\":\"Gr\xc3\xbc\xc3\x9f\x65\",\"count\":-5,\"loud\":true,\"kind\":\"private\",\"label\":\"a b\","
           "\"id\":\"01890000-0000-7000-8000-000000000000\",\"username\":\"ada.l-1\",\"email\":\"a@b.example\"}");
    ck_assert(str_equal(body_str(&r, "title"), STR("Gr\xc3\xbc\xc3\x9f\x65")));
    ck_assert(body_str(&r, "count").ptr == NULL && body_str(&r, "nothing").ptr == NULL);
    passes(" { \"title\" : \"\\u00fc\\ud83d\\ude00\" } ");
    ck_assert(str_equal(body_str(&r, "title"), STR("\xc3\xbc\xf0\x9f\x98\x80")));
}
END_TEST

START_TEST(null_stands_only_where_it_may)
{
    passes("{\"title\":\"x\",\"bio\":null}");
    ck_assert(body_str(&r, "bio").ptr == NULL && json_is_null(json_object_get(r.body, "bio")));
    fails("{\"title\":null}", "title", "must be a string");
    fails("{\"title\":\"x\",\"when\":null}", "when", "RFC 3339");
}
END_TEST

START_TEST(an_array_of_choices_has_each_at_most_once)
{
    passes("{\"title\":\"x\",\"kinds\":[\"c\",\"a\"]}");
    static const char *const wrong[] = { "[]",  "[\"a\",\"b\",\"c\"]", "[\"a\",\"a\"]", "[\"d\"]",      "\"a\"",
                                         "[1]", "[\"a|b\"]",           "[null]",        "{\"a\":\"a\"}" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"title\":\"x\",\"kinds\":%s}", wrong[i]);
        fails(text, "kinds", "none twice: a, b, c");
    }
}
END_TEST

static void every(const char *name, bool good, const char *const *values)
{
    for (; *values; values++) {
        char text[200];
        snprintf(text, sizeof text, "{\"title\":\"x\",\"%s\":\"%s\"}", name, *values);
        if (good)
            passes(text);
        else
            fails(text, name, "must");
    }
}

START_TEST(texts_of_a_profile_have_their_forms)
{
    every("when", true, (const char *const[]){ "2027-01-31T12:00:00Z", "2027-01-31T12:00:00.5+02:00", NULL });
    every("when", false, (const char *const[]){ "2027-01-31", "tomorrow", "2027-02-30T12:00:00Z", NULL });
    every("phone", true, (const char *const[]){ "+12", "+4930123456", "+123456789012345", NULL });
    every("phone", false,
          (const char *const[]){ "", "+", "+1", "4930123456", "+0123", "+49 30 1", "+1234567890123456", "+49a", NULL });
    every("born", true, (const char *const[]){ "1900-01-01", "2000-02-29", "1990-12-31", NULL });
    every("born", false,
          (const char *const[]){ "1899-12-31", "2001-02-29", "2999-01-01", "1990-1-1", "1990-12-31T", "1990/12/31", "",
                                 NULL });
    every("site", true, (const char *const[]){ "https://example.org", "http://a.b/c?d=e#f", NULL });
    every("site", false,
          (const char *const[]){ "", "https://", "javascript:alert(1)", "https:///x", "ftp://a", "https://a b",
                                 "//example.org", "https://a<b>", "HTTPS//a", NULL });
    every("locale", true, (const char *const[]){ "de", "de-AT", "zh-Hant-TW", "en-US-u-hc-h12", NULL });
    every("locale", false, (const char *const[]){ "", "d", "de_", "de-", "x y", "german language", "\u00e4", NULL });
    every("zone", true, (const char *const[]){ "Europe/Vienna", "UTC", "America/Argentina/Salta", NULL });
    every("zone", false, (const char *const[]){ "", "Europe/Atlantis", "europe vienna", "+01:00", NULL });
    every("bio", true, (const char *const[]){ "", "two\\nlines\\t!", NULL });
    every("bio", false, (const char *const[]){ "bell\\u0007", "\\u007f", NULL });
}
END_TEST

START_TEST(what_is_no_json_is_told_with_its_place)
{
    fails("", "malformed_json", "empty");
    fails("{\"title\":", "malformed_json", "ends too early");
    fails("{\n  \"title\": x}", "malformed_json", "line 2");
    fails("{\"title\":\"x\"} x", "malformed_json", "behind the end");
    fails("[]", "malformed_json", "object");
    fails("\"title\"", "malformed_json", "JSON");
    fails("null", "malformed_json", "JSON");
    fails("\xef\xbb\xbf{}", "malformed_json", "JSON");
    fails("{\"title\":\"\xff\"}", "malformed_json", "UTF-8");
    fails("{\"title\":\"\xc0\xaf\"}", "malformed_json", "UTF-8");
    fails("{\"title\":\"\xed\xa0\x80\"}", "malformed_json", "UTF-8");
    fails("{\"title\":\"\\ud800\"}", "malformed_json", "JSON");
    fails("{\"a\\u0000b\":1}", "malformed_json", "NUL");
    fails("{\"count\":999999999999999999999999}", "malformed_json", "too large");
    fails("{\"title\":\"a\tb\"}", "malformed_json", "JSON");
    fails("{\"title\":1,}", "malformed_json", "JSON");
    fails("{'title':1}", "malformed_json", "JSON");
}
END_TEST

START_TEST(a_name_that_stands_twice_is_named)
{
    fails("{\"title\":\"x\",\"title\":\"y\"}", "\"field\":\"title\"", "twice");
    fails("{\"title\":\"x\",\"\\u0074itle\":\"y\"}", "malformed_json", "twice");
}
END_TEST

START_TEST(nesting_has_a_limit)
{
    static char deep[20000];
    size_t len = 0;
    for (int i = 0; i < 3000; i++)
        len += (size_t)sprintf(deep + len, "{\"a\":");
    fails(deep, "malformed_json", "nested too deeply");
}
END_TEST

START_TEST(bytes_that_are_no_text_are_refused)
{
    static const char string[] = "{\"title\":\"a\0b\"}", nothing[] = "\0", behind[] = "{\"title\":\"x\"}\0",
                      number[] = "{\"title\":\"x\",\"count\":1\0}", truth[] = "{\"title\":\"x\",\"loud\":true\0}";
    const struct str texts[] = { { string, sizeof string - 1 },
                                 { nothing, sizeof nothing - 1 },
                                 { behind, sizeof behind - 1 },
                                 { number, sizeof number - 1 },
                                 { truth, sizeof truth - 1 } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_msg(!check_bytes(texts[i].ptr, texts[i].len), "%s", texts[i].ptr);
        ck_assert_msg(strstr(answer(), "it has a NUL byte"), "%s", answer());
    }
}
END_TEST

START_TEST(every_wrong_field_is_named_at_once)
{
    fails("{\"title\":\"\",\"colour\":\"blue\",\"count\":101}", "\"field\":\"title\"", "\"field\":\"colour\"");
    ck_assert(strstr(answer(), "\"field\":\"count\""));
    fails("{}", "\"field\":\"title\"", "required");
    fails("{\"title\":\"x\",\"created_at\":1}", "created_at", "not a field of Thing");
}
END_TEST

START_TEST(a_field_says_what_it_may_be)
{
    static const char *const wrong[][2] = {
        { "\"title\":null", "string of 1 to 10" },
        { "\"title\":7", "string of 1 to 10" },
        { "\"title\":[\"x\"]", "string of 1 to 10" },
        { "\"title\":\"12345678901\"", "1 to 10 characters, not 11" },
        { "\"title\":\"a\\u0000b\"", "NUL" },
        { "\"count\":1.5", "whole number from -5 to 100" },
        { "\"count\":1.0", "whole number" },
        { "\"count\":\"1\"", "whole number" },
        { "\"count\":-6", "whole number" },
        { "\"loud\":\"true\"", "true or false" },
        { "\"loud\":null", "true or false" },
        { "\"kind\":\"PUBLIC\"", "one of public, private" },
        { "\"kind\":\"\"", "one of public, private" },
        { "\"kind\":\"public|private\"", "one of public, private" },
        { "\"kind\":\"publi\"", "one of public, private" },
        { "\"kind\":true", "one of public, private" },
        { "\"id\":\"0189\"", "UUID" },
        { "\"id\":1", "UUID" },
        { "\"username\":\"has space\"", "may have letters" },
        { "\"username\":\".dot\"", "may have letters" },
        { "\"username\":\"semi;colon\"", "may have letters" },
        { "\"username\":\"smile\xf0\x9f\x99\x82\"", "may have letters" },
        { "\"username\":\"zero\xe2\x80\x8bwidth\"", "may have letters" },
        { "\"username\":\"\xcc\x81mark\"", "may have letters" }, /* U+0301 with nothing to stand on */
        { "\"email\":\"nobody\"", "e-mail" },
        { "\"email\":\"a@@b.example\"", "e-mail" },
        { "\"email\":\"@b.example\"", "e-mail" },
        { "\"email\":\"aaa@\"", "e-mail" },
        { "\"email\":\"a@b\"", "e-mail" },
        { "\"email\":\"a@b..example\"", "e-mail" },
        { "\"email\":\"a@-b.example\"", "e-mail" },
        { "\"email\":\"a b@b.example\"", "e-mail" },
        { "\"email\":\"a@b.example\\r\\nBcc: c@d.example\"", "e-mail" },
        { "\"label\":\"   \"", "blank" },
        { "\"label\":\"\xc2\xa0\xe3\x80\x80\"", "blank" },
        { "\"label\":\"a\\u0007b\"", "control" },
    };
    char text[256], name[32];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *field = wrong[i][0];
        ck_assert_ptr_nonnull(field);
        snprintf(text, sizeof text, "{%s%s}", strncmp(field, "\"title", 6) == 0 ? "" : "\"title\":\"x\",", field);
        snprintf(name, sizeof name, "\"field\":%.*s", (int)strcspn(wrong[i][0], ":"), wrong[i][0]);
        fails(text, name, wrong[i][1]);
    }
}
END_TEST

START_TEST(characters_are_counted_not_bytes)
{
    passes("{\"title\":\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
           "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"}");
}
END_TEST

static void email_fits(const char *name, int name_len, int label_len, bool good)
{
    char text[512];
    snprintf(text, sizeof text, "{\"title\":\"x\",\"email\":\"%s%0*d@%0*d.example\"}", name, name_len, 0, label_len, 0);
    if (good)
        passes(text);
    else
        fails(text, "email", "e-mail");
}

START_TEST(an_email_address_has_parts_of_a_length)
{
    email_fits("", 64, 1, true);
    email_fits("", 65, 1, false);
    email_fits("", 1, 63, true);
    email_fits("", 1, 64, false);
    fails("{\"title\":\"x\",\"email\":\"a@b-.example\"}", "email", "e-mail");
    passes("{\"title\":\"x\",\"email\":\"a@b-c.example\"}");
    fails("{\"title\":\"x\",\"email\":\"a@b.example.\"}", "email", "e-mail");
}
END_TEST

START_TEST(what_people_count_as_one_character_is_one)
{
    ck_assert_int_eq(text_graphemes(STR(""), 10), 0);
    ck_assert_int_eq(text_graphemes(STR("abc"), 10), 3);
    ck_assert_int_eq(text_graphemes(STR("a\r\nb"), 10), 3);
    ck_assert_int_eq(text_graphemes(STR("a\n\r"), 10), 3);
    ck_assert_int_eq(text_graphemes(STR("\r\n\xc3\xa9"), 10), 2);
    ck_assert_int_eq(text_graphemes(STR("e\xcc\x81"), 10), 1);
    ck_assert_int_eq(text_graphemes(STR("\xf0\x9f\x87\xa6\xf0\x9f\x87\xb9"), 10), 1);
    ck_assert_int_gt(text_graphemes(STR("abcdef"), 3), 3);
    ck_assert_int_le(text_graphemes(STR("abcdef"), 3), 5);
    ck_assert_int_gt(text_graphemes(STR("\xc3\xa9\xc3\xa9\xc3\xa9"), 2), 2);
}
END_TEST

START_TEST(a_message_has_four_thousand_of_them_at_most)
{
    static char ascii[4001], accents[3 * 4001];
    memset(ascii, 'x', sizeof ascii);
    for (size_t i = 0; i < 4001; i++)
        memcpy(accents + 3 * i, "e\xcc\x81", 3);
    ck_assert(text_is_message((struct str){ ascii, 4000 }) && !text_is_message((struct str){ ascii, 4001 }));
    ck_assert(text_is_message((struct str){ accents, 3 * 4000 }) &&
              !text_is_message((struct str){ accents, 3 * 4001 }));
}
END_TEST

START_TEST(a_text_is_kept_composed)
{
    static const char *const texts[][2] = { { "", "" },
                                            { "plain", "plain" },
                                            { "\xc3\xa9", "\xc3\xa9" },
                                            { "e\xcc\x81", "\xc3\xa9" },
                                            { "\xe2\x84\xab", "\xc3\x85" },
                                            { "\xef\xac\xac", "\xd7\xa9\xd6\xbc\xd7\x81" }, /* three times as long */
                                            { "\xf0\x9d\x85\xa0",
                                              "\xf0\x9d\x85\x98\xf0\x9d\x85\xa5\xf0\x9d\x85\xae" } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        arena_reset(&r.arena);
        const struct str kept = text_normalise(&r.arena, str_of(texts[i][0]));
        ck_assert_msg(str_equal(kept, str_of(texts[i][1])), "%s: %.*s", texts[i][0], (int)kept.len, kept.ptr);
    }
}
END_TEST

START_TEST(json_may_be_2048_deep)
{
    static char text[2048 * 6 + 64];
    for (int depth = 2047; depth <= 2048; depth++) {
        size_t len = (size_t)sprintf(text, "{\"title\":\"x\",\"deep\":");
        memset(text + len, '[', (size_t)depth);
        memset(text + len + depth, ']', (size_t)depth);
        memcpy(text + len + 2 * depth, "}", sizeof "}");
        fails(text, depth == 2047 ? "not a field of Thing" : "nested too deeply",
              depth == 2047 ? "invalid_body" : "malformed_json");
    }
}
END_TEST

START_TEST(json_that_is_made_beside_a_body_is_not_in_its_memory)
{
    passes("{\"title\":\"x\"}");
    json_t *mine = json_string("a text of my own");
    passes("{\"title\":\"yyyyyyyyyy\",\"label\":\"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\",\"kinds\":[\"a\",\"b\"],\"bio\":"
           "\"wwwwwwwww\"}");
    ck_assert_str_eq(json_string_value(mine), "a text of my own");
    json_decref(mine);
}
END_TEST

START_TEST(a_body_with_a_secret_is_marked_whatever_comes_behind_it)
{
    static const struct body_field secret_fields[] = { { "password", FIELD_TEXT, .secret = true, .max = 10 },
                                                       { "name", FIELD_TEXT, .max = 10 },
                                                       { 0 } };
    static const struct body secret_body = { "Secret", secret_fields };
    static const struct route secret = { .method = POST, .path = "/", .name = "secret", .body = &secret_body };
    static const char *const texts[] = { "{}", "{\"password\":\"x\"}", "{", "", "{\"name\":1}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        arena_reset(&r.arena);
        buf_clear(&r.body_bytes);
        buf_str(&r.body_bytes, str_of(texts[i]));
        r.has_secrets = false;
        r.route = &secret;
        (void)body_check(&r);
        ck_assert_msg(r.has_secrets, "%s", texts[i]);
    }
    r.has_secrets = false;
    passes("{\"title\":\"x\"}");
    ck_assert(!r.has_secrets);
}
END_TEST

START_TEST(a_name_that_is_long_is_cut_between_characters)
{
    char text[1024] = "{\"title\":\"x\",\"a";
    for (int i = 0; i < 100; i++)
        text_add(text, "\xe2\x82\xac");
    text_add(text, "\":1}");
    fails(text, "not a field", "\"field\":\"a\xe2\x82\xac");
    ck_assert_uint_lt(r.response.body.len, 700);
}
END_TEST

START_TEST(more_mistakes_than_fit_are_no_harm)
{
    char text[2048] = "{";
    for (int i = 0; i < 60; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "\"f%d\":1,", i);
    text_add(text, "\"title\":1}");
    fails(text, "invalid_body", "f0");
}
END_TEST

static void add(TCase *tests)
{
    json_arena_init();
    arena_init(&r.arena, 0);
    snprintf(r.request_id, sizeof r.request_id, "test");
    tcase_add_test(tests, a_good_body_is_read);
    tcase_add_test(tests, null_stands_only_where_it_may);
    tcase_add_test(tests, an_array_of_choices_has_each_at_most_once);
    tcase_add_test(tests, texts_of_a_profile_have_their_forms);
    tcase_add_test(tests, what_is_no_json_is_told_with_its_place);
    tcase_add_test(tests, a_name_that_stands_twice_is_named);
    tcase_add_test(tests, nesting_has_a_limit);
    tcase_add_test(tests, bytes_that_are_no_text_are_refused);
    tcase_add_test(tests, every_wrong_field_is_named_at_once);
    tcase_add_test(tests, a_field_says_what_it_may_be);
    tcase_add_test(tests, characters_are_counted_not_bytes);
    tcase_add_test(tests, an_email_address_has_parts_of_a_length);
    tcase_add_test(tests, what_people_count_as_one_character_is_one);
    tcase_add_test(tests, a_message_has_four_thousand_of_them_at_most);
    tcase_add_test(tests, a_text_is_kept_composed);
    tcase_add_test(tests, json_may_be_2048_deep);
    tcase_add_test(tests, json_that_is_made_beside_a_body_is_not_in_its_memory);
    tcase_add_test(tests, a_body_with_a_secret_is_marked_whatever_comes_behind_it);
    tcase_add_test(tests, a_name_that_is_long_is_cut_between_characters);
    tcase_add_test(tests, more_mistakes_than_fit_are_no_harm);
}

int main(void)
{
    int status = suite_run_together("body", add);
    arena_finish(&r.arena);
    buf_finish(&r.body_bytes);
    buf_finish(&r.response.body);
    return status;
}
