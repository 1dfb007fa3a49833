/* The rules of accounts, by tables: given these facts, when this command comes, then this fact or rejection. */
#include <signal.h>
#include <stdlib.h>

#include "tests/consumers/users_rules.h"

#define REGISTERED(id, name, mail)                                                                                     \
    {                                                                                                                  \
        ACCOUNTS_ACCOUNT_REGISTERED, .account_registered = {                                                           \
            .meta = { .actor = id },                                                                                   \
            .user_id = id,                                                                                             \
            .username_index = name,                                                                                    \
            .email_index = mail                                                                                        \
        }                                                                                                              \
    }
#define REGISTER(by, id, name, mail)                                                                                   \
    {                                                                                                                  \
        ACCOUNTS_REGISTER_ACCOUNT, .register_account = {                                                               \
            .meta = { .actor = by },                                                                                   \
            .user_id = id,                                                                                             \
            .username = { .cipher = { "u", 1 } },                                                                      \
            .username_index = name,                                                                                    \
            .email = { .cipher = { "e", 1 } },                                                                         \
            .email_index = mail,                                                                                       \
            .first_name = { .cipher = { "f", 1 } },                                                                    \
            .last_name = { .cipher = { "l", 1 } },                                                                     \
            .password_hash = { .cipher = { "p", 1 } }                                                                  \
        }                                                                                                              \
    }

/* Without commas, since it is handed from macro to macro. */
#define SYSTEM                                                                                                         \
    {                                                                                                                  \
        "\0\0\0\0\0\0\x70\0\x80\0\0\0\0\0\0\1"                                                                         \
    }
#define DAY INT64_C(86400000)

#define FACT(constant, record, ...)                                                                                    \
    {                                                                                                                  \
        ACCOUNTS_##constant, .record = { __VA_ARGS__ }                                                                 \
    }
#define WHEN(by, time, constant, record, ...)                                                                          \
    {                                                                                                                  \
        ACCOUNTS_##constant, .record = {.meta = { .actor = by, .at = time }, __VA_ARGS__ }                             \
    }
#define ROLES(name)                                                                                                    \
    {                                                                                                                  \
        &(const struct str){ name, sizeof name - 1 }, 1                                                                \
    }
#define RENAMED(id, name, before, until)                                                                               \
    FACT(USERNAME_CHANGED, username_changed, .user_id = id, .username_index = name, .released_index = before,          \
         .reserved_until = until, .version = 2)
#define MOVED(id, mail)    FACT(EMAIL_CHANGED, email_changed, .user_id = id, .email_index = mail, .version = 2)
#define NAMED(id, name)    FACT(ROLES_SET, roles_set, .user_id = id, .roles = ROLES(name), .version = 2)
#define SUSPENDED(id, end) FACT(ACCOUNT_SUSPENDED, account_suspended, .user_id = id, .until = end, .session_epoch = 1)
#define REINSTATED(id)     FACT(ACCOUNT_REINSTATED, account_reinstated, .user_id = id)
#define ALL_ENDED(id, n)   FACT(ALL_SESSIONS_ENDED, all_sessions_ended, .user_id = id, .session_epoch = n)

#define WRITE(by, who, time, seen)                                                                                     \
    WHEN(by, time, CHANGE_PROFILE, change_profile, .user_id = who, .expected_version = seen)
#define RENAME(by, who, time, name)                                                                                    \
    WHEN(by, time, CHANGE_USERNAME, change_username, .user_id = who, .username_index = name)
#define MOVE(by, who, time, mail)   WHEN(by, time, CHANGE_EMAIL, change_email, .user_id = who, .email_index = mail)
#define NEW_PASSWORD(by, who, seen) WHEN(by, 0, CHANGE_PASSWORD, change_password, .user_id = who, .account_epoch = seen)
#define REHASH(by, who, seen)       WHEN(by, 0, REHASH_PASSWORD, rehash_password, .user_id = who, .account_epoch = seen)
#define END_ALL(by, who)            WHEN(by, 0, END_ALL_SESSIONS, end_all_sessions, .user_id = who)
#define SUSPEND(by, who, end)       WHEN(by, 5, SUSPEND_ACCOUNT, suspend_account, .user_id = who, .until = end)
#define REINSTATE(by, who, t)       WHEN(by, t, REINSTATE_ACCOUNT, reinstate_account, .user_id = who)
#define NAME(by, who, name)         WHEN(by, 0, SET_ROLES, set_roles, .user_id = who, .roles = ROLES(name))

#define ANN_IS REGISTERED(ANN, HASH(A), HASH(A))
#define BOB_IS REGISTERED(BOB, HASH(B), HASH(B))

static const struct account_row {
    const char *sentence;
    struct accounts_fact given[GIVEN];
    struct accounts_command when;
    int then;
} account_rows[] = {
    { "a person registers", { { 0 } }, REGISTER(ANN, ANN, HASH(A), HASH(B)), ACCEPTED },
    { "an account is registered once",
      { REGISTERED(ANN, HASH(A), HASH(A)) },
      REGISTER(ANN, ANN, HASH(B), HASH(B)),
      ACCOUNT_EXISTS },
    { "a username is given away once",
      { REGISTERED(ANN, HASH(A), HASH(A)) },
      REGISTER(BOB, BOB, HASH(A), HASH(B)),
      USERNAME_TAKEN },
    { "an e-mail address is given away once",
      { REGISTERED(ANN, HASH(A), HASH(A)) },
      REGISTER(BOB, BOB, HASH(B), HASH(A)),
      EMAIL_TAKEN },
    { "of two reasons the username is told",
      { REGISTERED(ANN, HASH(A), HASH(B)) },
      REGISTER(BOB, BOB, HASH(A), HASH(B)),
      USERNAME_TAKEN },
    { "a username takes no e-mail address",
      { REGISTERED(ANN, HASH(A), HASH(B)) },
      REGISTER(BOB, BOB, HASH(B), HASH(A)),
      ACCEPTED },
    { "nobody registers for another", { { 0 } }, REGISTER(ANN, BOB, HASH(A), HASH(A)), FORBIDDEN_ACTOR },
    { "who registers for another learns nothing",
      { REGISTERED(BOB, HASH(A), HASH(A)) },
      REGISTER(ANN, BOB, HASH(A), HASH(A)),
      FORBIDDEN_ACTOR },
    { "a blind index has 32 bytes", { { 0 } }, REGISTER(ANN, ANN, SHORT, HASH(A)), COMMAND_INVALID },
    { "both blind indexes have 32 bytes", { { 0 } }, REGISTER(ANN, ANN, HASH(A), SHORT), COMMAND_INVALID },
    { "an account is imported from the console", { { 0 } }, REGISTER(SYSTEM, ANN, HASH(A), HASH(A)), ACCEPTED },
    { "a username that was given up is not given away for thirty days",
      { ANN_IS, RENAMED(ANN, HASH(C), HASH(A), 30 * DAY) },
      WHEN(BOB, 30 * DAY - 1, REGISTER_ACCOUNT, register_account, .user_id = BOB, .username_index = HASH(A),
           .email_index = HASH(B)),
      USERNAME_TAKEN },
    { "after thirty days it is free",
      { ANN_IS, RENAMED(ANN, HASH(C), HASH(A), 30 * DAY) },
      WHEN(BOB, 30 * DAY, REGISTER_ACCOUNT, register_account, .user_id = BOB, .username_index = HASH(A),
           .email_index = HASH(B)),
      ACCEPTED },

    { "a person changes their profile", { ANN_IS }, WRITE(ANN, ANN, 0, 1), ACCEPTED },
    { "a profile is changed whatever its version", { ANN_IS }, WRITE(ANN, ANN, 0, -1), ACCEPTED },
    { "a profile that somebody changed in between is not overwritten",
      { ANN_IS, MOVED(ANN, HASH(C)) },
      WRITE(ANN, ANN, 0, 1),
      VERSION_CONFLICT },
    { "nobody changes another's profile", { ANN_IS, BOB_IS }, WRITE(BOB, ANN, 0, 1), FORBIDDEN_ACTOR },
    { "not even an administrator does",
      { ANN_IS, BOB_IS, NAMED(BOB, "admin") },
      WRITE(BOB, ANN, 0, 1),
      FORBIDDEN_ACTOR },
    { "who has no account has no profile", { { 0 } }, WRITE(ANN, ANN, 0, 1), ACCOUNT_NOT_FOUND },
    { "who is suspended changes nothing", { ANN_IS, SUSPENDED(ANN, 0) }, WRITE(ANN, ANN, 9, -1), ACCOUNT_SUSPENDED },
    { "a suspension ends by itself", { ANN_IS, SUSPENDED(ANN, 9) }, WRITE(ANN, ANN, 9, -1), ACCEPTED },
    { "until then it holds", { ANN_IS, SUSPENDED(ANN, 9) }, WRITE(ANN, ANN, 8, -1), ACCOUNT_SUSPENDED },
    { "who was reinstated is not suspended",
      { ANN_IS, SUSPENDED(ANN, 0), REINSTATED(ANN) },
      WRITE(ANN, ANN, 9, -1),
      ACCEPTED },

    { "a person changes their username", { ANN_IS }, RENAME(ANN, ANN, 0, HASH(C)), ACCEPTED },
    { "a username is respelt", { ANN_IS }, RENAME(ANN, ANN, 0, HASH(A)), ACCEPTED },
    { "another's username is taken", { ANN_IS, BOB_IS }, RENAME(ANN, ANN, 0, HASH(B)), USERNAME_TAKEN },
    { "a username that another gave up is reserved",
      { ANN_IS, BOB_IS, RENAMED(BOB, HASH(C), HASH(B), 9) },
      RENAME(ANN, ANN, 8, HASH(B)),
      USERNAME_TAKEN },
    { "not for ever", { ANN_IS, BOB_IS, RENAMED(BOB, HASH(C), HASH(B), 9) }, RENAME(ANN, ANN, 9, HASH(B)), ACCEPTED },
    { "for who gave it up it is free",
      { ANN_IS, RENAMED(ANN, HASH(C), HASH(A), 9) },
      RENAME(ANN, ANN, 8, HASH(A)),
      ACCEPTED },
    { "a name that was taken back is not free when its reservation would have ended",
      { ANN_IS, BOB_IS, RENAMED(ANN, HASH(C), HASH(A), 9), RENAMED(ANN, HASH(A), HASH(C), 9) },
      RENAME(BOB, BOB, 99, HASH(A)),
      USERNAME_TAKEN },
    { "nobody changes another's username", { ANN_IS, BOB_IS }, RENAME(BOB, ANN, 0, HASH(C)), FORBIDDEN_ACTOR },
    { "a new blind index has 32 bytes", { ANN_IS }, RENAME(ANN, ANN, 0, SHORT), COMMAND_INVALID },

    { "a person changes their e-mail address", { ANN_IS }, MOVE(ANN, ANN, 0, HASH(C)), ACCEPTED },
    { "another's e-mail address is taken", { ANN_IS, BOB_IS }, MOVE(ANN, ANN, 0, HASH(B)), EMAIL_TAKEN },
    { "an e-mail address that was given up is free at once",
      { ANN_IS, BOB_IS, MOVED(BOB, HASH(C)) },
      MOVE(ANN, ANN, 0, HASH(B)),
      ACCEPTED },
    { "one's own e-mail address is free", { ANN_IS }, MOVE(ANN, ANN, 0, HASH(A)), ACCEPTED },
    { "an e-mail's blind index has 32 bytes", { ANN_IS }, MOVE(ANN, ANN, 0, SHORT), COMMAND_INVALID },

    { "a password is changed", { ANN_IS }, NEW_PASSWORD(ANN, ANN, 0), ACCEPTED },
    { "who showed the password of before another change does not change it again",
      { ANN_IS, ALL_ENDED(ANN, 1) },
      NEW_PASSWORD(ANN, ANN, 0),
      STALE_CREDENTIALS },
    { "nobody changes another's password", { ANN_IS, BOB_IS }, NEW_PASSWORD(BOB, ANN, 0), FORBIDDEN_ACTOR },
    { "a password is hashed anew", { ANN_IS }, REHASH(ANN, ANN, 0), ACCEPTED },
    { "an old password does not come back by a rehash",
      { ANN_IS, ALL_ENDED(ANN, 1) },
      REHASH(ANN, ANN, 0),
      STALE_CREDENTIALS },

    { "a person logs out everywhere", { ANN_IS }, END_ALL(ANN, ANN), ACCEPTED },
    { "nobody logs another out", { ANN_IS, BOB_IS }, END_ALL(BOB, ANN), FORBIDDEN_ACTOR },
    { "but an administrator", { ANN_IS, BOB_IS, NAMED(BOB, "admin") }, END_ALL(BOB, ANN), ACCEPTED },
    { "a moderator is none", { ANN_IS, BOB_IS, NAMED(BOB, "moderator") }, END_ALL(BOB, ANN), FORBIDDEN_ACTOR },

    { "an administrator suspends", { ANN_IS, BOB_IS, NAMED(BOB, "admin") }, SUSPEND(BOB, ANN, 9), ACCEPTED },
    { "a plain user does not", { ANN_IS, BOB_IS }, SUSPEND(BOB, ANN, 9), FORBIDDEN_ACTOR },
    { "who was an administrator does not",
      { ANN_IS, BOB_IS, NAMED(BOB, "admin"), NAMED(BOB, "user") },
      SUSPEND(BOB, ANN, 9),
      FORBIDDEN_ACTOR },
    { "a suspended administrator does not",
      { ANN_IS, BOB_IS, NAMED(BOB, "admin"), SUSPENDED(BOB, 0) },
      SUSPEND(BOB, ANN, 9),
      FORBIDDEN_ACTOR },
    { "who has no account does not", { ANN_IS }, SUSPEND(BOB, ANN, 9), FORBIDDEN_ACTOR },
    { "the console does", { ANN_IS }, SUSPEND(SYSTEM, ANN, 0), ACCEPTED },
    { "nobody suspends themselves", { BOB_IS, NAMED(BOB, "admin") }, SUSPEND(BOB, BOB, 9), OWN_ACCOUNT },
    { "a suspension ends in the future", { ANN_IS }, SUSPEND(SYSTEM, ANN, 5), COMMAND_INVALID },
    { "a suspension is made longer", { ANN_IS, SUSPENDED(ANN, 9) }, SUSPEND(SYSTEM, ANN, 0), ACCEPTED },
    { "who has no account is not suspended", { { 0 } }, SUSPEND(SYSTEM, ANN, 9), ACCOUNT_NOT_FOUND },
    { "a suspended account is reinstated", { ANN_IS, SUSPENDED(ANN, 0) }, REINSTATE(SYSTEM, ANN, 6), ACCEPTED },
    { "nobody reinstates themselves", { ANN_IS, SUSPENDED(ANN, 0) }, REINSTATE(ANN, ANN, 6), FORBIDDEN_ACTOR },
    { "who is not suspended is not reinstated", { ANN_IS }, REINSTATE(SYSTEM, ANN, 6), NOT_SUSPENDED },

    { "the console names the first administrator", { ANN_IS }, NAME(SYSTEM, ANN, "admin"), ACCEPTED },
    { "an administrator names another", { ANN_IS, BOB_IS, NAMED(BOB, "admin") }, NAME(BOB, ANN, "admin"), ACCEPTED },
    { "nobody names themselves", { ANN_IS }, NAME(ANN, ANN, "admin"), FORBIDDEN_ACTOR },
    { "a role is one of three", { ANN_IS }, NAME(SYSTEM, ANN, "wizard"), COMMAND_INVALID },
    { "there is an administrator left", { BOB_IS, NAMED(BOB, "admin") }, NAME(BOB, BOB, "user"), LAST_ADMIN },
    { "one of two administrators steps back",
      { ANN_IS, BOB_IS, NAMED(ANN, "admin"), NAMED(BOB, "admin") },
      NAME(BOB, BOB, "user"),
      ACCEPTED },
    { "a suspended administrator is not left",
      { ANN_IS, BOB_IS, NAMED(ANN, "admin"), NAMED(BOB, "admin"), SUSPENDED(ANN, 0) },
      NAME(BOB, BOB, "user"),
      LAST_ADMIN },
    { "one whose suspension is over is",
      { ANN_IS, BOB_IS, NAMED(ANN, "admin"), NAMED(BOB, "admin"), SUSPENDED(ANN, 9) },
      WHEN(BOB, 9, SET_ROLES, set_roles, .user_id = BOB, .roles = ROLES("user")),
      ACCEPTED },
    { "one who was reinstated is",
      { ANN_IS, BOB_IS, NAMED(ANN, "admin"), NAMED(BOB, "admin"), SUSPENDED(ANN, 0), REINSTATED(ANN) },
      NAME(BOB, BOB, "user"),
      ACCEPTED },
    { "a suspended administrator loses the role",
      { ANN_IS, BOB_IS, NAMED(ANN, "admin"), NAMED(BOB, "admin"), SUSPENDED(ANN, 0) },
      NAME(BOB, ANN, "user"),
      ACCEPTED },
    { "who was an administrator is none that is left",
      { ANN_IS, BOB_IS, NAMED(ANN, "admin"), NAMED(BOB, "admin"), NAMED(ANN, "user") },
      NAME(BOB, BOB, "user"),
      LAST_ADMIN },
    { "the console takes the last one's role",
      { BOB_IS, NAMED(BOB, "admin") },
      NAME(SYSTEM, BOB, "moderator"),
      ACCEPTED },
    { "a command of no known type is refused", { { 0 } }, { 0 }, COMMAND_INVALID },
};

static void know_account(struct accounts_state *s, struct uuid id)
{
    struct account *account = accounts_state_account_add(s, id);
    if (account->presence == PRESENCE_UNKNOWN)
        account->presence = PRESENCE_ABSENT;
}

static void know_claim(struct accounts_state *s, enum claim_kind kind, struct str index)
{
    struct claim *claim = accounts_state_claim_add(s, claim_key(kind, index));
    if (claim->presence == PRESENCE_UNKNOWN)
        claim->presence = PRESENCE_ABSENT;
}

/* What load would do on an empty database. */
static void know_accounts(struct accounts_state *s, const struct accounts_command *c)
{
    if (!c->type)
        return;
    know_account(s, accounts_stream.command.key((const struct any_record *)c));
    know_account(s, c->meta.actor);
    if (c->type == ACCOUNTS_REGISTER_ACCOUNT) {
        know_claim(s, CLAIM_USERNAME, c->register_account.username_index);
        know_claim(s, CLAIM_EMAIL, c->register_account.email_index);
    } else if (c->type == ACCOUNTS_CHANGE_USERNAME) {
        know_claim(s, CLAIM_USERNAME, c->change_username.username_index);
    } else if (c->type == ACCOUNTS_CHANGE_EMAIL) {
        know_claim(s, CLAIM_EMAIL, c->change_email.email_index);
    }
}

START_TEST(an_account_command_gives_what_its_row_says)
{
    const struct account_row *row = &account_rows[_i];
    struct accounts_state *s = accounts_state_create();
    s->admins_loaded = true;
    for (size_t i = 0; i < GIVEN && row->given[i].type; i++)
        accounts_evolve(s, (const struct any_record *)&row->given[i]);
    know_accounts(s, &row->when);
    struct accounts_fact fact = { 0 };
    const int got = accounts_decide(s, (const struct any_record *)&row->when, (struct any_record *)&fact);
    ck_assert_msg(got == row->then, "%s: got rejection %d, not %d", row->sentence, got, row->then);
    ck_assert_msg((fact.type != 0) == (got == ACCEPTED), "%s: got fact %d", row->sentence, fact.type);
    if (got == ACCEPTED)
        ck_assert_msg(uuid_equal(accounts_stream.fact.key((struct any_record *)&fact),
                                 accounts_stream.command.key((const struct any_record *)&row->when)),
                      "%s: of another account", row->sentence);
    accounts_state_destroy(s);
}
END_TEST

START_TEST(an_account_begins_as_a_user_with_the_commands_ciphertext)
{
    struct accounts_state *s = accounts_state_create();
    const struct accounts_command command = REGISTER(ANN, ANN, HASH(A), HASH(B));
    const struct register_account *c = &command.register_account;
    know_accounts(s, &command);
    struct accounts_fact fact = { 0 };
    ck_assert_int_eq(accounts_decide(s, (const struct any_record *)&command, (struct any_record *)&fact), ACCEPTED);
    const struct account_registered *f = &fact.account_registered;
    ck_assert(uuid_equal(f->user_id, c->user_id));
    ck_assert_ptr_eq(f->username.cipher.ptr, c->username.cipher.ptr);
    ck_assert_ptr_eq(f->email.cipher.ptr, c->email.cipher.ptr);
    ck_assert_ptr_eq(f->first_name.cipher.ptr, c->first_name.cipher.ptr);
    ck_assert_ptr_eq(f->last_name.cipher.ptr, c->last_name.cipher.ptr);
    ck_assert_ptr_eq(f->password_hash.cipher.ptr, c->password_hash.cipher.ptr);
    ck_assert(str_equal(f->username_index, c->username_index));
    ck_assert(str_equal(f->email_index, c->email_index));
    ck_assert_uint_eq(f->roles.count, 1);
    ck_assert(str_equal(f->roles.items[0], STR("user")));
    accounts_state_destroy(s);
}
END_TEST

/* Decides and evolves; *ret lives as long as the state and the command. */
static void given(struct accounts_state *s, const struct accounts_command *c, struct accounts_fact *ret)
{
    know_accounts(s, c);
    *ret = (struct accounts_fact){ 0 };
    ck_assert_int_eq(accounts_decide(s, (const struct any_record *)c, (struct any_record *)ret), ACCEPTED);
    ret->meta = c->meta;
    accounts_evolve(s, (const struct any_record *)ret);
}

START_TEST(an_account_counts_its_versions_and_its_epochs)
{
    struct accounts_state *s = accounts_state_create();
    s->admins_loaded = true;
    const struct accounts_command registers = REGISTER(ANN, ANN, HASH(A), HASH(A)), writes = WRITE(ANN, ANN, 0, -1),
                                  renames = RENAME(ANN, ANN, 0, HASH(C)), moves = MOVE(ANN, ANN, 0, HASH(C)),
                                  names = NAME(SYSTEM, ANN, "admin"), password = NEW_PASSWORD(ANN, ANN, -1),
                                  ends = END_ALL(ANN, ANN), suspends = SUSPEND(SYSTEM, ANN, 6),
                                  rehashes = REHASH(ANN, ANN, -1);
    struct accounts_fact fact;
    given(s, &registers, &fact);
    given(s, &writes, &fact);
    ck_assert_int_eq(fact.profile_changed.version, 2);
    given(s, &renames, &fact);
    ck_assert_int_eq(fact.username_changed.version, 3);
    given(s, &moves, &fact);
    ck_assert_int_eq(fact.email_changed.version, 4);
    given(s, &names, &fact);
    ck_assert_int_eq(fact.roles_set.version, 5);
    ck_assert_uint_eq(fact.roles_set.roles.count, 2);
    ck_assert_msg(str_equal(fact.roles_set.roles.items[0], STR("user")), "everybody is a user");
    given(s, &password, &fact);
    ck_assert_int_eq(fact.password_changed.session_epoch, 1);
    given(s, &rehashes, &fact);
    given(s, &ends, &fact);
    ck_assert_int_eq(fact.all_sessions_ended.session_epoch, 2);
    given(s, &suspends, &fact);
    ck_assert_int_eq(fact.account_suspended.session_epoch, 3);
    accounts_state_destroy(s);
}
END_TEST

START_TEST(the_username_before_is_reserved_for_thirty_days)
{
    struct accounts_state *s = accounts_state_create();
    const struct accounts_command registers = REGISTER(ANN, ANN, HASH(A), HASH(A)),
                                  renames = RENAME(ANN, ANN, 7, HASH(C)), respells = RENAME(ANN, ANN, 8, HASH(C));
    struct accounts_fact fact;
    given(s, &registers, &fact);
    given(s, &renames, &fact);
    ck_assert_msg(str_equal(fact.username_changed.released_index, registers.register_account.username_index),
                  "also after the fact has evolved, which is before it is encoded");
    ck_assert_int_eq(fact.username_changed.reserved_until, 7 + 30 * DAY);
    given(s, &respells, &fact);
    ck_assert_uint_eq(fact.username_changed.released_index.len, 0);
    accounts_state_destroy(s);
}
END_TEST

START_TEST(to_decide_on_an_account_that_was_not_loaded_is_an_assertion_failure)
{
    const struct accounts_command command = REGISTER(ANN, ANN, HASH(A), HASH(A));
    struct accounts_fact fact;
    (void)!accounts_decide(accounts_state_create(), (const struct any_record *)&command, (struct any_record *)&fact);
}
END_TEST

START_TEST(a_cleared_state_knows_nothing_and_can_be_filled_again)
{
    struct accounts_state *s = accounts_state_create();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 3000; i++) {
            struct uuid id = { { 0 } };
            memcpy(&id, &i, sizeof i);
            accounts_state_account_add(s, id);
        }
        ck_assert_uint_eq(accounts_state_size(s), 3000);
        accounts_state_clear(s);
        ck_assert_ptr_null(accounts_state_account(s, uuid_nil));
        ck_assert(!s->admins_loaded);
    }
    accounts_state_destroy(s);
    accounts_state_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("accounts decide");
    TCase *rules = suite_case("rules");
    tcase_add_loop_test(rules, an_account_command_gives_what_its_row_says, 0,
                        sizeof account_rows / sizeof *account_rows);
    tcase_add_test(rules, an_account_begins_as_a_user_with_the_commands_ciphertext);
    tcase_add_test(rules, an_account_counts_its_versions_and_its_epochs);
    tcase_add_test_raise_signal(rules, to_decide_on_an_account_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test(rules, the_username_before_is_reserved_for_thirty_days);
    tcase_add_test(rules, a_cleared_state_knows_nothing_and_can_be_filled_again);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
