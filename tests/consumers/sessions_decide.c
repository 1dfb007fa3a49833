/* The rules of sessions, by tables: given these facts, when this command comes, then this fact or rejection. */
#include <signal.h>
#include <stdlib.h>

#include "tests/consumers/users_rules.h"

#define PHONE ID(0x10)

#define STARTED(who, hash, until)                                                                                      \
    {                                                                                                                  \
        SESSIONS_SESSION_STARTED, .session_started = {                                                                 \
            .session_id = PHONE,                                                                                       \
            .user_id = who,                                                                                            \
            .refresh_hash = hash,                                                                                      \
            .expires_at = until                                                                                        \
        }                                                                                                              \
    }
#define REFRESHED(who, hash, until)                                                                                    \
    {                                                                                                                  \
        SESSIONS_SESSION_REFRESHED, .session_refreshed = {                                                             \
            .session_id = PHONE,                                                                                       \
            .user_id = who,                                                                                            \
            .refresh_hash = hash,                                                                                      \
            .expires_at = until,                                                                                       \
            .generation = 1                                                                                            \
        }                                                                                                              \
    }
#define REPLAYED(who)                                                                                                  \
    {                                                                                                                  \
        SESSIONS_REFRESH_TOKEN_REPLAYED, .refresh_token_replayed = {.session_id = PHONE, .user_id = who }              \
    }
#define ENDED(who)                                                                                                     \
    {                                                                                                                  \
        SESSIONS_SESSION_ENDED, .session_ended = {.session_id = PHONE, .user_id = who }                                \
    }

#define START(by, who, hash)                                                                                           \
    {                                                                                                                  \
        SESSIONS_START_SESSION, .start_session = {                                                                     \
            .meta = { .actor = by },                                                                                   \
            .session_id = PHONE,                                                                                       \
            .user_id = who,                                                                                            \
            .refresh_hash = hash,                                                                                      \
            .expires_at = 100,                                                                                         \
            .device = { .cipher = { "d", 1 } },                                                                        \
            .address = { .cipher = { "n", 1 } }                                                                        \
        }                                                                                                              \
    }
#define REFRESH(by, who, time, presented, hash)                                                                        \
    {                                                                                                                  \
        SESSIONS_REFRESH_SESSION, .refresh_session = {                                                                 \
            .meta = { .actor = by, .at = time },                                                                       \
            .session_id = PHONE,                                                                                       \
            .user_id = who,                                                                                            \
            .presented_hash = presented,                                                                               \
            .refresh_hash = hash,                                                                                      \
            .expires_at = 200,                                                                                         \
            .presented_generation = -1                                                                                 \
        }                                                                                                              \
    }
#define PRESENT(who, time, presented, generation)                                                                      \
    {                                                                                                                  \
        SESSIONS_REFRESH_SESSION, .refresh_session = {                                                                 \
            .meta = { .actor = who, .at = time },                                                                      \
            .session_id = PHONE,                                                                                       \
            .user_id = who,                                                                                            \
            .presented_hash = presented,                                                                               \
            .refresh_hash = HASH(C),                                                                                   \
            .presented_generation = generation                                                                         \
        }                                                                                                              \
    }
#define END(by, who)                                                                                                   \
    {                                                                                                                  \
        SESSIONS_END_SESSION, .end_session = {.meta = { .actor = by }, .session_id = PHONE, .user_id = who }           \
    }

static const struct session_row {
    const char *sentence;
    struct sessions_fact given[GIVEN];
    struct sessions_command when;
    int then, type;
} session_rows[] = {
    { "a session starts", { { 0 } }, START(ANN, ANN, HASH(A)), ACCEPTED, SESSIONS_SESSION_STARTED },
    { "a session starts once", { STARTED(ANN, HASH(A), 100) }, START(ANN, ANN, HASH(B)), SESSION_EXISTS },
    { "an ended session does not start again",
      { STARTED(ANN, HASH(A), 100), ENDED(ANN) },
      START(ANN, ANN, HASH(B)),
      SESSION_EXISTS },
    { "a session is started by its person", { { 0 } }, START(BOB, ANN, HASH(A)), FORBIDDEN_ACTOR },
    { "a refresh hash has 32 bytes", { { 0 } }, START(ANN, ANN, SHORT), COMMAND_INVALID },

    { "the current token refreshes",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 50, HASH(A), HASH(B)),
      ACCEPTED,
      SESSIONS_SESSION_REFRESHED },
    { "the new token refreshes after a refresh",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200) },
      REFRESH(ANN, ANN, 150, HASH(B), HASH(C)),
      ACCEPTED,
      SESSIONS_SESSION_REFRESHED },
    { "the old token is worth nothing after a refresh",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200) },
      REFRESH(ANN, ANN, 50, HASH(A), HASH(C)),
      REFRESH_TOKEN_INVALID },
    { "a wrong token does not refresh",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 50, HASH(B), HASH(C)),
      REFRESH_TOKEN_INVALID },
    { "the beginning of a token does not refresh",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 50, SHORT, HASH(C)),
      REFRESH_TOKEN_INVALID },
    { "no token does not refresh",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 50, { NULL }, HASH(C)),
      REFRESH_TOKEN_INVALID },
    { "the last millisecond is in time",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 99, HASH(A), HASH(B)),
      ACCEPTED,
      SESSIONS_SESSION_REFRESHED },
    { "a token ends when it expires",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 100, HASH(A), HASH(B)),
      REFRESH_TOKEN_EXPIRED },
    { "that it has expired is told only to who has the token",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 100, HASH(B), HASH(C)),
      REFRESH_TOKEN_INVALID },
    { "a session that never was is not refreshed",
      { { 0 } },
      REFRESH(ANN, ANN, 50, HASH(A), HASH(B)),
      REFRESH_TOKEN_INVALID },
    { "an ended session is not refreshed",
      { STARTED(ANN, HASH(A), 100), ENDED(ANN) },
      REFRESH(ANN, ANN, 50, HASH(A), HASH(B)),
      REFRESH_TOKEN_INVALID },
    { "nobody refreshes for another",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(BOB, ANN, 50, HASH(A), HASH(B)),
      FORBIDDEN_ACTOR },
    { "another's session is none of one's own",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(BOB, BOB, 50, HASH(A), HASH(B)),
      REFRESH_TOKEN_INVALID },
    { "the next refresh hash has 32 bytes",
      { STARTED(ANN, HASH(A), 100) },
      REFRESH(ANN, ANN, 50, HASH(A), SHORT),
      COMMAND_INVALID },

    { "an old token of ours that comes again ends the session",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200) },
      PRESENT(ANN, 50, HASH(A), 0),
      ACCEPTED,
      SESSIONS_REFRESH_TOKEN_REPLAYED },
    { "also when the session has expired",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200) },
      PRESENT(ANN, 900, HASH(A), 0),
      ACCEPTED,
      SESSIONS_REFRESH_TOKEN_REPLAYED },
    { "a token of today with another secret is none",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200) },
      PRESENT(ANN, 50, HASH(A), 1),
      REFRESH_TOKEN_INVALID },
    { "a token of tomorrow is none",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200) },
      PRESENT(ANN, 50, HASH(A), 2),
      REFRESH_TOKEN_INVALID },
    { "who holds the good token is out, too, after a replay",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200), REPLAYED(ANN) },
      PRESENT(ANN, 50, HASH(B), 1),
      REFRESH_TOKEN_INVALID },
    { "a replay is recorded once",
      { STARTED(ANN, HASH(A), 100), REFRESHED(ANN, HASH(B), 200), REPLAYED(ANN) },
      PRESENT(ANN, 50, HASH(A), 0),
      REFRESH_TOKEN_INVALID },

    { "a session ends", { STARTED(ANN, HASH(A), 100) }, END(ANN, ANN), ACCEPTED, SESSIONS_SESSION_ENDED },
    { "a session ends once", { STARTED(ANN, HASH(A), 100), ENDED(ANN) }, END(ANN, ANN), SESSION_NOT_FOUND },
    { "a session that never was does not end", { { 0 } }, END(ANN, ANN), SESSION_NOT_FOUND },
    { "nobody ends another's session", { STARTED(ANN, HASH(A), 100) }, END(BOB, ANN), FORBIDDEN_ACTOR },
    { "another's session does not end as one's own", { STARTED(ANN, HASH(A), 100) }, END(BOB, BOB), SESSION_NOT_FOUND },

    { "a command of no known type is refused", { { 0 } }, { 0 }, COMMAND_INVALID },
};

static void know_sessions(struct sessions_state *s, const struct sessions_command *c)
{
    if (!c->type)
        return;
    struct uuid user = c->type == SESSIONS_START_SESSION ? c->start_session.user_id
                       : c->type == SESSIONS_END_SESSION ? c->end_session.user_id
                                                         : c->refresh_session.user_id;
    struct session *session = sessions_state_add(s, user, (struct uuid)PHONE);
    if (session->presence == PRESENCE_UNKNOWN)
        session->presence = PRESENCE_ABSENT;
}

START_TEST(a_session_command_gives_what_its_row_says)
{
    const struct session_row *row = &session_rows[_i];
    struct sessions_state *s = sessions_state_create();
    for (size_t i = 0; i < GIVEN && row->given[i].type; i++)
        sessions_evolve(s, (const struct any_record *)&row->given[i]);
    know_sessions(s, &row->when);
    struct sessions_fact fact = { 0 };
    const int got = sessions_decide(s, (const struct any_record *)&row->when, (struct any_record *)&fact);
    ck_assert_msg(got == row->then, "%s: got rejection %d, not %d", row->sentence, got, row->then);
    ck_assert_msg(fact.type == (got == ACCEPTED ? row->type : 0), "%s: got fact %d", row->sentence, fact.type);
    sessions_state_destroy(s);
}
END_TEST

START_TEST(a_session_fact_says_what_its_command_said)
{
    struct sessions_state *s = sessions_state_create();
    const struct sessions_command start = START(ANN, ANN, HASH(A)), refresh = REFRESH(ANN, ANN, 50, HASH(A), HASH(B));
    struct sessions_fact fact = { 0 };
    know_sessions(s, &start);
    ck_assert_int_eq(sessions_decide(s, (const struct any_record *)&start, (struct any_record *)&fact), ACCEPTED);
    ck_assert(str_equal(fact.session_started.refresh_hash, start.start_session.refresh_hash));
    ck_assert_int_eq(fact.session_started.expires_at, 100);
    ck_assert_ptr_eq(fact.session_started.device.cipher.ptr, start.start_session.device.cipher.ptr);
    ck_assert_ptr_eq(fact.session_started.address.cipher.ptr, start.start_session.address.cipher.ptr);
    sessions_evolve(s, (const struct any_record *)&fact);
    fact = (struct sessions_fact){ 0 };
    ck_assert_int_eq(sessions_decide(s, (const struct any_record *)&refresh, (struct any_record *)&fact), ACCEPTED);
    ck_assert(str_equal(fact.session_refreshed.presented_hash, refresh.refresh_session.presented_hash));
    ck_assert(str_equal(fact.session_refreshed.refresh_hash, refresh.refresh_session.refresh_hash));
    ck_assert_int_eq(fact.session_refreshed.expires_at, 200);
    ck_assert_int_eq(fact.session_refreshed.generation, 1);
    sessions_state_destroy(s);
}
END_TEST

START_TEST(to_decide_on_a_session_that_was_not_loaded_is_an_assertion_failure)
{
    const struct sessions_command command = END(ANN, ANN);
    struct sessions_fact fact;
    (void)!sessions_decide(sessions_state_create(), (const struct any_record *)&command, (struct any_record *)&fact);
}
END_TEST

START_TEST(to_evolve_a_session_that_was_not_loaded_is_an_assertion_failure)
{
    const struct sessions_fact ended = ENDED(ANN);
    sessions_evolve(sessions_state_create(), (const struct any_record *)&ended);
}
END_TEST

START_TEST(a_cleared_state_knows_nothing_and_can_be_filled_again)
{
    struct sessions_state *s = sessions_state_create();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 3000; i++) {
            struct uuid id = { { 0 } };
            memcpy(&id, &i, sizeof i);
            sessions_state_add(s, id, id);
        }
        ck_assert_uint_eq(sessions_state_size(s), 3000);
        sessions_state_clear(s);
        ck_assert_ptr_null(sessions_state_find(s, uuid_nil, uuid_nil));
    }
    sessions_state_destroy(s);
    sessions_state_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sessions decide");
    TCase *rules = suite_case("rules");
    tcase_add_loop_test(rules, a_session_command_gives_what_its_row_says, 0,
                        sizeof session_rows / sizeof *session_rows);
    tcase_add_test(rules, a_session_fact_says_what_its_command_said);
    tcase_add_test_raise_signal(rules, to_decide_on_a_session_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test_raise_signal(rules, to_evolve_a_session_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test(rules, a_cleared_state_knows_nothing_and_can_be_filled_again);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
