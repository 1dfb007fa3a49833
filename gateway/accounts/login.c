#include "gateway/accounts/login.h"

#include <microhttpd.h>
#include <sodium.h>

#include "gateway/resources.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"
#include "schemas/sessions.gen.h"

#define USER_AGENT_MAX 200

static const struct shape_field login_fields[] = {
    { "user", SHAPE_OBJECT, "Who is logged in.", .of = &own_account_shape },
    { "accessToken", SHAPE_TEXT, "For the header Authorization: Bearer …" },
    { "refreshToken", SHAPE_TEXT, "Good for one POST /auth/refresh." },
    { "tokenType", SHAPE_CHOICE, "How to send it (RFC 6750).", .choices = "Bearer", .enumeration = "TokenType" },
    { "expiresIn", SHAPE_INT, "Seconds that the access token is good for.", .example = "900" },
    { 0 },
};
const struct shape login_shape = { "Login", login_fields };

struct login *login_begin(struct request *r, const char *password, int status)
{
    struct login *l = ARENA_NEW(&r->arena, struct login);
    struct str agent = str_of(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_USER_AGENT));
    agent.len = agent.len < USER_AGENT_MAX ? agent.len : USER_AGENT_MAX;
    l->device = arena_str(&r->arena, agent);
    l->address = client_address(r);
    if (password)
        l->password = body_str(r, password);
    l->status = status;
    l->begun_us = clock_mono_us();
    r->state = l;
    return l;
}

void login_wipe_password(struct request *r, struct login *l)
{
    sodium_memzero((char *)l->password.ptr, l->password.len);
    sodium_memzero(r->body_bytes.ptr, r->body_bytes.len);
    l->password.len = 0;
}

enum request_step login_answer(struct request *r, const struct login *l, int64_t issued_at)
{
    struct gateway *g = r->gateway;
    struct claims claims = {
        .user_id = l->account.id,
        .session_id = l->token.session_id,
        .roles = l->account.roles,
    };
    struct str access;
    err e = token_issue(g->tokens, &claims, issued_at, &r->arena, &access);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    char refresh[REFRESH_TOKEN_LEN + 1];
    refresh_token_format(g->refresh_tokens, &l->token, refresh);
    struct json j = response_json(r, l->status);
    json_open(&j, '{');
    json_key(&j, "user");
    if (l->own_json.ptr)
        json_raw(&j, l->own_json);
    else
        account_json(&j, &l->account, ACCOUNT_OWN);
    json_field_str(&j, "accessToken", access);
    json_field_str(&j, "refreshToken", str_of(refresh));
    sodium_memzero(refresh, sizeof refresh);
    json_field_str(&j, "tokenType", STR("Bearer"));
    json_field_int(&j, "expiresIn", token_access_end(g->tokens, &claims, issued_at) / 1000 - issued_at / 1000);
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
    return login_answer(r, l, clock_wall_ms());
}

enum request_step login_start_session(struct request *r, struct login *l)
{
    int64_t now = clock_wall_ms();
    r->command_id = uuid_v7(now);
    refresh_token_draw(uuid_v7(now), l->account.id, &l->token);
    struct sessions_command *c = ARENA_NEW(&r->arena, struct sessions_command);
    c->type = SESSIONS_START_SESSION;
    c->start_session = (struct start_session){
        .session_id = l->token.session_id,
        .user_id = l->account.id,
        .refresh_hash = login_token_hash(r, &l->token),
        .expires_at = token_refresh_end(r->gateway->tokens, l->token.session_id, r->received_at),
        .account_epoch = l->account.session_epoch,
        .device = { .clear = l->device },
        .address = { .clear = l->address },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &sessions_stream, (struct any_record *)c, l->account.id, session_started);
}

void login_bind_key(struct request *r, struct uuid named, struct str what)
{
    if (!r->has_idempotency_key)
        return;
    struct buf text = { 0 };
    buf_append(&text, (const char *)r->command_id.bytes, sizeof r->command_id.bytes);
    buf_append(&text, what.ptr, what.len);
    r->command_id = uuid_v5(named, buf_view(&text));
    buf_finish(&text);
}

static struct str blind_index(struct request *r, struct str normalised)
{
    uint8_t *index = arena_alloc(&r->arena, VAULT_INDEX_LEN);
    vault_blind_index(r->gateway->vault, normalised, index);
    return (struct str){ (const char *)index, VAULT_INDEX_LEN };
}

struct str login_username_index(struct request *r, struct str username)
{
    return blind_index(r, username_normalise(&r->arena, username));
}

struct str login_email_index(struct request *r, struct str email)
{
    return blind_index(r, email_normalise(&r->arena, email));
}

struct str login_token_hash(struct request *r, const struct refresh_token *token)
{
    uint8_t *hash = arena_alloc(&r->arena, REFRESH_HASH_LEN);
    refresh_token_hash(token, hash);
    return (struct str){ (const char *)hash, REFRESH_HASH_LEN };
}
