/* The vault's master key is changed while vaults are in use, on a real PostgreSQL (AETHER_TEST_POSTGRES_DSN), each test
 * in a database of its own. */
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/masters.h"
#include "schemas/vault.h"
#include "tests/consumers/database.h"
#include "tests/settings.h"

#define OLD   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define NEW   "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="
#define THIRD "EBESExQVFhcYGRobHB0eHxAREhMUFRYXGBkaGxwdHh8="

static struct database database;
static struct arena arena;

/* From any thread. */
static struct config *configured(const char *master)
{
    static const struct setting *const tables[] = { vault_settings, NULL };
    char key[96];
    snprintf(key, sizeof key, "vault.master_key=%s", master);
    return settings_of(tables, (const char *[]){ key, "vault.index_key=" OLD, NULL });
}

/* A program that was started with this master key. */
static struct vault *vault_with(const char *master)
{
    struct config *config = configured(master);
    struct vault *v;
    ck_ok(vault_create(config, &v));
    config_destroy(config);
    return v;
}

static void master_bytes(const char *master, uint8_t ret[MASTER_LEN])
{
    struct config *config = configured(master);
    ck_assert_int_eq(master_setting(config, "vault.master_key", ret), OK);
    config_destroy(config);
}

/* aether-admin, with this vault.master_key. */
static struct masters masters_with(const char *master)
{
    uint8_t bytes[MASTER_LEN];
    struct masters m;
    master_bytes(master, bytes);
    masters_init(&m, bytes);
    return m;
}

static err begin(struct masters *m, const char *next)
{
    uint8_t bytes[MASTER_LEN];
    master_bytes(next, bytes);
    return masters_begin(m, database.pg, &arena, bytes);
}

static size_t rewrap_all(const struct masters *m)
{
    struct uuid after = uuid_nil;
    size_t found, total = 0;
    do {
        ck_ok(masters_rewrap(m, database.pg, &arena, &after, 7, &found));
        total += found;
    } while (found > 0);
    return total;
}

static struct uuid fresh(void)
{
    struct uuid id;
    randombytes_buf(&id, sizeof id);
    return id;
}

static struct uuid ensured(struct vault *v)
{
    struct uuid id = fresh();
    ck_ok(vault_ensure(v, database.pg, &id, 1));
    return id;
}

/* What this program gets of the key, asked for anew. */
static enum vault_lookup lookup(struct vault *v, struct uuid subject, uint8_t ret_key[VAULT_KEY_LEN])
{
    ck_ok(vault_fetch(v, database.pg, &subject, 1));
    return vault_key(v, subject, ret_key);
}

static void same_key(struct vault *a, struct vault *b, struct uuid subject)
{
    uint8_t first[VAULT_KEY_LEN], second[VAULT_KEY_LEN];
    ck_assert_int_eq(lookup(a, subject, first), VAULT_FOUND);
    ck_assert_int_eq(lookup(b, subject, second), VAULT_FOUND);
    ck_assert_mem_eq(first, second, sizeof first);
}

static int number(const char *sql)
{
    return atoi(database_value(&database, &arena, sql).ptr);
}

static void set_up(void)
{
    database_create(&database, (const struct worker_definition *const[]){ NULL });
    database_run(&database, vault_schema_sql);
    arena_init(&arena, 0);
}

static void tear_down(void)
{
    database_destroy(&database);
    arena_finish(&arena);
}

START_TEST(programs_with_the_old_and_with_the_new_key_open_everything_during_a_rotation)
{
    struct vault *old = vault_with(OLD);
    struct uuid before = ensured(old);
    struct masters m = masters_with(OLD);
    ck_ok(begin(&m, NEW));
    struct vault *new = vault_with(NEW), *late = vault_with(OLD);
    same_key(new, late, before);
    struct uuid during = ensured(old), also = ensured(new);
    same_key(new, old, during);
    same_key(new, old, also);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE master = 1"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE master = 2"), 2);
    ck_assert_uint_eq(rewrap_all(&m), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE master = 2"), 3);
    struct vault *old_again = vault_with(OLD), *new_again = vault_with(NEW);
    same_key(old_again, new_again, before);
    same_key(old, old_again, before);
    struct vault *all[] = { old, new, late, old_again, new_again };
    for (size_t i = 0; i < 5; i++)
        vault_destroy(all[i]);
}
END_TEST

START_TEST(a_retired_key_opens_nothing_and_the_programs_that_run_go_on)
{
    struct vault *running = vault_with(OLD);
    struct uuid subject = ensured(running);
    struct masters m = masters_with(OLD);
    ck_assert_int_eq(begin(&m, NEW), OK);
    rewrap_all(&m);
    uint8_t key[VAULT_KEY_LEN];
    ck_assert_int_eq(lookup(running, fresh(), key), VAULT_ERASED);
    struct uuid met = ensured(running); /* from now on it knows the new one */
    struct masters with_new = masters_with(NEW);
    ck_ok(masters_retire(&with_new, database.pg, &arena));
    same_key(running, running, met);
    (void)ensured(running);
    struct vault *stale = vault_with(OLD), *good = vault_with(NEW);
    ck_assert_int_eq(vault_fetch(stale, database.pg, &subject, 1), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "retired"));
    struct uuid more = fresh();
    ck_assert_int_eq(vault_ensure(stale, database.pg, &more, 1), FATAL);
    ck_assert_int_eq(lookup(good, subject, key), VAULT_FOUND);
    vault_destroy(running);
    vault_destroy(stale);
    vault_destroy(good);
}
END_TEST

START_TEST(nothing_is_retired_while_a_key_is_left_or_while_the_old_key_is_configured)
{
    struct vault *old = vault_with(OLD);
    (void)ensured(old);
    struct masters m = masters_with(OLD), with_new = masters_with(NEW);
    ck_assert_int_eq(begin(&m, NEW), OK);
    ck_assert_int_eq(masters_retire(&with_new, database.pg, &arena), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "1 keys"));
    rewrap_all(&m);
    ck_assert_int_eq(masters_retire(&m, database.pg, &arena), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "number 1"));
    ck_assert_int_eq(masters_retire(&with_new, database.pg, &arena), OK);
    ck_assert_int_eq(masters_retire(&with_new, database.pg, &arena), OK);
    vault_destroy(old);
}
END_TEST

START_TEST(a_rotation_that_was_cut_short_goes_on_and_another_one_has_to_wait)
{
    struct vault *old = vault_with(OLD);
    for (int i = 0; i < 20; i++)
        (void)ensured(old);
    struct masters m = masters_with(OLD);
    ck_assert_int_eq(begin(&m, NEW), OK);
    struct uuid after = uuid_nil;
    size_t found;
    ck_assert_int_eq(masters_rewrap(&m, database.pg, &arena, &after, 8, &found), OK);
    ck_assert_uint_eq(found, 8);
    struct masters other = masters_with(OLD);
    ck_assert_int_eq(begin(&other, THIRD), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "not retired"));
    struct masters again = masters_with(NEW); /* the configuration was changed already */
    ck_ok(begin(&again, NEW));
    ck_assert_uint_eq(rewrap_all(&again), 12);
    ck_assert_int_eq(masters_retire(&again, database.pg, &arena), OK);
    ck_ok(begin(&again, THIRD));
    ck_assert_uint_eq(rewrap_all(&again), 20);
    ck_assert_int_eq(masters_newest(&again)->number, 3);
    struct vault *third = vault_with(THIRD), *second = vault_with(NEW);
    same_key(third, second, ensured(second));
    struct uuid subject = fresh();
    ck_assert_int_eq(vault_ensure(old, database.pg, &subject, 1), FATAL); /* it was not given the second in time */
    ck_assert_ptr_nonnull(strstr(err_message(), "set it to number 3"));
    vault_destroy(third);
    vault_destroy(second);
    vault_destroy(old);
}
END_TEST

START_TEST(a_key_that_is_not_this_databases_begins_nothing)
{
    struct vault *old = vault_with(OLD);
    (void)ensured(old);
    struct masters m = masters_with(THIRD);
    ck_assert_int_eq(begin(&m, NEW), FATAL);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.masters"), 0);
    struct masters same = masters_with(OLD);
    ck_assert_int_eq(begin(&same, OLD), REJECT);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.masters"), 0);
    vault_destroy(old);
}
END_TEST

START_TEST(who_is_erased_during_a_rotation_stays_erased)
{
    struct vault *old = vault_with(OLD);
    struct uuid subject = ensured(old);
    struct masters m = masters_with(OLD);
    ck_assert_int_eq(begin(&m, NEW), OK);
    ck_assert_int_eq(vault_erase(old, database.pg, subject), OK);
    ck_assert_uint_eq(rewrap_all(&m), 0);
    struct masters with_new = masters_with(NEW);
    ck_assert_int_eq(masters_retire(&with_new, database.pg, &arena), OK);
    uint8_t key[VAULT_KEY_LEN];
    struct vault *new = vault_with(NEW);
    ck_assert_int_eq(vault_ensure(new, database.pg, &subject, 1), OK);
    ck_assert_int_eq(lookup(new, subject, key), VAULT_ERASED);
    vault_destroy(new);
    vault_destroy(old);
}
END_TEST

static atomic_bool rotated;

/* A transaction that stays open however busy the machine is: others are ended after 5 s without a statement. */
static struct pg *transaction(void)
{
    struct pg *pg = database_connect(&database);
    ck_ok(pg_script(pg, "SET idle_in_transaction_session_timeout = 0; BEGIN"));
    return pg;
}

/* Begins a rotation, or goes on with one that was begun. */
static void *rotate(void *begun)
{
    struct arena own;
    uint8_t next[MASTER_LEN];
    struct masters m = begun ? *(struct masters *)begun : masters_with(OLD);
    struct uuid after = uuid_nil;
    size_t found = 1;
    arena_init(&own, 0);
    struct pg *pg = database_connect(&database);
    master_bytes(NEW, next);
    err e = begun ? OK : RETRY;
    while (e == RETRY)
        e = masters_begin(&m, pg, &own, next);
    while ((e == OK && found > 0) || e == RETRY)
        e = masters_rewrap(&m, pg, &own, &after, 7, &found);
    pg_destroy(pg);
    arena_finish(&own);
    atomic_store(&rotated, true);
    return e == OK ? NULL : (void *)1;
}

START_TEST(an_insert_that_began_before_the_rotation_is_waited_for)
{
    struct vault *old = vault_with(OLD);
    atomic_store(&rotated, false);
    struct pg *slow = transaction();
    struct uuid id = fresh();
    ck_ok(vault_ensure(old, slow, &id, 1));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, rotate, NULL), 0);
    while (!atomic_load(&rotated) && number("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
        sched_yield();
    ck_ok(pg_script(slow, "COMMIT"));
    void *failed;
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE master = 1"), 0);
    pg_destroy(slow);
    vault_destroy(old);
}
END_TEST

START_TEST(who_is_erased_while_a_key_is_wrapped_anew_stays_erased)
{
    struct vault *old = vault_with(OLD);
    struct uuid subject = ensured(old);
    atomic_store(&rotated, false);
    struct masters m = masters_with(OLD);
    ck_ok(begin(&m, NEW));
    struct pg *slow = transaction();
    ck_ok(vault_erase(old, slow, subject));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, rotate, &m), 0);
    /* The rotation has read the key, and waits for the row to write it. */
    while (!atomic_load(&rotated) && number("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
        sched_yield();
    ck_ok(pg_script(slow, "COMMIT"));
    void *failed;
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE wrapped IS NOT NULL"), 0);
    pg_destroy(slow);
    vault_destroy(old);
}
END_TEST

static atomic_bool enough;
static atomic_int made;

/* A program that registers people all the time. One whose key cannot be made just now, since the master key is being
 * changed, is registered at the next try. */
static void *register_people(void *vault)
{
    struct pg *pg = database_connect(&database);
    err e = OK;
    while (e == OK && !atomic_load(&enough)) {
        struct uuid id = fresh();
        do {
            e = vault_ensure(vault, pg, &id, 1);
        } while (e == RETRY);
        atomic_fetch_add(&made, e == OK);
    }
    pg_destroy(pg);
    return e == OK ? NULL : (void *)1;
}

/* What may happen to a program at any time: its connection ends, and it is told RETRY. */
static void lose_connections(void)
{
    database_run(&database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                            " WHERE pid <> pg_backend_pid() AND datname = current_database()");
}

static void wait_made(int more)
{
    int from = atomic_load(&made);
    while (atomic_load(&made) < from + more)
        sched_yield();
}

START_TEST(keys_that_are_made_all_the_while_are_all_wrapped_by_the_new_one)
{
    struct vault *programs[3] = { vault_with(OLD), vault_with(OLD), vault_with(OLD) };
    pthread_t threads[3];
    atomic_store(&enough, false);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, register_people, programs[i]), 0);
    wait_made(50);
    lose_connections();
    wait_made(50);
    struct masters m = masters_with(OLD);
    ck_ok(begin(&m, NEW));
    ck_assert_uint_ge(rewrap_all(&m), 50);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE master = 1"), 0);
    wait_made(50);
    struct masters with_new = masters_with(NEW);
    ck_ok(masters_retire(&with_new, database.pg, &arena));
    wait_made(50);
    atomic_store(&enough, true);
    for (size_t i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
        vault_destroy(programs[i]);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys WHERE master = 1"), 0);
    ck_assert_int_eq(number("SELECT count(*) FROM vault.keys"), atomic_load(&made));
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("masters");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, programs_with_the_old_and_with_the_new_key_open_everything_during_a_rotation);
    tcase_add_test(all, a_retired_key_opens_nothing_and_the_programs_that_run_go_on);
    tcase_add_test(all, nothing_is_retired_while_a_key_is_left_or_while_the_old_key_is_configured);
    tcase_add_test(all, a_rotation_that_was_cut_short_goes_on_and_another_one_has_to_wait);
    tcase_add_test(all, a_key_that_is_not_this_databases_begins_nothing);
    tcase_add_test(all, who_is_erased_during_a_rotation_stays_erased);
    tcase_add_test(all, an_insert_that_began_before_the_rotation_is_waited_for);
    tcase_add_test(all, who_is_erased_while_a_key_is_wrapped_anew_stays_erased);
    tcase_add_test(all, keys_that_are_made_all_the_while_are_all_wrapped_by_the_new_one);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
