#include "gateway/accounts/confirm.h"

#include "gateway/accounts/login.h"
#include "gateway/accounts/password.h"

struct confirmation {
    struct login login;
    const char *field;
    confirmed *then;
    void *state; /* the handler's */
};

static enum request_step confirm_verify(struct request *r, struct pool_thread *thread)
{
    struct confirmation *c = r->state;
    struct login *l = &c->login;
    r->state = c->state;
    err e = password_verify(r->gateway->password, l->password, l->account.password_hash);
    login_wipe_password(r, l);
    if (e == OK) {
        throttle_succeeded(r->gateway->throttle, thread, &l->attempt);
        return c->then(r, thread, &l->account);
    }
    if (e == REJECT)
        problem(r, 403, "wrong_password", c->field, "is not your password.");
    else
        problem_err(r, e);
    return REQUEST_DONE;
}

static enum request_step confirm_find(struct request *r, struct pool_thread *thread)
{
    struct confirmation *c = r->state;
    struct login *l = &c->login;
    struct str name = { (const char *)r->claims.user_id.bytes, sizeof r->claims.user_id.bytes };
    int64_t wait_ms = throttle_begin(r->gateway->throttle, thread, name, r->client.address, &l->attempt);
    if (wait_ms > 0) {
        login_wipe_password(r, l);
        throttle_refuse(r, wait_ms);
        return REQUEST_DONE;
    }
    bool found;
    err e = account_find(thread->pg, &r->arena, r->claims.user_id, &l->account, &found);
    struct attempt attempt = l->attempt;
    enum request_step step = REQUEST_DONE;
    if (e != OK)
        problem_err(r, e);
    else if (!found || l->account.erased)
        problem(r, 403, "account_erased", NULL, "This account has been erased.");
    else
        step = pool_run(r->gateway->hashing, r, confirm_verify);
    if (step == REQUEST_DONE) /* nobody looks at the password; else the request is somebody else's already */
        throttle_withdrawn(r->gateway->throttle, thread, &attempt);
    return step;
}

enum request_step confirm_password(struct request *r, const char *field, confirmed *then)
{
    struct confirmation *c = ARENA_NEW(&r->arena, struct confirmation);
    c->field = field;
    c->then = then;
    c->state = r->state;
    c->login.password = body_str(r, field);
    r->state = c;
    return pool_run(r->gateway->reads, r, confirm_find);
}
