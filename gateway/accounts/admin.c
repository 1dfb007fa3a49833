/* admin: what administrators do with other people's accounts. The worker decides whether they may; the role of the
 * route only spares it the question. */
#include "consumers/users/view.h"
#include "gateway/accounts/account.h"
#include "gateway/gateway.h"
#include "gateway/http/client_address.h"
#include "gateway/list.h"
#include "gateway/resources.h"
#include "ops/runtime/clock.h"
#include "schemas/accounts.gen.h"

static const struct body_field suspend_fields[] = {
    { "reason", FIELD_TEXT, .required = true, .min = 1, .max = 500, .pattern = "prose",
      .doc = "Why; kept in the audit." },
    { "until", FIELD_TIME, .nullable = true, .doc = "When it ends by itself; null or absent: it does not." },
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

static enum request_step account_changed(struct request *r, const struct outcome *outcome,
                                         const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    return pool_run(r->gateway->reads, r, account_show);
}

/* The command is filled; that the account is there is looked at first, since without its key nothing about it could be
 * sealed. */
static enum request_step command_send(struct request *r, struct pool_thread *thread)
{
    struct accounts_command *c = r->state;
    struct account_view account;
    bool found;
    err e = account_find(thread->pg, &thread->arena, r->ids[0], &account, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || account.erased) {
        account_answer(r, NULL, ACCOUNT_ADMINISTRATION);
        return dispatch_refused(r, thread, &accounts_stream, r->claims.user_id, account_changed);
    }
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, r->claims.user_id, account_changed);
}

static enum request_step command_begin(struct request *r, struct accounts_command *c)
{
    r->state = c;
    return pool_run(r->gateway->reads, r, command_send);
}

enum request_step admin_suspend(struct request *r)
{
    int64_t until = 0;
    struct str text = body_str(r, "until");
    if (text.ptr && clock_parse_rfc3339(text, &until) && until <= r->received_at) {
        problem(r, 400, "invalid_body", "until", "must lie ahead.");
        return dispatch_refused(r, NULL, &accounts_stream, r->claims.user_id, account_changed);
    }
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_SUSPEND_ACCOUNT;
    c->suspend_account = (struct suspend_account){
        .user_id = r->ids[0],
        .reason = { .clear = body_str(r, "reason") },
        .until = until,
        .address = { .clear = client_address(r) },
        .request_id = str_of(r->request_id),
    };
    return command_begin(r, c);
}

enum request_step admin_reinstate(struct request *r)
{
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_REINSTATE_ACCOUNT;
    c->reinstate_account = (struct reinstate_account){
        .user_id = r->ids[0],
        .address = { .clear = client_address(r) },
        .request_id = str_of(r->request_id),
    };
    return command_begin(r, c);
}

enum request_step admin_logout(struct request *r)
{
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_END_ALL_SESSIONS;
    c->end_all_sessions = (struct end_all_sessions){
        .user_id = r->ids[0],
        .address = { .clear = client_address(r) },
        .request_id = str_of(r->request_id),
    };
    return command_begin(r, c);
}

enum request_step admin_roles(struct request *r)
{
    const json_t *given = json_object_get(r->body, "roles");
    size_t count = json_array_size(given);
    struct str *roles = ARENA_ARRAY(&r->arena, struct str, count);
    for (size_t i = 0; i < count; i++)
        roles[i] = str_of(json_string_value(json_array_get(given, i)));
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_SET_ROLES;
    c->set_roles = (struct set_roles){
        .user_id = r->ids[0],
        .roles = { .items = roles, .count = count },
        .address = { .clear = client_address(r) },
        .request_id = str_of(r->request_id),
    };
    return command_begin(r, c);
}
