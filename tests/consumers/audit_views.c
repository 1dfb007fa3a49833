/* The audit as administrators read it, on rows that the users worker's folds wrote. */
#include "tests/consumers/users_story.h"

/* The actions, page after page. */
static const char *audited(struct audit_filter filter, int limit)
{
    char *all = arena_printf(&arena, "%s", "");
    for (;;) {
        struct audit_view *views;
        size_t count;
        ck_assert_int_eq(audit_list(db.pg, &arena, &filter, limit, &views, &count), OK);
        if (count == 0)
            return all;
        for (size_t i = 0; i < count; i++)
            all = arena_printf(&arena, "%s%s%.*s", all, *all ? " " : "", (int)views[i].action.len, views[i].action.ptr);
        filter.before = &views[count - 1].key;
    }
}

START_TEST(the_audit_says_who_did_what_to_whom_newest_first)
{
    registered(1, "ann", "a", 1, 2);
    registered(9, "root", "b", 3, 4);
    started(1, 1, 0, NOON + DAY);
    refreshed(1, 1, 1, "phone");
    all_ended(1, 9, 1, uuid_nil);
    suspended(1, 9, 0, 2);
    session_ended(1, 1);
    replayed(1, 1);
    for (int limit = 1; limit <= 9; limit += 4) {
        ck_assert_str_eq(audited((struct audit_filter){ 0 }, limit),
                         "RefreshTokenReplayed SessionEnded SessionRefreshed AccountSuspended AllSessionsEnded "
                         "SessionStarted AccountRegistered AccountRegistered");
        ck_assert_str_eq(audited((struct audit_filter){ .actor = id('u', 9) }, limit),
                         "AccountSuspended AllSessionsEnded AccountRegistered");
        ck_assert_str_eq(audited((struct audit_filter){ .subject = id('u', 9) }, limit), "AccountRegistered");
        ck_assert_str_eq(audited((struct audit_filter){ .subject = id('u', 1), .actor = id('u', 9) }, limit),
                         "AccountSuspended AllSessionsEnded");
        ck_assert_str_eq(audited((struct audit_filter){ .action = STR("SessionEnded") }, limit), "SessionEnded");
        ck_assert_str_eq(
            audited((struct audit_filter){ .actor = id('u', 9), .action = STR("AccountSuspended") }, limit),
            "AccountSuspended");
        ck_assert_str_eq(audited((struct audit_filter){ .from = NOON + 60, .to = NOON + 62 }, limit),
                         "SessionEnded SessionRefreshed");
    }
}
END_TEST

START_TEST(a_row_of_the_audit_is_shown_with_its_place_in_the_log)
{
    suspended(1, 9, NOON + DAY, 2);
    struct audit_view *views;
    size_t count;
    const struct audit_filter all = { 0 };
    ck_assert_int_eq(audit_list(db.pg, &arena, &all, 10, &views, &count), OK);
    ck_assert_uint_eq(count, 1);
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    audit_json(&j, &views[0]);
    ck_assert_str_eq(rendered(&out),
                     "{\"at\":\"2026-01-01T12:00:00.130Z\",\"actor\":\"01000000-0000-0000-7500-000000000009\","
                     "\"subject\":\"01000000-0000-0000-7500-000000000001\",\"action\":\"AccountSuspended\","
                     "\"details\":{\"until\": \"2026-01-02T12:00:00.123Z\", \"reason\": \"spam\"},"
                     "\"address\":\"192.0.2.4\",\"requestId\":\"request-7\","
                     "\"commandId\":\"00000000-0000-0000-0000-000000000000\",\"trace\":null,"
                     "\"stream\":\"accounts\",\"partition\":0,\"offset\":0}");
    buf_finish(&out);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("audit views");
    TCase *views = suite_case("audit views");
    tcase_add_checked_fixture(views, users_setup, users_teardown);
    tcase_add_test(views, the_audit_says_who_did_what_to_whom_newest_first);
    tcase_add_test(views, a_row_of_the_audit_is_shown_with_its_place_in_the_log);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
