/* The keys of access tokens: which signs, which are good, and what an operator puts into the folder. */
#include <errno.h>
#include <jansson.h>
#include <time.h>

#include "gateway/base64url.h"
#include "gateway/tokens/keys.h"
#include "ops/runtime/clock.h"
#include "tests/gateway/resources/key_folder.h"
#include "tests/settings.h"

static struct key_folder folder;
static struct config *config;
static const struct setting *const tables[] = { keys_settings, NULL };

static struct config *configure(const char *settle)
{
    char path[160], settled[64];
    snprintf(path, sizeof path, "auth.keys_folder=%s", folder.path);
    snprintf(settled, sizeof settled, "auth.key_settle_s=%s", settle);
    return settings_of(tables, (const char *[]){ path, settled, "auth.keys_reload_s=1", NULL });
}

static void set_up(void)
{
    key_folder_make(&folder);
    config = configure("0");
}

static void tear_down(void)
{
    config_destroy(config);
    key_folder_remove(&folder);
}

static struct keys *load(void)
{
    struct keys *k;
    err e = keys_create(config, &k);
    ck_assert_msg(e == OK, "%s", err_message());
    return k;
}

static void refused(const char *said)
{
    struct keys *k = NULL;
    ck_assert_int_eq(keys_create(config, &k), FATAL);
    ck_assert_msg(strstr(err_message(), said), "%s", err_message());
}

/* Until the folder has been looked at and `what` says so. */
static bool within_ten_seconds(bool (*what)(const struct keys *k, const void *about), const struct keys *k,
                               const void *about)
{
    int64_t until_us = clock_mono_us() + 10000000;
    while (!what(k, about) && clock_mono_us() < until_us)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    return what(k, about);
}

static bool signs_with_another(const struct keys *k, const void *key)
{
    return keys_current(k) != key;
}

static bool is_out(const struct keys *k, const void *key)
{
    return !keys_find(k, str_of(key_id(key)));
}

static bool has_loaded(const struct keys *k, const void *count)
{
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    keys_write_jwks(k, &j);
    json_t *set = json_loadb(text.ptr, text.len, 0, NULL);
    size_t found = json_array_size(json_object_get(set, "keys"));
    json_decref(set);
    buf_finish(&text);
    return found == *(const size_t *)count;
}

START_TEST(what_a_key_signs_it_knows_again_and_no_other_key_does)
{
    key_folder_add(&folder, "1.pem", "P-256", false);
    key_folder_add(&folder, "2.pem", "P-256", false);
    struct keys *k = load();
    uint8_t signature[KEY_SIGNATURE_LEN], other[KEY_SIGNATURE_LEN];
    for (int i = 0; i < 300; i++) { /* r and s have leading zeros now and then */
        char text[32];
        snprintf(text, sizeof text, "text %d", i);
        ck_assert_int_eq(key_sign(keys_current(k), str_of(text), signature), OK);
        ck_assert(key_verify(keys_current(k), str_of(text), signature));
        ck_assert(!key_verify(keys_current(k), STR("text"), signature));
        memcpy(other, signature, sizeof other);
        other[i % KEY_SIGNATURE_LEN] ^= 1;
        ck_assert(!key_verify(keys_current(k), str_of(text), other));
    }
    key_folder_take_out(&folder, "2.pem");
    struct keys *one = load();
    ck_assert(!key_verify(keys_current(one), STR("text 299"), signature));
    memset(other, 0, sizeof other);
    ck_assert(!key_verify(keys_current(one), STR("text 299"), other));
    memset(other, 0xff, sizeof other);
    ck_assert(!key_verify(keys_current(one), STR("text 299"), other));
    keys_destroy(one);
    keys_destroy(k);
}
END_TEST

START_TEST(a_new_key_signs_and_the_old_one_is_good_until_it_is_taken_out)
{
    key_folder_add(&folder, "1.pem", "P-256", false);
    struct keys *k = load();
    const struct key *old = keys_current(k);
    key_folder_add(&folder, "2.pem", "P-256", false);
    ck_assert(within_ten_seconds(signs_with_another, k, old));
    ck_assert_ptr_eq(keys_find(k, str_of(key_id(old))), old);
    key_folder_take_out(&folder, "1.pem");
    ck_assert(within_ten_seconds(is_out, k, old));
    ck_assert(!key_is_good(old) && key_is_good(keys_current(k)));
    keys_destroy(k);
}
END_TEST

START_TEST(a_key_that_has_not_settled_is_good_and_does_not_sign)
{
    key_folder_add(&folder, "1.pem", "P-256", false);
    config_destroy(config);
    config = configure("3600");
    struct keys *k = load();
    const struct key *first = keys_current(k); /* there is no other */
    key_folder_add(&folder, "2.pem", "P-256", false);
    static const size_t two = 2;
    ck_assert(within_ten_seconds(has_loaded, k, &two));
    ck_assert_ptr_eq(keys_current(k), first);
    keys_destroy(k);
}
END_TEST

START_TEST(a_file_that_is_no_key_leaves_the_keys_as_they_are)
{
    key_folder_add(&folder, "1.pem", "P-256", false);
    struct keys *k = load();
    const struct key *old = keys_current(k);
    key_folder_text(&folder, "0.pem", "-----BEGIN PRIVATE KEY-----\nhalf a fi");
    key_folder_add(&folder, "2.pem", "P-256", false);
    refused("0.pem is no key of P-256");
    ck_assert_ptr_eq(keys_current(k), old);
    key_folder_take_out(&folder, "0.pem");
    ck_assert(within_ten_seconds(signs_with_another, k, old));
    keys_destroy(k);
}
END_TEST

START_TEST(a_folder_without_a_key_that_signs_is_named)
{
    refused(folder.path);
    key_folder_add(&folder, "1.pem", "P-256", true);
    refused("has no private key");
    key_folder_text(&folder, ".2.pem", "hidden");
    key_folder_text(&folder, "2.pem.new", "being written");
    refused("has no private key");
    key_folder_add(&folder, "3.pem", "P-384", false);
    refused("3.pem is no key of P-256");
}
END_TEST

START_TEST(the_set_of_public_keys_says_nothing_private)
{
    key_folder_add(&folder, "1.pem", "P-256", false);
    key_folder_add(&folder, "2.pem", "P-256", true);
    struct keys *k = load();
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    keys_write_jwks(k, &j);
    json_t *set = json_loadb(text.ptr, text.len, 0, NULL), *key;
    size_t i;
    ck_assert_uint_eq(json_array_size(json_object_get(set, "keys")), 2);
    json_array_foreach(json_object_get(set, "keys"), i, key)
    {
        static const char *const members[] = { "kty", "crv", "x", "y", "use", "alg", "kid" };
        ck_assert_uint_eq(json_object_size(key), sizeof members / sizeof *members);
        for (size_t m = 0; m < sizeof members / sizeof *members; m++)
            ck_assert(json_is_string(json_object_get(key, members[m])));
        ck_assert_ptr_nonnull(keys_find(k, str_of(json_string_value(json_object_get(key, "kid")))));
    }
    json_decref(set);
    buf_finish(&text);
    keys_destroy(k);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_a_key_signs_it_knows_again_and_no_other_key_does);
    tcase_add_test(tests, a_new_key_signs_and_the_old_one_is_good_until_it_is_taken_out);
    tcase_add_test(tests, a_key_that_has_not_settled_is_good_and_does_not_sign);
    tcase_add_test(tests, a_file_that_is_no_key_leaves_the_keys_as_they_are);
    tcase_add_test(tests, a_folder_without_a_key_that_signs_is_named);
    tcase_add_test(tests, the_set_of_public_keys_says_nothing_private);
}

int main(void)
{
    return suite_run_together("keys", add);
}
