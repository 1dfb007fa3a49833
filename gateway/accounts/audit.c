/* audit: who did what to whom, from where, by which request: the facts of accounts and sessions, newest first. As JSON
 * in pages, or all that fit the filter as JSON lines, made piece by piece while they are sent: however many there are,
 * an export needs the memory of one piece. */
#include <microhttpd.h>
#include <stdio.h>

#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"

#define PIECE 500 /* rows */

const struct body_field audit_query[] = {
    { "actor", FIELD_UUID, .doc = "Who did it." },
    { "user", FIELD_UUID, .doc = "To whom." },
    { "action", FIELD_TEXT, .min = 1, .max = 64, .pattern = "name", .doc = "The fact's name.",
      .example = "\"AccountRegistered\"" },
    { "from", FIELD_TIME, .doc = "Not before." },
    { "to", FIELD_TIME, .doc = "Before." },
    LIST_QUERY,
    { 0 },
};

/* audit_json */
static const struct shape_field audit_fields[] = {
    { "at", SHAPE_TIME, "When." },
    { "actor", SHAPE_UUID, "Who did it." },
    { "subject", SHAPE_UUID, "To whom." },
    { "action", SHAPE_TEXT, "The fact's name.", .example = "\"AccountRegistered\"" },
    { "details", SHAPE_ANY, "What else the fact says, without secrets." },
    { "address", SHAPE_TEXT, "From where.", .nullable = true, .example = "\"192.0.2.7\"" },
    { "requestId", SHAPE_TEXT, "By which request.", .nullable = true },
    { "commandId", SHAPE_UUID, "By which command." },
    { "trace", SHAPE_TEXT, "W3C traceparent.", .nullable = true },
    { "stream", SHAPE_TEXT, "Where the fact stands.", .example = "\"accounts\"" },
    { "partition", SHAPE_INT, "Of the stream.", .example = "0" },
    { "offset", SHAPE_INT, "In the partition.", .example = "17" },
    { 0 },
};
const struct shape audit_shape = { "AuditEntry", audit_fields };

struct audit_request {
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

static void position_take(struct str position, struct audit_request *q)
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
    const struct audit_request *q = r->state;
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
    struct audit_request *q = r->state;
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
    const struct audit_request *q = r->state;
    return q->ended ? REQUEST_DONE : pool_run(r->gateway->reads, r, export_piece);
}

static bool wants_lines(struct request *r)
{
    const char *accept = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    return accept && strcasestr(accept, "application/x-ndjson");
}

static void audit_filter_read(struct request *r, struct audit_filter *f)
{
    query_uuid(r, "actor", &f->actor);
    query_uuid(r, "user", &f->subject);
    query_text(r, "action", &f->action);
    query_time(r, "from", &f->from);
    query_time(r, "to", &f->to);
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
    struct audit_request *q = ARENA_NEW(&r->arena, struct audit_request);
    audit_filter_read(r, &q->filter);
    q->list.name = audit_name(r, &q->filter);
    if (!list_begin(r, &q->list))
        return REQUEST_DONE;
    position_take(q->list.after, q);
    r->state = q;
    return pool_run(r->gateway->reads, r, wants_lines(r) ? export_piece : audit_page);
}
