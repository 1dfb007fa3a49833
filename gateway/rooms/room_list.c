/* room_list: GET /rooms.
 *
 * One's own rooms come with unread counts and last messages, which costs PostgreSQL a dozen look-ups a room. So it is
 * asked first for their lines: which rooms, and by which fact and read mark each looks as it does. What was rendered
 * for this person by the same line is here already; only the others are read in full. The lines are read anew each
 * time, and from PostgreSQL, so a list is never older than what anybody has been told, with or without Redis. */
#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"
#include "gateway/rooms/page_cache.h"
#include "ops/runtime/clock.h"

const struct body_field rooms_query[] = {
    LIST_QUERY,
    { "scope", FIELD_CHOICE, .choices = "visible|mine|public", .enumeration = "RoomScope", .preset = "\"visible\"",
      .doc = "Public rooms and one's own, one's own, or public ones." },
    { 0 },
};

static size_t shown_of(const struct list *l, size_t count)
{
    return count < (size_t)l->limit ? count : (size_t)l->limit;
}

/* --- visible, public --- */

static err rooms_load(struct request *r, struct pool_thread *thread, enum room_scope scope)
{
    const struct list *l = r->state;
    struct room_view *rooms;
    size_t count;
    TRY(room_list(thread->pg, &thread->arena, r->claims.user_id, scope, list_after_id(l), l->limit + 1, &rooms,
                  &count));
    const size_t shown = shown_of(l, count);
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        room_json(&j, &rooms[i]);
    list_close_id(r, &j, l, count > shown, shown > 0 ? rooms[shown - 1].id : uuid_nil);
    return OK;
}

static err visible_load(struct request *r, struct pool_thread *thread)
{
    return rooms_load(r, thread, ROOM_SCOPE_VISIBLE);
}

static err public_load(struct request *r, struct pool_thread *thread)
{
    return rooms_load(r, thread, ROOM_SCOPE_PUBLIC);
}

/* --- mine --- */

/* One room of the page, in `text`; len 0: not there. */
struct piece {
    size_t at, len;
};

struct own_page {
    struct request *r;
    struct pool_thread *thread;
    const struct room_line *lines;
    struct piece *pieces; /* `shown` of both */
    size_t shown;
    struct buf *text;
    int64_t now_us;
};

static struct page_key piece_key(const struct own_page *p, const struct room_line *line)
{
    return (struct page_key){
        .room = line->room, .viewer = p->r->claims.user_id, .version = line->position, .from = line->mark
    };
}

/* Returns how many are not remembered. */
static size_t own_remembered(struct own_page *p)
{
    size_t missing = 0;
    for (size_t i = 0; i < p->shown; i++) {
        const struct page_key key = piece_key(p, &p->lines[i]);
        const size_t at = p->text->len;
        if (page_cache_get(p->r->gateway->pages, &key, p->now_us, p->text))
            p->pieces[i] = (struct piece){ at, p->text->len - at };
        else
            missing++;
    }
    metrics_add(p->r->gateway->metrics, METRIC_LISTED_LOCAL, (int64_t)(p->shown - missing));
    metrics_add(p->r->gateway->metrics, METRIC_LISTED_POSTGRES, (int64_t)missing);
    return missing;
}

/* It may look newer by now than its line says, and is remembered as what it is. A room that was left in between is
 * left out. */
static err own_read(struct own_page *p, size_t missing)
{
    struct arena *arena = &p->thread->arena;
    struct uuid *ids = ARENA_ARRAY(arena, struct uuid, missing);
    for (size_t i = 0, n = 0; i < p->shown; i++)
        if (p->pieces[i].len == 0)
            ids[n++] = p->lines[i].room;
    struct room_view *rooms;
    size_t count;
    TRY(room_list_own(p->thread->pg, arena, p->r->claims.user_id, ids, missing, &rooms, &count));
    for (size_t i = 0, k = 0; k < count; i++) {
        if (!uuid_equal(p->lines[i].room, rooms[k].id))
            continue;
        const size_t at = p->text->len;
        struct json j = json_writer(p->text);
        room_json(&j, &rooms[k]);
        p->pieces[i] = (struct piece){ at, p->text->len - at };
        const struct room_line line = { rooms[k].id, rooms[k].position, rooms[k].mark };
        const struct page_key key = piece_key(p, &line);
        page_cache_put(p->r->gateway->pages, &key, p->now_us, (struct str){ p->text->ptr + at, p->pieces[i].len });
        k++;
    }
    return OK;
}

static err own_answer(struct request *r, struct pool_thread *thread, const struct room_lines *list)
{
    struct buf *text = &thread->text;
    const struct list *l = r->state;
    buf_clear(text);
    struct own_page p = {
        .r = r,
        .thread = thread,
        .lines = list->lines,
        .shown = shown_of(l, list->count),
        .text = text,
        .now_us = clock_mono_us(),
    };
    p.pieces = ARENA_ARRAY(&thread->arena, struct piece, p.shown);
    const size_t missing = own_remembered(&p);
    if (missing > 0)
        TRY(own_read(&p, missing));
    struct json j = list_open(r);
    for (size_t i = 0; i < p.shown; i++)
        if (p.pieces[i].len > 0)
            json_raw(&j, (struct str){ text->ptr + p.pieces[i].at, p.pieces[i].len });
    list_close_id(r, &j, l, list->count > p.shown, p.shown > 0 ? p.lines[p.shown - 1].room : uuid_nil);
    return OK;
}

/* The lines of all lists that wait together come in one round trip. */
static void own_pages(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct room_lines *lists = ARENA_ARRAY(&thread->arena, struct room_lines, count);
    for (size_t i = 0; i < count; i++) {
        const struct list *l = requests[i]->state;
        lists[i] = (struct room_lines){ .viewer = requests[i]->claims.user_id,
                                        .before = list_after_id(l),
                                        .limit = l->limit + 1 };
    }
    const err asked = room_lines(thread->pg, &thread->arena, lists, count);
    for (size_t i = 0; i < count; i++) {
        const err e = asked != OK ? asked : own_answer(requests[i], thread, &lists[i]);
        if (e != OK)
            problem_err(requests[i], e);
    }
}

static enum request_step own_list(struct request *r)
{
    struct list *l = ARENA_NEW(&r->arena, struct list);
    l->name = list_name(r, "mine", r->claims.user_id);
    if (!list_begin(r, l))
        return REQUEST_DONE;
    r->state = l;
    return pool_run_batched(r->gateway->reads, r, own_pages);
}

enum request_step rooms_list(struct request *r)
{
    struct str scope = STR("visible");
    query_text(r, "scope", &scope);
    if (str_equal(scope, STR("mine")))
        return own_list(r);
    if (str_equal(scope, STR("public")))
        return list_of(r, "public", r->claims.user_id, public_load);
    return list_of(r, "visible", r->claims.user_id, visible_load);
}
