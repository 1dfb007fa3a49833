/* Every column of the users worker's tables, after facts whose fields all have values of their own: whether they are folded one
 * by one or in one batch. */
#include "tests/consumers/users_story.h"

#define AT(seconds) (NOON + (seconds)*INT64_C(1000))
#define META(by, seconds, n)                                                                                           \
    .meta = { .actor = id('u', by), .at = AT(seconds), .command_id = id('c', n), .trace = STR("trace-" #n) }
#define SEALED_ADDRESS(n) .address = text("192.0.2." #n)
#define REQUEST(n)        .request_id = STR("request-" #n)
#define ANN               id('u', 1)
#define SESSION(n)        .session_id = id('s', n), .user_id = ANN

#define FACTS_MAX 24

static struct any_record *account_facts[FACTS_MAX], *session_facts[FACTS_MAX];
static size_t account_count, session_count;

static void account(struct accounts_fact f)
{
    struct accounts_fact *kept = ARENA_NEW(&arena, struct accounts_fact);
    *kept = f;
    account_facts[account_count++] = (struct any_record *)kept;
}

static void session(struct sessions_fact f)
{
    struct sessions_fact *kept = ARENA_NEW(&arena, struct sessions_fact);
    *kept = f;
    session_facts[session_count++] = (struct any_record *)kept;
}

/* At offsets from 10 on, in calls of `size` facts. */
static void fold_stream(size_t stream, struct any_record *const *facts, size_t count, size_t size)
{
    struct placed_fact placed[FACTS_MAX];
    for (size_t i = 0; i < count; i++)
        placed[i] = (struct placed_fact){ facts[i], (int32_t)(2 * stream), 10 + (int64_t)i };
    database_fold(&db, users_definition.streams[stream], placed, count, size);
}

static void fold_all(size_t size)
{
    fold_stream(0, account_facts, account_count, size);
    fold_stream(1, session_facts, session_count, size);
}

/* What stands in users_columns.rows behind "# name"; a new one is printed by AETHER_TEST_WRITE=1. */
static const char *rows_wanted(const char *name)
{
    FILE *file = fopen(ROWS, "r");
    ck_assert_msg(file, "%s: %m", ROWS);
    char *all = arena_alloc(&arena, 1 << 16);
    ck_assert_uint_lt(fread(all, 1, (1 << 16) - 1, file), (1 << 16) - 1);
    fclose(file);
    const char *head = arena_printf(&arena, "# %s\n", name), *at = strstr(all, head);
    if (!at)
        return "";
    at += strlen(head);
    const char *end = strstr(at, "\n#");
    return arena_str(&arena, (struct str){ at, end ? (size_t)(end - at) : strlen(at) - 1 }).ptr;
}

/* The rows of a query as JSON, one a line. */
static void rows_are(const char *name, const char *query)
{
    database_run(&db, "SET TIME ZONE 'UTC'");
    const char *found =
        database_value(&db, &arena,
                       arena_printf(&arena, "SELECT string_agg(to_jsonb(r)::text, chr(10)) FROM (%s) r", query))
            .ptr;
    if (getenv("AETHER_TEST_WRITE")) {
        printf("# %s\n%s\n", name, found);
        return;
    }
    size_t same = 0;
    const char *wanted = rows_wanted(name);
    while (found[same] && found[same] == wanted[same])
        same++;
    const size_t from = same > 60 ? same - 60 : 0;
    ck_assert_msg(found[same] == wanted[same], "%s: …%.120s\nand not …%.120s", name, found + from, wanted + from);
}

static void set_up(void)
{
    users_setup();
    account_count = session_count = 0;
}

static void ann_registers(void)
{
    static const struct str roles[] = { { "user", 4 }, { "moderator", 9 } };
    account((struct accounts_fact){
        ACCOUNTS_ACCOUNT_REGISTERED,
        .account_registered = { META(1, 1, 1), .user_id = ANN, .username = text("ann"), .username_index = hash(0x11),
                                .email = text("ann@example.org"), .email_index = hash(0x12), .first_name = text("Ann"),
                                .last_name = text("Arbor"), .password_hash = text("$first$"), .roles = { roles, 2 },
                                SEALED_ADDRESS(1), REQUEST(1) } });
}

static void ann_changes_everything(void)
{
    static const struct str admin = { "admin", 5 };
    account((struct accounts_fact){
        ACCOUNTS_PROFILE_CHANGED,
        .profile_changed = { META(1, 2, 2), .user_id = ANN, .first_name = text("Anna"), .last_name = text("Berg"),
                             .bio = text("bio"), .location = text("location"), .website = text("website"),
                             .phone = text("phone"), .birthdate = text("birthdate"), .locale = text("locale"),
                             .time_zone = text("zone"), .version = 2, SEALED_ADDRESS(2), REQUEST(2) } });
    account((struct accounts_fact){ ACCOUNTS_USERNAME_CHANGED,
                                    .username_changed = { META(1, 3, 3), .user_id = ANN, .username = text("anna"),
                                                          .username_index = hash(0x13), .released_index = hash(0x11),
                                                          .reserved_until = AT(30), .version = 3, SEALED_ADDRESS(3),
                                                          REQUEST(3) } });
    account((struct accounts_fact){ ACCOUNTS_EMAIL_CHANGED,
                                    .email_changed = { META(1, 4, 4), .user_id = ANN, .email = text("anna@example.org"),
                                                       .email_index = hash(0x14), .version = 4, SEALED_ADDRESS(4),
                                                       REQUEST(4) } });
    account((struct accounts_fact){ ACCOUNTS_PASSWORD_CHANGED,
                                    .password_changed = { META(1, 5, 5), .user_id = ANN,
                                                          .password_hash = text("$second$"), .kept_session = id('s', 5),
                                                          .session_epoch = 1, SEALED_ADDRESS(5), REQUEST(5) } });
    account(
        (struct accounts_fact){ ACCOUNTS_PASSWORD_REHASHED,
                                .password_rehashed = { META(1, 6, 6), .user_id = ANN, .password_hash = text("$third$"),
                                                       SEALED_ADDRESS(6), REQUEST(6) } });
    account((struct accounts_fact){ ACCOUNTS_ROLES_SET,
                                    .roles_set = { META(9, 7, 7), .user_id = ANN, .roles = { &admin, 1 }, .version = 5,
                                                   SEALED_ADDRESS(7), REQUEST(7) } });
}

static void ann_is_suspended(int64_t until)
{
    account((struct accounts_fact){ ACCOUNTS_ACCOUNT_SUSPENDED,
                                    .account_suspended = { META(9, 8, 8), .user_id = ANN, .reason = text("spam"),
                                                           .until = until, .session_epoch = 2, SEALED_ADDRESS(8),
                                                           REQUEST(8) } });
}

static void ann_is_reinstated_and_logged_out(void)
{
    account(
        (struct accounts_fact){ ACCOUNTS_ACCOUNT_REINSTATED, .account_reinstated = { META(9, 9, 9), .user_id = ANN,
                                                                                     SEALED_ADDRESS(9), REQUEST(9) } });
    account((struct accounts_fact){ ACCOUNTS_ALL_SESSIONS_ENDED,
                                    .all_sessions_ended = { META(9, 10, 10), .user_id = ANN, .kept_session = id('s', 6),
                                                            .session_epoch = 3, SEALED_ADDRESS(10), REQUEST(10) } });
}

static void sessions_come_and_go(void)
{
    for (int n = 1; n <= 4; n++)
        session((struct sessions_fact){ SESSIONS_SESSION_STARTED,
                                        .session_started = { META(1, 20, 20), SESSION(n),
                                                             .refresh_hash = hash((uint8_t)(0x20 + n)),
                                                             .expires_at = AT(100 + n), .device = text("device"),
                                                             SEALED_ADDRESS(20), .account_epoch = n, REQUEST(20) } });
    session((struct sessions_fact){ SESSIONS_SESSION_REFRESHED,
                                    .session_refreshed = { META(1, 21, 21), SESSION(1), .presented_hash = hash(0x21),
                                                           .refresh_hash = hash(0x31), .expires_at = AT(200),
                                                           .generation = 1, .device = text("another"),
                                                           SEALED_ADDRESS(21), REQUEST(21) } });
    session((struct sessions_fact){ SESSIONS_SESSION_ENDED,
                                    .session_ended = { META(1, 22, 22), SESSION(1), .reason = SESSION_END_LOGOUT,
                                                       SEALED_ADDRESS(22), REQUEST(22) } });
    session((struct sessions_fact){ SESSIONS_SESSION_ENDED,
                                    .session_ended = { META(1, 23, 23), SESSION(2), .reason = SESSION_END_REVOKED,
                                                       SEALED_ADDRESS(23), REQUEST(23) } });
    session((struct sessions_fact){ SESSIONS_REFRESH_TOKEN_REPLAYED,
                                    .refresh_token_replayed = { META(1, 24, 24), SESSION(3), .presented_generation = 5,
                                                                .generation = 7, .device = text("thief"),
                                                                SEALED_ADDRESS(24), REQUEST(24) } });
}

static const size_t sizes[] = { 1, 3, 0 };

START_TEST(an_account_has_what_its_registration_says)
{
    ann_registers();
    fold_all(sizes[_i]);
    rows_are("registered", "SELECT * FROM users.accounts");
}
END_TEST

START_TEST(an_account_has_what_each_later_fact_says)
{
    ann_registers();
    ann_changes_everything();
    ann_is_suspended(AT(99));
    fold_all(sizes[_i]);
    rows_are("suspended", "SELECT * FROM users.accounts");
    rows_are("reserved", "SELECT * FROM users.reserved_usernames");
    rows_are("terms", "SELECT * FROM users.search_terms ORDER BY kind");
}
END_TEST

START_TEST(the_session_that_changed_the_password_is_kept)
{
    ann_registers();
    ann_changes_everything();
    fold_all(sizes[_i]);
    rows_are("changed", "SELECT * FROM users.accounts");
}
END_TEST

START_TEST(nothing_is_left_of_a_suspension_that_was_taken_back)
{
    ann_registers();
    ann_is_suspended(0);
    ann_is_reinstated_and_logged_out();
    fold_all(sizes[_i]);
    rows_are("reinstated", "SELECT * FROM users.accounts");
}
END_TEST

START_TEST(a_session_has_what_each_fact_says)
{
    sessions_come_and_go();
    fold_all(sizes[_i]);
    rows_are("sessions", "SELECT * FROM users.sessions ORDER BY session_id");
}
END_TEST

START_TEST(the_audit_has_a_row_of_each_fact)
{
    ann_registers();
    ann_changes_everything();
    ann_is_suspended(AT(99));
    ann_is_reinstated_and_logged_out();
    sessions_come_and_go();
    fold_all(sizes[_i]);
    rows_are("audit", "SELECT * FROM users.audit ORDER BY stream, position");
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("users columns");
    TCase *tests = suite_case("users columns");
    const int ways = sizeof sizes / sizeof *sizes;
    tcase_add_checked_fixture(tests, set_up, users_teardown);
    tcase_add_loop_test(tests, an_account_has_what_its_registration_says, 0, ways);
    tcase_add_loop_test(tests, an_account_has_what_each_later_fact_says, 0, ways);
    tcase_add_loop_test(tests, the_session_that_changed_the_password_is_kept, 0, ways);
    tcase_add_loop_test(tests, nothing_is_left_of_a_suspension_that_was_taken_back, 0, ways);
    tcase_add_loop_test(tests, a_session_has_what_each_fact_says, 0, ways);
    tcase_add_loop_test(tests, the_audit_has_a_row_of_each_fact, 0, ways);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
