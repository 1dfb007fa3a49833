/* messages: post one, read a page.
 *
 * A page is the fast path of every client: requests that wait together are read together. One round trip to Redis
 * brings the heads of all their rooms (version, last number, membership); a page that was rendered at that version is
 * here already; the others come from Redis in a second round trip, and what is not there from PostgreSQL in a third. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "consumers/messages/cache.h"
#include "consumers/messages/view.h"
#include "consumers/outcome/rejection.h"
#include "gateway/cursor.h"
#include "gateway/gateway.h"
#include "gateway/http/message_text.h"
#include "gateway/resources.h"
#include "gateway/rooms/direct.h"
#include "gateway/rooms/mentions.h"
#include "gateway/rooms/message.h"
#include "gateway/rooms/page_cache.h"
#include "gateway/rooms/scheduled.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define PAGE_MAX     100
#define PAGE_DEFAULT 50

static const struct body_field post_message_fields[] = {
    { "body", FIELD_TEXT, .required = true, .min = 1, .max = 20000, .pattern = "message",
      .doc = "The text: at most 4,000 characters, as people count them." },
    { "replyTo", FIELD_INT, .min = 1, .max = INT64_MAX, .doc = "Number of the message that this one answers." },
    { "sendAt", FIELD_TIME, .doc = "Say it then, within a year; the answer is the scheduled message." },
    { 0 },
};
const struct body post_message_body = { "PostMessage", post_message_fields };

static const struct body_field send_message_fields[] = {
    { "receiverId", FIELD_UUID, .doc = "Somebody: the direct conversation with them is opened where there is none." },
    { "roomId", FIELD_UUID, .doc = "Or a room." },
    { "body", FIELD_TEXT, .required = true, .min = 1, .max = 20000, .pattern = "message", .doc = "The text." },
    { "replyTo", FIELD_INT, .min = 1, .max = INT64_MAX, .doc = "Number of the message that this one answers." },
    { 0 },
};
const struct body send_message_body = { "SendMessage", send_message_fields };

static const struct shape_field forwarded_fields[] = {
    { "roomId", SHAPE_UUID, "Where it comes from." },
    { "messageId", SHAPE_UUID, "The message it repeats." },
    { "senderId", SHAPE_UUID, "Who said it first." },
    { 0 },
};
static const struct shape forwarded_shape = { "Forwarded", forwarded_fields };

static const struct shape_field reaction_fields[] = {
    { "emoji", SHAPE_TEXT, "The emoji.", .example = "\"👍\"" },
    { "count", SHAPE_INT, "How many people." },
    { "userIds", SHAPE_UUID, "The first ten of them.", .list = true },
    { 0 },
};
static const struct shape reaction_shape = { "Reaction", reaction_fields };

/* message_json */
static const struct shape_field message_fields[] = {
    { "id", SHAPE_UUID, "Of the message." },
    { "roomId", SHAPE_UUID, "Where it stands." },
    { "seq", SHAPE_INT, "Its number in the room: 1, 2, 3, … without gaps." },
    { "senderId", SHAPE_UUID, "Who said it." },
    { "body", SHAPE_TEXT, "The text; empty when erased.", .example = "\"Is anybody here?\"" },
    { "postedAt", SHAPE_TIME, "When it was said." },
    { "editedAt", SHAPE_TIME, "When it was changed last.", .optional = true },
    { "version", SHAPE_INT, "2 after the first change, and so on; 1 when left out.", .optional = true },
    { "deletedAt", SHAPE_TIME, "When it was deleted.", .optional = true },
    { "pinnedAt", SHAPE_TIME, "When it was pinned.", .optional = true },
    { "replyTo", SHAPE_INT, "Number of the message that it answers.", .optional = true },
    { "thread", SHAPE_INT, "Number of the message that began the thread it belongs to.", .optional = true },
    { "replyCount", SHAPE_INT, "Answers in the thread that it began.", .optional = true },
    { "mentions", SHAPE_UUID, "Members who are named.", .list = true, .optional = true },
    { "mentionsRoom", SHAPE_BOOL, "All members are meant.", .optional = true },
    { "forwarded", SHAPE_OBJECT, "Where it comes from.", .of = &forwarded_shape, .optional = true },
    { "reactions", SHAPE_OBJECT, "By emoji, in the order they came.", .of = &reaction_shape, .list = true,
      .optional = true },
    { 0 },
};
const struct shape message_shape = { "Message", message_fields, .param = "message" };

const struct body_field messages_query[] = {
    { "limit", FIELD_INT, .min = 1, .max = PAGE_MAX, .preset = "50", .doc = "How many at most." },
    { "before", FIELD_INT, .min = 1, .max = INT64_MAX, .doc = "The newest with smaller numbers than this." },
    { "after", FIELD_INT, .min = 0, .max = INT64_MAX, .doc = "The oldest with larger numbers than this." },
    { "cursor", FIELD_TEXT, .max = 200, .doc = "nextCursor of the page before, of the same room." },
    { "around", FIELD_INT, .min = 1, .max = INT64_MAX,
      .doc = "Those before and behind this number. One of these four." },
    { "asOf", FIELD_TEXT, .max = 64, .example = "\"2026-01-31T12:00:00Z\"",
      .doc = "What had been posted by then: a time (RFC 3339), or a position of the room's partition, like "
             "rooms/3@1234; with the texts of then where one may read earlier versions." },
    { 0 },
};

/* --- POST /rooms/{room}/messages --- */

static enum request_step message_posted(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    const struct message_posted *posted = &((const struct rooms_fact *)fact)->message_posted;
    struct message_view message;
    message_view_posted(&message, posted, text_normalise(&r->arena, body_str(r, "body")));
    struct json j = response_json(r, 201);
    message_json(&j, &message);
    char room[UUID_TEXT_LEN + 1], id[UUID_TEXT_LEN + 1];
    uuid_format(posted->room_id, room);
    uuid_format(posted->message_id, id);
    response_header(r, "Location", "/api/v1/rooms/%s/messages/%s", room, id);
    return REQUEST_DONE;
}

static enum request_step post(struct request *r, const struct mentions *mentions)
{
    int64_t send_at;
    if (body_time(r, "sendAt", &send_at))
        return scheduled_post(r, mentions, send_at);
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_POST_MESSAGE;
    c->post_message = (struct post_message){
        .room_id = r->ids[0],
        .message_id = uuid_v7(r->received_at),
        .body = { .clear = text_normalise(&r->arena, body_str(r, "body")) },
        .mentions = { mentions->ids, mentions->count },
        .mentions_room = mentions->room,
    };
    body_int(r, "replyTo", &c->post_message.reply_to);
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, message_posted);
}

static enum request_step post_naming(struct request *r, struct pool_thread *thread)
{
    struct mentions mentions;
    const err e = mentions_resolve(r, thread, r->ids[0], body_str(r, "body"), &mentions);
    if (e == OK)
        return post(r, &mentions);
    problem_err(r, e);
    return REQUEST_DONE;
}

/* Only who may be named costs a look into PostgreSQL. */
enum request_step messages_post(struct request *r)
{
    static const struct mentions nobody;
    return mentions_possible(body_str(r, "body")) ? pool_run(r->gateway->reads, r, post_naming) : post(r, &nobody);
}

/* --- POST /messages --- */

/* The conversation is there: now the message, under the request's own command id. */
static enum request_step direct_opened(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    const struct uuid *own = r->state;
    r->command_id = *own;
    r->response.header_count = 0; /* position and repetition are told of the message */
    r->tolerated = ACCEPTED;
    return messages_post(r);
}

static enum request_step send_direct(struct request *r, struct pool_thread *thread)
{
    struct uuid peer = uuid_nil;
    bool there, good;
    body_uuid(r, "receiverId", &peer);
    const err e = direct_room_find(r, thread, peer, &there, &good);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!good)
        return dispatch_refused(r, thread, &rooms_stream, r->claims.user_id, message_posted);
    if (there)
        return messages_post(r);
    struct uuid *own = ARENA_NEW(&r->arena, struct uuid);
    *own = r->command_id;
    r->state = own;
    r->command_id = uuid_v5(*own, STR("open"));
    return direct_room_open(r, peer, direct_opened);
}

enum request_step messages_send(struct request *r)
{
    const bool to_room = body_uuid(r, "roomId", &r->ids[0]);
    if (to_room == (body_str(r, "receiverId").ptr != NULL)) {
        problem(r, 400, "invalid_body", "receiverId", "Give one of receiverId and roomId.");
        return REQUEST_DONE;
    }
    return to_room ? messages_post(r) : pool_run(r->gateway->reads, r, send_direct);
}

/* --- GET /rooms/{room}/messages --- */

enum page_order { NEWEST, BEFORE, AFTER };

/* Of ?asOf=. */
struct moment {
    int64_t position, time; /* position -1: by time */
};

struct page_query {
    enum page_order order;
    int64_t bound; /* BEFORE, AFTER: exclusive */
    int limit;
    struct moment moment; /* asOf */
};

/* What of the room the page shows; empty when from > to. */
struct page_range {
    int64_t from, to;
};

static struct page_range page_range(const struct page_query *q, int64_t last_seq)
{
    struct page_range range;
    if (q->order == AFTER && q->bound >= last_seq) {
        range = (struct page_range){ .from = 1, .to = 0 };
    } else if (q->order == AFTER) {
        range.from = q->bound + 1;
        range.to = last_seq - q->bound > q->limit ? q->bound + q->limit : last_seq;
    } else {
        range.to = q->order == BEFORE && q->bound <= last_seq ? q->bound - 1 : last_seq;
        range.from = range.to > q->limit ? range.to - q->limit + 1 : 1;
    }
    return range;
}

static struct str page_list_name(struct uuid room, char ret[64])
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(room, id);
    snprintf(ret, 64, "messages:%s", id);
    return str_of(ret);
}

/* A cursor's position: the order in the first byte, the bound in the last eight. */
static struct uuid page_position(enum page_order order, int64_t bound)
{
    struct uuid position = { { (uint8_t)order } };
    for (int i = 0; i < 8; i++)
        position.bytes[8 + i] = (uint8_t)(bound >> (56 - 8 * i));
    return position;
}

static bool page_cursor(struct request *r, struct str text, struct page_query *q)
{
    char name[64];
    struct uuid position;
    if (!cursor_parse(r->gateway->cursors, page_list_name(r->ids[0], name), text, &position))
        return false;
    q->order = (enum page_order)position.bytes[0];
    q->bound = 0;
    for (int i = 8; i < 16; i++)
        q->bound = q->bound << 8 | position.bytes[i];
    return true;
}

/* {"items":[…],"nextCursor":…}: goes on in the direction of the request, and ends where the room ends. */
static void page_end(struct request *r, struct json *j, const struct page_query *q, struct page_range shown,
                     int64_t last_seq)
{
    json_close(j, ']');
    json_key(j, "nextCursor");
    bool more = shown.from <= shown.to && (q->order == AFTER ? shown.to < last_seq : shown.from > 1);
    if (more) {
        char name[64], cursor[CURSOR_LEN + 1];
        struct uuid next = q->order == AFTER ? page_position(AFTER, shown.to) : page_position(BEFORE, shown.from);
        cursor_format(r->gateway->cursors, page_list_name(r->ids[0], name), next, cursor);
        json_str(j, str_of(cursor));
    } else {
        json_none(j);
    }
    json_close(j, '}');
}

static struct json page_begin(struct request *r)
{
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_key(&j, "items");
    json_open(&j, '[');
    return j;
}

static struct page_key page_key(const struct request *r, const struct page_query *q, struct page_range range,
                                int64_t version)
{
    return (struct page_key){
        .room = r->ids[0], .version = version, .from = range.from, .to = range.to, .order = q->order == AFTER
    };
}

/* A batch of pages under way. The arrays are parallel; those answered have left `open`. */
struct pages {
    struct pool_thread *thread;
    struct gateway *gateway;
    int64_t now_us;
    struct request **requests;
    struct room_cache_head *heads;
    struct page_range *ranges;
    bool *open;
    size_t count;
};

/* First round trip: heads. Answers strangers, empty pages, and pages that are rendered already. */
static err pages_heads(struct pages *p, struct redis *redis)
{
    for (size_t i = 0; i < p->count; i++) {
        p->heads[i].room = p->requests[i]->ids[0];
        p->heads[i].viewer = p->requests[i]->claims.user_id;
    }
    TRY(room_cache_heads(redis, &p->thread->arena, p->heads, p->count));
    for (size_t i = 0; i < p->count; i++) {
        struct request *r = p->requests[i];
        const struct room_cache_head *head = &p->heads[i];
        if (!head->known || head->membership == ROOM_CACHE_UNKNOWN)
            continue;
        const struct page_query *q = r->state;
        p->ranges[i] = page_range(q, head->last_seq);
        struct page_key key = page_key(r, q, p->ranges[i], head->version);
        if (head->membership == ROOM_CACHE_STRANGER) {
            room_refuse(r, head->kind == ROOM_KIND_PUBLIC);
        } else if (p->ranges[i].from > p->ranges[i].to) {
            struct json j = page_begin(r);
            page_end(r, &j, q, p->ranges[i], head->last_seq);
        } else {
            response_json(r, 200);
            if (!page_cache_get(p->gateway->pages, &key, p->now_us, &r->response.body))
                continue;
            metrics_add(p->gateway->metrics, METRIC_PAGES_LOCAL, 1);
        }
        p->open[i] = false;
    }
    return OK;
}

/* Second round trip: the messages of those that are in Redis' ring. */
static err pages_cached(struct pages *p, struct redis *redis)
{
    struct room_cache_page *pages = ARENA_ARRAY(&p->thread->arena, struct room_cache_page, p->count);
    size_t *owner = ARENA_ARRAY(&p->thread->arena, size_t, p->count);
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct room_cache_head *head = &p->heads[i];
        if (!p->open[i] || !head->known || head->membership != ROOM_CACHE_MEMBER ||
            p->ranges[i].from <= head->last_seq - ROOM_CACHE_RING)
            continue;
        owner[n] = i;
        pages[n++] = (struct room_cache_page){ .room = head->room, .from = p->ranges[i].from, .to = p->ranges[i].to };
    }
    if (n == 0)
        return OK;
    TRY(room_cache_pages(redis, &p->thread->arena, pages, n));
    for (size_t k = 0; k < n; k++) {
        if (!pages[k].complete)
            continue;
        size_t i = owner[k];
        struct request *r = p->requests[i];
        const struct page_query *q = r->state;
        struct json j = page_begin(r);
        for (int64_t s = 0; s <= pages[k].to - pages[k].from; s++)
            json_raw(&j, pages[k].items[s]);
        page_end(r, &j, q, p->ranges[i], p->heads[i].last_seq);
        struct page_key key = page_key(r, q, p->ranges[i], p->heads[i].version);
        page_cache_put(p->gateway->pages, &key, p->now_us, buf_view(&r->response.body));
        metrics_add(p->gateway->metrics, METRIC_PAGES_REDIS, 1);
        p->open[i] = false;
    }
    return OK;
}

static void page_render(struct pages *p, struct request *r, const struct message_page *page)
{
    const struct page_query *q = r->state;
    struct page_range range = page_range(q, page->view.last_seq);
    struct json j = page_begin(r);
    for (size_t i = 0; i < page->count; i++)
        message_json(&j, &page->items[i]);
    page_end(r, &j, q, range, page->view.last_seq);
    /* The row and its messages were read in one snapshot, so the row's position is the page's version. */
    struct page_key key = page_key(r, q, range, page->view.position);
    page_cache_put(p->gateway->pages, &key, p->now_us, buf_view(&r->response.body));
}

/* Third: PostgreSQL; what Redis lacked is put there. */
static err pages_stored(struct pages *p, struct redis *redis)
{
    struct arena *arena = &p->thread->arena;
    struct message_page *pages = ARENA_ARRAY(arena, struct message_page, p->count);
    size_t *owner = ARENA_ARRAY(arena, size_t, p->count);
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (!p->open[i])
            continue;
        const struct request *r = p->requests[i];
        const struct page_query *q = r->state;
        owner[n] = i;
        pages[n++] = (struct message_page){
            .room = r->ids[0],
            .viewer = r->claims.user_id,
            .before = q->order == BEFORE ? q->bound : 0,
            .after = q->order == AFTER ? q->bound : -1,
            .limit = q->limit,
        };
    }
    if (n == 0)
        return OK;
    TRY(message_pages(p->thread->pg, arena, pages, n));
    metrics_add(p->gateway->metrics, METRIC_PAGES_POSTGRES, (int64_t)n);
    for (size_t k = 0; k < n; k++) {
        size_t i = owner[k];
        const struct message_page *page = &pages[k];
        if (page->found && page->view.is_member)
            page_render(p, p->requests[i], page);
        else
            room_refuse(p->requests[i], page->found);
        p->open[i] = false;
        if (redis && page->found &&
            room_cache_refill(redis, arena, &p->heads[i], &page->view, page->items, page->count) == RETRY) {
            pool_redis_failed(p->thread);
            redis = NULL;
        }
    }
    return OK;
}

static void messages_pages(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct arena *arena = &thread->arena;
    struct pages p = {
        .thread = thread,
        .gateway = requests[0]->gateway,
        .now_us = clock_mono_us(),
        .requests = requests,
        .heads = ARENA_ARRAY(arena, struct room_cache_head, count),
        .ranges = ARENA_ARRAY(arena, struct page_range, count),
        .open = ARENA_ARRAY(arena, bool, count),
        .count = count,
    };
    memset(p.open, true, count);
    struct redis *redis = dispatch_doubts_cache(p.gateway->dispatch) ? NULL : pool_redis(thread);
    if (redis) {
        err e = pages_heads(&p, redis);
        if (e == OK)
            e = pages_cached(&p, redis);
        if (e != OK) {
            LOG(WARN, "messages are read without Redis", F_ERR);
            pool_redis_failed(thread);
            redis = NULL;
        }
    }
    err e = pages_stored(&p, redis);
    for (size_t i = 0; i < count && e != OK; i++)
        if (p.open[i])
            problem_err(requests[i], e);
}

/* --- ?asOf= --- */

static bool moment_parse(struct request *r, struct str text, struct moment *ret)
{
    char room[UUID_TEXT_LEN + 1];
    int partition = 0, end = 0;
    long long offset = 0;
    *ret = (struct moment){ .position = -1 };
    if (clock_parse_rfc3339(text, &ret->time))
        return true;
    const char *position = arena_str(&r->arena, text).ptr;
    uuid_format(r->ids[0], room);
    const int own =
        rd_kafka_msg_partitioner_murmur2(NULL, room, UUID_TEXT_LEN, r->gateway->rooms_partitions, NULL, NULL);
    /* NOLINTNEXTLINE(cert-err34-c): the widths keep the numbers in range */
    if (sscanf(position, "rooms/%9d@%18lld%n", &partition, &offset, &end) != 2 || (size_t)end != text.len ||
        partition != own || offset < 0)
        return false;
    ret->position = offset;
    return true;
}

static enum request_step page_as_of(struct request *r, struct pool_thread *thread)
{
    const struct page_query *q = r->state;
    struct room_view room;
    struct message_view *items;
    size_t count;
    bool member;
    err e = room_as_member(r, thread, &room, &member);
    if (e == OK && !member)
        return REQUEST_DONE;
    if (e == OK)
        e = message_page_as_of(thread->pg, &thread->arena, room.id, r->claims.user_id, message_moderates(r, &room),
                               q->moment.position, q->moment.time, q->order == BEFORE ? q->bound : 0, q->limit, &items,
                               &count);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct json j = page_begin(r);
    for (size_t i = 0; i < count; i++)
        message_json(&j, &items[i]);
    const struct page_range shown = { count ? items[0].seq : 1, count ? items[count - 1].seq : 0 };
    page_end(r, &j, q, shown, room.last_seq);
    return REQUEST_DONE;
}

static bool too_many_bounds(struct request *r)
{
    static const char *const names[] = { "before", "after", "cursor", "around" };
    struct str text;
    const char *second = NULL;
    int given = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (query_text(r, names[i], &text) && ++given > 1)
            second = names[i];
    if (second)
        problem(r, 400, "bad_query", second, "Give one of before, after, around and cursor.");
    return second != NULL;
}

enum request_step messages_list(struct request *r)
{
    struct page_query *q = ARENA_NEW(&r->arena, struct page_query);
    int64_t before = 0, after = 0, limit = PAGE_DEFAULT;
    struct str cursor;
    query_int(r, "limit", &limit);
    bool has_before = query_int(r, "before", &before);
    bool has_after = query_int(r, "after", &after);
    bool has_cursor = query_text(r, "cursor", &cursor);
    if (too_many_bounds(r))
        return REQUEST_DONE;
    q->limit = (int)limit;
    q->order = has_before ? BEFORE : has_after ? AFTER : NEWEST;
    q->bound = has_before ? before : after;
    if (has_cursor && !page_cursor(r, cursor, q)) {
        problem(r, 400, "bad_query", "cursor", "Give the nextCursor of the page before, of the same room.");
        return REQUEST_DONE;
    }
    int64_t around;
    if (query_int(r, "around", &around)) {
        q->order = AFTER;
        q->bound = around > limit / 2 ? around - limit / 2 - 1 : 0;
    }
    r->state = q;
    struct str moment;
    if (!query_text(r, "asOf", &moment))
        return pool_run_batched(r->gateway->reads, r, messages_pages);
    if (q->order == AFTER) {
        problem(r, 400, "bad_query", "asOf", "goes with before and cursor only.");
        return REQUEST_DONE;
    }
    if (!moment_parse(r, moment, &q->moment)) {
        problem(r, 400, "bad_query", "asOf", "must be a time (RFC 3339), or a position of the room's own partition.");
        return REQUEST_DONE;
    }
    return pool_run(r->gateway->reads, r, page_as_of);
}
