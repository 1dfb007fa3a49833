/* Texts that a table or a JSON document would not take. */
#include <stdlib.h>

#include "consumers/projection/text.h"
#include "tests/suite.h"

#define FFFD "\xEF\xBF\xBD"

static const struct row {
    const char *sentence;
    struct str in, out;
} rows[] = {
#define ROW(sentence, in, out)                                                                                         \
    {                                                                                                                  \
        sentence, { in, sizeof in - 1 },                                                                               \
        {                                                                                                              \
            out, sizeof out - 1                                                                                        \
        }                                                                                                              \
    }
    ROW("nothing stays nothing", "", ""),
    ROW("plain text stays", "hello", "hello"),
    ROW("long plain text stays", "the quick brown fox jumps over the lazy dog",
        "the quick brown fox jumps over the lazy dog"),
    ROW("two, three and four bytes stay", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80",
        "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
    ROW("the ends of each range stay", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
        "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"),
    ROW("around the surrogates stays", "\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80"),
    ROW("NUL is replaced", "a\0b", "a" FFFD "b"),
    ROW("NUL among eight is replaced", "abcd\0fgh", "abcd" FFFD "fgh"),
    ROW("NUL at the end is replaced", "12345678\0", "12345678" FFFD),
    ROW("a lone continuation is replaced", "a\x80z", "a" FFFD "z"),
    ROW("a cut character is replaced", "a\xE2\x82", "a" FFFD FFFD),
    ROW("an overlong form is replaced", "\xC0\xAF", FFFD FFFD),
    ROW("a longer overlong form is replaced", "\xE0\x80\xAF", FFFD FFFD FFFD),
    ROW("the longest overlong form is replaced", "\xF0\x80\x80\xAF", FFFD FFFD FFFD FFFD),
    ROW("a surrogate is replaced", "\xED\xA0\x80", FFFD FFFD FFFD),
    ROW("what lies above U+10FFFF is replaced", "\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD),
    ROW("a byte that never occurs is replaced",
        "\xFF"
        "abcdefgh"
        "\xF5",
        FFFD "abcdefgh" FFFD),
#undef ROW
};

START_TEST(a_text_becomes_what_its_row_says)
{
    struct arena arena;
    arena_init(&arena, 0);
    /* On the heap and without a NUL behind it, so that the sanitizer sees a read past its end. */
    char *in = malloc(rows[_i].in.len ? rows[_i].in.len : 1);
    memcpy(in, rows[_i].in.ptr, rows[_i].in.len);
    struct str out = text_storable(&arena, (struct str){ in, rows[_i].in.len });
    ck_assert_msg(str_equal(out, rows[_i].out), "%s: got '%.*s'", rows[_i].sentence, (int)out.len, out.ptr);
    if (str_equal(rows[_i].in, rows[_i].out))
        ck_assert_msg(out.ptr == in, "%s: copied without need", rows[_i].sentence);
    free(in);
    arena_finish(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *texts = suite_case("texts");
    tcase_add_loop_test(texts, a_text_becomes_what_its_row_says, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(suite, texts);
    return suite_run(suite);
}
