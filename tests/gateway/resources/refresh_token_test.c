/* Refresh tokens: what we issued reads back, and nothing else does. */
#include <sodium.h>

#include "gateway/tokens/refresh_token.h"
#include "tests/suite.h"

static const uint8_t check_key[32] = { 1 }, secret_key[32] = { 2 }, other_key[32] = { 3 };
static const struct uuid user = { { 1, 2, 3, 4, 5, 6, 0x77, 8, 0x99, 10, 11, 12, 13, 14, 15, 16 } };
static const struct uuid session = { { 9, 9, 9, 9, 9, 9, 0x79, 9, 0x99, 9, 9, 9, 9, 9, 9, 9 } };
static struct refresh_tokens *tokens;
static struct refresh_token token;
static char text[REFRESH_TOKEN_LEN + 1];

static void set_up(void)
{
    tokens = refresh_tokens_create(check_key, secret_key);
    refresh_token_draw(session, user, &token);
    token.generation = 0x01020304;
    refresh_token_format(tokens, &token, text);
}

static void tear_down(void)
{
    refresh_tokens_destroy(tokens);
}

START_TEST(a_token_reads_back_and_its_hash_depends_on_every_byte)
{
    struct refresh_token back;
    uint8_t hash[REFRESH_HASH_LEN], other[REFRESH_HASH_LEN];
    ck_assert_uint_eq(strlen(text), REFRESH_TOKEN_LEN);
    ck_assert(refresh_token_parse(tokens, str_of(text), &back));
    ck_assert_mem_eq(&token, &back, sizeof token);
    refresh_token_hash(&token, hash);
    for (size_t i = 0; i < sizeof token; i++) {
        struct refresh_token changed = token;
        ((uint8_t *)&changed)[i] ^= 1;
        refresh_token_hash(&changed, other);
        ck_assert_mem_ne(hash, other, sizeof hash);
    }
}
END_TEST

START_TEST(a_token_that_was_changed_anywhere_is_none)
{
    struct refresh_token back;
    for (size_t i = 0; i < REFRESH_TOKEN_LEN; i++) {
        char changed[sizeof text];
        memcpy(changed, text, sizeof changed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        ck_assert(!refresh_token_parse(tokens, str_of(changed), &back));
    }
}
END_TEST

START_TEST(a_token_under_another_key_is_none)
{
    struct refresh_token back;
    struct refresh_tokens *others = refresh_tokens_create(other_key, secret_key);
    ck_assert(!refresh_token_parse(others, str_of(text), &back));
    refresh_tokens_destroy(others);
}
END_TEST

START_TEST(text_that_is_cut_or_no_base64_is_none)
{
    struct refresh_token back;
    for (size_t len = 0; len < REFRESH_TOKEN_LEN; len++)
        ck_assert(!refresh_token_parse(tokens, (struct str){ text, len }, &back));
    for (const char *bad = "!=+/ \x01\xff"; *bad; bad++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof copy);
        copy[40] = *bad;
        ck_assert(!refresh_token_parse(tokens, str_of(copy), &back));
    }
}
END_TEST

START_TEST(the_next_token_is_the_same_for_a_repeated_command_and_another_for_another)
{
    struct refresh_token a, b, presented = token;
    refresh_token_next(tokens, &presented, user, &a);
    refresh_token_next(tokens, &presented, user, &b);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_uint_eq(a.generation, token.generation + 1);
    ck_assert(uuid_equal(a.session_id, session) && uuid_equal(a.user_id, user));
    refresh_token_next(tokens, &presented, session, &b);
    ck_assert_mem_ne(a.secret, b.secret, sizeof a.secret);
    presented.secret[31] ^= 1;
    refresh_token_next(tokens, &presented, user, &b);
    ck_assert_mem_ne(a.secret, b.secret, sizeof a.secret);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_token_reads_back_and_its_hash_depends_on_every_byte);
    tcase_add_test(tests, a_token_that_was_changed_anywhere_is_none);
    tcase_add_test(tests, a_token_under_another_key_is_none);
    tcase_add_test(tests, text_that_is_cut_or_no_base64_is_none);
    tcase_add_test(tests, the_next_token_is_the_same_for_a_repeated_command_and_another_for_another);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("refresh tokens", add);
}
