/* Access tokens: what is accepted, and every way to forge one that we know of. */
#include <sodium.h>
#include <stdio.h>

#include "gateway/route.h"
#include "gateway/token.h"
#include "ops/runtime/clock.h"
#include "tests/gateway/resources/fixture.h"

#define NOW    1790000000000
#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static struct config *config;
static struct tokens *tokens;
static struct arena arena;
static const struct setting *const tables[] = { token_settings, NULL };
static const struct claims claims = {
    .user_id = { { 1, 2, 3, 4, 5, 6, 0x77, 8, 0x99, 10, 11, 12, 13, 14, 15, 16 } },
    .session_id = { { 9, 9, 9, 9, 9, 9, 0x79, 9, 0x99, 9, 9, 9, 9, 9, 9, 9 } },
    .roles = ROLE_USER | ROLE_ADMIN,
};

static void set_up(void)
{
    config = fixture_config(tables, (const char *[]){ "auth.jwt_secret=" SECRET, NULL });
    ck_assert_int_eq(tokens_create(config, &tokens), OK);
    arena_init(&arena, 0);
}

static void tear_down(void)
{
    arena_finish(&arena);
    tokens_destroy(tokens);
    config_destroy(config);
}

static const char *b64(const void *bytes, size_t len)
{
    size_t size = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = arena_alloc(&arena, size);
    return sodium_bin2base64(text, size, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Signed with our own key unless another is given, so that only what the test spoils is wrong. */
static struct str forge(const char *header, const char *payload, const char *secret)
{
    uint8_t key[64], mac[crypto_auth_hmacsha256_BYTES];
    size_t len;
    ck_assert_int_eq(
        sodium_base642bin(key, sizeof key, secret, strlen(secret), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL),
        0);
    const char *text = arena_printf(&arena, "%s.%s", b64(header, strlen(header)), b64(payload, strlen(payload)));
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, len);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)text, strlen(text));
    crypto_auth_hmacsha256_final(&state, mac);
    return str_of(arena_printf(&arena, "%s.%s", text, b64(mac, sizeof mac)));
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define IDS    "\"sub\":\"01020304-0506-7708-990a-0b0c0d0e0f10\",\"sid\":\"09090909-0909-7909-9909-090909090909\""
#define END    "\"exp\":1790000100"
#define OURS   "\"iss\":\"aether\",\"aud\":\"aether-api\",\"typ\":\"access\""

static err check(struct str token)
{
    struct claims ret;
    return token_check(tokens, token, NOW, &ret);
}

static struct str issue(void)
{
    struct str token;
    ck_assert_int_eq(token_issue(tokens, &claims, NOW, &arena, &token), OK);
    return token;
}

START_TEST(a_token_says_who_came_in_which_session_with_which_roles)
{
    for (int again = 0; again < 3; again++) { /* the second time from memory */
        struct claims ret = { 0 };
        ck_assert_int_eq(token_check(tokens, issue(), NOW, &ret), OK);
        ck_assert(uuid_equal(ret.user_id, claims.user_id));
        ck_assert(uuid_equal(ret.session_id, claims.session_id));
        ck_assert_uint_eq(ret.roles, claims.roles);
        ck_assert_int_eq(ret.expires_at, NOW + 900000);
    }
}
END_TEST

START_TEST(a_token_ends_also_when_it_is_remembered)
{
    struct claims ret;
    struct str token = issue();
    ck_assert_int_eq(token_check(tokens, token, NOW + 899999, &ret), OK);
    ck_assert_int_eq(token_check(tokens, token, NOW + 900000, &ret), REJECT);
    ck_assert_int_eq(token_check(tokens, token, NOW + 899999, &ret), OK);
}
END_TEST

START_TEST(the_token_that_the_tests_forge_from_is_good)
{
    ck_assert_int_eq(check(forge(HEADER, "{" OURS "," IDS "," END "}", SECRET)), OK);
}
END_TEST

START_TEST(a_forged_token_is_refused)
{
    static const struct {
        const char *what, *header, *payload, *secret;
    } forged[] = {
        { "another key", HEADER, "{" OURS "," IDS "," END "}", "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" },
        { "algorithm none", "{\"alg\":\"none\"}", "{" OURS "," IDS "," END "}", SECRET },
        { "algorithm None", "{\"alg\":\"None\"}", "{" OURS "," IDS "," END "}", SECRET },
        { "algorithm HS512 named", "{\"alg\":\"HS512\"}", "{" OURS "," IDS "," END "}", SECRET },
        { "algorithm RS256 named", "{\"alg\":\"RS256\"}", "{" OURS "," IDS "," END "}", SECRET },
        { "no algorithm", "{}", "{" OURS "," IDS "," END "}", SECRET },
        { "a number for an algorithm", "{\"alg\":256}", "{" OURS "," IDS "," END "}", SECRET },
        { "another issuer", HEADER, "{\"iss\":\"mallory\",\"aud\":\"aether-api\",\"typ\":\"access\"," IDS "," END "}",
          SECRET },
        { "no issuer", HEADER, "{\"aud\":\"aether-api\",\"typ\":\"access\"," IDS "," END "}", SECRET },
        { "another audience", HEADER, "{\"iss\":\"aether\",\"aud\":\"other\",\"typ\":\"access\"," IDS "," END "}",
          SECRET },
        { "an array of audiences", HEADER,
          "{\"iss\":\"aether\",\"aud\":[\"aether-api\"],\"typ\":\"access\"," IDS "," END "}", SECRET },
        { "another type", HEADER, "{\"iss\":\"aether\",\"aud\":\"aether-api\",\"typ\":\"refresh\"," IDS "," END "}",
          SECRET },
        { "no type", HEADER, "{\"iss\":\"aether\",\"aud\":\"aether-api\"," IDS "," END "}", SECRET },
        { "expired", HEADER, "{" OURS "," IDS ",\"exp\":1790000000}", SECRET },
        { "no end", HEADER, "{" OURS "," IDS "}", SECRET },
        { "an end in words", HEADER, "{" OURS "," IDS ",\"exp\":\"1790000100\"}", SECRET },
        { "an end of null", HEADER, "{" OURS "," IDS ",\"exp\":null}", SECRET },
        { "an end far beyond", HEADER, "{" OURS "," IDS ",\"exp\":9223372036854775807}", SECRET },
        { "an end before time", HEADER, "{" OURS "," IDS ",\"exp\":-1}", SECRET },
        { "not yet", HEADER, "{" OURS "," IDS "," END ",\"nbf\":1790000050}", SECRET },
        { "a subject that is no id", HEADER,
          "{" OURS ",\"sub\":\"root\",\"sid\":\"09090909-0909-7909-9909-090909090909\"," END "}", SECRET },
        { "no session", HEADER, "{" OURS ",\"sub\":\"01020304-0506-7708-990a-0b0c0d0e0f10\"," END "}", SECRET },
        { "a payload that is an array", HEADER, "[]", SECRET },
        { "a payload that is no JSON", HEADER, "{", SECRET },
        { "a header that is no JSON", "{", "{" OURS "," IDS "," END "}", SECRET },
    };
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct str token = forge(forged[i].header, forged[i].payload, forged[i].secret);
        for (int again = 0; again < 2; again++)
            ck_assert_msg(check(token) == REJECT, "accepted: %s", forged[i].what);
        ck_assert_ptr_nonnull(err_message());
    }
}
END_TEST

START_TEST(hs512_with_our_own_key_is_refused)
{
    uint8_t key[64], mac[crypto_auth_hmacsha512_BYTES];
    size_t len;
    ck_assert_int_eq(
        sodium_base642bin(key, sizeof key, SECRET, strlen(SECRET), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL),
        0);
    const char *payload = "{" OURS "," IDS "," END "}", *header = "{\"alg\":\"HS512\"}";
    const char *text = arena_printf(&arena, "%s.%s", b64(header, strlen(header)), b64(payload, strlen(payload)));
    crypto_auth_hmacsha512_state state;
    crypto_auth_hmacsha512_init(&state, key, len);
    crypto_auth_hmacsha512_update(&state, (const uint8_t *)text, strlen(text));
    crypto_auth_hmacsha512_final(&state, mac);
    ck_assert_int_eq(check(str_of(arena_printf(&arena, "%s.%s", text, b64(mac, sizeof mac)))), REJECT);
}
END_TEST

START_TEST(a_token_that_was_cut_or_changed_anywhere_is_refused)
{
    struct str token = issue();
    ck_assert_int_eq(check(token), OK);
    char copy[1024];
    ck_assert_uint_lt(token.len, sizeof copy);
    for (size_t len = 0; len < token.len; len++)
        ck_assert_msg(check((struct str){ token.ptr, len }) == REJECT, "cut to %zu", len);
    for (size_t i = 0; i + 1 < token.len; i++) { /* the last character has bits that mean nothing */
        memcpy(copy, token.ptr, token.len);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        ck_assert_msg(check((struct str){ copy, token.len }) == REJECT, "changed at %zu", i);
    }
    memcpy(copy, token.ptr, token.len);
    copy[10] = '\0';
    ck_assert_int_eq(check((struct str){ copy, token.len }), REJECT);
    memcpy(copy, token.ptr, token.len);
    memcpy(copy + token.len, ".x", 2);
    ck_assert_int_eq(check((struct str){ copy, token.len + 2 }), REJECT);
}
END_TEST

START_TEST(noise_is_refused)
{
    char noise[4096];
    static const char alphabet[] = "ABCabc019-_.=\"{}\x01\xff";
    for (int i = 0; i < 20000; i++) {
        size_t len = randombytes_uniform(i % 100 ? 200 : sizeof noise);
        for (size_t k = 0; k < len; k++)
            noise[k] = alphabet[randombytes_uniform(sizeof alphabet)];
        ck_assert_int_eq(check((struct str){ noise, len }), REJECT);
    }
}
END_TEST

START_TEST(more_tokens_than_are_remembered_are_all_checked_right)
{
    struct str good[64], bad[64];
    for (int i = 0; i < 64; i++) {
        struct claims c = claims;
        c.session_id.bytes[0] = (uint8_t)i;
        ck_assert_int_eq(token_issue(tokens, &c, NOW, &arena, &good[i]), OK);
    }
    for (int i = 0; i < 6000; i++) { /* more than there are places */
        struct claims c = claims, ret;
        struct str token;
        memcpy(c.user_id.bytes, &i, sizeof i);
        ck_assert_int_eq(token_issue(tokens, &c, NOW, &arena, &token), OK);
        ck_assert_int_eq(token_check(tokens, token, NOW, &ret), OK);
        ck_assert(uuid_equal(ret.user_id, c.user_id));
        int k = i % 64;
        ck_assert_int_eq(token_check(tokens, good[k], NOW, &ret), OK);
        ck_assert_int_eq(ret.session_id.bytes[0], k);
        bad[k] = (struct str){ good[k].ptr, good[k].len - 1 };
        ck_assert_int_eq(check(bad[k]), REJECT);
    }
}
END_TEST

START_TEST(a_token_of_the_previous_key_is_good_and_new_ones_are_of_the_current)
{
    struct str old = issue();
    struct config *later =
        fixture_config(tables, (const char *[]){ "auth.jwt_secret=//////////////////////////////////////////8=",
                                                 "auth.jwt_previous_secret=" SECRET, NULL });
    struct tokens *rotated;
    struct claims ret;
    struct str new;
    ck_assert_int_eq(tokens_create(later, &rotated), OK);
    ck_assert_int_eq(token_check(rotated, old, NOW, &ret), OK);
    ck_assert_int_eq(token_issue(rotated, &claims, NOW, &arena, &new), OK);
    ck_assert_int_eq(token_check(rotated, new, NOW, &ret), OK);
    ck_assert_int_eq(check(new), REJECT);
    tokens_destroy(rotated);
    config_destroy(later);
}
END_TEST

START_TEST(a_secret_that_is_too_short_or_no_base64_is_named)
{
    /* The table asks for 44 characters, so only what decodes to less gets here. */
    static const char *const secrets[] = { "auth.jwt_secret=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                                           "auth.jwt_secret=!!ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" };
    for (size_t i = 0; i < 2; i++) {
        char *argv[] = { (char *)"test", (char *)"--set", (char *)secrets[i], NULL };
        int argc = 3;
        struct config *wrong = NULL;
        struct tokens *none = NULL;
        err e = config_load("test", "A test.", tables, &argc, argv, &wrong);
        if (e == OK)
            e = tokens_create(wrong, &none);
        ck_assert_int_eq(e, FATAL);
        ck_assert_ptr_nonnull(strstr(err_message(), "auth.jwt_secret"));
        ck_assert_ptr_null(strstr(err_message(), "ECAwQF"));
        config_destroy(wrong);
    }
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_token_says_who_came_in_which_session_with_which_roles);
    tcase_add_test(tests, a_token_ends_also_when_it_is_remembered);
    tcase_add_test(tests, the_token_that_the_tests_forge_from_is_good);
    tcase_add_test(tests, a_forged_token_is_refused);
    tcase_add_test(tests, hs512_with_our_own_key_is_refused);
    tcase_add_test(tests, a_token_that_was_cut_or_changed_anywhere_is_refused);
    tcase_add_test(tests, noise_is_refused);
    tcase_add_test(tests, more_tokens_than_are_remembered_are_all_checked_right);
    tcase_add_test(tests, a_token_of_the_previous_key_is_good_and_new_ones_are_of_the_current);
    tcase_add_test(tests, a_secret_that_is_too_short_or_no_base64_is_named);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : fixture_run("tokens", add);
}
