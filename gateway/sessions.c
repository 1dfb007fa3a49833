/* sessions: exchange the refresh token, log out. */
#include "gateway/login.h"
#include "gateway/resources.h"
#include "gateway/token.h"
#include "schemas/sessions.gen.h"

static const struct body_field refresh_fields[] = {
    { "refreshToken", FIELD_TEXT, .required = true, .min = 1, .max = 256,
      .doc = "The newest refresh token of the session; it is worth nothing afterwards." },
    { 0 },
};
const struct body refresh_body = { "Refresh", refresh_fields };

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
    return login_answer(r, r->state, fact->meta.at); /* a repetition says the same again */
}

static enum request_step refresh_rotate(struct request *r, struct pool_thread *thread)
{
    struct login *l = r->state;
    bool found;
    err e = account_find(thread->pg, &r->arena, l->presented.user_id, &l->account, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || l->account.erased)
        return refresh_refused(r);
    /* A repeated request (same Idempotency-Key, same token) must give the same new token. */
    refresh_token_next(r->gateway->refresh_tokens, &l->presented, r->command_id, &l->token);
    struct sessions_command *c = ARENA_NEW(&r->arena, struct sessions_command);
    c->type = SESSIONS_REFRESH_SESSION;
    c->refresh_session = (struct refresh_session){
        .session_id = l->presented.session_id,
        .user_id = l->presented.user_id,
        .presented_hash = login_token_hash(r, &l->presented),
        .refresh_hash = login_token_hash(r, &l->token),
        .expires_at = r->received_at + token_refresh_ttl_s(r->gateway->tokens) * 1000,
    };
    return dispatch_command(r, &sessions_stream, (struct any_record *)c, l->presented.user_id, refreshed);
}

enum request_step auth_refresh(struct request *r)
{
    struct login *l = login_begin(r, NULL, 200);
    if (!refresh_token_parse(r->gateway->refresh_tokens, body_str(r, "refreshToken"), &l->presented))
        return refresh_refused(r);
    if (r->has_idempotency_key) {
        /* Nobody is logged in here, so the key alone would be shared by everyone who chose the same one. */
        char key[UUID_TEXT_LEN + 1];
        uuid_format(r->command_id, key);
        r->command_id = uuid_v5(l->presented.session_id, str_of(key));
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
