/* Cursors: what comes back unchanged is accepted, nothing else is. */
#include <sodium.h>

#include "gateway/base64url.h"
#include "gateway/cursor.h"
#include "tests/suite.h"

static const uint8_t key[32] = { 1, 2, 3 };
static const struct uuid position = { { 0xa5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };

START_TEST(a_cursor_leads_back_to_its_position)
{
    struct cursors *c = cursors_create(key);
    char text[CURSOR_LEN + 1];
    struct uuid back;
    cursor_format(c, STR("rooms:mine"), position, text);
    ck_assert_uint_eq(strlen(text), CURSOR_LEN);
    ck_assert(cursor_parse(c, STR("rooms:mine"), str_of(text), &back));
    ck_assert(uuid_equal(back, position));
    cursors_destroy(c);
}
END_TEST

START_TEST(a_cursor_of_another_list_or_of_another_key_is_refused)
{
    struct cursors *c = cursors_create(key), *other = cursors_create((uint8_t[32]){ 9 });
    char text[CURSOR_LEN + 1];
    struct uuid back = uuid_nil;
    cursor_format(c, STR("rooms:mine"), position, text);
    ck_assert(!cursor_parse(c, STR("rooms:visible"), str_of(text), &back));
    ck_assert(!cursor_parse(c, STR("rooms:min"), str_of(text), &back));
    ck_assert(!cursor_parse(other, STR("rooms:mine"), str_of(text), &back));
    ck_assert(uuid_is_nil(back));
    cursors_destroy(c);
    cursors_destroy(other);
}
END_TEST

START_TEST(a_cursor_that_was_changed_or_cut_is_refused)
{
    struct cursors *c = cursors_create(key);
    char text[CURSOR_LEN + 1], copy[CURSOR_LEN + 1];
    struct uuid back;
    cursor_format(c, STR("rooms:mine"), position, text);
    for (size_t len = 0; len < CURSOR_LEN; len++)
        ck_assert(!cursor_parse(c, STR("rooms:mine"), (struct str){ text, len }, &back));
    for (size_t i = 0; i < CURSOR_LEN; i++) {
        for (const char *with = "AQgw_-=!\x01\xff"; *with; with++) {
            memcpy(copy, text, sizeof copy);
            if (copy[i] == *with)
                continue;
            copy[i] = *with;
            ck_assert_msg(!cursor_parse(c, STR("rooms:mine"), str_of(copy), &back), "%s", copy);
        }
    }
    cursors_destroy(c);
}
END_TEST

START_TEST(a_position_may_have_any_length)
{
    struct cursors *c = cursors_create(key);
    struct arena arena;
    arena_init(&arena, 0);
    char bytes[CURSOR_TEXT_MAX + 1];
    memset(bytes, 'x', sizeof bytes);
    struct str back;
    for (size_t len = 0; len <= CURSOR_TEXT_MAX; len++) {
        struct str text = cursor_format_text(c, &arena, STR("search:a"), (struct str){ bytes, len });
        ck_assert(cursor_parse_text(c, &arena, STR("search:a"), text, &back));
        ck_assert(str_equal(back, (struct str){ bytes, len }));
        ck_assert(!cursor_parse_text(c, &arena, STR("search:b"), text, &back));
        ((char *)text.ptr)[text.len / 2] ^= 1;
        ck_assert(!cursor_parse_text(c, &arena, STR("search:a"), text, &back));
        ck_assert(!cursor_parse_text(c, &arena, STR("search:a"), (struct str){ text.ptr, text.len - 1 }, &back));
        arena_reset(&arena);
    }
    struct str longer = cursor_format_text(c, &arena, STR("a"), (struct str){ bytes, sizeof bytes });
    ck_assert(!cursor_parse_text(c, &arena, STR("a"), longer, &back));
    arena_finish(&arena);
    cursors_destroy(c);
}
END_TEST

START_TEST(no_byte_moves_between_a_position_and_its_list)
{
    struct cursors *c = cursors_create(key);
    struct arena arena;
    arena_init(&arena, 0);
    struct str text = cursor_format_text(c, &arena, STR("bc"), STR("a")), back;
    uint8_t bytes[18] = "ab";
    char forged[BASE64URL_LEN(sizeof bytes) + 1];
    uint8_t plain[17];
    ck_assert(base64url_decode(text, plain, sizeof plain));
    memcpy(bytes + 2, plain + 1, 16);
    base64url_encode(bytes, sizeof bytes, forged);
    ck_assert(!cursor_parse_text(c, &arena, STR("c"), str_of(forged), &back));
    arena_finish(&arena);
    cursors_destroy(c);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, a_cursor_leads_back_to_its_position);
    tcase_add_test(tests, a_cursor_of_another_list_or_of_another_key_is_refused);
    tcase_add_test(tests, a_cursor_that_was_changed_or_cut_is_refused);
    tcase_add_test(tests, no_byte_moves_between_a_position_and_its_list);
    tcase_add_test(tests, a_position_may_have_any_length);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("cursors", add);
}
