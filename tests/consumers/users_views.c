/* The queries over the users worker's projection, on rows that its folds wrote. */
#include <stdlib.h>

#include "consumers/users/streams.h"
#include "consumers/users/view.h"
#include "tests/consumers/database.h"
#include "tests/suite.h"

#define NOON INT64_C(1767268800123) /* 2026-01-01T12:00:00.123Z */
#define DAY  INT64_C(86400000)

static struct database db;
static struct arena arena;
static int64_t position;

static void setup(void)
{
    static const struct worker_definition *const definitions[] = { &users_definition, NULL };
    database_create(&db, definitions);
    arena_init(&arena, 0);
    position = 0;
}

static void teardown(void)
{
    arena_finish(&arena);
    database_destroy(&db);
}

static struct uuid id(char kind, int n)
{
    return (struct uuid){ { 0x01, [8] = (uint8_t)kind, [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
}

static struct sealed text(const char *clear)
{
    return clear ? (struct sealed){ .state = OPEN, .clear = str_of(clear) } : (struct sealed){ .state = ERASED };
}

static const char *rendered(const struct buf *b)
{
    return arena_str(&arena, buf_view(b)).ptr;
}

/* --- given facts --- */

static void fold_account(struct accounts_fact fact)
{
    const struct placed_fact placed = { (const struct any_record *)&fact, 0, position++ };
    database_fold(&db, users_definition.streams[0], &placed, 1, 0);
}

static void fold_session(struct sessions_fact fact)
{
    const struct placed_fact placed = { (const struct any_record *)&fact, 3, position++ };
    database_fold(&db, users_definition.streams[1], &placed, 1, 0);
}

static char hashes[256][HASH_LEN];

static struct str hash(uint8_t n)
{
    memset(hashes[n], n, HASH_LEN);
    return (struct str){ hashes[n], HASH_LEN };
}

static void registered(int user, const char *username, const char *email, uint8_t username_hash, uint8_t email_hash)
{
    static const struct str roles[] = { { "user", 4 }, { "moderator", 9 } };
    fold_account((struct accounts_fact){
        ACCOUNTS_ACCOUNT_REGISTERED,
        .account_registered = { .meta = { .actor = id('u', user), .at = NOON },
                                .user_id = id('u', user),
                                .username = text(username),
                                .username_index = hash(username_hash),
                                .email = text(email),
                                .email_index = hash(email_hash),
                                .first_name = text("Ann"),
                                .last_name = text(username ? "O'Hara" : NULL),
                                .password_hash = text("$argon2id$"),
                                .address = text("192.0.2.1"),
                                .roles = { roles, (size_t)(user % 3) } },
    });
}

static void profile(int user, int64_t version, const char *first, const char *last)
{
    fold_account((struct accounts_fact){ ACCOUNTS_PROFILE_CHANGED,
                                         .profile_changed = { .meta = { .actor = id('u', user), .at = NOON + version },
                                                              .user_id = id('u', user),
                                                              .first_name = text(first),
                                                              .last_name = text(last),
                                                              .bio = text("Likes \"tea\"."),
                                                              .location = text(""),
                                                              .website = text("https://example.org"),
                                                              .phone = text("+4915112345678"),
                                                              .birthdate = text("1999-12-31"),
                                                              .locale = text("de-AT"),
                                                              .time_zone = text("Europe/Vienna"),
                                                              .version = version,
                                                              .address = text("192.0.2.2") } });
}

static void renamed(int user, int64_t version, const char *username, uint8_t index, uint8_t released)
{
    fold_account((struct accounts_fact){ ACCOUNTS_USERNAME_CHANGED,
                                         .username_changed = { .meta = { .actor = id('u', user), .at = NOON },
                                                               .user_id = id('u', user),
                                                               .username = text(username),
                                                               .username_index = hash(index),
                                                               .released_index = hash(released),
                                                               .reserved_until = NOON + 30 * DAY,
                                                               .version = version,
                                                               .address = text(NULL) } });
}

static void all_ended(int user, int by, int64_t epoch, struct uuid kept)
{
    fold_account((struct accounts_fact){ ACCOUNTS_ALL_SESSIONS_ENDED,
                                         .all_sessions_ended = { .meta = { .actor = id('u', by), .at = NOON + epoch },
                                                                 .user_id = id('u', user),
                                                                 .kept_session = kept,
                                                                 .session_epoch = epoch,
                                                                 .address = text("192.0.2.3") } });
}

static void suspended(int user, int by, int64_t until, int64_t epoch)
{
    fold_account((struct accounts_fact){ ACCOUNTS_ACCOUNT_SUSPENDED,
                                         .account_suspended = { .meta = { .actor = id('u', by), .at = NOON + 7 },
                                                                .user_id = id('u', user),
                                                                .reason = text("spam"),
                                                                .until = until,
                                                                .session_epoch = epoch,
                                                                .address = text("192.0.2.4"),
                                                                .request_id = STR("request-7") } });
}

static void reinstated(int user, int by)
{
    fold_account((struct accounts_fact){ ACCOUNTS_ACCOUNT_REINSTATED,
                                         .account_reinstated = { .meta = { .actor = id('u', by), .at = NOON + 8 },
                                                                 .user_id = id('u', user),
                                                                 .address = text("192.0.2.4") } });
}

static void given_role(int user, int64_t version, struct str role)
{
    fold_account(
        (struct accounts_fact){ ACCOUNTS_ROLES_SET, .roles_set = { .meta = { .actor = system_actor, .at = NOON },
                                                                   .user_id = id('u', user),
                                                                   .roles = { &role, 1 },
                                                                   .version = version,
                                                                   .address = text(NULL) } });
}

static void started(int session, int user, int64_t epoch, int64_t until)
{
    fold_session((struct sessions_fact){ SESSIONS_SESSION_STARTED,
                                         .session_started = { .meta = { .actor = id('u', user), .at = NOON },
                                                              .session_id = id('s', session),
                                                              .user_id = id('u', user),
                                                              .refresh_hash = hash(1),
                                                              .expires_at = until,
                                                              .device = text("curl"),
                                                              .address = text("192.0.2.5"),
                                                              .account_epoch = epoch,
                                                              .request_id = STR("request-5") } });
}

static void refreshed(int session, int user, int64_t generation, const char *device)
{
    fold_session((struct sessions_fact){ SESSIONS_SESSION_REFRESHED,
                                         .session_refreshed = { .meta = { .actor = id('u', user), .at = NOON + 60 },
                                                                .session_id = id('s', session),
                                                                .user_id = id('u', user),
                                                                .refresh_hash = hash(2),
                                                                .expires_at = NOON + 2 * DAY,
                                                                .generation = generation,
                                                                .device = text(device),
                                                                .address = text(device ? "192.0.2.6" : NULL) } });
}

static void session_ended(int session, int user)
{
    fold_session((struct sessions_fact){ SESSIONS_SESSION_ENDED,
                                         .session_ended = { .meta = { .actor = id('u', user), .at = NOON + 61 },
                                                            .session_id = id('s', session),
                                                            .user_id = id('u', user),
                                                            .reason = SESSION_END_REVOKED,
                                                            .address = text("192.0.2.6") } });
}

static void replayed(int session, int user)
{
    fold_session(
        (struct sessions_fact){ SESSIONS_REFRESH_TOKEN_REPLAYED,
                                .refresh_token_replayed = { .meta = { .actor = id('u', user), .at = NOON + 62 },
                                                            .session_id = id('s', session),
                                                            .user_id = id('u', user),
                                                            .presented_generation = 1,
                                                            .generation = 3,
                                                            .device = text("thief"),
                                                            .address = text("203.0.113.9") } });
}

static struct account_view found(int user)
{
    struct account_view a;
    bool is_found;
    ck_assert_int_eq(account_find(db.pg, &arena, id('u', user), &a, &is_found), OK);
    ck_assert(is_found);
    return a;
}

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
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 1), NOON + 1, &views, &count), OK);
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
    ck_assert_int_eq(session_list(db.pg, &arena, id('u', 2), NOON, &views, &count), OK);
    ck_assert_uint_eq(count, 0);
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

/* --- what everything stands on --- */

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
    ck_assert_int_eq(state->admins, -1);
    ck_assert_int_eq(worker->load(state, db.pg, &arena, records, 1, false), OK);
    struct accounts_fact fact = { 0 };
    ck_assert_int_eq(worker->decide(state, records[0], (struct any_record *)&fact), ACCEPTED);
    worker->state_destroy(state);
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
    ck_assert_int_eq(session_list(db.pg, &arena, nobody, NOON, &sessions, &count), OK);
    (void)asked(1, 1, NOON);
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
        { "users_list_sessions(" ID ",now())" },
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
        { "users_load_reserved('{a}')" },
        { "users_count_admins" },
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
    Suite *suite = suite_create("users views");
    TCase *views = suite_case("views");
    tcase_add_checked_fixture(views, setup, teardown);
    tcase_add_test(views, an_account_is_found_by_id_username_and_e_mail);
    tcase_add_test(views, an_erased_account_has_no_texts_and_everybody_is_a_user);
    tcase_add_test(views, usernames_come_in_the_order_of_the_ids);
    tcase_add_test(views, an_account_is_shown_with_its_e_mail_address_to_its_person_only);
    tcase_add_test(views, what_is_typed_into_a_login_form_is_trimmed_and_folded);
    tcase_add_test(views, later_facts_change_what_they_are_about);
    tcase_add_test(views, many_accounts_come_in_the_order_of_the_ids);
    tcase_add_test(views, an_administrator_sees_the_suspension);
    tcase_add_test(views, a_search_finds_each_person_once_by_how_a_name_begins);
    tcase_add_test(views, who_has_another_name_is_found_by_it_and_no_longer_by_the_old_one);
    tcase_add_test(views, accounts_are_listed_newest_first_by_role_suspension_name_and_time);
    tcase_add_test(views, the_audit_says_who_did_what_to_whom_newest_first);
    tcase_add_test(views, a_row_of_the_audit_is_shown_with_its_place_in_the_log);
    tcase_add_test(views, sessions_that_are_live_are_listed_newest_first);
    tcase_add_test(views, who_may_come_in_is_who_has_a_live_session);
    tcase_add_test(views, two_people_may_exchange_names_within_one_batch);
    tcase_add_test(views, a_load_that_fails_leaves_nothing_behind_that_looks_like_an_answer);
    tcase_add_test(views, every_statement_walks_over_indexes);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
