/* The statements of the users worker and of its views: that they walk over indexes, and what a batch or a failure may
 * not break. */
#include "tests/consumers/users_story.h"

START_TEST(two_people_may_exchange_names_within_one_batch)
{
    registered(1, "ann", "a", 1, 2);
    registered(2, "bob", "b", 3, 4);
    struct accounts_fact facts[3];
    struct placed_fact placed[3];
    static const struct {
        int user;
        uint8_t email;
    } changes[] = { { 1, 5 }, { 2, 2 }, { 1, 4 } };
    for (int i = 0; i < 3; i++) {
        facts[i] =
            (struct accounts_fact){ ACCOUNTS_EMAIL_CHANGED, .email_changed = { .user_id = id('u', changes[i].user),
                                                                               .email = text("new"),
                                                                               .email_index = hash(changes[i].email),
                                                                               .version = 2 + i,
                                                                               .address = text(NULL) } };
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 0, position++ };
    }
    database_fold(&db, users_definition.streams[0], placed, 3, 0);
    struct account_view a;
    bool is_found;
    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(99), hash(2), &a, &is_found), OK);
    ck_assert(is_found && uuid_equal(a.id, id('u', 2)));
    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(99), hash(4), &a, &is_found), OK);
    ck_assert(is_found && uuid_equal(a.id, id('u', 1)));
}
END_TEST

START_TEST(a_load_that_fails_leaves_nothing_behind_that_looks_like_an_answer)
{
    static const struct str user_role = { "user", 4 };
    registered(1, "ann", "a", 1, 2);
    const struct stream_worker *worker = users_definition.streams[0];
    const struct accounts_command roles = { ACCOUNTS_SET_ROLES, .set_roles = { .meta = { .actor = system_actor },
                                                                               .user_id = id('u', 1),
                                                                               .roles = { &user_role, 1 } } };
    const struct any_record *const records[] = { (const struct any_record *)&roles };
    struct accounts_state *state = worker->state_create();
    struct pg *nowhere = pg_create("host=127.0.0.1 port=1", "aether-test");
    ck_assert_int_eq(worker->load(state, nowhere, &arena, records, 1, false), RETRY);
    pg_destroy(nowhere);
    ck_assert_int_eq(accounts_state_account(state, id('u', 1))->presence, PRESENCE_UNKNOWN);
    ck_assert(!state->admins_loaded);
    ck_assert_int_eq(worker->load(state, db.pg, &arena, records, 1, false), OK);
    struct accounts_fact fact = { 0 };
    ck_assert_int_eq(worker->decide(state, records[0], (struct any_record *)&fact), ACCEPTED);
    worker->state_destroy(state);
}
END_TEST

static int steps_back(int user)
{
    static const struct str user_role = { "user", 4 };
    const struct stream_worker *worker = users_definition.streams[0];
    const struct accounts_command roles = { ACCOUNTS_SET_ROLES,
                                            .set_roles = { .meta = { .actor = id('u', user), .at = NOON + DAY },
                                                           .user_id = id('u', user),
                                                           .roles = { &user_role, 1 } } };
    const struct any_record *const records[] = { (const struct any_record *)&roles };
    void *state = worker->state_create();
    ck_ok(worker->load(state, db.pg, &arena, records, 1, false));
    struct accounts_fact fact = { 0 };
    const int got = worker->decide(state, records[0], (struct any_record *)&fact);
    worker->state_destroy(state);
    return got;
}

START_TEST(who_else_administrates_is_loaded_with_whether_they_are_suspended)
{
    registered(1, "ann", "a", 1, 2);
    registered(2, "bob", "b", 3, 4);
    given_role(1, 2, STR("admin"));
    ck_assert_int_eq(steps_back(1), LAST_ADMIN);
    given_role(2, 2, STR("admin"));
    ck_assert_int_eq(steps_back(1), ACCEPTED);
    suspended(2, 1, 0, 1);
    ck_assert_int_eq(steps_back(1), LAST_ADMIN);
    reinstated(2, 1);
    ck_assert_int_eq(steps_back(1), ACCEPTED);
    suspended(2, 1, NOON + DAY + 1, 2);
    ck_assert_int_eq(steps_back(1), LAST_ADMIN);
    suspended(2, 1, NOON + DAY, 3);
    ck_assert_msg(steps_back(1) == ACCEPTED, "it is over by then");
}
END_TEST

/* So that the statements are prepared on this connection. */
static void ask_load_and_fold_everything(void)
{
    struct account_view account, *accounts;
    struct audit_view *audit;
    struct session_view *sessions;
    struct str name;
    bool is_found;
    size_t count;
    const struct uuid nobody = id('u', 1);
    ck_assert_int_eq(account_find(db.pg, &arena, nobody, &account, &is_found), OK);
    ck_assert_int_eq(account_find_many(db.pg, &arena, &nobody, 1, &account, &is_found), OK);
    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(1), hash(2), &account, &is_found), OK);
    ck_assert_int_eq(account_usernames(db.pg, &arena, &nobody, 1, &name), OK);
    ck_assert_int_eq(account_search(db.pg, &arena, STR("a"), STR(""), uuid_nil, 10, &accounts, &count), OK);
    ck_assert_int_eq(session_list(db.pg, &arena, nobody, NOON, 0, uuid_nil, 10, &sessions, &count), OK);
    struct access access = { .user = nobody, .session = id('s', 1) };
    ck_assert_int_eq(access_find(db.pg, &arena, &access, 1, NOON), OK);
    const struct account_filter filters[] = {
        { .suspended = -1 }, { .suspended = 1 }, { .suspended = -1, .role = ACCOUNT_ADMIN }, { .folded = { "a", 1 } }
    };
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(account_list(db.pg, &arena, &filters[i], uuid_nil, 10, &accounts, &count), OK);
    const struct audit_filter asks[] = {
        { .from = 0 }, { .actor = nobody }, { .subject = nobody }, { .action = STR("RolesSet") }
    };
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(audit_list(db.pg, &arena, &asks[i], 10, &audit, &count), OK);

    const struct accounts_command roles = { ACCOUNTS_SET_ROLES };
    const struct sessions_command ends = { SESSIONS_END_SESSION };
    const struct any_record *const commands[] = { (const struct any_record *)&roles, (const struct any_record *)&ends };
    for (size_t i = 0; i < 2; i++) {
        void *state = users_definition.streams[i]->state_create();
        ck_assert_int_eq(users_definition.streams[i]->load(state, db.pg, &arena, &commands[i], 1, false), OK);
        users_definition.streams[i]->state_destroy(state);
    }
    registered(1, "ann", "a", 1, 2);
    profile(1, 2, "Ann", "Other");
    renamed(1, 3, "anna", 3, 1);
    all_ended(1, 1, 1, uuid_nil);
    started(1, 1, 1, NOON);
    session_ended(1, 1);
}

/* The plans of the statements over tables of some size, and with plans that do not know the parameters. */
START_TEST(every_statement_walks_over_indexes)
{
    database_run(
        &db,
        "INSERT INTO users.accounts (user_id, username, username_index, email, email_index, roles, created_at, "
        "position)"
        "  SELECT gen_random_uuid(), 'x', ('u' || n)::bytea, 'y', ('e' || n)::bytea, '{user}', now(), n"
        "    FROM generate_series(1, 5000) n;"
        "INSERT INTO users.sessions (session_id, user_id, refresh_hash, expires_at, created_at)"
        "  SELECT gen_random_uuid(), user_id, 'h', now(), now() FROM users.accounts;"
        "INSERT INTO users.search_terms SELECT user_id, k, md5(user_id::text || k)"
        "  FROM users.accounts, generate_series(1, 3) k;"
        "INSERT INTO users.reserved_usernames SELECT ('r' || n)::bytea, gen_random_uuid(), now()"
        "  FROM generate_series(1, 5000) n;"
        "INSERT INTO users.parked (topic, partition, \"offset\", blocks, cause, payload)"
        "  SELECT 'accounts.events', 0, n, true, '', '' FROM generate_series(1, 5000) n;"
        "INSERT INTO users.held_names SELECT topic, partition, \"offset\", 1, ('h' || \"offset\")::bytea, "
        "                                    gen_random_uuid() FROM users.parked;"
        "INSERT INTO users.audit SELECT 'sessions', 10 + n, a.position, now() + n * interval '1 ms', user_id,"
        "                               'A' || a.position % 20, user_id, '{}', 'a', '', gen_random_uuid(), ''"
        "  FROM generate_series(1, 4) n, users.accounts a;"
        "ANALYZE; SET plan_cache_mode = force_generic_plan;"
        "CREATE FUNCTION plan(statement text) RETURNS text LANGUAGE plpgsql AS 'DECLARE line text; whole text := ''''; "
        "BEGIN FOR line IN EXECUTE ''EXPLAIN EXECUTE '' || statement LOOP whole := whole || line || chr(10); END LOOP; "
        "RETURN whole; END'");
    ask_load_and_fold_everything();

#define ID   "'01000000-0000-0000-7500-000000000001'"
#define IDS  "ARRAY[" ID "]::uuid[]"
#define LIST "(" ID ",10,null,null,now(),null,null"
#define LOG  "(now(),'accounts',0,1,10,null,null,null,null,null)"
    static const struct row {
        const char *statement;
        bool sorts; /* may: few rows are left then */
    } rows[] = {
        { "users_find_account(" ID ")" },
        { "users_find_accounts(" IDS ")" },
        { "users_find_account_by_login('a','b')" },
        { "users_find_usernames(" IDS ")" },
        { "users_search_accounts('a','b','a'," ID ",10)" },
        { "users_list_sessions(" ID ",now()," ID ",10,now())" },
        { "users_find_access(" IDS "," IDS ")" },
        { "users_list_accounts" LIST ")" },
        { "users_list_staff" LIST ")", .sorts = true },
        { "users_list_suspended" LIST ")", .sorts = true },
        { "users_list_named" LIST ",'a','b')", .sorts = true },
        { "users_list_audit" LOG },
        { "users_list_audit_of_action" LOG },
        { "users_list_audit_of_subject" LOG },
        { "users_list_audit_of_actor" LOG, .sorts = true },
        { "users_load_accounts(" IDS ",'{a}','{b}')" },
        { "users_load_reserved('{a}','{b}')", .sorts = true },
        { "users_load_admins" },
        { "users_load_sessions(" IDS "," IDS ")" },
        { "users_update_profiles(" IDS ",'{a}','{a}','{a}','{a}','{a}','{a}','{a}','{a}','{a}')" },
        { "users_update_usernames(" IDS ",'{a}','{a}')" },
        { "users_update_positions(" IDS ",'{1}','{1}')" },
        { "users_delete_reserved('{a}')" },
        { "users_delete_terms(" IDS ",'{1}')" },
        { "users_update_sessions(" IDS "," IDS
          ",'{a}','{1}',ARRAY[now()],'{d}','{a}',ARRAY[now()],ARRAY[now()],'{1}','{1}')" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *statement = rows[i].statement;
        const struct str plan = database_value(&db, &arena, arena_printf(&arena, "SELECT plan($q$%s$q$)", statement));
        ck_assert_msg(strstr(plan.ptr, "Index") && !strstr(plan.ptr, "Seq Scan"), "%s\n%s", statement, plan.ptr);
        ck_assert_msg(rows[i].sorts || !strstr(plan.ptr, "Sort"), "%s sorts\n%s", statement, plan.ptr);
    }
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("users statements");
    TCase *views = suite_case("users statements");
    tcase_add_checked_fixture(views, users_setup, users_teardown);
    tcase_add_test(views, two_people_may_exchange_names_within_one_batch);
    tcase_add_test(views, a_load_that_fails_leaves_nothing_behind_that_looks_like_an_answer);
    tcase_add_test(views, who_else_administrates_is_loaded_with_whether_they_are_suspended);
    tcase_add_test(views, every_statement_walks_over_indexes);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
