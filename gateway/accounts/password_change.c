/* password_change: PUT /users/me/password. The old one is shown first; the person's other sessions end. */
#include "gateway/accounts/confirm.h"
#include "gateway/accounts/password.h"
#include "gateway/accounts/password_rules.h"
#include "gateway/resources.h"
#include "schemas/accounts.gen.h"

#include <sodium.h>

static const struct body_field change_password_fields[] = {
    { "currentPassword", FIELD_TEXT, .required = true, .secret = true, .min = 1, .max = 128,
      .doc = "The password of until now." },
    { "newPassword", FIELD_TEXT, .required = true, .secret = true, .min = 8, .max = 128,
      .doc = "Neither the old one, the username or the e-mail address, nor one of the 10,000 commonest." },
    { 0 },
};
const struct body change_password_body = { "ChangePassword", change_password_fields };

static void new_password_wipe(struct request *r)
{
    struct str clear = body_str(r, "newPassword");
    sodium_memzero((char *)clear.ptr, clear.len);
}

static enum request_step change(struct request *r, struct pool_thread *thread, const struct account_view *account)
{
    (void)thread;
    struct str clear = body_str(r, "newPassword");
    const char *fault = password_fault(clear, account->username, account->email);
    char *hash = arena_alloc(&r->arena, PASSWORD_HASH_MAX);
    err e = fault ? OK : password_hash(r->gateway->password, clear, hash);
    new_password_wipe(r);
    if (fault || e != OK) {
        if (fault)
            problem(r, 400, "weak_password", "newPassword", "%s", fault);
        else
            problem_err(r, e);
        return REQUEST_DONE;
    }
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_CHANGE_PASSWORD;
    c->change_password = (struct change_password){
        .user_id = r->claims.user_id,
        .password_hash = { .clear = str_of(hash) },
        .kept_session = r->claims.session_id,
        .account_epoch = account->session_epoch,
        .address = { .clear = client_address(r) },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, r->claims.user_id, dispatch_done);
}

/* A repeated request would fail for the old password, which it has changed itself: its outcome is looked for first. */
static enum request_step change_repeated(struct request *r, struct pool_thread *thread)
{
    enum request_step step;
    return dispatch_repeated(r, thread, &accounts_stream, r->claims.user_id, dispatch_done, &step)
               ? step
               : confirm_password(r, "currentPassword", change);
}

enum request_step password_change(struct request *r)
{
    if (str_equal(body_str(r, "currentPassword"), body_str(r, "newPassword"))) {
        problem(r, 400, "weak_password", "newPassword", "must not be the password of until now.");
        return REQUEST_DONE;
    }
    if (r->has_idempotency_key)
        return pool_run(r->gateway->reads, r, change_repeated);
    return confirm_password(r, "currentPassword", change);
}
