/* auth: register, log in, refresh, log out. Passwords are hashed on their own pool; what is decided about accounts and
 * sessions is decided by the users worker. */
#include <microhttpd.h>
#include <sodium.h>

#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/password.h"
#include "gateway/resources.h"
#include "gateway/token.h"
#include "ops/runtime/clock.h"
#include "schemas/accounts.gen.h"
#include "schemas/sessions.gen.h"

#define USER_AGENT_MAX 200

static const struct body_field register_fields[] = {
    { "username", FIELD_TEXT, .required = true, .min = 3, .max = 50, .pattern = "username",
      .doc = "Unique, whatever the case. Letters, digits, '_', '.' and '-'." },
    { "email", FIELD_TEXT, .required = true, .min = 3, .max = 254, .pattern = "email",
      .doc = "Unique e-mail address." },
    { "password", FIELD_TEXT, .required = true, .min = 8, .max = 128, .doc = "Kept as an argon2id hash only." },
    { "firstName", FIELD_TEXT, .min = 1, .max = 100, .pattern = "name", .doc = "First name." },
    { "lastName", FIELD_TEXT, .min = 1, .max = 100, .pattern = "name", .doc = "Last name." },
    { 0 },
};
const struct body register_body = { "Register", register_fields };

static const struct body_field login_fields[] = {
    { "username", FIELD_TEXT, .min = 1, .max = 254,
      .doc = "The username, or the e-mail address. Either this or email." },
    { "email", FIELD_TEXT, .min = 1, .max = 254, .doc = "The e-mail address. Either this or username." },
    { "password", FIELD_TEXT, .required = true, .min = 1, .max = 128, .doc = "The password." },
    { 0 },
};
const struct body login_body = { "Login", login_fields };

static const struct body_field refresh_fields[] = {
    { "refreshToken", FIELD_TEXT, .required = true, .min = 1, .max = 256,
      .doc = "The newest refresh token of the session; it is worth nothing afterwards." },
    { 0 },
};
const struct body refresh_body = { "Refresh", refresh_fields };

/* What register, login and refresh keep in r->state on their way over the pools. */
struct login {
    struct account_view account;
    struct str password; /* in the parsed body; wiped as soon as it is hashed */
    struct str device, address;
    struct refresh_token token; /* presented, then the new one */
    uint8_t presented_hash[REFRESH_HASH_LEN];
    int status; /* of the answer */
};

/* --- shared steps --- */

/* The clear password stands in the parsed body and in the bytes it was parsed from. */
static void password_wipe(struct request *r, struct login *l)
{
    sodium_memzero((char *)l->password.ptr, l->password.len);
    sodium_memzero(r->body_bytes.ptr, r->body_bytes.len);
    l->password.len = 0;
}

/* Runs on the thread that parses the request: only there may its headers be read. */
static struct login *login_begin(struct request *r, int status)
{
    struct login *l = ARENA_NEW(&r->arena, struct login);
    struct str agent = str_of(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_USER_AGENT));
    agent.len = agent.len < USER_AGENT_MAX ? agent.len : USER_AGENT_MAX;
    l->device = arena_str(&r->arena, agent);
    l->address = client_address(r);
    l->password = body_str(r, "password");
    l->status = status;
    r->state = l;
    return l;
}

static uint32_t role_bits(const struct account_view *account)
{
    uint32_t bits = ROLE_USER;
    for (size_t i = 0; i < account->role_count; i++) {
        if (str_equal(account->roles[i], STR("moderator")))
            bits |= ROLE_MODERATOR;
        if (str_equal(account->roles[i], STR("admin")))
            bits |= ROLE_ADMIN;
    }
    return bits;
}

static struct str bytes_of(const uint8_t *bytes, size_t len)
{
    return (struct str){ (const char *)bytes, len };
}

/* {user, accessToken, refreshToken, tokenType, expiresIn} */
static enum request_step answer_tokens(struct request *r, const struct login *l)
{
    struct tokens *tokens = r->gateway->tokens;
    struct claims claims = {
        .user_id = l->account.id,
        .session_id = l->token.session_id,
        .roles = role_bits(&l->account),
    };
    struct str access;
    err e = token_issue(tokens, &claims, clock_wall_ms(), &r->arena, &access);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    char refresh[REFRESH_TOKEN_LEN + 1];
    refresh_token_format(&l->token, refresh);
    struct json j = response_json(r, l->status);
    json_open(&j, '{');
    json_key(&j, "user");
    account_json(&j, &l->account, true);
    json_field_str(&j, "accessToken", access);
    json_field_str(&j, "refreshToken", str_of(refresh));
    json_field_str(&j, "tokenType", STR("Bearer"));
    json_field_int(&j, "expiresIn", token_access_ttl_s(tokens));
    json_close(&j, '}');
    return REQUEST_DONE;
}

static enum request_step session_started(struct request *r, const struct outcome *outcome,
                                         const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    const struct login *l = r->state;
    if (l->status == 201) {
        char id[UUID_TEXT_LEN + 1];
        uuid_format(l->account.id, id);
        response_header(r, "Location", "/api/v1/users/%s", id);
    }
    return answer_tokens(r, l);
}

/* Every log-in is a session of its own, also a repeated one: a session's tokens are told once only. */
static enum request_step session_start(struct request *r, struct login *l)
{
    int64_t now = clock_wall_ms();
    r->command_id = uuid_v7(now);
    l->token.session_id = uuid_v7(now);
    l->token.user_id = l->account.id;
    randombytes_buf(l->token.secret, sizeof l->token.secret);
    uint8_t *hash = arena_alloc(&r->arena, REFRESH_HASH_LEN);
    refresh_token_hash(&l->token, hash);
    struct sessions_command *c = ARENA_NEW(&r->arena, struct sessions_command);
    c->type = SESSIONS_START_SESSION;
    c->start_session = (struct start_session){
        .session_id = l->token.session_id,
        .user_id = l->account.id,
        .refresh_hash = bytes_of(hash, REFRESH_HASH_LEN),
        .expires_at = r->received_at + token_refresh_ttl_s(r->gateway->tokens) * 1000,
        .device = { .clear = l->device },
        .address = { .clear = l->address },
    };
    return dispatch_command(r, &sessions_stream, (struct any_record *)c, l->account.id, session_started);
}

static uint8_t *blind_index(struct request *r, struct str normalised)
{
    uint8_t *index = arena_alloc(&r->arena, VAULT_INDEX_LEN);
    vault_blind_index(r->gateway->vault, normalised, index);
    return index;
}

/* --- POST /auth/register --- */

static enum request_step registered(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    const struct account_registered *account = &((const struct accounts_fact *)fact)->account_registered;
    struct login *l = r->state;
    l->account.id = account->user_id; /* of the first request, when this is a repetition */
    l->account.created_at = account->meta.at;
    l->account.roles = account->roles.items;
    l->account.role_count = account->roles.count;
    return session_start(r, l);
}

static enum request_step register_hash(struct request *r, struct pool_thread *thread)
{
    struct gateway *g = r->gateway;
    struct login *l = r->state;
    char *hash = arena_alloc(&r->arena, PASSWORD_HASH_MAX);
    err e = password_hash(g->password, l->password, hash);
    password_wipe(r, l);
    struct uuid user_id = uuid_v7(clock_wall_ms());
    if (e == OK)
        e = vault_ensure(g->vault, thread->pg, &user_id, 1);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct account_view *a = &l->account;
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_REGISTER_ACCOUNT;
    c->register_account = (struct register_account){
        .user_id = user_id,
        .username = { .clear = a->username },
        .username_index = bytes_of(blind_index(r, username_normalise(&r->arena, a->username)), VAULT_INDEX_LEN),
        .email = { .clear = a->email },
        .email_index = bytes_of(blind_index(r, email_normalise(&r->arena, a->email)), VAULT_INDEX_LEN),
        .first_name = { .clear = a->first_name },
        .last_name = { .clear = a->last_name },
        .password_hash = { .clear = str_of(hash) },
    };
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, user_id, registered);
}

enum request_step auth_register(struct request *r)
{
    struct login *l = login_begin(r, 201);
    l->account = (struct account_view){
        .username = body_str(r, "username"),
        .email = body_str(r, "email"),
        .first_name = body_str(r, "firstName"),
        .last_name = body_str(r, "lastName"),
    };
    return pool_run(r->gateway->hashing, r, register_hash);
}

/* --- POST /auth/login --- */

static enum request_step login_verify(struct request *r, struct pool_thread *thread)
{
    (void)thread;
    struct login *l = r->state;
    /* Who has no account waits as long as who typed a wrong password. */
    err e = password_verify(r->gateway->password, l->password, l->account.password_hash);
    password_wipe(r, l);
    if (e == OK)
        return session_start(r, l);
    if (e == REJECT) {
        problem(r, 401, "invalid_credentials", NULL, "The name or the password is wrong.");
        response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
    } else {
        problem_err(r, e);
    }
    return REQUEST_DONE;
}

static enum request_step login_find(struct request *r, struct pool_thread *thread)
{
    struct login *l = r->state;
    struct str typed = body_str(r, "username");
    if (!typed.ptr)
        typed = body_str(r, "email");
    struct str username = bytes_of(blind_index(r, username_normalise(&r->arena, typed)), VAULT_INDEX_LEN);
    struct str email = bytes_of(blind_index(r, email_normalise(&r->arena, typed)), VAULT_INDEX_LEN);
    bool found;
    err e = account_find_by_login(thread->pg, &r->arena, username, email, &l->account, &found);
    if (e != OK) {
        password_wipe(r, l);
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || l->account.erased)
        l->account = (struct account_view){ 0 };
    return pool_run(r->gateway->hashing, r, login_verify);
}

enum request_step auth_login(struct request *r)
{
    bool by_username = body_str(r, "username").ptr, by_email = body_str(r, "email").ptr;
    if (by_username == by_email) {
        problem(r, 400, "invalid_body", "username", "Give either username or email.");
        return REQUEST_DONE;
    }
    login_begin(r, 200);
    return pool_run(r->gateway->reads, r, login_find);
}

/* --- POST /auth/refresh --- */

static enum request_step refresh_refused(struct request *r)
{
    problem(r, 401, "refresh_token_invalid", "refreshToken", "This refresh token is not, or no longer, valid.");
    response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
    return REQUEST_DONE;
}

static enum request_step refreshed(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    return answer_tokens(r, r->state);
}

static enum request_step refresh_rotate(struct request *r, struct pool_thread *thread)
{
    struct login *l = r->state;
    struct tokens *tokens = r->gateway->tokens;
    bool found;
    err e = account_find(thread->pg, &r->arena, l->token.user_id, &l->account, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || l->account.erased)
        return refresh_refused(r);
    refresh_token_hash(&l->token, l->presented_hash);
    /* A repeated request (same Idempotency-Key, same token) must give the same new token, hence derived, not drawn. */
    refresh_token_secret(tokens, r->command_id, l->presented_hash, l->token.secret);
    uint8_t *hash = arena_alloc(&r->arena, REFRESH_HASH_LEN);
    refresh_token_hash(&l->token, hash);
    struct sessions_command *c = ARENA_NEW(&r->arena, struct sessions_command);
    c->type = SESSIONS_REFRESH_SESSION;
    c->refresh_session = (struct refresh_session){
        .session_id = l->token.session_id,
        .user_id = l->token.user_id,
        .presented_hash = bytes_of(l->presented_hash, REFRESH_HASH_LEN),
        .refresh_hash = bytes_of(hash, REFRESH_HASH_LEN),
        .expires_at = r->received_at + token_refresh_ttl_s(tokens) * 1000,
    };
    return dispatch_command(r, &sessions_stream, (struct any_record *)c, l->token.user_id, refreshed);
}

enum request_step auth_refresh(struct request *r)
{
    struct login *l = ARENA_NEW(&r->arena, struct login);
    l->status = 200;
    r->state = l;
    if (!refresh_token_parse(body_str(r, "refreshToken"), &l->token))
        return refresh_refused(r);
    if (r->has_idempotency_key) {
        /* Nobody is logged in here, so the key alone would be shared by everyone who chose the same one. */
        char key[UUID_TEXT_LEN + 1];
        uuid_format(r->command_id, key);
        r->command_id = uuid_v5(l->token.session_id, str_of(key));
    }
    return pool_run(r->gateway->reads, r, refresh_rotate);
}

/* --- POST /auth/logout --- */

static enum request_step logged_out(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    buf_clear(&r->response.body);
    r->response.status = 204;
    return REQUEST_DONE;
}

enum request_step auth_logout(struct request *r)
{
    struct sessions_command *c = ARENA_NEW(&r->arena, struct sessions_command);
    c->type = SESSIONS_END_SESSION;
    c->end_session = (struct end_session){ .session_id = r->claims.session_id, .user_id = r->claims.user_id };
    return dispatch_command(r, &sessions_stream, (struct any_record *)c, r->claims.user_id, logged_out);
}
