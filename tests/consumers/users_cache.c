/* Who may come in, and what GET /users/me shows, on a real Redis with PostgreSQL behind it: what the worker writes,
 * what the gateway reads and refills, and what is left when one of them missed something. Database 8 of the server of
 * AETHER_TEST_REDIS_URL is emptied before each test. */
#include <stdlib.h>

#include "consumers/users/cache.h"
#include "consumers/users/streams.h"
#include "tests/consumers/database.h"
#include "tests/consumers/emptied_redis.h"
#include "tests/consumers/values.h"

static struct database db;
static struct redis *redis;
static struct arena arena;
static const struct uuid ann = { { 0x01, [8] = 'u', [15] = 1 } }, root = { { 0x01, [8] = 'u', [15] = 2 } };

#define SAY(...) SAY_TO(redis, NULL, NULL, __VA_ARGS__)

/* --- the logs of the two streams, and the worker over them --- */

static struct log {
    const struct stream_worker *worker;
    struct placed_fact facts[64];
    size_t appended, written, folded;
} accounts, sessions;

static void setup(void)
{
    static const struct worker_definition *const definitions[] = { &users_definition, NULL };
    database_create(&db, definitions);
    arena_init(&arena, 0);
    redis = emptied_redis(STR("8"));
    accounts = (struct log){ .worker = users_definition.streams[0] };
    sessions = (struct log){ .worker = users_definition.streams[1] };
}

static void teardown(void)
{
    redis_destroy(redis);
    arena_finish(&arena);
    database_destroy(&db);
}

static void append(struct log *log, const void *fact, size_t size)
{
    struct any_record *copy = arena_alloc(&arena, size);
    memcpy(copy, fact, size);
    log->facts[log->appended] = (struct placed_fact){ copy, 0, (int64_t)log->appended };
    log->appended++;
}

static void write_cache(struct log *log)
{
    ck_assert_int_eq(log->worker->cache(redis, &arena, log->facts + log->written, log->appended - log->written), OK);
    log->written = log->appended;
}

static void fold(struct log *log)
{
    database_fold(&db, log->worker, log->facts + log->folded, log->appended - log->folded, 0);
    log->folded = log->appended;
}

/* As the worker does it. */
static void work(struct log *log)
{
    write_cache(log);
    fold(log);
}

static void registered(struct uuid user, const char *name)
{
    char *index = arena_alloc(&arena, HASH_LEN);
    memcpy(index, user.bytes, sizeof user.bytes);
    const struct accounts_fact fact = { ACCOUNTS_ACCOUNT_REGISTERED,
                                        .account_registered = { .meta = { .actor = user, .at = NOON },
                                                                .user_id = user,
                                                                .username = text(name),
                                                                .username_index = { index, HASH_LEN },
                                                                .email = text("e"),
                                                                .email_index = { index, HASH_LEN },
                                                                .first_name = text("F"),
                                                                .last_name = text("L"),
                                                                .password_hash = text("p"),
                                                                .address = text("a") } };
    append(&accounts, &fact, sizeof fact);
}

static void given_role(struct uuid user, struct str role, int64_t version)
{
    struct str *names = arena_alloc(&arena, sizeof *names);
    *names = role;
    const struct accounts_fact fact = { ACCOUNTS_ROLES_SET,
                                        .roles_set = { .meta = { .actor = system_actor, .at = NOON },
                                                       .user_id = user,
                                                       .roles = { names, 1 },
                                                       .version = version,
                                                       .address = text("a") } };
    append(&accounts, &fact, sizeof fact);
}

static void all_ended(struct uuid user, int64_t epoch, struct uuid kept)
{
    const struct accounts_fact fact = { ACCOUNTS_ALL_SESSIONS_ENDED,
                                        .all_sessions_ended = { .meta = { .actor = user, .at = NOON },
                                                                .user_id = user,
                                                                .kept_session = kept,
                                                                .session_epoch = epoch,
                                                                .address = text("a") } };
    append(&accounts, &fact, sizeof fact);
}

static void suspended(struct uuid user, int64_t until, int64_t epoch)
{
    const struct accounts_fact fact = { ACCOUNTS_ACCOUNT_SUSPENDED,
                                        .account_suspended = { .meta = { .actor = root, .at = NOON },
                                                               .user_id = user,
                                                               .reason = text("spam"),
                                                               .until = until,
                                                               .session_epoch = epoch,
                                                               .address = text("a") } };
    append(&accounts, &fact, sizeof fact);
}

static void started(int n, int64_t epoch)
{
    const struct sessions_fact fact = { SESSIONS_SESSION_STARTED,
                                        .session_started = { .meta = { .actor = ann, .at = NOON },
                                                             .session_id = id('s', n),
                                                             .user_id = ann,
                                                             .refresh_hash = STR("h"),
                                                             .expires_at = NOON + 1000,
                                                             .device = text("d"),
                                                             .address = text("a"),
                                                             .account_epoch = epoch } };
    append(&sessions, &fact, sizeof fact);
}

static void refreshed(int n)
{
    const struct sessions_fact fact = { SESSIONS_SESSION_REFRESHED,
                                        .session_refreshed = { .meta = { .actor = ann, .at = NOON },
                                                               .session_id = id('s', n),
                                                               .user_id = ann,
                                                               .refresh_hash = STR("h"),
                                                               .expires_at = NOON + 2000,
                                                               .generation = 1,
                                                               .device = text("d"),
                                                               .address = text("a") } };
    append(&sessions, &fact, sizeof fact);
}

static void ended(int n)
{
    const struct sessions_fact fact = { SESSIONS_SESSION_ENDED, .session_ended = { .meta = { .actor = ann, .at = NOON },
                                                                                   .session_id = id('s', n),
                                                                                   .user_id = ann,
                                                                                   .address = text("a") } };
    append(&sessions, &fact, sizeof fact);
}

/* --- the gateway --- */

static struct access checked_with(struct redis *r, struct pg *pg, int n)
{
    struct access a = { .user = ann, .session = id('s', n) };
    bool failed;
    ck_assert_int_eq(access_check(r, pg, &arena, &a, 1, NOON, NULL, &failed), OK);
    ck_assert(!failed);
    return a;
}

static struct access checked(int n)
{
    return checked_with(redis, db.pg, n);
}

/* Without PostgreSQL: what Redis knows. */
static bool is_cached(int n)
{
    struct pg *nowhere = pg_create("host=127.0.0.1 port=1", "aether-test");
    struct access a = { .user = ann, .session = id('s', n) };
    bool failed;
    const err e = access_check(redis, nowhere, &arena, &a, 1, NOON, NULL, &failed);
    pg_destroy(nowhere);
    ck_assert(e == OK || e == RETRY);
    return e == OK;
}

static bool is_live_in_cache(int n)
{
    struct pg *nowhere = pg_create("host=127.0.0.1 port=1", "aether-test");
    const struct access a = checked_with(redis, nowhere, n);
    pg_destroy(nowhere);
    return a.live;
}

START_TEST(the_second_look_needs_no_postgresql)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    ck_assert(!is_cached(1));
    ck_assert(checked(1).live);
    ck_assert(is_cached(1) && is_live_in_cache(1));
    ck_assert_uint_eq(checked(1).roles, ACCOUNT_USER);
    started(2, 0);
    work(&sessions);
    ck_assert_msg(is_live_in_cache(2), "a new session of somebody known is known from its start");
}
END_TEST

START_TEST(who_logs_out_is_out_before_postgresql_knows)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    ck_assert(checked(1).live);
    ended(1);
    write_cache(&sessions);
    ck_assert(!checked(1).live && !is_live_in_cache(1));
    fold(&sessions);
    ck_assert(!checked(1).live);
}
END_TEST

START_TEST(what_is_said_of_an_account_empties_what_was_known)
{
    registered(ann, "ann");
    started(1, 0);
    started(2, 0);
    work(&accounts);
    work(&sessions);
    ck_assert(checked(1).live && checked(2).live);
    given_role(ann, STR("admin"), 2);
    work(&accounts);
    ck_assert(!is_cached(1));
    ck_assert_uint_eq(checked(1).roles, ACCOUNT_USER | ACCOUNT_ADMIN);
    all_ended(ann, 1, id('s', 2));
    work(&accounts);
    ck_assert(!checked(1).live && checked(2).live);
    ck_assert(!is_live_in_cache(1) && is_live_in_cache(2));
    suspended(ann, NOON + 5, 2);
    work(&accounts);
    ck_assert(checked(2).suspended && !checked(2).live);
    struct access later = { .user = ann, .session = id('s', 2) };
    bool failed;
    ck_assert_int_eq(access_check(redis, db.pg, &arena, &later, 1, NOON + 5, NULL, &failed), OK);
    ck_assert(!later.suspended && !later.live);
}
END_TEST

START_TEST(a_read_from_before_the_commit_is_not_kept)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    all_ended(ann, 1, uuid_nil);
    write_cache(&accounts);
    ck_assert_msg(checked(1).live, "PostgreSQL has not heard of it yet");
    ck_assert_msg(!is_cached(1), "and what it said was not written down");
    fold(&accounts);
    ck_assert(!checked(1).live);
    ck_assert(is_cached(1));
}
END_TEST

START_TEST(a_refresh_changes_nothing_of_who_may_come_in)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    ck_assert(checked(1).live);
    refreshed(1);
    work(&sessions);
    ck_assert(is_live_in_cache(1));
    ended(1);
    work(&sessions);
    ck_assert(!is_live_in_cache(1));
}
END_TEST

START_TEST(a_write_that_was_missed_leaves_nothing_behind_that_is_believed)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    ck_assert(checked(1).live);
    ended(1);
    sessions.written = sessions.appended; /* the worker died before it wrote */
    fold(&sessions);
    started(2, 0);
    work(&sessions);
    ck_assert(!is_cached(1));
    ck_assert(!checked(1).live);

    ck_assert(checked(2).live && is_cached(2));
    ck_assert_int_eq(sessions.worker->cache(redis, &arena, NULL, 0), OK);
    ck_assert_msg(!is_cached(2), "a worker whose write failed says so as soon as it can");
    ck_assert(checked(2).live && is_cached(2));
    ck_assert_int_eq(accounts.worker->cache(redis, &arena, NULL, 0), OK);
    ck_assert(!is_cached(2));
}
END_TEST

START_TEST(a_fenced_worker_brings_nothing_old_back)
{
    registered(ann, "ann");
    work(&accounts);
    started(1, 0);
    started(2, 0);
    ended(1);
    work(&sessions);
    ck_assert(!checked(1).live);
    ck_assert_int_eq(sessions.worker->cache(redis, &arena, sessions.facts, 1), OK); /* the start, again */
    ck_assert(!checked(1).live && !is_live_in_cache(1));
    ck_assert(checked(2).live);
}
END_TEST

START_TEST(an_emptied_redis_and_none_are_slower_not_wrong)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    ck_assert(checked(1).live && is_cached(1));
    SAY(STR("FLUSHDB"));
    ck_assert(!is_cached(1));
    ck_assert(checked(1).live && is_cached(1));
    ck_assert(checked_with(NULL, db.pg, 1).live);

    struct redis *away = redis_create("redis://127.0.0.1:1", 100);
    struct access a = { .user = ann, .session = id('s', 1) };
    bool failed;
    ck_assert_int_eq(access_check(away, db.pg, &arena, &a, 1, NOON, NULL, &failed), OK);
    ck_assert(a.live && failed);
    redis_destroy(away);
}
END_TEST

START_TEST(many_are_checked_at_once)
{
    registered(ann, "ann");
    registered(root, "root");
    started(1, 0);
    started(2, 7);
    work(&accounts);
    work(&sessions);
    for (int round = 0; round < 2; round++) {
        struct access many[] = { { .user = ann, .session = id('s', 1) },
                                 { .user = root, .session = id('s', 1) },
                                 { .user = ann, .session = id('s', 2) },
                                 { .user = ann, .session = id('s', 9) } };
        bool failed;
        ck_assert_int_eq(access_check(redis, db.pg, &arena, many, 4, NOON, NULL, &failed), OK);
        ck_assert(many[0].live && !many[1].live && !many[2].live && !many[3].live);
    }
}
END_TEST

/* --- what GET /users/me shows --- */

static struct account_cache_entry shown(void)
{
    struct account_cache_entry entry = { .user = ann };
    ck_assert_int_eq(account_cache_find(redis, &arena, &entry, 1), OK);
    return entry;
}

static void refill(const struct account_cache_entry *entry, const char *json)
{
    struct account_view view;
    bool found;
    ck_assert_int_eq(account_find(db.pg, &arena, ann, &view, &found), OK);
    ck_assert(found);
    ck_assert_int_eq(account_cache_refill(redis, &arena, entry, &view, str_of(json)), OK);
    ck_assert_int_eq(redis_flush(redis, NULL, NULL), OK);
}

START_TEST(who_may_come_in_and_what_they_see_is_one_question)
{
    registered(ann, "ann");
    started(1, 0);
    work(&accounts);
    work(&sessions);
    const struct account_cache_entry entry = shown();
    refill(&entry, "{\"of\":\"ann\"}");
    for (int round = 0; round < 2; round++) { /* the second time Redis knows both */
        struct access many[] = { { .user = root, .session = id('s', 1) }, { .user = ann, .session = id('s', 1) } };
        struct account_cache_entry seen[2];
        bool failed;
        ck_assert_int_eq(access_check(redis, db.pg, &arena, many, 2, NOON, seen, &failed), OK);
        ck_assert(!many[0].live && many[1].live);
        ck_assert(!seen[0].known && seen[1].known && seen[1].version == 1);
        ck_assert(uuid_equal(seen[0].user, root) && str_equal(seen[1].json, STR("{\"of\":\"ann\"}")));
        ck_assert_str_eq(seen[0].epoch, entry.epoch);
    }
    struct access a = { .user = ann, .session = id('s', 1) };
    struct account_cache_entry unknown;
    bool failed;
    ck_assert_int_eq(access_check(NULL, db.pg, &arena, &a, 1, NOON, &unknown, &failed), OK);
    ck_assert(a.live && !unknown.known && uuid_equal(unknown.user, ann));
}
END_TEST

START_TEST(an_account_is_shown_from_redis_until_it_changes)
{
    registered(ann, "ann");
    work(&accounts);
    struct account_cache_entry entry = shown();
    ck_assert(!entry.known);
    refill(&entry, "{\"of\":\"ann\"}");
    entry = shown();
    ck_assert(entry.known && str_equal(entry.json, STR("{\"of\":\"ann\"}")));
    ck_assert_int_eq(entry.version, 1);
    (void)checked(1);
    ck_assert_msg(shown().known, "what is beside it stays");

    given_role(ann, STR("admin"), 2);
    write_cache(&accounts);
    entry = shown();
    ck_assert(!entry.known);
    refill(&entry, "{\"from\":\"before the commit\"}");
    ck_assert(!shown().known);
    fold(&accounts);
    entry = shown();
    refill(&entry, "{}");
    ck_assert(shown().known);
    ck_assert_int_eq(shown().version, 2);
}
END_TEST

START_TEST(a_refill_of_another_epoch_is_ignored)
{
    registered(ann, "ann");
    work(&accounts);
    const struct account_cache_entry entry = shown();
    ck_assert_int_eq(accounts.worker->cache(redis, &arena, NULL, 0), OK);
    refill(&entry, "{}");
    ck_assert(!shown().known);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("users cache");
    TCase *cache = suite_case("cache");
    tcase_add_checked_fixture(cache, setup, teardown);
    tcase_add_test(cache, the_second_look_needs_no_postgresql);
    tcase_add_test(cache, who_logs_out_is_out_before_postgresql_knows);
    tcase_add_test(cache, what_is_said_of_an_account_empties_what_was_known);
    tcase_add_test(cache, a_read_from_before_the_commit_is_not_kept);
    tcase_add_test(cache, a_refresh_changes_nothing_of_who_may_come_in);
    tcase_add_test(cache, a_write_that_was_missed_leaves_nothing_behind_that_is_believed);
    tcase_add_test(cache, a_fenced_worker_brings_nothing_old_back);
    tcase_add_test(cache, an_emptied_redis_and_none_are_slower_not_wrong);
    tcase_add_test(cache, many_are_checked_at_once);
    tcase_add_test(cache, who_may_come_in_and_what_they_see_is_one_question);
    tcase_add_test(cache, an_account_is_shown_from_redis_until_it_changes);
    tcase_add_test(cache, a_refill_of_another_epoch_is_ignored);
    suite_add_tcase(suite, cache);
    return suite_run(suite);
}
