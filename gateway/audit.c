/* audit: who did what to whom, from where, by which request: the facts of accounts and sessions, newest first. As JSON
 * in pages, or all that fit the filter as JSON lines, made piece by piece while they are sent: however many there are,
 * an export needs the memory of one piece. */
#include <microhttpd.h>
#include <stdio.h>

#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"

#define ACTION_MAX 64
#define PIECE      500 /* rows */

struct audit_query {
    struct list list;
    struct audit_filter filter;
    struct audit_key before; /* filter.before, when it is there */
    char stream[20];         /* of `before` */
    bool ended;              /* export: all was read */
};

/* --- positions --- */

struct audit_position {
    int64_t at, offset;
    int32_t partition;
    char stream[20];
};

static struct str position_format(struct arena *arena, const struct audit_key *key)
{
    struct audit_position *p = ARENA_NEW(arena, struct audit_position); /* zeroed: no byte is left to chance */
    p->at = key->at;
    p->offset = key->position;
    p->partition = key->partition;
    snprintf(p->stream, sizeof p->stream, "%.*s", (int)key->stream.len, key->stream.ptr);
    return (struct str){ (const char *)p, sizeof *p };
}

static void position_take(struct str position, struct audit_query *q)
{
    struct audit_position p;
    if (position.len != sizeof p)
        return;
    memcpy(&p, position.ptr, sizeof p);
    snprintf(q->stream, sizeof q->stream, "%s", p.stream);
    q->before = (struct audit_key){
        .at = p.at,
        .stream = str_of(q->stream),
        .partition = p.partition,
        .position = p.offset,
    };
    q->filter.before = &q->before;
}

/* --- GET /admin/audit --- */

static enum request_step audit_page(struct request *r, struct pool_thread *thread)
{
    const struct audit_query *q = r->state;
    struct audit_view *rows;
    size_t count;
    err e = audit_list(thread->pg, &thread->arena, &q->filter, q->list.limit + 1, &rows, &count);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    size_t shown = count < (size_t)q->list.limit ? count : (size_t)q->list.limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        audit_json(&j, &rows[i]);
    list_close(r, &j, &q->list, count > shown,
               shown > 0 ? position_format(&r->arena, &rows[shown - 1].key) : (struct str){ 0 });
    return REQUEST_DONE;
}

static enum request_step export_next(struct request *r);

static enum request_step export_piece(struct request *r, struct pool_thread *thread)
{
    struct audit_query *q = r->state;
    struct audit_view *rows;
    size_t count;
    err e = audit_list(thread->pg, &thread->arena, &q->filter, PIECE, &rows, &count);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct response *response = &r->response;
    response->status = 200;
    response->content_type = "application/x-ndjson";
    response->next = export_next;
    for (size_t i = 0; i < count; i++) {
        struct json j = json_writer(&response->body);
        audit_json(&j, &rows[i]);
        buf_char(&response->body, '\n');
    }
    q->ended = count < PIECE;
    if (count > 0) {
        /* The rows' strings are gone with the thread's arena, and the request's own shall not grow with every piece. */
        struct str stream = rows[count - 1].key.stream;
        snprintf(q->stream, sizeof q->stream, "%.*s", (int)stream.len, stream.ptr);
        q->before = rows[count - 1].key;
        q->before.stream = str_of(q->stream);
        q->filter.before = &q->before;
    }
    return REQUEST_DONE;
}

static enum request_step export_next(struct request *r)
{
    const struct audit_query *q = r->state;
    return q->ended ? REQUEST_DONE : pool_run(r->gateway->reads, r, export_piece);
}

static bool wants_lines(struct request *r)
{
    const char *accept = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    return accept && strcasestr(accept, "application/x-ndjson");
}

/* false: a problem has been filled. */
static bool audit_filter_read(struct request *r, struct audit_filter *f)
{
    bool bad = false;
    request_query_uuid(r, "actor", &f->actor, &bad);
    if (!bad)
        request_query_uuid(r, "user", &f->subject, &bad);
    if (!bad)
        request_query_text(r, "action", ACTION_MAX, &f->action, &bad);
    if (!bad)
        request_query_time(r, "from", &f->from, &bad);
    if (!bad)
        request_query_time(r, "to", &f->to, &bad);
    return !bad;
}

static struct str audit_name(struct request *r, const struct audit_filter *f)
{
    char actor[UUID_TEXT_LEN + 1], subject[UUID_TEXT_LEN + 1];
    uuid_format(f->actor, actor);
    uuid_format(f->subject, subject);
    return str_of(arena_printf(&r->arena, "audit:%s:%s:%lld:%lld:%.*s", actor, subject, (long long)f->from,
                               (long long)f->to, (int)f->action.len, f->action.ptr));
}

enum request_step admin_audit(struct request *r)
{
    struct audit_query *q = ARENA_NEW(&r->arena, struct audit_query);
    if (!audit_filter_read(r, &q->filter))
        return REQUEST_DONE;
    q->list.name = audit_name(r, &q->filter);
    if (!list_begin(r, &q->list))
        return REQUEST_DONE;
    position_take(q->list.after, q);
    r->state = q;
    return pool_run(r->gateway->reads, r, wants_lines(r) ? export_piece : audit_page);
}
