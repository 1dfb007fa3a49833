/* Names that parked facts have taken: nobody else gets them until the fact is retried or discarded. */
#include "consumers/users/decide.h"
#include "tests/consumers/users_story.h"

/* As the loop parks it: the row, and what the stream holds for it. */
static void parked(int64_t offset, struct accounts_fact fact)
{
    const struct stream_worker *worker = users_definition.streams[0];
    database_run(&db, arena_printf(&arena,
                                   "INSERT INTO users.parked (topic, partition, \"offset\", blocks, cause, payload)"
                                   " VALUES ('accounts.events', 0, %lld, true, 'a test', '')",
                                   (long long)offset));
    for (int twice = 0; twice < 2; twice++) {
        ck_ok(pg_batch_begin(db.pg));
        ck_ok(worker->hold(db.pg, &arena, &(struct placed_fact){ (const struct any_record *)&fact, 0, offset }));
        ck_ok(pg_batch_end(db.pg, NULL, 0));
    }
}

/* It was folded, or left out. */
static void settled(int64_t offset)
{
    database_run(&db, arena_printf(&arena, "DELETE FROM users.parked WHERE \"offset\" = %lld", (long long)offset));
}

static int decided(const struct accounts_command *command)
{
    const struct stream_worker *worker = users_definition.streams[0];
    const struct any_record *const records[] = { (const struct any_record *)command };
    struct accounts_state *state = worker->state_create();
    ck_ok(worker->load(state, db.pg, &arena, records, 1, false));
    struct accounts_fact fact = { 0 };
    const int got = worker->decide(state, records[0], (struct any_record *)&fact);
    worker->state_destroy(state);
    return got;
}

static int registers(int user, uint8_t username, uint8_t email)
{
    return decided(&(struct accounts_command){ ACCOUNTS_REGISTER_ACCOUNT,
                                               .register_account = { .meta = { .actor = id('u', user), .at = NOON },
                                                                     .user_id = id('u', user),
                                                                     .username_index = hash(username),
                                                                     .email_index = hash(email) } });
}

static int renames(int user, uint8_t username)
{
    return decided(&(struct accounts_command){ ACCOUNTS_CHANGE_USERNAME,
                                               .change_username = { .meta = { .actor = id('u', user), .at = NOON },
                                                                    .user_id = id('u', user),
                                                                    .username_index = hash(username) } });
}

static int moves(int user, uint8_t email)
{
    return decided(&(struct accounts_command){ ACCOUNTS_CHANGE_EMAIL,
                                               .change_email = { .meta = { .actor = id('u', user), .at = NOON },
                                                                 .user_id = id('u', user),
                                                                 .email_index = hash(email) } });
}

START_TEST(the_names_of_a_parked_registration_are_held_until_it_is_settled)
{
    registered(1, "ann", "a", 1, 2);
    parked(100, (struct accounts_fact){ ACCOUNTS_ACCOUNT_REGISTERED,
                                        .account_registered = { .meta = { .actor = id('u', 7), .at = NOON },
                                                                .user_id = id('u', 7),
                                                                .username_index = hash(3),
                                                                .email_index = hash(4) } });
    ck_assert_int_eq(registers(8, 3, 5), USERNAME_TAKEN);
    ck_assert_int_eq(registers(8, 5, 4), EMAIL_TAKEN);
    ck_assert_int_eq(renames(1, 3), USERNAME_TAKEN);
    ck_assert_int_eq(moves(1, 4), EMAIL_TAKEN);
    ck_assert_msg(registers(8, 4, 3) == ACCEPTED, "a username is no e-mail address");
    ck_assert_msg(registers(7, 3, 4) == ACCEPTED, "its own are not taken from it");
    settled(100);
    ck_assert_int_eq(registers(8, 3, 4), ACCEPTED);
    ck_assert_str_eq(database_value(&db, &arena, "SELECT count(*)::text FROM users.held_names").ptr, "0");
}
END_TEST

START_TEST(a_name_that_a_parked_change_takes_is_held_and_the_one_before_it_too)
{
    registered(1, "ann", "a", 1, 2);
    parked(100, (struct accounts_fact){ ACCOUNTS_USERNAME_CHANGED,
                                        .username_changed = { .meta = { .actor = id('u', 1), .at = NOON },
                                                              .user_id = id('u', 1),
                                                              .username_index = hash(3),
                                                              .released_index = hash(1),
                                                              .reserved_until = NOON + 1 } });
    parked(101, (struct accounts_fact){ ACCOUNTS_EMAIL_CHANGED,
                                        .email_changed = { .meta = { .actor = id('u', 1), .at = NOON },
                                                           .user_id = id('u', 1),
                                                           .email_index = hash(4) } });
    ck_assert_int_eq(registers(8, 3, 5), USERNAME_TAKEN);
    ck_assert_int_eq(registers(8, 1, 5), USERNAME_TAKEN);
    ck_assert_int_eq(registers(8, 5, 4), EMAIL_TAKEN);
    ck_assert_int_eq(registers(8, 5, 2), EMAIL_TAKEN);
    settled(100);
    settled(101);
    ck_assert_int_eq(registers(8, 3, 4), ACCEPTED);
}
END_TEST

START_TEST(what_is_held_counts_more_than_what_is_reserved)
{
    registered(1, "ann", "a", 1, 2);
    renamed(1, 2, "anna", 3, 1); /* 1 is reserved for her, for a while */
    parked(100, (struct accounts_fact){ ACCOUNTS_USERNAME_CHANGED,
                                        .username_changed = { .meta = { .actor = id('u', 1), .at = NOON },
                                                              .user_id = id('u', 1),
                                                              .username_index = hash(1),
                                                              .released_index = hash(3) } });
    struct accounts_command late = { ACCOUNTS_REGISTER_ACCOUNT,
                                     .register_account = { .meta = { .actor = id('u', 8), .at = NOON + 400 * DAY },
                                                           .user_id = id('u', 8),
                                                           .username_index = hash(1),
                                                           .email_index = hash(9) } };
    ck_assert_int_eq(decided(&late), USERNAME_TAKEN);
    settled(100);
    ck_assert_int_eq(decided(&late), ACCEPTED);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("held names");
    TCase *names = suite_case("held names");
    tcase_add_checked_fixture(names, users_setup, users_teardown);
    tcase_add_test(names, the_names_of_a_parked_registration_are_held_until_it_is_settled);
    tcase_add_test(names, a_name_that_a_parked_change_takes_is_held_and_the_one_before_it_too);
    tcase_add_test(names, what_is_held_counts_more_than_what_is_reserved);
    suite_add_tcase(suite, names);
    return suite_run(suite);
}
