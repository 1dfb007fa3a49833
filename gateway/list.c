#include "gateway/list.h"

#include "gateway/cursor.h"
#include "gateway/gateway.h"

const struct body_field list_query[] = { LIST_QUERY, { 0 } };

bool list_begin(struct request *r, struct list *l)
{
    int64_t limit = LIST_DEFAULT;
    struct str cursor;
    query_int(r, "limit", &limit);
    l->limit = (int)limit;
    l->after = (struct str){ 0 };
    if (!query_text(r, "cursor", &cursor) ||
        cursor_parse_text(r->gateway->cursors, &r->arena, l->name, cursor, &l->after))
        return true;
    problem(r, 400, "bad_query", "cursor", "Give the nextCursor of the page before, with the same parameters.");
    return false;
}

struct json list_open(struct request *r)
{
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_key(&j, "items");
    json_open(&j, '[');
    return j;
}

void list_close(struct request *r, struct json *j, const struct list *l, bool more, struct str last)
{
    json_close(j, ']');
    json_key(j, "nextCursor");
    if (more)
        json_str(j, cursor_format_text(r->gateway->cursors, &r->arena, l->name, last));
    else
        json_none(j);
    json_close(j, '}');
}

static enum request_step page(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    const err e = l->load(r, thread);
    if (e != OK)
        problem_err(r, e);
    return REQUEST_DONE;
}

struct str list_name(struct request *r, const char *what, struct uuid id)
{
    char text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    return str_of(arena_printf(&r->arena, "%s:%s", what, text));
}

enum request_step list_of(struct request *r, const char *what, struct uuid id, list_load *load)
{
    struct list *l = ARENA_NEW(&r->arena, struct list);
    l->name = list_name(r, what, id);
    if (!list_begin(r, l))
        return REQUEST_DONE;
    l->load = load;
    r->state = l;
    return pool_run(r->gateway->reads, r, page);
}

struct uuid list_after_id(const struct list *l)
{
    struct uuid id = uuid_nil;
    if (l->after.len == sizeof id)
        memcpy(&id, l->after.ptr, sizeof id);
    return id;
}

void list_close_id(struct request *r, struct json *j, const struct list *l, bool more, struct uuid last)
{
    list_close(r, j, l, more, (struct str){ (const char *)last.bytes, sizeof last });
}
