#include "consumers/messages/cache.h"

#include <assert.h>
#include <stdlib.h>

#include "consumers/messages/row.h"
#include "consumers/projection/text.h"

#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(size)        arena_alloc_raw(arena, (size))
#define uthash_free(pointer, size) ((void)(pointer))
#include <uthash.h>

static const struct str epoch_key = { "aether:rooms:epoch", sizeof "aether:rooms:epoch" - 1 };

/* A hash that nobody writes for a day is dropped: what is never read again does not fill the memory. */
#define EXPIRES "86400"

/* Starts a new epoch: the server's clock in microseconds, so that no epoch comes twice, not even after Redis was
 * emptied. */
#define LUA_NEW_EPOCH                                                                                                  \
    "local function new_epoch(key)\n"                                                                                  \
    "  local t = redis.call('TIME')\n"                                                                                 \
    "  local epoch = string.format('%d%06d', t[1], t[2])\n"                                                            \
    "  redis.call('SET', key, epoch)\n"                                                                                \
    "  return epoch\n"                                                                                                 \
    "end\n"

/* KEYS: epoch. */
static const struct redis_script script_new_epoch = { LUA_NEW_EPOCH "return new_epoch(KEYS[1])" };

/* Once a room and batch. KEYS: room, epoch, tail. ARGV: first and last offset of the batch in this partition, version,
 * field, value, … The first call of a batch moves the tail, the others find it where the batch ends. A tail that is
 * ahead means that somebody has written later facts than these: a new owner after a fenced one, or the other way round.
 * Then only the version is kept, so that the head is unknown until a read from PostgreSQL is at least as new. Without a
 * version only the tail is moved: a batch of several partitions does that first, so that a gap in one does not empty
 * what was written for another. */
static const struct redis_script script_write = {
    LUA_NEW_EPOCH "local now = redis.call('MGET', KEYS[2], KEYS[3])\n"
                  "local epoch, tail = now[1], tonumber(now[2])\n"
                  "if not epoch or not tail or tail < tonumber(ARGV[1]) - 1 then epoch = new_epoch(KEYS[2]) end\n"
                  "if not tail or tail < tonumber(ARGV[2]) then\n"
                  "  tail = tonumber(ARGV[2])\n"
                  "  redis.call('SET', KEYS[3], ARGV[2])\n"
                  "end\n"
                  "if not ARGV[3] then return 1 end\n"
                  "local was = redis.call('HMGET', KEYS[1], 'e', 'v')\n"
                  "if was[1] ~= epoch then\n"
                  "  redis.call('DEL', KEYS[1])\n"
                  "elseif tonumber(was[2]) > tonumber(ARGV[3]) then\n"
                  "  return 0\n"
                  "end\n"
                  "if tail == tonumber(ARGV[2]) then\n"
                  "  redis.call('HSET', KEYS[1], 'e', epoch, 'v', ARGV[3], unpack(ARGV, 4))\n"
                  "else\n"
                  "  redis.call('DEL', KEYS[1])\n"
                  "  redis.call('HSET', KEYS[1], 'e', epoch, 'v', ARGV[3])\n"
                  "end\n"
                  "redis.call('EXPIRE', KEYS[1], " EXPIRES ")\n"
                  "return 1",
};

/* What was read from PostgreSQL. KEYS: room, epoch. ARGV: epoch before the read, version, field, value, … A version
 * that is behind the hash's says nothing about the hash's: a message may lie between them that only the next read will
 * see. */
static const struct redis_script script_refill = {
    LUA_NEW_EPOCH "local epoch = redis.call('GET', KEYS[2]) or ''\n"
                  "if epoch ~= ARGV[1] then return 0 end\n"
                  "if epoch == '' then epoch = new_epoch(KEYS[2]) end\n"
                  "local was = redis.call('HMGET', KEYS[1], 'e', 'v')\n"
                  "if was[1] ~= epoch then\n"
                  "  redis.call('DEL', KEYS[1])\n"
                  "elseif tonumber(was[2]) > tonumber(ARGV[2]) then\n"
                  "  return 0\n"
                  "end\n"
                  "redis.call('HSET', KEYS[1], 'e', epoch, 'v', ARGV[2], unpack(ARGV, 3))\n"
                  "redis.call('EXPIRE', KEYS[1], " EXPIRES ")\n"
                  "return 1",
};

/* --- keys, fields, values --- */

static struct str room_key(struct arena *arena, struct uuid room)
{
    static const struct str prefix = { "aether:room:", sizeof "aether:room:" - 1 };
    char *key = arena_alloc_raw(arena, prefix.len + UUID_TEXT_LEN + 1);
    memcpy(key, prefix.ptr, prefix.len);
    uuid_format(room, key + prefix.len);
    return (struct str){ key, prefix.len + UUID_TEXT_LEN };
}

static struct str tail_key(struct arena *arena, int32_t partition)
{
    return str_of(arena_printf(arena, "aether:rooms:tail:%d", partition));
}

static struct str slot_field(struct arena *arena, int64_t seq)
{
    return str_of(arena_printf(arena, "s%d", (int)(seq % ROOM_CACHE_RING)));
}

static struct str member_field(struct arena *arena, struct uuid user)
{
    char *field = arena_alloc_raw(arena, 1 + sizeof user.bytes);
    field[0] = 'm';
    memcpy(field + 1, user.bytes, sizeof user.bytes);
    return (struct str){ field, 1 + sizeof user.bytes };
}

static struct str integer(struct arena *arena, int64_t i)
{
    return str_of(arena_printf(arena, "%lld", (long long)i));
}

static struct str kind_value(struct arena *arena, enum room_kind kind)
{
    return integer(arena, row_of_room_kind(kind));
}

static struct str slot_value(struct arena *arena, struct buf *scratch, const struct message_view *message)
{
    buf_clear(scratch);
    buf_printf(scratch, "%lld:", (long long)message->seq);
    struct json j = json_writer(scratch);
    message_json(&j, message);
    return arena_str(arena, buf_view(scratch));
}

/* The arguments of one call of a script on one room, and more calls when they are too many for Lua's stack. */
#define CALL_ARGS_MAX 1000

struct call {
    struct redis *redis;
    const struct redis_script *script;
    struct str argv[CALL_ARGS_MAX];
    size_t keys, head, argc; /* head: keys and leading arguments, which every call repeats */
};

static err call_send(struct call *c)
{
    const size_t argc = c->argc;
    c->argc = c->head;
    return redis_add_script(c->redis, c->script, c->keys, argc, c->argv);
}

static err call_field(struct call *c, struct str field, struct str value)
{
    if (c->argc + 2 > CALL_ARGS_MAX)
        TRY(call_send(c));
    c->argv[c->argc++] = field;
    c->argv[c->argc++] = value;
    return OK;
}

/* --- the worker's side --- */

struct mention {
    const struct rooms_fact *fact;
    struct mention *next;
};

/* What a batch says about one room, in the order of the log. */
struct room_write {
    struct uuid id;
    int32_t partition;
    int64_t version, last_seq; /* last_seq 0: nobody posted */
    struct mention *first, **end;
    struct room_write *next;
    UT_hash_handle hh;
};

/* The part of a batch that comes from one partition. */
struct span {
    int32_t partition;
    int64_t first, last;
    struct span *next;
};

struct writes {
    struct room_write *by_id, *first, **end;
    struct span *spans;
};

static struct room_write *writes_of(struct writes *w, struct arena *arena, struct uuid id)
{
    struct room_write *room;
    HASH_FIND(hh, w->by_id, &id, sizeof id, room);
    if (room)
        return room;
    room = ARENA_NEW(arena, struct room_write);
    room->id = id;
    room->end = &room->first;
    HASH_ADD(hh, w->by_id, id, sizeof room->id, room);
    *w->end = room;
    w->end = &room->next;
    return room;
}

static void writes_add(struct writes *w, struct arena *arena, const struct placed_fact *placed)
{
    const struct rooms_fact *fact = (const struct rooms_fact *)placed->fact;
    struct room_write *room = writes_of(w, arena, rooms_stream.fact.key(placed->fact));
    room->partition = placed->partition;
    room->version = placed->offset;
    if (fact->type == ROOMS_MESSAGE_POSTED)
        room->last_seq = fact->message_posted.seq;
    struct mention *mention = ARENA_NEW(arena, struct mention);
    mention->fact = fact;
    *room->end = mention;
    room->end = &mention->next;

    struct span *span = w->spans;
    while (span && span->partition != placed->partition)
        span = span->next;
    if (!span) {
        span = ARENA_NEW(arena, struct span);
        *span = (struct span){ placed->partition, placed->offset, placed->offset, w->spans };
        w->spans = span;
    }
    span->last = placed->offset;
}

static err write_message(struct call *call, struct arena *arena, struct buf *scratch,
                         const struct message_posted *posted)
{
    if (posted->body.state != OPEN)
        return OK;
    struct message_view message;
    message_view_posted(&message, posted, text_storable(arena, posted->body.clear));
    return call_field(call, slot_field(arena, posted->seq), slot_value(arena, scratch, &message));
}

/* A message that was in the ring and is another one now: its slot says nothing until it is read from PostgreSQL. */
static err forget_message(struct call *call, struct arena *arena, const struct room_write *room, int64_t seq)
{
    if (room->last_seq && seq <= room->last_seq - ROOM_CACHE_RING)
        return OK; /* the slot is another message's */
    return call_field(call, slot_field(arena, seq), STR(""));
}

static err write_membership(struct call *call, struct arena *arena, struct uuid user, bool is_member)
{
    return call_field(call, member_field(arena, user), is_member ? STR("1") : STR("0"));
}

static err write_created(struct call *call, struct arena *arena, const struct room_created *created)
{
    TRY(call_field(call, STR("k"), kind_value(arena, created->kind)));
    TRY(call_field(call, STR("h"), STR("0")));
    TRY(write_membership(call, arena, created->meta.actor, true));
    return created->kind == ROOM_KIND_DIRECT ? write_membership(call, arena, created->peer_id, true) : OK;
}

static err write_posted(struct call *call, struct arena *arena, struct buf *scratch, const struct room_write *room,
                        const struct message_posted *posted)
{
    if (posted->thread)
        TRY(forget_message(call, arena, room, posted->thread)); /* it has a reply more */
    return posted->seq > room->last_seq - ROOM_CACHE_RING ? write_message(call, arena, scratch, posted) : OK;
}

static err write_fact(struct call *call, struct arena *arena, struct buf *scratch, const struct room_write *room,
                      const struct rooms_fact *f)
{
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        return write_created(call, arena, &f->room_created);
    case ROOMS_MEMBER_JOINED:
        return write_membership(call, arena, f->member_joined.user_id, true);
    case ROOMS_MEMBER_LEFT:
        return write_membership(call, arena, f->member_left.user_id, false);
    case ROOMS_MEMBER_REMOVED:
        return write_membership(call, arena, f->member_removed.user_id, false);
    case ROOMS_MEMBER_BANNED:
        return write_membership(call, arena, f->member_banned.user_id, false);
    case ROOMS_MESSAGE_POSTED:
        return write_posted(call, arena, scratch, room, &f->message_posted);
    case ROOMS_MESSAGE_EDITED:
        return forget_message(call, arena, room, f->message_edited.seq);
    case ROOMS_MESSAGE_DELETED:
        if (f->message_deleted.thread)
            TRY(forget_message(call, arena, room, f->message_deleted.thread)); /* it has a reply fewer */
        return forget_message(call, arena, room, f->message_deleted.seq);
    case ROOMS_MESSAGE_PINNED:
        return forget_message(call, arena, room, f->message_pinned.seq);
    case ROOMS_MESSAGE_UNPINNED:
        return forget_message(call, arena, room, f->message_unpinned.seq);
    case ROOMS_REACTION_ADDED:
        return forget_message(call, arena, room, f->reaction_added.seq);
    case ROOMS_REACTION_REMOVED:
        return forget_message(call, arena, room, f->reaction_removed.seq);
    case ROOMS_ROOM_CHANGED:
    case ROOMS_ROOM_TRANSFERRED:
    case ROOMS_ROLE_CHANGED:
    case ROOMS_MEMBER_UNBANNED:
    case ROOMS_MEMBER_INVITED:
    case ROOMS_INVITATION_WITHDRAWN:
    case ROOMS_MESSAGE_SCHEDULED:
    case ROOMS_SCHEDULED_MESSAGE_WITHHELD:
    case ROOMS_SCHEDULED_MESSAGE_CANCELED:
    case ROOMS_FACT_NONE:
        break; /* nothing of it is kept here but the version */
    }
    return OK;
}

static err write_room(struct call *call, struct arena *arena, struct buf *scratch, const struct room_write *room)
{
    for (const struct mention *m = room->first; m; m = m->next)
        TRY(write_fact(call, arena, scratch, room, m->fact));
    if (room->last_seq)
        TRY(call_field(call, STR("h"), integer(arena, room->last_seq)));
    return call_send(call);
}

static err write_all(struct redis *redis, struct arena *arena, struct buf *scratch, const struct writes *w)
{
    for (const struct span *span = w->spans; w->spans->next && span; span = span->next) {
        const struct str argv[] = { epoch_key, epoch_key, tail_key(arena, span->partition), integer(arena, span->first),
                                    integer(arena, span->last) };
        TRY(redis_add_script(redis, &script_write, 3, 5, argv));
    }
    struct call *call = arena_alloc_raw(arena, sizeof *call);
    for (const struct room_write *room = w->first; room; room = room->next) {
        const struct span *span = w->spans;
        while (span && span->partition != room->partition)
            span = span->next;
        assert(span); /* each room's partition has one */
        call->redis = redis;
        call->script = &script_write;
        call->keys = 3;
        call->head = call->argc = 6;
        call->argv[0] = room_key(arena, room->id);
        call->argv[1] = epoch_key;
        call->argv[2] = tail_key(arena, room->partition);
        call->argv[3] = integer(arena, span->first);
        call->argv[4] = integer(arena, span->last);
        call->argv[5] = integer(arena, room->version);
        TRY(write_room(call, arena, scratch, room));
    }
    return OK;
}

err room_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    if (count == 0) {
        TRY(redis_add_script(redis, &script_new_epoch, 1, 1, &epoch_key));
        return redis_flush(redis, NULL, NULL);
    }
    struct writes writes = { .end = &writes.first };
    for (size_t i = 0; i < count; i++)
        writes_add(&writes, arena, &facts[i]);
    static _Thread_local struct buf scratch; /* kept: no allocation a batch */
    TRY(write_all(redis, arena, &scratch, &writes));
    return redis_flush(redis, NULL, NULL);
}

/* --- the gateway's side --- */

static bool reply_integer(const redisReply *reply, int64_t *ret)
{
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0)
        return false;
    char *end;
    *ret = strtoll(reply->str, &end, 10);
    return end == reply->str + reply->len;
}

static bool reply_is(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

struct heads {
    struct room_cache_head *heads;
    char epoch[ROOM_CACHE_EPOCH_LEN];
};

/* The first reply is the epoch, each other the head before it. */
static void head_read(void *context, size_t index, const redisReply *reply)
{
    struct heads *h = context;
    if (index == 0) {
        if (reply->type == REDIS_REPLY_STRING && reply->len < sizeof h->epoch)
            memcpy(h->epoch, reply->str, reply->len + 1);
        return;
    }
    struct room_cache_head *head = &h->heads[index - 1];
    memcpy(head->epoch, h->epoch, sizeof head->epoch);
    head->known = false;
    head->membership = ROOM_CACHE_UNKNOWN;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5 || !h->epoch[0] ||
        !reply_is(reply->element[0], h->epoch))
        return;
    int64_t kind = 0;
    head->known = reply_integer(reply->element[1], &head->version) &&
                  reply_integer(reply->element[2], &head->last_seq) && reply_integer(reply->element[3], &kind);
    head->kind = room_kind_of_row(kind);
    head->membership = reply_is(reply->element[4], "1")   ? ROOM_CACHE_MEMBER
                       : reply_is(reply->element[4], "0") ? ROOM_CACHE_STRANGER
                                                          : ROOM_CACHE_UNKNOWN;
}

err room_cache_heads(struct redis *redis, struct arena *arena, struct room_cache_head *heads, size_t count)
{
    struct heads h = { .heads = heads };
    const struct str get_epoch[] = { STR("GET"), epoch_key };
    TRY(redis_add(redis, 2, get_epoch));
    for (size_t i = 0; i < count; i++) {
        const struct str argv[] = { STR("HMGET"), room_key(arena, heads[i].room),      STR("e"), STR("v"), STR("h"),
                                    STR("k"),     member_field(arena, heads[i].viewer) };
        TRY(redis_add(redis, sizeof argv / sizeof *argv, argv));
    }
    return redis_flush(redis, head_read, &h);
}

struct pages {
    struct room_cache_page *pages;
    struct arena *arena;
};

static void page_read(void *context, size_t index, const redisReply *reply)
{
    struct pages *p = context;
    struct room_cache_page *page = &p->pages[index];
    const size_t count = (size_t)(page->to - page->from + 1);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
        return;
    for (size_t i = 0; i < count; i++) {
        const redisReply *slot = reply->element[i];
        char prefix[24];
        const size_t len = (size_t)snprintf(prefix, sizeof prefix, "%lld:", (long long)page->from + (long long)i);
        if (slot->type != REDIS_REPLY_STRING || slot->len <= len || memcmp(slot->str, prefix, len) != 0)
            return;
        page->items[i] = arena_str(p->arena, (struct str){ slot->str + len, slot->len - len });
    }
    page->complete = true;
}

err room_cache_pages(struct redis *redis, struct arena *arena, struct room_cache_page *pages, size_t count)
{
    struct str *argv = ARENA_ARRAY(arena, struct str, 2 + ROOM_CACHE_RING);
    for (size_t i = 0; i < count; i++) {
        struct room_cache_page *page = &pages[i];
        const size_t items = (size_t)(page->to - page->from + 1);
        page->complete = false;
        page->items = ARENA_ARRAY(arena, struct str, items);
        argv[0] = STR("HMGET");
        argv[1] = room_key(arena, page->room);
        for (size_t n = 0; n < items; n++)
            argv[2 + n] = slot_field(arena, page->from + (int64_t)n);
        TRY(redis_add(redis, 2 + items, argv));
    }
    struct pages context = { pages, arena };
    return redis_flush(redis, page_read, &context);
}

err room_cache_refill(struct redis *redis, struct arena *arena, const struct room_cache_head *head,
                      const struct room_view *room, const struct message_view *messages, size_t count)
{
    struct call *call = arena_alloc_raw(arena, sizeof *call);
    call->redis = redis;
    call->script = &script_refill;
    call->keys = 2;
    call->head = call->argc = 4;
    call->argv[0] = room_key(arena, room->id);
    call->argv[1] = epoch_key;
    call->argv[2] = str_of(head->epoch);
    call->argv[3] = integer(arena, room->position);
    TRY(call_field(call, STR("k"), kind_value(arena, room->kind)));
    TRY(call_field(call, STR("h"), integer(arena, room->last_seq)));
    TRY(call_field(call, member_field(arena, head->viewer), room->is_member ? STR("1") : STR("0")));
    struct buf scratch = { 0 };
    err queued = OK;
    for (size_t i = 0; i < count && queued == OK; i++) {
        const struct message_view *m = &messages[i];
        if ((m->body.len || m->deleted_at) && m->seq > room->last_seq - ROOM_CACHE_RING && m->seq <= room->last_seq)
            queued = call_field(call, slot_field(arena, m->seq), slot_value(arena, &scratch, m));
    }
    buf_finish(&scratch);
    TRY(queued);
    TRY(call_send(call));
    return redis_flush(redis, NULL, NULL);
}
