/* users: what everybody may see of an account, and finding people. */
#include "consumers/users/view.h"
#include "gateway/accounts/account.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"

const struct body_field search_query[] = {
    { "q", FIELD_TEXT, .required = true, .min = 1, .max = 100, .pattern = "name",
      .doc = "The beginning of a username or a name; must have a letter or a digit." },
    LIST_QUERY,
    { 0 },
};

/* --- GET /users/{user} --- */

static enum request_step user_find(struct request *r, struct pool_thread *thread)
{
    struct account_view account;
    bool found;
    err e = account_find(thread->pg, &thread->arena, r->ids[0], &account, &found);
    if (e == OK)
        account_answer(r, found ? &account : NULL, ACCOUNT_PUBLIC);
    else
        problem_err(r, e);
    return REQUEST_DONE;
}

enum request_step users_get(struct request *r)
{
    return pool_run(r->gateway->reads, r, user_find);
}

/* --- GET /users/search --- */

struct search {
    struct list list;
    struct str folded;
};

/* A position: the text by which the last one was found, and behind it the id. */
static struct str search_position(struct arena *arena, const struct account_view *last)
{
    char *bytes = arena_alloc_raw(arena, last->term.len + sizeof last->id.bytes);
    memcpy(bytes, last->term.ptr, last->term.len);
    memcpy(bytes + last->term.len, last->id.bytes, sizeof last->id.bytes);
    return (struct str){ bytes, last->term.len + sizeof last->id.bytes };
}

static enum request_step search_page(struct request *r, struct pool_thread *thread)
{
    const struct search *s = r->state;
    struct str after_term = { 0 };
    struct uuid after_id = uuid_nil;
    struct account_view *found;
    size_t count;
    if (s->list.after.len >= sizeof after_id.bytes) {
        after_term = (struct str){ s->list.after.ptr, s->list.after.len - sizeof after_id.bytes };
        memcpy(after_id.bytes, after_term.ptr + after_term.len, sizeof after_id.bytes);
    }
    err e =
        account_search(thread->pg, &thread->arena, s->folded, after_term, after_id, s->list.limit + 1, &found, &count);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    size_t shown = count < (size_t)s->list.limit ? count : (size_t)s->list.limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        account_json(&j, &found[i], ACCOUNT_PUBLIC);
    list_close(r, &j, &s->list, count > shown,
               shown > 0 ? search_position(&r->arena, &found[shown - 1]) : (struct str){ 0 });
    return REQUEST_DONE;
}

enum request_step users_search(struct request *r)
{
    struct search *s = ARENA_NEW(&r->arena, struct search);
    struct str typed = { 0 };
    query_text(r, "q", &typed);
    s->folded = search_fold(&r->arena, typed);
    if (s->folded.len == 0) {
        problem(r, 400, "bad_query", "q", "must have a letter or a digit.");
        return REQUEST_DONE;
    }
    s->list.name = str_of(arena_printf(&r->arena, "search:%.*s", (int)s->folded.len, s->folded.ptr));
    if (!list_begin(r, &s->list))
        return REQUEST_DONE;
    r->state = s;
    return pool_run(r->gateway->reads, r, search_page);
}
