/* The vault on a real PostgreSQL, in the database that AETHER_TEST_POSTGRES_DSN names; skipped (exit status 77) without
 * one. Every test uses subjects of its own, so the table need not be empty and tests may run side by side. */
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "tests/schemas/samples.h"
#include "tests/settings.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="

static const char *dsn;
static struct config *config;
static struct vault *vault;
static struct pg *pg;
static struct arena arena;

static err load(const char *master, const char *index, const char *more, struct config **ret)
{
    static const struct setting *const tables[] = { vault_settings, NULL };
    return settings_load(tables,
                         (const char *[]){ arena_printf(&arena, "vault.master_key=%s", master),
                                           arena_printf(&arena, "vault.index_key=%s", index), more, NULL },
                         ret);
}

static void set_up(void)
{
    arena_init(&arena, 0);
    ck_ok(load(KEY_A, KEY_B, "vault.cache_seconds=60", &config));
    ck_ok(vault_create(config, &vault));
    pg = pg_create(dsn, "test_vault");
    ck_ok(pg_script(pg, vault_schema_sql));
}

static void tear_down(void)
{
    vault_destroy(vault);
    config_destroy(config);
    pg_destroy(pg);
    arena_finish(&arena);
}

static struct vault *another_vault(const char *master, const char *more)
{
    struct config *c;
    struct vault *v;
    ck_ok(load(master, KEY_B, more, &c));
    ck_ok(vault_create(c, &v));
    config_destroy(c);
    return v;
}

static struct uuid fresh(void)
{
    struct uuid id;
    randombytes_buf(&id, sizeof id);
    return id;
}

static struct uuid ensured(void)
{
    struct uuid id = fresh();
    ck_ok(vault_ensure(vault, pg, &id, 1));
    return id;
}

static struct sealed sealed_text(struct uuid subject, const char *text)
{
    struct sealed s = { .clear = str_of(text), .state = OPEN };
    ck_ok(sealed_seal(vault, subject, STR("body"), &s, &arena));
    return (struct sealed){ .cipher = s.cipher, .state = SEALED };
}

static enum sealed_state opened(struct vault *v, struct uuid subject, struct str field, struct sealed *s)
{
    ck_ok(sealed_open(v, subject, field, s, &arena));
    if (s->state == ERASED)
        ck_assert_uint_eq(s->clear.len, 0);
    return s->state;
}

START_TEST(what_was_sealed_opens_again)
{
    struct uuid subject = ensured();
    static const char *const texts[] = { "", "x", "hello, wörld" };
    for (size_t i = 0; i < 3; i++) {
        struct sealed s = sealed_text(subject, texts[i]);
        ck_assert_uint_eq(s.cipher.len, strlen(texts[i]) + SEALED_OVERHEAD);
        ck_assert_int_eq(s.cipher.ptr[0], 1);
        ck_assert_int_eq(opened(vault, subject, STR("body"), &s), OPEN);
        ck_assert(str_equal(s.clear, str_of(texts[i])));
    }
}
END_TEST

START_TEST(sealing_twice_gives_different_bytes)
{
    struct uuid subject = ensured();
    ck_assert(!str_equal(sealed_text(subject, "same").cipher, sealed_text(subject, "same").cipher));
}
END_TEST

START_TEST(a_value_opens_only_for_its_subject_and_field)
{
    struct uuid subject = ensured(), other = ensured();
    struct sealed s = sealed_text(subject, "text");
    ck_assert_int_eq(opened(vault, other, STR("body"), &s), ERASED);
    ck_assert_int_eq(opened(vault, subject, STR("bodi"), &s), ERASED);
    ck_assert_int_eq(opened(vault, subject, STR("body"), &s), OPEN);
}
END_TEST

START_TEST(a_value_that_was_tampered_with_does_not_open)
{
    struct uuid subject = ensured();
    struct sealed good = sealed_text(subject, "text");
    for (size_t i = 0; i < good.cipher.len; i++) {
        struct sealed bad = { .cipher = arena_str(&arena, good.cipher) };
        ((char *)bad.cipher.ptr)[i] ^= 0x20;
        ck_assert_int_eq(opened(vault, subject, STR("body"), &bad), ERASED);
    }
    for (size_t len = 0; len < good.cipher.len; len++) {
        struct sealed cut = { .cipher = { good.cipher.ptr, len } };
        ck_assert_int_eq(opened(vault, subject, STR("body"), &cut), ERASED);
    }
}
END_TEST

START_TEST(a_key_that_was_not_fetched_means_retry)
{
    struct sealed s = { .clear = STR("text") };
    ck_assert_int_eq(sealed_seal(vault, fresh(), STR("body"), &s, &arena), RETRY);
    s.cipher = STR("anything");
    ck_assert_int_eq(sealed_open(vault, fresh(), STR("body"), &s, &arena), RETRY);
}
END_TEST

START_TEST(another_process_opens_what_this_one_sealed)
{
    struct uuid subject = ensured();
    struct sealed s = sealed_text(subject, "text");
    struct vault *other = another_vault(KEY_A, "vault.cache_keys=1000");
    ck_assert_int_eq(vault_fetch(other, pg, &subject, 1), OK);
    ck_assert_int_eq(opened(other, subject, STR("body"), &s), OPEN);
    ck_assert(str_equal(s.clear, STR("text")));
    vault_destroy(other);
}
END_TEST

START_TEST(ensuring_again_keeps_the_key)
{
    struct uuid subject = ensured();
    struct vault *other = another_vault(KEY_A, "vault.cache_keys=1000");
    uint8_t first[VAULT_KEY_LEN], second[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_ensure(other, pg, &subject, 1), OK);
    ck_assert_int_eq(vault_key(vault, subject, first), VAULT_FOUND);
    ck_assert_int_eq(vault_key(other, subject, second), VAULT_FOUND);
    ck_assert_mem_eq(first, second, sizeof first);
    vault_destroy(other);
}
END_TEST

START_TEST(a_subject_that_never_had_a_key_counts_as_erased_until_it_is_ensured)
{
    struct uuid subject = fresh();
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_key(vault, subject, key), VAULT_UNKNOWN);
    ck_assert_int_eq(vault_fetch(vault, pg, &subject, 1), OK);
    ck_assert_int_eq(vault_key(vault, subject, key), VAULT_ERASED);
    ck_assert_int_eq(vault_ensure(vault, pg, &subject, 1), OK);
    ck_assert_int_eq(vault_key(vault, subject, key), VAULT_FOUND);
}
END_TEST

START_TEST(an_erased_subject_stays_erased)
{
    struct uuid subject = ensured();
    struct sealed s = sealed_text(subject, "text");
    ck_assert_int_eq(vault_erase(vault, pg, subject), OK);
    ck_assert_int_eq(opened(vault, subject, STR("body"), &s), ERASED);
    struct vault *other = another_vault(KEY_A, "vault.cache_keys=1000");
    ck_assert_int_eq(vault_ensure(other, pg, &subject, 1), OK);
    ck_assert_int_eq(opened(other, subject, STR("body"), &s), ERASED);
    struct sealed more = { .clear = STR("more") };
    ck_assert_int_eq(sealed_seal(other, subject, STR("body"), &more, &arena), REJECT);
    ck_assert_int_eq(vault_erase(other, pg, subject), OK);
    vault_destroy(other);
}
END_TEST

START_TEST(a_subject_can_be_erased_before_it_had_a_key)
{
    struct uuid subject = fresh();
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_erase(vault, pg, subject), OK);
    ck_assert_int_eq(vault_ensure(vault, pg, &subject, 1), OK);
    ck_assert_int_eq(vault_key(vault, subject, key), VAULT_ERASED);
}
END_TEST

START_TEST(a_withdrawn_key_leaves_no_row_and_no_erased_one_comes_back)
{
    struct uuid subjects[] = { ensured(), ensured(), fresh() };
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_erase(vault, pg, subjects[1]), OK);
    ck_assert_int_eq(vault_withdraw(vault, pg, subjects, 3), OK);
    ck_assert_int_eq(vault_key(vault, subjects[0], key), VAULT_ERASED);
    struct vault *other = another_vault(KEY_A, "vault.cache_keys=1000");
    ck_assert_int_eq(vault_ensure(other, pg, subjects, 3), OK);
    ck_assert_int_eq(vault_key(other, subjects[0], key), VAULT_FOUND);
    ck_assert_int_eq(vault_key(other, subjects[1], key), VAULT_ERASED);
    ck_assert_int_eq(vault_key(other, subjects[2], key), VAULT_FOUND);
    vault_destroy(other);
}
END_TEST

/* A test that must let time pass: what is waited for is the vault's clock. */
START_TEST(other_processes_forget_an_erased_key_within_the_caches_time)
{
    struct vault *other = another_vault(KEY_A, "vault.cache_seconds=1");
    struct uuid subject = ensured();
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_fetch(other, pg, &subject, 1), OK);
    ck_assert_int_eq(vault_key(other, subject, key), VAULT_FOUND);
    ck_assert_int_eq(vault_erase(vault, pg, subject), OK);
    int64_t since = clock_mono_us();
    while (vault_key(other, subject, key) == VAULT_FOUND)
        ck_assert_msg(clock_mono_us() - since < 1500000, "the key is still there");
    ck_assert_int_eq(vault_key(other, subject, key), VAULT_UNKNOWN);
    ck_assert_int_eq(vault_fetch(other, pg, &subject, 1), OK);
    ck_assert_int_eq(vault_key(other, subject, key), VAULT_ERASED);
    vault_destroy(other);
}
END_TEST

START_TEST(a_fetched_key_does_not_expire_before_it_is_used)
{
    struct vault *other = another_vault(KEY_A, "vault.cache_seconds=1");
    struct uuid subject = ensured();
    uint8_t key[VAULT_KEY_LEN];
    ck_ok(vault_fetch(other, pg, &subject, 1));
    ck_ok(vault_erase(vault, pg, subject));
    /* The vault's clock again: past half of its time the key is asked for anew, and its erasure is seen. */
    ck_assert_int_eq(usleep(600000), 0);
    ck_ok(vault_fetch(other, pg, &subject, 1));
    ck_assert_int_eq(vault_key(other, subject, key), VAULT_ERASED);
    vault_destroy(other);
}
END_TEST

static int64_t erased_at_us(struct uuid subject)
{
    static const struct pg_statement read = {
        "test_erased_at", "SELECT (extract(epoch FROM erased_at) * 1000000)::bigint FROM vault.keys WHERE subject = $1"
    };
    struct pg_args args = pg_args(&arena);
    PGresult *rows;
    pg_arg_uuid(&args, subject);
    ck_ok(pg_query(pg, &read, &args, &rows));
    ck_assert_int_eq(PQntuples(rows), 1);
    int64_t at_us = pg_int(rows, 0, 0);
    PQclear(rows);
    return at_us;
}

START_TEST(an_erasure_that_is_repeated_keeps_its_time)
{
    struct uuid subject = ensured();
    ck_ok(vault_erase(vault, pg, subject));
    int64_t first_us = erased_at_us(subject);
    ck_ok(vault_erase(vault, pg, subject));
    ck_assert_int_eq(erased_at_us(subject), first_us);
}
END_TEST

START_TEST(many_keys_are_ensured_and_kept_in_one_call)
{
    enum { COUNT = 3000 }; /* three times as many as the cache is to keep */
    struct vault *small = another_vault(KEY_A, "vault.cache_keys=1000");
    struct uuid *subjects = calloc(COUNT, sizeof *subjects);
    uint8_t key[VAULT_KEY_LEN];
    for (int i = 0; i < COUNT; i++)
        subjects[i] = fresh();
    ck_ok(vault_ensure(small, pg, subjects, COUNT));
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(vault_key(small, subjects[i], key), VAULT_FOUND);
    /* Some of them again together with as many others: what the call was asked for is there after it. */
    for (int i = 0; i < COUNT; i += 2)
        subjects[i] = fresh();
    ck_assert_int_eq(vault_ensure(small, pg, subjects, COUNT), OK);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(vault_key(small, subjects[i], key), VAULT_FOUND);
    free(subjects);
    vault_destroy(small);
}
END_TEST

START_TEST(old_keys_make_room_for_new_ones)
{
    struct vault *small = another_vault(KEY_A, "vault.cache_keys=1000");
    struct uuid first = fresh(), others[600];
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_ensure(small, pg, &first, 1), OK);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 600; i++)
            others[i] = fresh();
        ck_assert_int_eq(vault_fetch(small, pg, others, 600), OK);
    }
    ck_assert_int_eq(vault_key(small, first, key), VAULT_UNKNOWN);
    ck_assert_int_eq(vault_key(small, others[0], key), VAULT_ERASED);
    vault_destroy(small);
}
END_TEST

START_TEST(a_key_in_use_stays_when_others_go)
{
    /* Seen by an erasure that this process has not heard of: a key that was asked for again would be gone. */
    struct vault *small = another_vault(KEY_A, "vault.cache_keys=1000");
    struct uuid some[600] = { ensured() };
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_fetch(small, pg, some, 1), OK);
    ck_assert_int_eq(vault_erase(vault, pg, some[0]), OK);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 1; i < 600; i++)
            some[i] = fresh();
        ck_assert_int_eq(vault_fetch(small, pg, some, 600), OK);
        ck_assert_int_eq(vault_key(small, some[0], key), VAULT_FOUND);
    }
    vault_destroy(small);
}
END_TEST

START_TEST(a_key_copied_to_another_subjects_row_opens_nothing_there)
{
    struct uuid subject = ensured(), thief = ensured();
    struct sealed s = sealed_text(subject, "text");
    static const struct pg_statement copy = {
        "test_copy",
        "UPDATE vault.keys SET wrapped = (SELECT wrapped FROM vault.keys WHERE subject = $1) WHERE subject = $2"
    };
    struct pg_args args = pg_args(&arena);
    pg_arg_uuid(&args, subject);
    pg_arg_uuid(&args, thief);
    ck_assert_int_eq(pg_query(pg, &copy, &args, NULL), OK);
    struct vault *other = another_vault(KEY_A, "vault.cache_keys=1000");
    ck_assert_int_eq(vault_fetch(other, pg, &thief, 1), OK);
    ck_assert_int_eq(opened(other, thief, STR("body"), &s), ERASED);
    vault_destroy(other);
}
END_TEST

START_TEST(the_same_subject_twice_in_a_call_is_one_key)
{
    struct uuid twice[2] = { fresh() };
    twice[1] = twice[0];
    uint8_t key[VAULT_KEY_LEN];
    ck_ok(vault_ensure(vault, pg, twice, 2));
    ck_assert_int_eq(vault_key(vault, twice[0], key), VAULT_FOUND);
    ck_assert_int_eq(vault_fetch(vault, pg, NULL, 0), OK);
}
END_TEST

START_TEST(another_master_key_is_fatal_and_says_so)
{
    struct uuid subject = ensured();
    struct vault *other = another_vault(KEY_B, "vault.cache_keys=1000");
    ck_assert_int_eq(vault_fetch(other, pg, &subject, 1), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "vault.master_key"));
    vault_destroy(other);
}
END_TEST

static void *ensure_all(void *subjects)
{
    struct pg *mine = pg_create(dsn, "test_vault");
    err e = OK;
    for (int i = 0; i < 200 && e == OK; i++)
        e = vault_ensure(vault, mine, (struct uuid *)subjects + i, 20);
    pg_destroy(mine);
    return e == OK ? NULL : (void *)1;
}

START_TEST(threads_that_ensure_the_same_subjects_get_the_same_keys)
{
    static struct uuid subjects[220];
    pthread_t threads[4];
    for (size_t i = 0; i < 220; i++)
        subjects[i] = fresh();
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ensure_all, subjects), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    struct vault *other = another_vault(KEY_A, "vault.cache_keys=1000");
    ck_assert_int_eq(vault_fetch(other, pg, subjects, 219), OK);
    for (size_t i = 0; i < 219; i++) {
        uint8_t mine[VAULT_KEY_LEN], theirs[VAULT_KEY_LEN];
        ck_assert_int_eq(vault_key(vault, subjects[i], mine), VAULT_FOUND);
        ck_assert_int_eq(vault_key(other, subjects[i], theirs), VAULT_FOUND);
        ck_assert_mem_eq(mine, theirs, sizeof mine);
    }
    vault_destroy(other);
}
END_TEST

START_TEST(no_clear_text_is_in_an_encoded_record)
{
    struct codec *codec;
    ck_assert_int_eq(codec_create(NULL, &codec), OK);
    struct uuid user = ensured(), subjects[8];
    struct accounts_command c = {
        .type = ACCOUNTS_REGISTER_ACCOUNT,
        .register_account = { .meta = { .actor = user },
                              .user_id = user,
                              .username = { .clear = STR("marguerite") },
                              .email = { .clear = STR("marguerite@example.org") },
                              .first_name = { .clear = STR("Marguerite") },
                              .last_name = { .clear = STR("Yourcenar") },
                              .password_hash = { .clear = STR("$argon2id$v=19$m=19456") } },
    };
    struct any_record *any = (struct any_record *)&c;
    const struct record_union *of = &accounts_stream.command;
    struct buf out = { 0 };
    ck_assert_uint_eq(of->subjects(any, subjects), 1);
    ck_assert(uuid_equal(subjects[0], user));
    ck_ok(of->seal(any, vault, &arena));
    ck_ok(of->encode(codec, any, &out));
    static const char *const words[] = { "arguerite", "Yourcenar", "example", "argon2id" };
    for (size_t i = 0; i < 4; i++)
        ck_assert_ptr_null(memmem(out.ptr, out.len, words[i], strlen(words[i])));

    /* A fact carries its command's ciphertext on: the same field of the same subject opens there too. */
    struct accounts_fact f = {
        .type = ACCOUNTS_ACCOUNT_REGISTERED,
        .account_registered = { .meta = { .actor = user },
                                .user_id = user,
                                .username = { .cipher = c.register_account.username.cipher },
                                .email = { .cipher = c.register_account.email.cipher },
                                .first_name = { .cipher = c.register_account.first_name.cipher },
                                .last_name = { .cipher = c.register_account.last_name.cipher },
                                .password_hash = { .cipher = c.register_account.password_hash.cipher } },
    };
    struct accounts_fact back;
    buf_clear(&out);
    ck_assert_int_eq(accounts_stream.fact.encode(codec, (struct any_record *)&f, &out), OK);
    ck_assert_int_eq(accounts_stream.fact.decode(codec, buf_view(&out), &arena, (struct any_record *)&back), OK);
    ck_assert_int_eq(accounts_stream.fact.open((struct any_record *)&back, vault, &arena), OK);
    ck_assert_int_eq(back.account_registered.email.state, OPEN);
    ck_assert(str_equal(back.account_registered.email.clear, STR("marguerite@example.org")));
    ck_assert_int_eq(vault_erase(vault, pg, user), OK);
    ck_assert_int_eq(accounts_stream.fact.open((struct any_record *)&back, vault, &arena), OK);
    ck_assert_int_eq(back.account_registered.email.state, ERASED);
    ck_assert_uint_eq(back.account_registered.email.clear.len, 0);
    buf_finish(&out);
    codec_destroy(codec);
}
END_TEST

START_TEST(keys_in_the_table_are_wrapped)
{
    struct uuid subject = ensured();
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(vault_key(vault, subject, key), VAULT_FOUND);
    static const struct pg_statement read = { "test_wrapped", "SELECT wrapped FROM vault.keys WHERE subject = $1" };
    struct pg_args args = pg_args(&arena);
    PGresult *rows;
    pg_arg_uuid(&args, subject);
    ck_assert_int_eq(pg_query(pg, &read, &args, &rows), OK);
    struct str wrapped = pg_str(rows, 0, 0);
    ck_assert_uint_eq(wrapped.len, 24 + 16 + 32);
    for (size_t i = 0; i + 8 <= sizeof key; i++)
        ck_assert_ptr_null(memmem(wrapped.ptr, wrapped.len, key + i, 8));
    PQclear(rows);
}
END_TEST

START_TEST(a_blind_index_depends_on_the_text_and_the_index_key_only)
{
    /* Fixed for ever: usernames claimed long ago are compared with it. */
    static const char expected[] = "476406c52b91b5059885fd080d91baac2c6c29a80162cfa0823c88c32c8713ac";
    uint8_t index[VAULT_INDEX_LEN], again[VAULT_INDEX_LEN];
    char hex[2 * VAULT_INDEX_LEN + 1];
    vault_blind_index(vault, STR("alice@example.org"), index);
    sodium_bin2hex(hex, sizeof hex, index, sizeof index);
    ck_assert_str_eq(hex, expected);
    struct vault *other = another_vault(KEY_B, "vault.cache_keys=1000");
    vault_blind_index(other, STR("alice@example.org"), again);
    ck_assert_mem_eq(index, again, sizeof index);
    vault_blind_index(other, STR("alice@example.orf"), again);
    ck_assert_mem_ne(index, again, sizeof index);
    vault_destroy(other);
}
END_TEST

START_TEST(a_key_setting_that_is_no_32_bytes_is_fatal_and_named)
{
    static const char *const wrong[] = {
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8$",   /* no base64 */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIS", /* too long */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",   /* 31 bytes */
        "short",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *c = NULL;
        struct vault *v = NULL;
        err e = load(KEY_A, wrong[i], "vault.cache_seconds=60", &c);
        if (e == OK)
            e = vault_create(c, &v);
        ck_assert_int_eq(e, FATAL);
        ck_assert_ptr_nonnull(strstr(err_message(), "vault.index_key"));
        ck_assert_ptr_null(strstr(err_message(), wrong[i]));
        config_destroy(c);
    }
}
END_TEST

int main(void)
{
    dsn = suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("vault");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, what_was_sealed_opens_again);
    tcase_add_test(all, sealing_twice_gives_different_bytes);
    tcase_add_test(all, a_value_opens_only_for_its_subject_and_field);
    tcase_add_test(all, a_value_that_was_tampered_with_does_not_open);
    tcase_add_test(all, a_key_that_was_not_fetched_means_retry);
    tcase_add_test(all, another_process_opens_what_this_one_sealed);
    tcase_add_test(all, ensuring_again_keeps_the_key);
    tcase_add_test(all, a_subject_that_never_had_a_key_counts_as_erased_until_it_is_ensured);
    tcase_add_test(all, an_erased_subject_stays_erased);
    tcase_add_test(all, a_subject_can_be_erased_before_it_had_a_key);
    tcase_add_test(all, a_withdrawn_key_leaves_no_row_and_no_erased_one_comes_back);
    tcase_add_test(all, other_processes_forget_an_erased_key_within_the_caches_time);
    tcase_add_test(all, a_fetched_key_does_not_expire_before_it_is_used);
    tcase_add_test(all, an_erasure_that_is_repeated_keeps_its_time);
    tcase_add_test(all, many_keys_are_ensured_and_kept_in_one_call);
    tcase_add_test(all, old_keys_make_room_for_new_ones);
    tcase_add_test(all, a_key_in_use_stays_when_others_go);
    tcase_add_test(all, a_key_copied_to_another_subjects_row_opens_nothing_there);
    tcase_add_test(all, the_same_subject_twice_in_a_call_is_one_key);
    tcase_add_test(all, another_master_key_is_fatal_and_says_so);
    tcase_add_test(all, threads_that_ensure_the_same_subjects_get_the_same_keys);
    tcase_add_test(all, no_clear_text_is_in_an_encoded_record);
    tcase_add_test(all, keys_in_the_table_are_wrapped);
    tcase_add_test(all, a_blind_index_depends_on_the_text_and_the_index_key_only);
    tcase_add_test(all, a_key_setting_that_is_no_32_bytes_is_fatal_and_named);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
