/* sessions: exchange the refresh token, log out here or everywhere; the list of one's sessions and the end of any. */
#include "gateway/accounts/account.h"
#include "gateway/accounts/login.h"
#include "gateway/commands/accepted.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/list.h"
#include "gateway/resources.h"
#include "gateway/tokens/access.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"
#include "schemas/sessions.gen.h"

static const struct body_field refresh_fields[] = {
    { "refreshToken", FIELD_TEXT, .required = true, .secret = true, .min = 1, .max = 256,
      .doc =
          "The newest refresh token of the session; it is worth nothing afterwards, and presenting it again ends the "
          "session." },
    { 0 },
};
const struct body refresh_body = { "Refresh", refresh_fields };

/* This gateway need not ask to know it. */
static void forget_session(struct request *r, struct uuid session)
{
    access_remember(r->gateway->access, session, clock_mono_us(), ACCESS_ENDED, 0);
}

/* --- POST /auth/refresh --- */

static enum request_step refresh_refused(struct request *r)
{
    problem(r, 401, "refresh_token_invalid", "refreshToken", "This refresh token is not, or no longer, valid.");
    response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
    return REQUEST_DONE;
}

static dispatch_then refreshed;

static enum request_step refresh_send(struct request *r, struct login *l)
{
    /* A repeated request (same Idempotency-Key, same token) must give the same new token. */
    refresh_token_next(r->gateway->refresh_tokens, &l->presented, r->command_id, &l->token);
    struct sessions_command *c = ARENA_NEW(&r->arena, struct sessions_command);
    c->type = SESSIONS_REFRESH_SESSION;
    c->refresh_session = (struct refresh_session){
        .session_id = l->presented.session_id,
        .user_id = l->presented.user_id,
        .presented_hash = login_token_hash(r, &l->presented),
        .presented_generation = l->presented.generation,
        .refresh_hash = login_token_hash(r, &l->token),
        .expires_at = token_refresh_end(r->gateway->tokens, l->token.session_id, r->received_at),
        .device = { .clear = l->device },
        .address = { .clear = l->address },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &sessions_stream, (struct any_record *)c, l->presented.user_id, refreshed);
}

static enum request_step refreshed(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    struct login *l = r->state;
    if (fact->type == SESSIONS_REFRESH_TOKEN_REPLAYED) {
        forget_session(r, l->presented.session_id);
        return refresh_refused(r);
    }
    /* A key is good for retries, not for ever: after that the old token is what it is, and is presented as such. */
    int64_t retry_ms = config_int(r->gateway->config, "auth.refresh_retry_s") * 1000;
    const bool late = r->received_at - fact->meta.at > retry_ms;
    if (late && !l->unanswered) {
        r->command_id = uuid_v7(clock_wall_ms());
        return refresh_send(r, l);
    }
    /* A repetition says the same again; an access token of then may have expired. */
    return login_answer(r, l, late ? r->received_at : fact->meta.at);
}

static enum request_step refresh_found(struct request *r, const struct access *access,
                                       const struct account_cache_entry *account)
{
    struct login *l = r->state;
    if (access->suspended) {
        access_refuse_suspended(r, access->suspended_until);
        return REQUEST_DONE;
    }
    if (!access->live && token_session_end(r->gateway->tokens, access->session) <= r->received_at) {
        problem(r, 401, "refresh_token_expired", "refreshToken", "The session is too old; log in again.");
        response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
        return REQUEST_DONE;
    }
    if (!access->live || !account->known)
        return refresh_refused(r);
    l->account.id = access->user;
    l->account.roles = access->roles;
    l->own_json = arena_str(&r->arena, account->json);
    return refresh_send(r, l);
}

static void refresh_find(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct gateway *g = requests[0]->gateway;
    struct access *items = ARENA_ARRAY(&thread->arena, struct access, count);
    struct account_cache_entry *accounts = ARENA_ARRAY(&thread->arena, struct account_cache_entry, count);
    for (size_t i = 0; i < count; i++) {
        struct login *l = requests[i]->state;
        /* Whoever was answered 202 has no new token: without its key, too, the retry is that command again. */
        l->unanswered = accepted_find_retried(g->accepted, thread, requests[i]->retried_as, &requests[i]->command_id);
        items[i] = (struct access){ .user = l->presented.user_id, .session = l->presented.session_id };
    }
    err e = access_ask(g, thread, items, count, accounts);
    if (e == OK)
        e = accounts_fetch(g, thread, accounts, count);
    for (size_t i = 0; i < count; i++) {
        if (e != OK)
            problem_err(requests[i], e);
        else if (refresh_found(requests[i], &items[i], &accounts[i]) == REQUEST_SUSPENDED)
            requests[i] = NULL;
    }
}

enum request_step auth_refresh(struct request *r)
{
    struct login *l = login_begin(r, NULL, 200);
    if (!refresh_token_parse(r->gateway->refresh_tokens, body_str(r, "refreshToken"), &l->presented))
        return refresh_refused(r);
    r->claims.user_id = l->presented.user_id; /* for limits: the token is one of ours */
    if (!rate_limits_admit(r, LIMIT_BY_USER))
        return REQUEST_DONE;
    login_bind_key(r, l->presented.session_id, (struct str){ 0 });
    r->retried_as = uuid_v5(l->presented.session_id, login_token_hash(r, &l->presented));
    return pool_run_batched(r->gateway->reads, r, refresh_find);
}

/* --- POST /auth/logout, POST /auth/logout-all, DELETE /users/me/sessions/{session} --- */

bool sessions_reason(struct request *r, struct any_record *command)
{
    const bool own = uuid_equal(r->ids[0], r->claims.session_id);
    ((struct sessions_command *)command)->end_session.reason = own ? SESSION_END_LOGOUT : SESSION_END_REVOKED;
    return true;
}

enum request_step sessions_ended(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    forget_session(r, ((const struct sessions_fact *)fact)->session_ended.session_id);
    return dispatch_done(r, outcome, fact);
}

enum request_step sessions_all_ended(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    forget_session(r, r->claims.session_id);
    return dispatch_done(r, outcome, fact);
}

/* --- GET /users/me/sessions --- */

static const struct shape_field session_fields[] = {
    { "id", SHAPE_UUID, "Of the session." },
    { "device", SHAPE_TEXT, "User-Agent of the newest use." },
    { "address", SHAPE_TEXT, "Where the newest use came from.", .example = "\"192.0.2.7\"" },
    { "createdAt", SHAPE_TIME, "When the person logged in." },
    { "lastUsedAt", SHAPE_TIME, "When it was refreshed last, or began." },
    { "expiresAt", SHAPE_TIME,
      "When its refresh token ends; a refresh moves it on, up to auth.session_max_s after the log-in." },
    { "current", SHAPE_BOOL, "Whether this request comes from it." },
    { 0 },
};
const struct shape session_shape = { "Session", session_fields, .param = "session" };

static err sessions_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct session_view *sessions;
    size_t count;
    const int64_t now = clock_wall_ms(), lifetime = token_session_max_s(r->gateway->tokens) * 1000;
    TRY(session_list(thread->pg, &thread->arena, r->claims.user_id, now, now - lifetime, list_after_id(l), l->limit + 1,
                     &sessions, &count));
    for (size_t i = 0; i < count; i++)
        if (sessions[i].expires_at > sessions[i].created_at + lifetime) /* it began under a longer one */
            sessions[i].expires_at = sessions[i].created_at + lifetime;
    const size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        session_json(&j, &sessions[i], uuid_equal(sessions[i].id, r->claims.session_id));
    list_close_id(r, &j, l, count > shown, shown > 0 ? sessions[shown - 1].id : uuid_nil);
    return OK;
}

enum request_step sessions_list(struct request *r)
{
    return list_of(r, "sessions", r->claims.user_id, sessions_load);
}
