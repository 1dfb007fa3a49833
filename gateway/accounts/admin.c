/* admin: what administrators do with other people's accounts. The worker decides whether they may; the role of the
 * route only spares it the question. */
#include "consumers/users/view.h"
#include "gateway/accounts/account.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"
#include "schemas/fill.h"

static const struct body_field suspend_fields[] = {
    { "reason", FIELD_TEXT, .required = true, .min = 1, .max = 500, .pattern = "prose",
      .doc = "Why; kept in the audit." },
    { "until", FIELD_TIME, .nullable = true, .future = true,
      .doc = "When it ends by itself; null or absent: it does not." },
    { 0 },
};
const struct body suspend_body = { "Suspend", suspend_fields };

static const struct body_field roles_fields[] = {
    { "roles", FIELD_CHOICES, .required = true, .min = 1, .max = 3, .choices = "user|moderator|admin",
      .enumeration = "AccountRole", .doc = "All roles of the account from now on." },
    { 0 },
};
const struct body roles_body = { "Roles", roles_fields };

/* --- GET /admin/users, GET /admin/users/{user} --- */

const struct body_field admin_users_query[] = {
    { "role", FIELD_CHOICE, .choices = "user|moderator|admin", .enumeration = "AccountRole",
      .doc = "Those that have it." },
    { "suspended", FIELD_BOOL, .doc = "Those that are, or are not.", .example = "false" },
    { "q", FIELD_TEXT, .min = 1, .max = 100, .pattern = "name", .doc = "The beginning of a username or a name." },
    { "createdFrom", FIELD_TIME, .doc = "Not registered before." },
    { "createdTo", FIELD_TIME, .doc = "Registered before." },
    LIST_QUERY,
    { 0 },
};

struct accounts_query {
    struct list list;
    struct account_filter filter;
    struct uuid before;
};

static enum request_step accounts_page(struct request *r, struct pool_thread *thread)
{
    struct accounts_query *q = r->state;
    struct account_view *found;
    size_t count;
    if (q->list.after.len == sizeof q->before.bytes)
        memcpy(q->before.bytes, q->list.after.ptr, sizeof q->before.bytes);
    err e = account_list(thread->pg, &thread->arena, &q->filter, q->before, q->list.limit + 1, &found, &count);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    size_t shown = count < (size_t)q->list.limit ? count : (size_t)q->list.limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        account_json(&j, &found[i], ACCOUNT_ADMINISTRATION);
    struct str last = { 0 };
    if (shown > 0)
        last = (struct str){ (const char *)found[shown - 1].id.bytes, sizeof found->id.bytes };
    list_close(r, &j, &q->list, count > shown, last);
    return REQUEST_DONE;
}

static void accounts_filter(struct request *r, struct account_filter *f)
{
    static const char *const roles[] = { "user", "moderator", "admin" }; /* the bits are in this order */
    struct str role = { 0 }, typed;
    bool suspended;
    f->now_ms = r->received_at;
    f->suspended = query_bool(r, "suspended", &suspended) ? suspended : -1;
    query_text(r, "role", &role);
    for (unsigned i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_equal(str_of(roles[i]), role))
            f->role = 1u << i;
    if (query_text(r, "q", &typed))
        f->folded = search_fold(&r->arena, typed);
    query_time(r, "createdFrom", &f->from);
    query_time(r, "createdTo", &f->to);
}

enum request_step admin_users(struct request *r)
{
    struct accounts_query *q = ARENA_NEW(&r->arena, struct accounts_query);
    struct account_filter *f = &q->filter;
    accounts_filter(r, f);
    q->list.name = str_of(arena_printf(&r->arena, "admin users:%u:%d:%lld:%lld:%.*s", f->role, f->suspended,
                                       (long long)f->from, (long long)f->to, (int)f->folded.len, f->folded.ptr));
    if (!list_begin(r, &q->list))
        return REQUEST_DONE;
    r->state = q;
    return pool_run(r->gateway->reads, r, accounts_page);
}

enum request_step account_show(struct request *r, struct pool_thread *thread)
{
    struct account_view account;
    bool found;
    err e = account_find(thread->pg, &thread->arena, r->ids[0], &account, &found);
    if (e == OK)
        account_answer(r, found ? &account : NULL, ACCOUNT_ADMINISTRATION);
    else
        problem_err(r, e);
    return REQUEST_DONE;
}

enum request_step admin_user(struct request *r)
{
    return pool_run(r->gateway->reads, r, account_show);
}

/* --- commands --- */

enum request_step account_changed(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    return pool_run(r->gateway->reads, r, account_show);
}

/* Without the key of an account nothing about it could be sealed. */
static err account_is_there(struct request *r, struct pool_thread *thread, struct any_record *command, bool *ret_found)
{
    const struct uuid user = record_uuid(&r->route->command->stream->command, command, "user_id");
    struct account_view account;
    TRY(account_find(thread->pg, &thread->arena, user, &account, ret_found));
    *ret_found = *ret_found && !account.erased;
    if (!*ret_found)
        account_answer(r, NULL, ACCOUNT_ADMINISTRATION);
    return OK;
}

const struct plain_lookup account_lookup = { account_is_there };
