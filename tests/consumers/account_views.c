/* Accounts as people, searches and administrators see them, on rows that the users worker's folds wrote. */
#include "tests/consumers/users_story.h"

/* --- accounts --- */

START_TEST(an_account_is_found_by_id_username_and_e_mail)
{
    registered(2, "ann", "ann@example.org", 1, 2);
    registered(4, "bob", "bob@example.org", 3, 4);
    struct account_view a;
    bool is_found;
    ck_assert_int_eq(account_find(db.pg, &arena, id('u', 2), &a, &is_found), OK);
    ck_assert(is_found && !a.erased && uuid_equal(a.id, id('u', 2)));
    ck_assert(str_equal(a.username, STR("ann")) && str_equal(a.email, STR("ann@example.org")));
    ck_assert(str_equal(a.first_name, STR("Ann")) && str_equal(a.last_name, STR("O'Hara")));
    ck_assert(str_equal(a.password_hash, STR("$argon2id$")));
    ck_assert_int_eq(a.created_at, NOON);
    ck_assert_uint_eq(a.roles, ACCOUNT_USER | ACCOUNT_MODERATOR);

    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(3), hash(99), &a, &is_found), OK);
    ck_assert(is_found && uuid_equal(a.id, id('u', 4)));
    ck_assert_uint_eq(a.roles, ACCOUNT_USER);
    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(99), hash(2), &a, &is_found), OK);
    ck_assert(is_found && uuid_equal(a.id, id('u', 2)));
    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(3), hash(2), &a, &is_found), OK);
    ck_assert_msg(is_found && uuid_equal(a.id, id('u', 4)), "a username goes before an e-mail address");

    ck_assert_int_eq(account_find_by_login(db.pg, &arena, hash(2), hash(1), &a, &is_found), OK);
    ck_assert_msg(!is_found, "an e-mail address is no username");
    ck_assert_int_eq(account_find(db.pg, &arena, id('u', 9), &a, &is_found), OK);
    ck_assert(!is_found);
}
END_TEST

START_TEST(an_erased_account_has_no_texts_and_everybody_is_a_user)
{
    registered(3, NULL, NULL, 1, 2);
    struct account_view a;
    bool is_found;
    ck_assert_int_eq(account_find(db.pg, &arena, id('u', 3), &a, &is_found), OK);
    ck_assert(is_found && a.erased && a.username.len == 0 && a.email.len == 0 && a.last_name.len == 0);
    ck_assert_uint_eq(a.roles, ACCOUNT_USER);
}
END_TEST

START_TEST(usernames_come_in_the_order_of_the_ids)
{
    registered(1, "ann", "a", 1, 2);
    registered(2, "bob", "b", 3, 4);
    const struct uuid ids[] = { id('u', 2), id('u', 7), id('u', 1), id('u', 2) };
    struct str names[4];
    ck_assert_int_eq(account_usernames(db.pg, &arena, ids, 4, names), OK);
    ck_assert(str_equal(names[0], STR("bob")) && names[1].len == 0 && str_equal(names[2], STR("ann")) &&
              str_equal(names[3], STR("bob")));
    ck_assert_int_eq(account_usernames(db.pg, &arena, ids, 0, names), OK);
}
END_TEST

START_TEST(an_account_is_shown_with_its_e_mail_address_to_its_person_only)
{
    registered(1, "ann", "ann@example.org", 1, 2);
    const struct account_view a = found(1);
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    account_json(&j, &a, ACCOUNT_OWN);
    ck_assert_str_eq(
        rendered(&out),
        "{\"id\":\"01000000-0000-0000-7500-000000000001\",\"username\":\"ann\",\"email\":\"ann@example.org\","
        "\"firstName\":\"Ann\",\"lastName\":\"O'Hara\",\"bio\":null,\"location\":null,\"website\":null,\"phone\":null,"
        "\"birthdate\":null,\"locale\":null,\"timeZone\":null,\"roles\":[\"user\"],"
        "\"createdAt\":\"2026-01-01T12:00:00.123Z\"}");
    buf_clear(&out);
    j = json_writer(&out);
    account_json(&j, &a, ACCOUNT_PUBLIC);
    ck_assert_ptr_null(strstr(rendered(&out), "email"));
    buf_finish(&out);
}
END_TEST

#define EVERYTHING_OWN                                                                                                 \
    "{\"id\":\"01000000-0000-0000-7500-000000000002\",\"username\":\"anna\",\"email\":\"ann@example.org\","            \
    "\"firstName\":\"Anna\",\"lastName\":\"Huber\",\"bio\":\"Likes \\\"tea\\\".\",\"location\":null,"                  \
    "\"website\":\"https://example.org\",\"phone\":\"+4915112345678\",\"birthdate\":\"1999-12-31\","                   \
    "\"locale\":\"de-AT\",\"timeZone\":\"Europe/Vienna\",\"roles\":[\"user\",\"admin\"],"                              \
    "\"createdAt\":\"2026-01-01T12:00:00.123Z\""
#define EVERYTHING_PUBLIC                                                                                              \
    "{\"id\":\"01000000-0000-0000-7500-000000000002\",\"username\":\"anna\",\"firstName\":\"Anna\","                   \
    "\"lastName\":\"Huber\",\"bio\":\"Likes \\\"tea\\\".\",\"location\":null,\"website\":\"https://example.org\","     \
    "\"roles\":[\"user\",\"admin\"],\"createdAt\":\"2026-01-01T12:00:00.123Z\"}"

START_TEST(an_account_with_everything_is_shown_to_each_audience_as_it_may_see_it)
{
    registered(2, "ann", "ann@example.org", 1, 2);
    profile(2, 2, "Anna", "Huber");
    renamed(2, 3, "anna", 3, 1);
    given_role(2, 4, STR("admin"));
    suspended(2, 9, NOON + DAY, 1);
    const struct account_view a = found(2);
    static const char *const wanted[] = {
        [ACCOUNT_PUBLIC] = EVERYTHING_PUBLIC,
        [ACCOUNT_OWN] = EVERYTHING_OWN "}",
        [ACCOUNT_ADMINISTRATION] = EVERYTHING_OWN ",\"version\":4,\"suspended\":{\"reason\":\"spam\","
                                                  "\"at\":\"2026-01-01T12:00:00.130Z\","
                                                  "\"until\":\"2026-01-02T12:00:00.123Z\"}}",
    };
    for (int audience = ACCOUNT_PUBLIC; audience <= ACCOUNT_ADMINISTRATION; audience++) {
        struct buf out = { 0 };
        struct json j = json_writer(&out);
        account_json(&j, &a, (enum account_audience)audience);
        ck_assert_str_eq(rendered(&out), wanted[audience]);
        buf_finish(&out);
    }
}
END_TEST

START_TEST(what_is_typed_into_a_login_form_is_trimmed_and_folded)
{
    ck_assert(str_equal(username_normalise(&arena, STR("  Ann.B-2 ")), STR("ann.b-2")));
    ck_assert(str_equal(email_normalise(&arena, STR("\tANN@Example.ORG\n")), STR("ann@example.org")));
    ck_assert(str_equal(username_normalise(&arena, STR(" ")), STR("")));
    ck_assert(str_equal(username_normalise(&arena, STR("\xC3\x84Z")), STR("\xC3\xA4z")));
}
END_TEST

START_TEST(later_facts_change_what_they_are_about)
{
    registered(1, "ann", "ann@example.org", 1, 2);
    profile(1, 2, "Anna", "Huber");
    renamed(1, 3, "anna", 3, 1);
    suspended(1, 9, NOON + DAY, 1);
    given_role(1, 4, STR("admin"));
    struct account_view a = found(1);
    ck_assert(str_equal(a.username, STR("anna")) && str_equal(a.email, STR("ann@example.org")));
    ck_assert(str_equal(a.first_name, STR("Anna")) && str_equal(a.time_zone, STR("Europe/Vienna")));
    ck_assert_int_eq(a.version, 4);
    ck_assert_int_eq(a.session_epoch, 1);
    ck_assert_int_eq(a.position, 4);
    ck_assert_uint_eq(a.roles, ACCOUNT_USER | ACCOUNT_ADMIN);
    ck_assert(str_equal(a.suspension_reason, STR("spam")));
    ck_assert_int_eq(a.suspended_at, NOON + 7);
    ck_assert(account_is_suspended(&a, NOON + DAY - 1) && !account_is_suspended(&a, NOON + DAY));
    reinstated(1, 9);
    a = found(1);
    ck_assert(!a.suspended && a.suspended_at == 0 && a.suspended_until == 0 && a.suspension_reason.len == 0);
    ck_assert_int_eq(a.version, 4);
}
END_TEST

START_TEST(many_accounts_come_in_the_order_of_the_ids)
{
    registered(1, "ann", "a", 1, 2);
    registered(2, "bob", "b", 3, 4);
    const struct uuid ids[] = { id('u', 2), id('u', 7), id('u', 1) };
    struct account_view views[3];
    bool is_found[3];
    ck_assert_int_eq(account_find_many(db.pg, &arena, ids, 3, views, is_found), OK);
    ck_assert(is_found[0] && !is_found[1] && is_found[2]);
    ck_assert(str_equal(views[0].username, STR("bob")) && str_equal(views[2].username, STR("ann")));
}
END_TEST

START_TEST(an_administrator_sees_the_suspension)
{
    registered(1, "ann", "ann@example.org", 1, 2);
    profile(1, 2, "Ann", "");
    suspended(1, 9, 0, 1);
    const struct account_view a = found(1);
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    account_json(&j, &a, ACCOUNT_ADMINISTRATION);
    ck_assert_str_eq(
        rendered(&out),
        "{\"id\":\"01000000-0000-0000-7500-000000000001\",\"username\":\"ann\",\"email\":\"ann@example.org\","
        "\"firstName\":\"Ann\",\"lastName\":\"\",\"bio\":\"Likes \\\"tea\\\".\",\"location\":null,"
        "\"website\":\"https://example.org\",\"phone\":\"+4915112345678\",\"birthdate\":\"1999-12-31\","
        "\"locale\":\"de-AT\",\"timeZone\":\"Europe/Vienna\",\"roles\":[\"user\"],"
        "\"createdAt\":\"2026-01-01T12:00:00.123Z\",\"version\":2,"
        "\"suspended\":{\"reason\":\"spam\",\"at\":\"2026-01-01T12:00:00.130Z\",\"until\":null}}");
    buf_finish(&out);
}
END_TEST

/* --- search --- */

/* The usernames that a search gives, a page of `limit` after the other, with spaces between. */
static const char *searched(const char *typed, int limit)
{
    struct str term = STR("");
    struct uuid last = uuid_nil;
    char *all = arena_printf(&arena, "%s", "");
    for (;;) {
        struct account_view *views;
        size_t count;
        ck_assert_int_eq(
            account_search(db.pg, &arena, search_fold(&arena, str_of(typed)), term, last, limit, &views, &count), OK);
        ck_assert_uint_le(count, (size_t)limit);
        if (count == 0)
            return all;
        for (size_t i = 0; i < count; i++)
            all = arena_printf(&arena, "%s%s%.*s", all, *all ? " " : "", (int)views[i].username.len,
                               views[i].username.ptr);
        term = views[count - 1].term;
        last = views[count - 1].id;
    }
}

START_TEST(a_search_finds_each_person_once_by_how_a_name_begins)
{
    registered(1, "olaf", "a", 1, 2);
    registered(2, "freya", "b", 3, 4);
    registered(3, "zoe", "c", 5, 6);
    registered(4, "o.l", "d", 7, 8);
    profile(1, 2, "Olaf", "Olafson"); /* three terms that begin alike */
    profile(2, 2, "\xC3\x93lafur", "Arnalds");
    profile(3, 2, "Zo\xC3\xAB", "OLA");
    for (int limit = 1; limit <= 5; limit++) {
        ck_assert_str_eq(searched("ola", limit), "zoe olaf freya");
        ck_assert_str_eq(searched("OLAF", limit), "olaf freya");
        ck_assert_str_eq(searched("\xC3\xB3lafur  a", limit), "freya");
        ck_assert_str_eq(searched("arnalds \xC3\xB3", limit), "freya");
        ck_assert_str_eq(searched("o", limit), "o.l zoe olaf freya");
        ck_assert_str_eq(searched("laf", limit), "");
        ck_assert_str_eq(searched("o.", limit), "o.l");
        ck_assert_str_eq(searched("o%", limit), "");
    }
}
END_TEST

START_TEST(who_has_another_name_is_found_by_it_and_no_longer_by_the_old_one)
{
    registered(1, "olaf", "a", 1, 2);
    profile(1, 2, "Olaf", "Olafson");
    renamed(1, 3, "harald", 3, 1);
    profile(1, 4, "Harald", "");
    ck_assert_str_eq(searched("olaf", 10), "");
    ck_assert_str_eq(searched("harald", 10), "harald");
    profile(1, 5, NULL, NULL);
    renamed(1, 6, NULL, 4, 3);
    ck_assert_str_eq(searched("harald", 10), "");
    ck_assert_str_eq(database_value(&db, &arena, "SELECT count(*)::text FROM users.search_terms").ptr, "0");
}
END_TEST

/* --- administrators' lists --- */

/* The last digits of the ids, page after page. */
static const char *listed(const struct account_filter *filter, int limit)
{
    struct uuid before = uuid_nil;
    char *all = arena_printf(&arena, "%s", "");
    for (;;) {
        struct account_view *views;
        size_t count;
        ck_assert_int_eq(account_list(db.pg, &arena, filter, before, limit, &views, &count), OK);
        if (count == 0)
            return all;
        for (size_t i = 0; i < count; i++)
            all = arena_printf(&arena, "%s%d", all, views[i].id.bytes[15]);
        before = views[count - 1].id;
    }
}

START_TEST(accounts_are_listed_newest_first_by_role_suspension_name_and_time)
{
    for (int user = 1; user <= 6; user++)
        registered(user, arena_printf(&arena, "person%d", user), "e", (uint8_t)(2 * user), (uint8_t)(2 * user + 1));
    given_role(3, 2, STR("admin"));
    suspended(4, 3, 0, 1);
    suspended(5, 3, NOON + DAY, 1);
    suspended(2, 3, 0, 1);
    reinstated(2, 3);
    static const struct row {
        struct account_filter filter;
        const char *ids;
    } rows[] = {
        { { .suspended = -1 }, "654321" },
        { { .suspended = -1, .role = ACCOUNT_USER }, "654321" },
        { { .suspended = -1, .role = ACCOUNT_ADMIN }, "3" },
        { { .suspended = -1, .role = ACCOUNT_MODERATOR }, "52" }, /* as they registered */
        { { .suspended = 1, .now_ms = NOON }, "54" },
        { { .suspended = 1, .now_ms = NOON + DAY }, "4" },
        { { .suspended = 0, .now_ms = NOON }, "6321" },
        { { .suspended = 0, .now_ms = NOON + DAY }, "65321" },
        { { .suspended = 1, .now_ms = NOON, .role = ACCOUNT_MODERATOR }, "5" },
        { { .suspended = -1, .folded = { "person4", 7 } }, "4" },
        { { .suspended = -1, .folded = { "per", 3 }, .role = ACCOUNT_ADMIN }, "3" },
        { { .suspended = -1, .from = NOON, .to = NOON + 1 }, "654321" },
        { { .suspended = -1, .from = NOON + 1 }, "" },
        { { .suspended = -1, .to = NOON }, "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int limit = 1; limit <= 7; limit += 3)
            ck_assert_msg(strcmp(listed(&rows[i].filter, limit), rows[i].ids) == 0, "row %zu: got %s, not %s", i,
                          listed(&rows[i].filter, limit), rows[i].ids);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("account views");
    TCase *views = suite_case("account views");
    tcase_add_checked_fixture(views, users_setup, users_teardown);
    tcase_add_test(views, an_account_is_found_by_id_username_and_e_mail);
    tcase_add_test(views, an_erased_account_has_no_texts_and_everybody_is_a_user);
    tcase_add_test(views, usernames_come_in_the_order_of_the_ids);
    tcase_add_test(views, an_account_with_everything_is_shown_to_each_audience_as_it_may_see_it);
    tcase_add_test(views, an_account_is_shown_with_its_e_mail_address_to_its_person_only);
    tcase_add_test(views, what_is_typed_into_a_login_form_is_trimmed_and_folded);
    tcase_add_test(views, later_facts_change_what_they_are_about);
    tcase_add_test(views, many_accounts_come_in_the_order_of_the_ids);
    tcase_add_test(views, an_administrator_sees_the_suspension);
    tcase_add_test(views, a_search_finds_each_person_once_by_how_a_name_begins);
    tcase_add_test(views, who_has_another_name_is_found_by_it_and_no_longer_by_the_old_one);
    tcase_add_test(views, accounts_are_listed_newest_first_by_role_suspension_name_and_time);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
