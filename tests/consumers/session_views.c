/* Sessions: which are live, and who may come in, on rows that the users worker's folds wrote. */
#include "tests/consumers/users_story.h"

/* --- sessions --- */

START_TEST(sessions_that_are_live_are_listed_newest_first)
{
    registered(1, "ann", "a", 1, 2);
    all_ended(1, 1, 1, id('s', 2));
    started(1, 1, 0, NOON + DAY); /* of the epoch before */
    started(2, 1, 0, NOON + DAY); /* of the epoch before, but kept */
    started(3, 1, 1, NOON + DAY);
    started(4, 1, 1, NOON + DAY);
    started(5, 1, 1, NOON + 1);
    started(6, 1, 1, NOON + DAY);
    refreshed(3, 1, 1, "phone");
    refreshed(2, 1, 1, NULL);
    session_ended(4, 1);
    replayed(6, 1);
    struct session_view *views;
    size_t count;
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, 0, uuid_nil, 10, &views, &count), OK);
    ck_assert_uint_eq(count, 2);
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    session_json(&j, &views[0], true);
    ck_assert_str_eq(rendered(&out),
                     "{\"id\":\"01000000-0000-0000-7300-000000000003\",\"device\":\"phone\",\"address\":\"192.0.2.6\","
                     "\"createdAt\":\"2026-01-01T12:00:00.123Z\",\"lastUsedAt\":\"2026-01-01T12:00:00.183Z\","
                     "\"expiresAt\":\"2026-01-03T12:00:00.123Z\",\"current\":true}");
    buf_finish(&out);
    ck_assert(uuid_equal(views[1].id, id('s', 2)) && str_equal(views[1].device, STR("curl")));
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, 0, uuid_nil, 1, &views, &count), OK);
    ck_assert(count == 1 && uuid_equal(views[0].id, id('s', 3)));
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, 0, views[0].id, 1, &views, &count), OK);
    ck_assert(count == 1 && uuid_equal(views[0].id, id('s', 2)));
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, 0, views[0].id, 1, &views, &count), OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 2), NOON, 0, uuid_nil, 10, &views, &count), OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, NOON - 1, uuid_nil, 10, &views, &count), OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, NOON, uuid_nil, 10, &views, &count), OK);
    ck_assert_msg(count == 0, "what began then or earlier is too old");
}
END_TEST

/* --- who may come in --- */

static struct access asked(int user, int session, int64_t now)
{
    struct access a = { .user = id('u', user), .session = id('s', session) };
    ck_assert_int_eq(access_find(db.pg, &arena, &a, 1, now), OK);
    return a;
}

START_TEST(who_may_come_in_is_who_has_a_live_session)
{
    registered(1, "ann", "a", 1, 2);
    registered(2, "bob", "b", 3, 4);
    started(1, 1, 0, NOON + DAY);
    started(2, 1, 0, NOON + DAY);
    ck_assert(asked(1, 1, NOON).live && !asked(1, 1, NOON).suspended);
    ck_assert_uint_eq(asked(1, 1, NOON).roles, ACCOUNT_USER);
    ck_assert_msg(!asked(2, 1, NOON).live, "another's session is none of one's own");
    ck_assert_msg(!asked(1, 7, NOON).live, "a session that never was");
    ck_assert_msg(!asked(7, 1, NOON).live, "a person who never was");

    all_ended(1, 1, 1, id('s', 1));
    ck_assert_msg(asked(1, 1, NOON).live, "the kept session stays");
    ck_assert_msg(!asked(1, 2, NOON).live, "the others end");
    started(3, 1, 1, NOON + DAY);
    ck_assert(asked(1, 3, NOON).live);
    started(4, 1, 0, NOON + DAY);
    ck_assert_msg(!asked(1, 4, NOON).live, "who logged in with the password of before has no session");
    session_ended(1, 1);
    ck_assert_msg(!asked(1, 1, NOON).live, "kept is not for ever");

    suspended(1, 2, NOON + DAY, 2);
    ck_assert(asked(1, 3, NOON).suspended && !asked(1, 3, NOON).live);
    ck_assert(!asked(1, 3, NOON + DAY).suspended);
    ck_assert_msg(!asked(1, 3, NOON + DAY).live, "a suspension that ends brings no session back");
    started(5, 1, 2, NOON + DAY);
    ck_assert(asked(1, 5, NOON + DAY).live && !asked(1, 5, NOON + DAY).suspended);

    struct access many[] = { { .user = id('u', 1), .session = id('s', 3) },
                             { .user = id('u', 1), .session = id('s', 5) },
                             { .user = id('u', 9), .session = id('s', 5) } };
    ck_assert_int_eq(access_find(db.pg, &arena, many, 3, NOON + DAY), OK);
    ck_assert(!many[0].live && many[1].live && !many[2].live);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("session views");
    TCase *views = suite_case("session views");
    tcase_add_checked_fixture(views, users_setup, users_teardown);
    tcase_add_test(views, sessions_that_are_live_are_listed_newest_first);
    tcase_add_test(views, who_may_come_in_is_who_has_a_live_session);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
