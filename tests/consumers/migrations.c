/* Workers that start at once bring one database to their version, whatever it was: each migration is applied once. */
#include "consumers/projection/migration.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumers/messages/streams.h"
#include "consumers/users/streams.h"
#include "tests/consumers/database.h"
#include "tests/suite.h"

#define EACH 3 /* processes of a kind */

static const struct worker_definition *const kinds[] = { &users_definition, &messages_definition };
#define KINDS (sizeof kinds / sizeof *kinds)

static struct database db;

static void setup(void)
{
    database_create(&db, (const struct worker_definition *const[]){ NULL });
}

static void teardown(void)
{
    database_destroy(&db);
}

/* A connection whose search path begins with the worker's schema, as worker.c makes it. */
static struct pg *worker_connect(const struct worker_definition *kind)
{
    char options[64];
    snprintf(options, sizeof options, "-c search_path=%s", kind->name);
    ck_assert_int_eq(setenv("PGOPTIONS", options, 1), 0);
    return database_connect(&db);
}

static err migrate(const struct worker_definition *kind, const struct migration *own, int64_t *applied)
{
    struct pg *pg = worker_connect(kind);
    const err e = migration_apply(pg, kind->name, worker_tables_migrations, own, applied);
    pg_destroy(pg);
    return e;
}

static int count_of(const struct migration *m)
{
    int n = 0;
    while (m[n].number)
        n++;
    return n;
}

/* The first `count` migrations of a worker; the caller's (free). */
static struct migration *first(const struct worker_definition *kind, int count)
{
    struct migration *some = calloc((size_t)count + 1, sizeof *some);
    memcpy(some, kind->migrations, sizeof *some * (size_t)count);
    return some;
}

/* EACH processes of every kind, let go at once. The pipe `go` lets all of them start when its last end is closed. */
static void start_all_at_once(void)
{
    int go[2];
    ck_assert_int_eq(pipe(go), 0);
    pid_t pids[KINDS * EACH];
    for (size_t i = 0; i < KINDS * EACH; i++) {
        pids[i] = fork();
        if (pids[i] > 0)
            continue;
        const struct worker_definition *kind = kinds[i % KINDS];
        struct pg *pg = worker_connect(kind);
        char byte;
        int64_t applied;
        close(go[1]);
        if (read(go[0], &byte, 1) != 0)
            _exit(1);
        if (migration_apply(pg, kind->name, worker_tables_migrations, kind->migrations, &applied) != OK) {
            fprintf(stderr, "%s: %s\n", kind->name, err_message());
            _exit(1);
        }
        _exit(0);
    }
    close(go[0]);
    close(go[1]);
    for (size_t i = 0; i < KINDS * EACH; i++) {
        int status;
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_msg(status == 0, "one of the workers did not start");
    }
}

static int64_t recorded(const struct worker_definition *kind)
{
    struct arena arena;
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s.migration WHERE part = '%s'", kind->name, kind->name);
    arena_init(&arena, 0);
    const int64_t n = atoll(database_value(&db, &arena, sql).ptr);
    arena_finish(&arena);
    return n;
}

static void assert_newest(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        int64_t applied = -1;
        ck_assert_int_eq(recorded(kinds[i]), count_of(kinds[i]->migrations));
        ck_ok(migrate(kinds[i], kinds[i]->migrations, &applied));
        ck_assert_int_eq(applied, 0);
    }
}

START_TEST(workers_that_start_at_once_on_an_empty_database_apply_each_migration_once)
{
    start_all_at_once();
    assert_newest();
}
END_TEST

START_TEST(workers_that_start_at_once_on_an_older_version_apply_the_rest_once)
{
    for (size_t i = 0; i < KINDS; i++) {
        const int older = count_of(kinds[i]->migrations) / 2;
        struct migration *some = first(kinds[i], older);
        int64_t applied;
        ck_ok(migrate(kinds[i], some, &applied));
        ck_assert_int_eq(recorded(kinds[i]), older);
        free(some);
    }
    start_all_at_once();
    assert_newest();
}
END_TEST

START_TEST(a_program_that_is_older_than_the_database_says_so_and_changes_nothing)
{
    const struct worker_definition *kind = &messages_definition;
    const int newest = count_of(kind->migrations);
    struct migration *some = first(kind, newest - 1);
    int64_t applied;
    ck_ok(migrate(kind, kind->migrations, &applied));
    ck_assert_int_eq(migrate(kind, some, &applied), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "run the newer program"));
    ck_assert_int_eq(recorded(kind), newest);
    free(some);
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_database_as_it_was)
{
    const struct worker_definition *kind = &messages_definition;
    struct migration *some = first(kind, 2);
    some[1].sql = "CREATE TABLE messages.half (id int); SELECT nothing FROM messages.nowhere";
    int64_t applied;
    ck_assert_int_ne(migrate(kind, some, &applied), OK);
    struct arena arena;
    arena_init(&arena, 0);
    ck_assert_str_eq(database_value(&db, &arena, "SELECT count(*) FROM pg_namespace WHERE nspname = 'messages'").ptr,
                     "0");
    arena_finish(&arena);
    free(some);
    start_all_at_once();
    assert_newest();
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("migrations");
    TCase *t = suite_case("migrations");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, workers_that_start_at_once_on_an_empty_database_apply_each_migration_once);
    tcase_add_test(t, workers_that_start_at_once_on_an_older_version_apply_the_rest_once);
    tcase_add_test(t, a_program_that_is_older_than_the_database_says_so_and_changes_nothing);
    tcase_add_test(t, a_migration_that_fails_leaves_the_database_as_it_was);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
