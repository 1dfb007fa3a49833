/* Passwords: our argon2id strings are the library's, and equal work for those who exist and those who do not. */
#include <argon2.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

#include "gateway/accounts/password.h"
#include "ops/runtime/clock.h"
#include "tests/settings.h"

static struct config *config;
static struct password *password;
static const struct setting *const tables[] = { password_settings, NULL };

static void set_up(void)
{
    config = settings_of(tables, (const char *[]){ NULL });
    ck_assert_int_eq(password_create(config, &password), OK);
}

static void tear_down(void)
{
    password_rest();
    password_destroy(password);
    config_destroy(config);
}

START_TEST(a_password_matches_its_hash_and_no_other_does)
{
    char hash[PASSWORD_HASH_MAX], again[PASSWORD_HASH_MAX];
    ck_assert_int_eq(password_hash(password, STR("correct horse"), hash), OK);
    ck_assert_int_eq(password_hash(password, STR("correct horse"), again), OK);
    ck_assert_str_ne(hash, again); /* another salt */
    ck_assert_int_eq(password_verify(password, STR("correct horse"), str_of(hash)), OK);
    ck_assert_int_eq(password_verify(password, STR("correct horse"), str_of(again)), OK);
    ck_assert_int_eq(password_verify(password, STR("correct horsf"), str_of(hash)), REJECT);
    ck_assert_int_eq(password_verify(password, STR(""), str_of(hash)), REJECT);
}
END_TEST

START_TEST(the_library_reads_our_strings_and_we_read_the_librarys)
{
    char ours[PASSWORD_HASH_MAX], theirs[PASSWORD_HASH_MAX];
    ck_assert_int_eq(password_hash(password, STR("correct horse"), ours), OK);
    ck_assert_int_eq(strncmp(ours, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    ck_assert_int_eq(argon2id_verify(ours, "correct horse", 13), ARGON2_OK);
    ck_assert_int_eq(
        argon2id_hash_encoded(3, 8192, 2, "correct horse", 13, "somesaltsomesalt", 16, 24, theirs, sizeof theirs),
        ARGON2_OK);
    ck_assert_int_eq(password_verify(password, STR("correct horse"), str_of(theirs)), OK);
    ck_assert_int_eq(password_verify(password, STR("wrong"), str_of(theirs)), REJECT);
}
END_TEST

START_TEST(what_is_no_hash_of_ours_matches_nothing)
{
    static const char *const strings[] = {
        "x",
        "$argon2id$",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$AAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$!!!",
        "$argon2id$v=19$m=19456,t=0,p=1$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=0$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA",
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        ck_assert_msg(password_verify(password, STR("x"), str_of(strings[i])) == REJECT, "%s", strings[i]);
}
END_TEST

START_TEST(nobody_takes_as_long_as_somebody)
{
    char hash[PASSWORD_HASH_MAX];
    int64_t somebody = 0, nobody = 0;
    ck_assert_int_eq(password_hash(password, STR("correct horse"), hash), OK);
    for (int i = 0; i < 8; i++) {
        int64_t start = clock_mono_us();
        ck_assert_int_eq(password_verify(password, STR("wrong"), str_of(hash)), REJECT);
        int64_t middle = clock_mono_us();
        ck_assert_int_eq(password_verify(password, STR("wrong"), (struct str){ 0 }), REJECT);
        somebody += middle - start;
        nobody += clock_mono_us() - middle;
    }
    ck_assert_msg(nobody * 3 > somebody && somebody * 3 > nobody, "%ld and %ld us", (long)somebody, (long)nobody);
}
END_TEST

/* Vectors of OpenBSD's and of John the Ripper's bcrypt; the last two of crypt_blowfish's own test. */
static const struct {
    const char *clear, *hash;
} bcrypt[] = {
    { "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" },
    { "U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a" },
    { "\xff\xa3"
      "345",
      "$2y$05$/OK.fbVrR/bpIqNJ5ianF.nRht2l/HRhr6zmCp9vYUvvsqynflf9e" },
    { "", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy" },
};

START_TEST(an_imported_bcrypt_hash_matches_its_password_and_no_other)
{
    for (size_t i = 0; i < sizeof bcrypt / sizeof *bcrypt; i++) {
        ck_assert_msg(password_verify(password, str_of(bcrypt[i].clear), str_of(bcrypt[i].hash)) == OK, "%s: %s",
                      bcrypt[i].hash, err_message());
        ck_assert_int_eq(password_verify(password, STR("U*V"), str_of(bcrypt[i].hash)), REJECT);
        ck_assert(password_is_dated(password, str_of(bcrypt[i].hash)));
    }
    char made[61] = "$2b$05$";
    memcpy(made + 7, bcrypt[0].hash + 7, 54); /* 2a and 2b differ in nothing but very long passwords */
    ck_assert_int_eq(password_verify(password, STR("U*U"), str_of(made)), OK);
}
END_TEST

START_TEST(a_bcrypt_hash_that_is_none_or_asks_for_too_much_matches_nothing)
{
    static const char *const strings[] = {
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",   /* short */
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW", /* long */
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", /* would take years */
        "$2b$0x$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$!!!!!!!!!!!!!!!!!!!!!.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        ck_assert_msg(password_verify(password, STR("U*U"), str_of(strings[i])) == REJECT, "%s", strings[i]);
    char endless[4000];
    memset(endless, 'x', sizeof endless);
    ck_assert_int_eq(password_verify(password, (struct str){ endless, sizeof endless }, str_of(bcrypt[0].hash)),
                     REJECT);
}
END_TEST

START_TEST(a_hash_of_other_parameters_is_dated_and_ours_is_not)
{
    char ours[PASSWORD_HASH_MAX], theirs[PASSWORD_HASH_MAX];
    ck_assert_int_eq(password_hash(password, STR("correct horse"), ours), OK);
    ck_assert(!password_is_dated(password, str_of(ours)));
    ck_assert_int_eq(
        argon2id_hash_encoded(1, 8192, 1, "correct horse", 13, "somesaltsomesalt", 16, 32, theirs, sizeof theirs),
        ARGON2_OK);
    ck_assert(password_is_dated(password, str_of(theirs)));
}
END_TEST

static void *hash_some(void *unused)
{
    char hash[PASSWORD_HASH_MAX];
    for (int i = 0; i < 3; i++) {
        if (password_hash(password, STR("correct horse"), hash) != OK ||
            password_verify(password, STR("correct horse"), str_of(hash)) != OK)
            return unused;
        if (i == 1)
            password_rest(); /* the memory comes back by itself */
    }
    return password; /* anything but NULL */
}

START_TEST(threads_hash_beside_each_other_and_leave_nothing_behind)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hash_some, NULL), 0);
    for (int i = 0; i < 3; i++) {
        void *good;
        pthread_join(threads[i], &good);
        ck_assert_ptr_nonnull(good);
    }
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_password_matches_its_hash_and_no_other_does);
    tcase_add_test(tests, the_library_reads_our_strings_and_we_read_the_librarys);
    tcase_add_test(tests, what_is_no_hash_of_ours_matches_nothing);
    tcase_add_test(tests, nobody_takes_as_long_as_somebody);
    tcase_add_test(tests, an_imported_bcrypt_hash_matches_its_password_and_no_other);
    tcase_add_test(tests, a_bcrypt_hash_that_is_none_or_asks_for_too_much_matches_nothing);
    tcase_add_test(tests, a_hash_of_other_parameters_is_dated_and_ours_is_not);
    tcase_add_test(tests, threads_hash_beside_each_other_and_leave_nothing_behind);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("passwords", add);
}
