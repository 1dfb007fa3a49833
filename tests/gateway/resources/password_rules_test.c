/* Passwords that are not taken: each of the 10,000 commonest, and the person's own names. */
#include <sodium.h>
#include <stdio.h>

#include "gateway/accounts/password_rules.h"
#include "tests/suite.h"

#define NOBODY ((struct str){ 0 })

static bool is_good(struct str clear)
{
    return !password_fault(clear, STR("ada.lovelace"), STR("ada@example.org"));
}

START_TEST(every_word_of_the_list_is_refused_in_any_case)
{
    ck_assert_uint_eq(common_passwords_count, 10000);
    for (size_t i = 0; i < common_passwords_count; i++) {
        char word[64];
        snprintf(word, sizeof word, "%s", common_passwords + common_password_offsets[i]);
        ck_assert_msg(!is_good(str_of(word)), "%s", word);
        word[0] = (char)(word[0] >= 'a' && word[0] <= 'z' ? word[0] - 0x20 : word[0]);
        ck_assert_msg(!is_good(str_of(word)), "%s", word);
    }
    ck_assert(!is_good(STR("PassWord1")) && !is_good(STR("12345678")) && !is_good(STR("football")));
}
END_TEST

START_TEST(what_is_near_a_word_of_the_list_is_none_of_it)
{
    ck_assert(is_good(STR("correct horse battery staple")));
    ck_assert(is_good(STR("password1 ")) && is_good(STR("xqwertyuiopx")) && is_good(STR("")));
    char endless[2000];
    memset(endless, 'a', sizeof endless);
    ck_assert(is_good((struct str){ endless, sizeof endless }));
}
END_TEST

START_TEST(the_own_names_are_refused_in_any_case)
{
    ck_assert(!is_good(STR("ada.lovelace")) && !is_good(STR("Ada.LoveLace")) && !is_good(STR("ADA@example.org")));
    ck_assert(is_good(STR("ada.lovelace!")) && is_good(STR("ada@example.com")));
    ck_assert_ptr_nonnull(password_fault(STR("ÜNÏCODE-NAME"), STR("ünïcode-name"), NOBODY));
    ck_assert_ptr_null(password_fault(STR("ünïcode-nam"), STR("ünïcode-name"), NOBODY));
    ck_assert_ptr_null(password_fault(STR("anything else"), NOBODY, NOBODY));
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, every_word_of_the_list_is_refused_in_any_case);
    tcase_add_test(tests, what_is_near_a_word_of_the_list_is_none_of_it);
    tcase_add_test(tests, the_own_names_are_refused_in_any_case);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("password rules", add);
}
