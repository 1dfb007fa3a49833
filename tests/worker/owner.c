/* Whether every partition has an owner, as gateways see it. Skipped unless AETHER_TEST_POSTGRES_DSN is set. */
#include "consumers/outcome/owner.h"

#include "consumers/loop/worker.h"
#include "consumers/projection/migration.h"
#include "tests/consumers/database.h"
#include "tests/suite.h"

static struct database database;
static struct arena arena;

/* Two workers that have never run, but for their tables. */
static void begin(void)
{
    static const struct migration none[] = { { 0, NULL } };
    int64_t applied;
    arena_init(&arena, 0);
    database_create(&database, (const struct worker_definition *const[]){ NULL });
    const char *const workers[] = { "users", "messages" };
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        database_run(&database,
                     arena_printf(&arena, "CREATE SCHEMA %s; SET search_path = %s, public", workers[i], workers[i]));
        ck_ok(migration_apply(database.pg, workers[i], worker_tables_migrations, none, &applied));
    }
}

static void end(void)
{
    database_destroy(&database);
    arena_finish(&arena);
}

static const char *missing(void)
{
    static char text[512];
    ck_ok(owner_missing(database.pg, text, sizeof text));
    return text;
}

/* As the worker of this schema. */
static void tell(const char *worker, int64_t instance, const char *stream, int32_t first, int32_t count, int32_t of)
{
    struct owned owned[16];
    for (int32_t i = 0; i < count; i++)
        owned[i] = (struct owned){ .stream = stream, .partition = first + i, .partitions = of };
    database_run(&database, arena_printf(&arena, "SET search_path = %s, public", worker));
    pg_disconnect(database.pg); /* or the statement stays with the other schema's table */
    database_run(&database, arena_printf(&arena, "SET search_path = %s, public", worker));
    ck_ok(owner_tell(database.pg, &arena, instance, owned, (size_t)count));
}

START_TEST(streams_without_an_owner_are_named_with_their_worker)
{
    ck_assert_str_eq(missing(), "accounts: no partition has a users worker; sessions: no partition has a users worker; "
                                "rooms: no partition has a messages worker");
    tell("users", 0, "accounts", 0, 1, 1);
    tell("users", 0, "sessions", 0, 6, 6);
    tell("messages", 1, "rooms", 0, 2, 6);
    ck_assert_str_eq(missing(), "rooms: 4 of 6 partitions have no messages worker");
    tell("messages", 2, "rooms", 2, 3, 6);
    ck_assert_str_eq(missing(), "rooms: 1 of 6 partitions have no messages worker");
    tell("messages", 2, "rooms", 3, 3, 6);
    ck_assert_str_eq(missing(), "");
}
END_TEST

START_TEST(what_was_said_some_seconds_ago_counts_for_nothing)
{
    tell("users", 0, "accounts", 0, 1, 1);
    tell("users", 0, "sessions", 0, 6, 6);
    tell("messages", 0, "rooms", 0, 6, 6);
    ck_assert_str_eq(missing(), "");
    database_run(&database, "UPDATE messages.owners SET until = until - interval '4 s' WHERE partition < 2");
    ck_assert_str_eq(missing(), "rooms: 2 of 6 partitions have no messages worker");
    tell("messages", 0, "rooms", 0, 6, 6);
    ck_assert_str_eq(missing(), "");
}
END_TEST

START_TEST(who_leaves_takes_back_what_is_its_own)
{
    tell("users", 0, "accounts", 0, 1, 1);
    tell("users", 0, "sessions", 0, 6, 6);
    tell("messages", 1, "rooms", 0, 6, 6);
    tell("messages", 2, "rooms", 4, 2, 6); /* two have changed hands */
    ck_ok(owner_leave(database.pg, &arena, 1));
    ck_assert_str_eq(missing(), "rooms: 4 of 6 partitions have no messages worker");
}
END_TEST

START_TEST(a_worker_that_has_no_tables_yet_is_missing_and_no_error)
{
    database_run(&database, "DROP SCHEMA messages CASCADE");
    tell("users", 0, "accounts", 0, 1, 1);
    tell("users", 0, "sessions", 0, 6, 6);
    ck_assert_str_eq(missing(), "rooms: no partition has a messages worker");
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("owner");
    TCase *owners = suite_case("owners");
    tcase_add_checked_fixture(owners, begin, end);
    tcase_add_test(owners, streams_without_an_owner_are_named_with_their_worker);
    tcase_add_test(owners, what_was_said_some_seconds_ago_counts_for_nothing);
    tcase_add_test(owners, who_leaves_takes_back_what_is_its_own);
    tcase_add_test(owners, a_worker_that_has_no_tables_yet_is_missing_and_no_error);
    suite_add_tcase(suite, owners);
    return suite_run(suite);
}
