#include "tests/consumers/users_story.h"

void users_setup(void)
{
    story_begin(&users_definition);
}

void users_teardown(void)
{
    story_end();
}

static void fold_account(struct accounts_fact fact)
{
    story_fold(&users_definition, 0, (const struct any_record *)&fact, 0);
}

static void fold_session(struct sessions_fact fact)
{
    story_fold(&users_definition, 1, (const struct any_record *)&fact, 3);
}

static char hashes[256][HASH_LEN];

struct str hash(uint8_t n)
{
    memset(hashes[n], n, HASH_LEN);
    return (struct str){ hashes[n], HASH_LEN };
}

void registered(int user, const char *username, const char *email, uint8_t username_hash, uint8_t email_hash)
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

void profile(int user, int64_t version, const char *first, const char *last)
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

void renamed(int user, int64_t version, const char *username, uint8_t index, uint8_t released)
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

void all_ended(int user, int by, int64_t epoch, struct uuid kept)
{
    fold_account((struct accounts_fact){ ACCOUNTS_ALL_SESSIONS_ENDED,
                                         .all_sessions_ended = { .meta = { .actor = id('u', by), .at = NOON + epoch },
                                                                 .user_id = id('u', user),
                                                                 .kept_session = kept,
                                                                 .session_epoch = epoch,
                                                                 .address = text("192.0.2.3") } });
}

void suspended(int user, int by, int64_t until, int64_t epoch)
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

void reinstated(int user, int by)
{
    fold_account((struct accounts_fact){ ACCOUNTS_ACCOUNT_REINSTATED,
                                         .account_reinstated = { .meta = { .actor = id('u', by), .at = NOON + 8 },
                                                                 .user_id = id('u', user),
                                                                 .address = text("192.0.2.4") } });
}

void given_role(int user, int64_t version, struct str role)
{
    fold_account(
        (struct accounts_fact){ ACCOUNTS_ROLES_SET, .roles_set = { .meta = { .actor = system_actor, .at = NOON },
                                                                   .user_id = id('u', user),
                                                                   .roles = { &role, 1 },
                                                                   .version = version,
                                                                   .address = text(NULL) } });
}

void started(int session, int user, int64_t epoch, int64_t until)
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

void refreshed(int session, int user, int64_t generation, const char *device)
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

void session_ended(int session, int user)
{
    fold_session((struct sessions_fact){ SESSIONS_SESSION_ENDED,
                                         .session_ended = { .meta = { .actor = id('u', user), .at = NOON + 61 },
                                                            .session_id = id('s', session),
                                                            .user_id = id('u', user),
                                                            .reason = SESSION_END_REVOKED,
                                                            .address = text("192.0.2.6") } });
}

void replayed(int session, int user)
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

struct account_view found(int user)
{
    struct account_view a;
    bool is_found;
    ck_assert_int_eq(account_find(db.pg, &arena, id('u', user), &a, &is_found), OK);
    ck_assert(is_found);
    return a;
}
