/* When two names are one, and which names pass for others. */
#include <stdlib.h>

#include "consumers/users/names.h"
#include "tests/suite.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 0);
}

static void teardown(void)
{
    arena_finish(&arena);
}

static const struct pair {
    const char *a, *b;
} same[] = {
    { "  Ann.B-2 ", "ann.b-2" },
    { "STRASSE", "Stra\xC3\x9F\x65" },                                                          /* sharp s */
    { "\xC3\x84NNE", "a\xCC\x88nne" },                                                          /* composed and not */
    { "\xEF\xBC\xA1nn", "ann" },                                                                /* full width */
    { "\xCE\xA3\xCE\x9F\xCE\xA6\xCE\x9F\xCE\xA3", "\xCF\x83\xCE\xBF\xCF\x86\xCE\xBF\xCF\x82" }, /* final sigma */
    { "ann\xE2\x80\x8Bie", "annie" },                                                           /* zero width space */
    { "\xEF\xAC\x81nn", "finn" },                                                               /* ligature */
};

START_TEST(spellings_of_one_name_are_one)
{
    const struct str a = username_normalise(&arena, str_of(same[_i].a)),
                     b = username_normalise(&arena, str_of(same[_i].b));
    ck_assert_msg(str_equal(a, b), "%s: %s, %s: %s", same[_i].a, a.ptr, same[_i].b, b.ptr);
}
END_TEST

START_TEST(different_names_stay_different)
{
    static const char *const names[] = { "ann", "anne", "\xC3\xA4nn", "a.nn", "a-nn", "a_nn", "\xD0\xB0nn", "" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(
                !str_equal(username_normalise(&arena, str_of(names[i])), username_normalise(&arena, str_of(names[k]))),
                "%s and %s", names[i], names[k]);
}
END_TEST

START_TEST(names_that_mix_scripts_pass_for_others)
{
    static const char *const spoofs[] = {
        "p\xD0\xB0ypal",       /* Cyrillic a */
        "\xCE\xBFscar",        /* Greek o */
        "an\xCC\x88\xCC\x88n", /* a mark twice */
        "a1\xD9\xA1",          /* digits of two scripts */
    };
    static const char *const good[] = {
        "ann.b-2_c",
        "J\xC3\xBCrgen",
        "\xD0\x9E\xD0\xBB\xD1\x8C\xD0\xB3\xD0\xB0", /* Cyrillic alone */
        "\xCE\xA3\xCE\xBF\xCF\x86\xCE\xAF\xCE\xB1", /* Greek alone */
        "\xE5\xB1\xB1\xE7\x94\xB0tarou",            /* Han with Latin, as Japanese write */
        "\xED\x99\x8D\xEA\xB8\xB8",                 /* Hangul */
    };
    for (size_t i = 0; i < sizeof spoofs / sizeof *spoofs; i++)
        ck_assert_msg(username_is_spoof(str_of(spoofs[i])), "%s", spoofs[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(!username_is_spoof(str_of(good[i])), "%s", good[i]);
}
END_TEST

static const struct pair folds[] = {
    { "\xC3\x93lafur  ARNALDS", "olafur arnalds" },
    { "  Zo\xC3\xAB ", "zoe" },
    { "Nguy\xE1\xBB\x85n\tV\xC4\x83n", "nguyen van" },
    { "\xD0\x99\xD0\xBE\xD0\xB6", "\xD0\xB8\xD0\xBE\xD0\xB6" },
    { "\xF0\x9F\x98\x80 smile", "\xF0\x9F\x98\x80 smile" }, /* beyond the BMP */
    { " \t ", "" },
    { "", "" },
};

START_TEST(a_search_does_not_mind_case_accents_or_spaces)
{
    const struct str folded = search_fold(&arena, str_of(folds[_i].a));
    ck_assert_msg(str_equal(folded, str_of(folds[_i].b)), "%s: %s, not %s", folds[_i].a, folded.ptr, folds[_i].b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *names = suite_case("names");
    tcase_add_checked_fixture(names, setup, teardown);
    tcase_add_loop_test(names, spellings_of_one_name_are_one, 0, sizeof same / sizeof *same);
    tcase_add_test(names, different_names_stay_different);
    tcase_add_test(names, names_that_mix_scripts_pass_for_others);
    tcase_add_loop_test(names, a_search_does_not_mind_case_accents_or_spaces, 0, sizeof folds / sizeof *folds);
    suite_add_tcase(suite, names);
    return suite_run(suite);
}
