/* What counts as an emoji, and as a text with something to see. */
#include "gateway/http/message_text.h"
#include "gateway/http/profile_text.h"
#include "tests/suite.h"

#define FE0F "\xEF\xB8\x8F"
#define ZWJ  "\xE2\x80\x8D"

static const struct emoji_row {
    const char *sentence, *text;
    bool is, was; /* now, and before there was a list */
} emoji_rows[] = {
    { "a thumb", "\xF0\x9F\x91\x8D", true, true },
    { "a thumb of a dark hand", "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBF", true, true },
    { "a flag", "\xF0\x9F\x87\xA6\xF0\x9F\x87\xB9", true, true },
    { "a flag of a region",
      "\xF0\x9F\x8F\xB4\xF3\xA0\x81\xA7\xF3\xA0\x81\xA2\xF3\xA0\x81\xB3\xF3\xA0\x81\xA3\xF3\xA0\x81\xB4\xF3\xA0\x81"
      "\xBF",
      true, true },
    { "a keycap", "1" FE0F "\xE2\x83\xA3", true, true },
    { "a heart, fully qualified", "\xE2\x9D\xA4" FE0F, true, true },
    { "a heart that may be a sign of text", "\xE2\x9D\xA4", false, true },
    { "a family", "\xF0\x9F\x91\xA8" ZWJ "\xF0\x9F\x91\xA9" ZWJ "\xF0\x9F\x91\xA7" ZWJ "\xF0\x9F\x91\xA6", true, true },
    { "two hundred that no keyboard has: joined by hand", "\xF0\x9F\x90\x88" ZWJ "\xF0\x9F\x8D\x95", false, true },
    { "a flag of no country", "\xF0\x9F\x87\xBD\xF0\x9F\x87\xBD", false, true },
    { "half a flag", "\xF0\x9F\x87\xA6", false, true },
    { "a thumb with a mark on it", "\xF0\x9F\x91\x8D\xCC\x81", false, true },
    { "two thumbs", "\xF0\x9F\x91\x8D\xF0\x9F\x91\x8D", false, false },
    { "a letter", "x", false, false },
    { "a digit", "1", false, false },
    { "a sign", "\xC2\xA9", false, true },
    { "nothing", "", false, false },
};

START_TEST(an_emoji_is_one_of_those_that_are_recommended)
{
    const struct emoji_row *row = &emoji_rows[_i];
    ck_assert_msg(text_is_emoji(str_of(row->text)) == row->is, "%s", row->sentence);
    ck_assert_msg(text_was_emoji(str_of(row->text)) == row->was, "%s, before", row->sentence);
}
END_TEST

static const struct visible_row {
    const char *text;
    bool is;
} visible_rows[] = {
    { "x", true },
    { " \n x", true },
    { "\xF0\x9F\x91\x8D", true },
    { "\xE2\x9D\xA4" FE0F, true },
    { "\xE2\xA0\x80", true }, /* BRAILLE PATTERN BLANK is neither */
    { " ", false },
    { " \t\r\n\v\f", false },
    { "\xC2\xA0\xC2\x85", false },                      /* NO-BREAK SPACE, NEXT LINE */
    { "\xE1\x9A\x80\xE3\x80\x80\xE2\x80\xAF", false },  /* OGHAM SPACE MARK, IDEOGRAPHIC SPACE, NARROW NO-BREAK SPACE */
    { "\xE2\x80\x8B\xE2\x80\x8D\xEF\xBB\xBF", false },  /* ZERO WIDTH SPACE, JOINER, NO-BREAK SPACE */
    { "\xC2\xAD\xCD\x8F\xE2\x81\xA0", false },          /* SOFT HYPHEN, COMBINING GRAPHEME JOINER, WORD JOINER */
    { "\xE3\x85\xA4\xEF\xBE\xA0\xE1\x85\x9F", false },  /* fillers of Hangul */
    { FE0F "\xF3\xA0\x84\x80\xF3\xA0\x81\xA1", false }, /* variation selectors, a tag */
    { "\xE2\x80\x8E\xE2\x80\xAE\xE2\x81\xA6 \n", false }, /* marks of direction */
};

START_TEST(a_text_has_something_to_see)
{
    const struct visible_row *row = &visible_rows[_i];
    const struct str text = str_of(row->text);
    ck_assert_msg(text_is_visible(text) == row->is, "row %d", _i);
    ck_assert_msg(text_is_message(text) == row->is, "row %d as a message", _i);
    ck_assert_msg(text_is_prose(str_of(strpbrk(row->text, "\v\f") ? "" : row->text)) ==
                      (row->is || strpbrk(row->text, "\v\f") != NULL),
                  "row %d as prose", _i);
}
END_TEST

START_TEST(a_message_is_not_empty_and_prose_may_be)
{
    ck_assert(!text_is_message(STR("")) && text_is_prose(STR("")));
}
END_TEST

static struct str many(struct arena *arena, const char *character, size_t count)
{
    const size_t len = strlen(character);
    char *text = arena_alloc(arena, count * len);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * len, character, len);
    return (struct str){ text, count * len };
}

START_TEST(a_message_has_4000_characters_and_no_more)
{
    static const char *const characters[] = { "x", "\xC3\xA9", "e\xCC\x81", "\xF0\x9F\x91\x8D" };
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++) {
        ck_assert_msg(text_is_message(many(&arena, characters[i], 4000)), "4000 of %s", characters[i]);
        ck_assert_msg(!text_is_message(many(&arena, characters[i], 4001)), "4001 of %s", characters[i]);
    }
    arena_finish(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http text");
    TCase *text = suite_case("text");
    tcase_add_loop_test(text, an_emoji_is_one_of_those_that_are_recommended, 0, sizeof emoji_rows / sizeof *emoji_rows);
    tcase_add_loop_test(text, a_text_has_something_to_see, 0, sizeof visible_rows / sizeof *visible_rows);
    tcase_add_test(text, a_message_is_not_empty_and_prose_may_be);
    tcase_add_test(text, a_message_has_4000_characters_and_no_more);
    suite_add_tcase(suite, text);
    return suite_run(suite);
}
