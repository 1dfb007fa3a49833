/* users: reading accounts. */
#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/resources.h"

static enum request_step user_answer(struct request *r, struct pool_thread *thread, struct uuid id)
{
    struct account_view account;
    bool found;
    err e = account_find(thread->pg, &thread->arena, id, &account, &found);
    if (e != OK) {
        problem_err(r, e);
    } else if (!found || account.erased) {
        problem(r, 404, "user_not_found", NULL, "There is no such user.");
    } else {
        struct json j = response_json(r, 200);
        account_json(&j, &account, uuid_equal(id, r->claims.user_id) ? ACCOUNT_OWN : ACCOUNT_PUBLIC);
    }
    return REQUEST_DONE;
}

static enum request_step user_find_me(struct request *r, struct pool_thread *thread)
{
    return user_answer(r, thread, r->claims.user_id);
}

static enum request_step user_find(struct request *r, struct pool_thread *thread)
{
    return user_answer(r, thread, r->ids[0]);
}

enum request_step users_me(struct request *r)
{
    return pool_run(r->gateway->reads, r, user_find_me);
}

enum request_step users_get(struct request *r)
{
    return pool_run(r->gateway->reads, r, user_find);
}
