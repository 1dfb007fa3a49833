/* Access tokens: what is accepted, and every way to forge one that we know of. */
#include <pthread.h>

#include <sodium.h>
#include <stdio.h>

#include "gateway/base64url.h"
#include "gateway/http/route.h"
#include "gateway/tokens/keys.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"
#include "tests/gateway/resources/key_folder.h"
#include "tests/settings.h"

#define NOW    1790000000000
#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static struct key_folder folder;
static struct config *config;
static struct tokens *tokens;
static struct keys *keys; /* the same ones, to forge with */
static struct arena arena;
static const struct setting *const tables[] = { token_settings, keys_settings, NULL };
static const struct claims claims = {
    .user_id = { { 1, 2, 3, 4, 5, 6, 0x77, 8, 0x99, 10, 11, 12, 13, 14, 15, 16 } },
    .session_id = { { 9, 9, 9, 9, 9, 9, 0x79, 9, 0x99, 9, 9, 9, 9, 9, 9, 9 } },
    .roles = ROLE_USER | ROLE_ADMIN,
};

static struct config *configure(const char *secret)
{
    char path[160];
    snprintf(path, sizeof path, "auth.keys_folder=%s", folder.path);
    return settings_of(tables, (const char *[]){ secret, path, "auth.key_settle_s=0", "auth.keys_reload_s=1", NULL });
}

static void set_up(void)
{
    key_folder_make(&folder);
    key_folder_add(&folder, "1.pem", "P-256", false);
    config = configure("auth.secret=" SECRET);
    ck_assert_int_eq(tokens_create(config, &tokens), OK);
    ck_assert_int_eq(keys_create(config, &keys), OK);
    arena_init(&arena, 0);
}

static void tear_down(void)
{
    arena_finish(&arena);
    keys_destroy(keys);
    tokens_destroy(tokens);
    config_destroy(config);
    key_folder_remove(&folder);
}

static const char *b64(const void *bytes, size_t len)
{
    char *text = arena_alloc(&arena, BASE64URL_LEN(len) + 1);
    base64url_encode(bytes, len, text);
    return text;
}

/* Signed with our own key, so that only what the test spoils is wrong. "KID" in the header becomes that key's. */
static struct str forge(const char *header, const char *payload)
{
    uint8_t signature[KEY_SIGNATURE_LEN];
    const struct key *key = keys_current(keys);
    const char *kid = strstr(header, "KID");
    if (kid)
        header = arena_printf(&arena, "%.*s%s%s", (int)(kid - header), header, key_id(key), kid + 3);
    const char *text = arena_printf(&arena, "%s.%s", b64(header, strlen(header)), b64(payload, strlen(payload)));
    ck_assert_int_eq(key_sign(key, str_of(text), signature), OK);
    return str_of(arena_printf(&arena, "%s.%s", text, b64(signature, sizeof signature)));
}

#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"KID\"}"
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
    ck_assert_int_eq(check(forge(HEADER, "{" OURS "," IDS "," END "}")), OK);
}
END_TEST

START_TEST(a_forged_token_is_refused)
{
    static const struct {
        const char *what, *header, *payload;
    } forged[] = {
        { "algorithm none", "{\"alg\":\"none\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "algorithm None", "{\"alg\":\"None\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "algorithm HS256 named", "{\"alg\":\"HS256\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "algorithm es256", "{\"alg\":\"es256\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "algorithm ES384 named", "{\"alg\":\"ES384\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "no kid", "{\"alg\":\"ES256\"}", "{" OURS "," IDS "," END "}" },
        { "an unknown kid", "{\"alg\":\"ES256\",\"kid\":\"1\"}", "{" OURS "," IDS "," END "}" },
        { "a kid that is a path", "{\"alg\":\"ES256\",\"kid\":\"../../dev/null\"}", "{" OURS "," IDS "," END "}" },
        { "a kid that is a number", "{\"alg\":\"ES256\",\"kid\":1}", "{" OURS "," IDS "," END "}" },
        { "a critical extension", "{\"alg\":\"ES256\",\"kid\":\"KID\",\"crit\":[\"x\"],\"x\":1}",
          "{" OURS "," IDS "," END "}" },
        { "algorithm HS512 named", "{\"alg\":\"HS512\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "algorithm RS256 named", "{\"alg\":\"RS256\",\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "no algorithm", "{\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "a number for an algorithm", "{\"alg\":256,\"kid\":\"KID\"}", "{" OURS "," IDS "," END "}" },
        { "another issuer", HEADER, "{\"iss\":\"mallory\",\"aud\":\"aether-api\",\"typ\":\"access\"," IDS "," END "}" },
        { "no issuer", HEADER, "{\"aud\":\"aether-api\",\"typ\":\"access\"," IDS "," END "}" },
        { "another audience", HEADER, "{\"iss\":\"aether\",\"aud\":\"other\",\"typ\":\"access\"," IDS "," END "}" },
        { "an array of audiences", HEADER,
          "{\"iss\":\"aether\",\"aud\":[\"aether-api\"],\"typ\":\"access\"," IDS "," END "}" },
        { "another type", HEADER, "{\"iss\":\"aether\",\"aud\":\"aether-api\",\"typ\":\"refresh\"," IDS "," END "}" },
        { "no type", HEADER, "{\"iss\":\"aether\",\"aud\":\"aether-api\"," IDS "," END "}" },
        { "expired", HEADER, "{" OURS "," IDS ",\"exp\":1790000000}" },
        { "no end", HEADER, "{" OURS "," IDS "}" },
        { "an end in words", HEADER, "{" OURS "," IDS ",\"exp\":\"1790000100\"}" },
        { "an end of null", HEADER, "{" OURS "," IDS ",\"exp\":null}" },
        { "an end far beyond", HEADER, "{" OURS "," IDS ",\"exp\":9223372036854775807}" },
        { "an end before time", HEADER, "{" OURS "," IDS ",\"exp\":-1}" },
        { "not yet", HEADER, "{" OURS "," IDS "," END ",\"nbf\":1790000050}" },
        { "a subject that is no id", HEADER,
          "{" OURS ",\"sub\":\"root\",\"sid\":\"09090909-0909-7909-9909-090909090909\"," END "}" },
        { "no session", HEADER, "{" OURS ",\"sub\":\"01020304-0506-7708-990a-0b0c0d0e0f10\"," END "}" },
        { "a payload that is an array", HEADER, "[]" },
        { "a payload that is no JSON", HEADER, "{" },
        { "a header that is no JSON", "{", "{" OURS "," IDS "," END "}" },
    };
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct str token = forge(forged[i].header, forged[i].payload);
        for (int again = 0; again < 2; again++)
            ck_assert_msg(check(token) == REJECT, "accepted: %s", forged[i].what);
        ck_assert_ptr_nonnull(err_message());
    }
}
END_TEST

/* CVE-2015-9235 and its kin: who takes the algorithm from the token checks an HMAC with the public key. */
START_TEST(hs256_with_our_public_key_as_its_secret_is_refused)
{
    char path[KEY_PATH], pem[1024];
    FILE *file = fopen(key_folder_file(&folder, "1.pem", path), "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    BIO *out = BIO_new(BIO_s_mem());
    ck_assert_int_eq(PEM_write_bio_PUBKEY(out, key), 1);
    int len = BIO_read(out, pem, sizeof pem);
    BIO_free(out);
    EVP_PKEY_free(key);
    const char *header =
        arena_printf(&arena, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", key_id(keys_current(keys)));
    const char *payload = "{" OURS "," IDS "," END "}";
    const char *text = arena_printf(&arena, "%s.%s", b64(header, strlen(header)), b64(payload, strlen(payload)));
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const uint8_t *)pem, (size_t)len);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)text, strlen(text));
    crypto_auth_hmacsha256_final(&state, mac);
    ck_assert_int_eq(check(str_of(arena_printf(&arena, "%s.%s", text, b64(mac, sizeof mac)))), REJECT);
}
END_TEST

START_TEST(another_key_under_our_kid_is_refused)
{
    struct key_folder mallorys;
    key_folder_make(&mallorys);
    key_folder_add(&mallorys, "1.pem", "P-256", false);
    char path[160];
    snprintf(path, sizeof path, "auth.keys_folder=%s", mallorys.path);
    struct config *his =
        settings_of((const struct setting *const[]){ keys_settings, NULL }, (const char *[]){ path, NULL });
    struct keys *theirs;
    ck_assert_int_eq(keys_create(his, &theirs), OK);
    const char *header = arena_printf(&arena, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", key_id(keys_current(keys)));
    const char *payload = "{" OURS "," IDS "," END "}";
    const char *text = arena_printf(&arena, "%s.%s", b64(header, strlen(header)), b64(payload, strlen(payload)));
    uint8_t signature[KEY_SIGNATURE_LEN];
    ck_assert_int_eq(key_sign(keys_current(theirs), str_of(text), signature), OK);
    ck_assert_int_eq(check(str_of(arena_printf(&arena, "%s.%s", text, b64(signature, sizeof signature)))), REJECT);
    keys_destroy(theirs);
    config_destroy(his);
    key_folder_remove(&mallorys);
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
        c.session_id.bytes[15] = (uint8_t)i;
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
        ck_assert_int_eq(ret.session_id.bytes[15], k);
        bad[k] = (struct str){ good[k].ptr, good[k].len - 1 };
        ck_assert_int_eq(check(bad[k]), REJECT);
    }
}
END_TEST

START_TEST(a_token_is_good_as_long_as_its_key_lies_in_the_folder)
{
    struct str old = issue(), new = old;
    struct claims ret;
    key_folder_add(&folder, "2.pem", "P-256", false);
    int64_t until_us = clock_mono_us() + 10000000;
    while (strncmp(old.ptr, new.ptr, 60) == 0 && clock_mono_us() < until_us)
        new = issue(); /* until the header names another key */
    ck_assert_int_ne(strncmp(old.ptr, new.ptr, 60), 0);
    ck_assert_int_eq(check(new), OK);
    ck_assert_int_eq(check(old), OK);
    key_folder_take_out(&folder, "1.pem");
    until_us = clock_mono_us() + 10000000;
    while (token_check(tokens, old, NOW, &ret) == OK && clock_mono_us() < until_us) /* it is remembered */
        ;
    ck_assert_int_eq(check(old), REJECT);
    ck_assert_int_eq(check(new), OK);
}
END_TEST

START_TEST(a_secret_that_is_too_short_or_no_base64_is_named)
{
    /* The table asks for 44 characters, so only what decodes to less gets here. */
    static const char *const secrets[] = { "auth.secret=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                                           "auth.secret=!!ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" };
    for (size_t i = 0; i < 2; i++) {
        struct config *wrong = NULL;
        struct tokens *none = NULL;
        err e = settings_load(tables, (const char *[]){ secrets[i], "auth.keys_folder=/", NULL }, &wrong);
        if (e == OK)
            e = tokens_create(wrong, &none);
        ck_assert_int_eq(e, FATAL);
        ck_assert_ptr_nonnull(strstr(err_message(), "auth.secret"));
        ck_assert_ptr_null(strstr(err_message(), "ECAwQF"));
        config_destroy(wrong);
    }
}
END_TEST

#define THREADS 4

static struct str shared_tokens[32];

/* All of them before any is remembered, so that they are remembered at once, and read meanwhile. */
static void *check_many(void *wrong)
{
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 32; i++) {
            struct claims ret;
            *(int *)wrong += token_check(tokens, shared_tokens[i], NOW, &ret) != OK || ret.session_id.bytes[15] != i;
        }
    return NULL;
}

/* What TSan sees is the test. */
START_TEST(threads_that_check_the_same_tokens_do_not_mix_them_up)
{
    for (int i = 0; i < 32; i++) {
        struct claims c = claims;
        c.session_id.bytes[15] = (uint8_t)i;
        ck_assert_int_eq(token_issue(tokens, &c, NOW, &arena, &shared_tokens[i]), OK);
    }
    pthread_t threads[THREADS];
    int wrong[THREADS] = { 0 };
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, check_many, &wrong[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(wrong[i], 0);
    }
}
END_TEST

/* The session's id says when it began; it lasts ninety days. */
START_TEST(no_token_outlives_its_session)
{
    const int64_t lifetime = INT64_C(7776000000);
    static const struct {
        int64_t age_ms, access_ms, refresh_ms; /* what is left of each token */
    } rows[] = {
        { 0, 900000, 604800000 },
        { INT64_C(7776000000) - 604800000, 900000, 604800000 },
        { INT64_C(7776000000) - 604799000, 900000, 604799000 },
        { INT64_C(7776000000) - 900000, 900000, 900000 },
        { INT64_C(7776000000) - 899000, 899000, 899000 },
        { INT64_C(7776000000) - 1000, 1000, 1000 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct claims c = claims, ret;
        c.session_id = uuid_v7(NOW - rows[i].age_ms);
        struct str token;
        ck_assert_int_eq(token_session_end(tokens, c.session_id), NOW - rows[i].age_ms + lifetime);
        ck_assert_int_eq(token_refresh_end(tokens, c.session_id, NOW), NOW + rows[i].refresh_ms);
        ck_assert_int_eq(token_access_end(tokens, &c, NOW), NOW + rows[i].access_ms);
        ck_assert_int_eq(token_issue(tokens, &c, NOW, &arena, &token), OK);
        ck_assert_int_eq(token_check(tokens, token, NOW, &ret), OK);
        ck_assert_int_eq(ret.expires_at, NOW + rows[i].access_ms);
        ck_assert_int_eq(token_check(tokens, token, NOW + rows[i].access_ms, &ret), REJECT);
    }
    ck_assert_msg(token_session_end(tokens, uuid_nil) < NOW, "an id that says no time is of no session");
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_token_says_who_came_in_which_session_with_which_roles);
    tcase_add_test(tests, a_token_ends_also_when_it_is_remembered);
    tcase_add_test(tests, the_token_that_the_tests_forge_from_is_good);
    tcase_add_test(tests, a_forged_token_is_refused);
    tcase_add_test(tests, hs256_with_our_public_key_as_its_secret_is_refused);
    tcase_add_test(tests, another_key_under_our_kid_is_refused);
    tcase_add_test(tests, a_token_that_was_cut_or_changed_anywhere_is_refused);
    tcase_add_test(tests, noise_is_refused);
    tcase_add_test(tests, threads_that_check_the_same_tokens_do_not_mix_them_up);
    tcase_add_test(tests, no_token_outlives_its_session);
    tcase_add_test(tests, more_tokens_than_are_remembered_are_all_checked_right);
    tcase_add_test(tests, a_token_is_good_as_long_as_its_key_lies_in_the_folder);
    tcase_add_test(tests, a_secret_that_is_too_short_or_no_base64_is_named);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("tokens", add);
}
