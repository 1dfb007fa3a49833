/* auth: register and log in. Passwords are hashed on their own pool; what is decided about accounts and sessions is
 * decided by the users worker. */
#include "gateway/accounts/account_fields.h"
#include "gateway/accounts/login.h"
#include "gateway/accounts/password.h"
#include "gateway/accounts/password_rules.h"
#include "gateway/limits/delay.h"
#include "gateway/resources.h"
#include "gateway/tokens/access.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "schemas/accounts.gen.h"

static const struct body_field register_fields[] = {
    USERNAME_FIELD("Unique, whatever the case; kept as typed. Letters, digits, '_', '.' and '-'."),
    EMAIL_FIELD("Unique e-mail address."),
    { "password", FIELD_TEXT, .required = true, .secret = true, .min = 8, .max = 128,
      .doc = "Neither the username nor the e-mail address, nor one of the 10,000 commonest. Kept as an argon2id hash "
             "only." },
    PERSON_NAME_FIELD("firstName", "First name."),
    PERSON_NAME_FIELD("lastName", "Last name."),
    { 0 },
};
const struct body register_body = { "Register", register_fields };

static const struct body_field login_fields[] = {
    { "username", FIELD_TEXT, .min = 1, .max = 254,
      .doc = "The username, or the e-mail address. Either this or email." },
    { "email", FIELD_TEXT, .min = 1, .max = 254, .doc = "The e-mail address. Either this or username." },
    { "password", FIELD_TEXT, .required = true, .secret = true, .min = 1, .max = 128, .doc = "The password." },
    { 0 },
};
const struct body login_body = { "Credentials", login_fields };

/* --- POST /auth/register --- */

static enum request_step registered(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    const struct account_registered *account = &((const struct accounts_fact *)fact)->account_registered;
    struct login *l = r->state;
    l->account.id = account->user_id; /* of the first request, when this is a repetition */
    l->account.created_at = account->meta.at;
    (void)role_bits(account->roles.items, account->roles.count, &l->account.roles);
    return login_start_session(r, l);
}

static enum request_step register_hash(struct request *r, struct pool_thread *thread)
{
    struct gateway *g = r->gateway;
    struct login *l = r->state;
    char *hash = arena_alloc(&r->arena, PASSWORD_HASH_MAX);
    err e = password_hash(g->password, l->password, hash);
    login_wipe_password(r, l);
    struct uuid user_id = uuid_v7(clock_wall_ms());
    if (e == OK)
        e = vault_ensure(g->vault, thread->pg, &user_id, 1);
    r->fresh_subject = user_id;
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct account_view *a = &l->account;
    struct str username_index = login_username_index(r, a->username), email_index = login_email_index(r, a->email);
    login_bind_key(r, uuid_nil, username_index);
    login_bind_key(r, uuid_nil, email_index);
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_REGISTER_ACCOUNT;
    c->register_account = (struct register_account){
        .user_id = user_id,
        .username = { .clear = a->username },
        .username_index = username_index,
        .email = { .clear = a->email },
        .email_index = email_index,
        .first_name = { .clear = a->first_name },
        .last_name = { .clear = a->last_name },
        .password_hash = { .clear = str_of(hash) },
        .address = { .clear = l->address },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, user_id, registered);
}

enum request_step auth_register(struct request *r)
{
    struct login *l = login_begin(r, "password", 201);
    l->account = (struct account_view){
        .username = body_str(r, "username"),
        .email = body_str(r, "email"),
        .first_name = body_str(r, "firstName"),
        .last_name = body_str(r, "lastName"),
    };
    if (username_is_spoof(l->account.username)) {
        login_wipe_password(r, l);
        problem(r, 400, "confusable_username", "username",
                "mixes scripts or has invisible characters, so that it could be taken for another name.");
        return REQUEST_DONE;
    }
    const char *fault = password_fault(l->password, l->account.username, l->account.email);
    if (fault) {
        login_wipe_password(r, l);
        problem(r, 400, "weak_password", "password", "%s", fault);
        return REQUEST_DONE;
    }
    return pool_run(r->gateway->hashing, r, register_hash);
}

/* --- POST /auth/login --- */

/* One answer, after one time, for a wrong password and a name that nobody has. */
static enum request_step login_refuse(struct request *r, const struct login *l)
{
    problem(r, 401, "invalid_credentials", NULL, "The name or the password is wrong.");
    response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
    return delay_answer(r->gateway->delays, r, l->begun_us);
}

static enum request_step rehashed(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    return login_start_session(r, r->state);
}

/* The password is at hand only now: a hash of other parameters, or an imported bcrypt, becomes one of today's. Refused
 * (409) when the password was changed since it was read. */
static enum request_step login_rehash(struct request *r, struct login *l, const char *hash)
{
    r->command_id = uuid_v7(clock_wall_ms());
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_REHASH_PASSWORD;
    c->rehash_password = (struct rehash_password){
        .user_id = l->account.id,
        .password_hash = { .clear = str_of(hash) },
        .account_epoch = l->account.session_epoch,
        .address = { .clear = l->address },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, l->account.id, rehashed);
}

static enum request_step login_verify(struct request *r, struct pool_thread *thread)
{
    struct login *l = r->state;
    const struct password *hashing = r->gateway->password;
    char *hash = NULL;
    /* Who has no account waits as long as who typed a wrong password. */
    err e = password_verify(hashing, l->password, l->account.password_hash);
    if (e == OK) {
        throttle_succeeded(r->gateway->throttle, thread, &l->attempt);
        if (password_is_dated(hashing, l->account.password_hash)) {
            hash = arena_alloc(&r->arena, PASSWORD_HASH_MAX);
            e = password_hash(hashing, l->password, hash);
        }
    }
    login_wipe_password(r, l);
    if (e == REJECT)
        return login_refuse(r, l);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (account_is_suspended(&l->account, clock_wall_ms())) {
        access_refuse_suspended(r, l->account.suspended_until);
        return REQUEST_DONE;
    }
    return hash ? login_rehash(r, l, hash) : login_start_session(r, l);
}

/* By the account's username, whichever of its names was typed, or a guesser would have two counts. */
static int64_t login_throttle(struct request *r, struct pool_thread *thread, struct login *l, struct str typed)
{
    const bool known = l->account.username.len > 0;
    const struct str counted = login_username_index(r, known ? l->account.username : typed);
    return throttle_begin(r->gateway->throttle, thread, counted, r->client.address, &l->attempt);
}

static enum request_step login_find(struct request *r, struct pool_thread *thread)
{
    struct gateway *g = r->gateway;
    struct login *l = r->state;
    struct str typed = body_str(r, "username");
    if (!typed.ptr)
        typed = body_str(r, "email");
    struct str username = login_username_index(r, typed), email = login_email_index(r, typed);
    bool found;
    err e = account_find_by_login(thread->pg, &r->arena, username, email, &l->account, &found);
    if (e != OK) {
        login_wipe_password(r, l);
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || l->account.erased)
        l->account = (struct account_view){ 0 };
    int64_t wait_ms = login_throttle(r, thread, l, typed);
    if (wait_ms > 0) {
        login_wipe_password(r, l);
        throttle_refuse(r, wait_ms);
        return REQUEST_DONE;
    }
    struct attempt attempt = l->attempt;
    enum request_step step = pool_run(g->hashing, r, login_verify);
    if (step == REQUEST_DONE) /* no room; else the request is somebody else's already */
        throttle_withdrawn(g->throttle, thread, &attempt);
    return step;
}

enum request_step auth_login(struct request *r)
{
    bool by_username = body_str(r, "username").ptr, by_email = body_str(r, "email").ptr;
    if (by_username == by_email) {
        problem(r, 400, "invalid_body", "username", "Give either username or email.");
        return REQUEST_DONE;
    }
    login_begin(r, "password", 200);
    return pool_run(r->gateway->reads, r, login_find);
}
