#include "gateway/live/catch_up.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/live/lane.h"
#include "gateway/live/live.h"
#include "gateway/live/position.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define PAGE     500
#define AHEAD_US 200000 /* how far the projection may be behind what a listener has seen */

struct catch_up {
    struct request request; /* first; what the pool runs */
    struct parcel parcel;
    struct listener *listener; /* the lane's; what the pool's thread needs of it stands here */
    struct uuid person;
    enum framing framing;
    int partitions;
    int64_t *at, *seen; /* seen NULL: by number */
    struct feed_room *rooms;
    size_t room_count;
    int64_t *after;         /* a room: numbers above this one are still to be told */
    int64_t left;           /* how many more are told at most */
    int limit;              /* of the next page: as many as are likely to fit */
    size_t most;            /* bytes of a page: live.max_pending_bytes */
    int64_t ahead_until_us; /* so long it is looked again whether the projection has come; 0: not yet */
    bool under_way, abandoned;
    /* of the page that was read */
    struct frame *frames[PAGE];
    size_t count;
    bool complete;
    err failure;
};

static void on_resumed(struct request *r);

struct catch_up *catch_up_create(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count)
{
    struct catch_up *c = mem_alloc(sizeof *c);
    c->listener = l;
    c->person = l->claims.user_id;
    c->framing = l->framing;
    c->partitions = lane_partitions(l->lane);
    c->at = at;
    c->rooms = rooms;
    c->room_count = room_count;
    c->after = mem_alloc(sizeof *c->after * (room_count + 1));
    c->request.gateway = live_gateway(lane_live(l->lane));
    c->request.resumed = on_resumed;
    c->left = config_int(c->request.gateway->config, "live.catch_up_events");
    c->limit = PAGE;
    c->most = lane_limits(l->lane)->max_pending_bytes;
    arena_init(&c->request.arena, 4096);
    for (size_t i = 0; i < room_count; i++)
        c->after[i] = rooms[i].joined_seq;
    return c;
}

static void catch_up_free(struct catch_up *c)
{
    for (size_t i = 0; i < c->count; i++)
        frame_release(c->frames[i]);
    arena_finish(&c->request.arena);
    buf_finish(&c->request.response.body);
    free(c->at);
    free(c->seen);
    free(c->rooms);
    free(c->after);
    free(c);
}

/* --- reading, on the pool's thread --- */

static int32_t partition_of(const struct catch_up *c, struct uuid room)
{
    char text[UUID_TEXT_LEN + 1];
    uuid_format(room, text);
    return rd_kafka_msg_partitioner_murmur2(NULL, text, UUID_TEXT_LEN, c->partitions, NULL, NULL);
}

static size_t find_gaps(struct catch_up *c, struct arena *arena, struct feed_gap **ret, size_t **ret_rooms)
{
    struct feed_gap *gaps = ARENA_ARRAY(arena, struct feed_gap, c->room_count);
    size_t n = 0, *rooms = ARENA_ARRAY(arena, size_t, c->room_count);
    for (size_t i = 0; i < c->room_count; i++) {
        const struct feed_room *room = &c->rooms[i];
        int32_t partition = partition_of(c, room->id);
        if (c->seen ? room->position < c->seen[partition] : room->last_seq <= c->after[i])
            continue;
        rooms[n] = i;
        gaps[n++] = (struct feed_gap){ .room = room->id,
                                       .partition = partition,
                                       .after = c->after[i],
                                       .from = c->seen ? c->seen[partition] : 0,
                                       .until = c->at[partition] };
    }
    *ret = gaps;
    *ret_rooms = rooms;
    return n;
}

/* Everything of the partitions before this one has been told. */
static void advance(struct catch_up *c, int32_t partition, int64_t next)
{
    for (int32_t i = 0; i < partition; i++)
        if (c->seen[i] < c->at[i])
            c->seen[i] = c->at[i];
    if (partition < c->partitions && c->seen[partition] < next)
        c->seen[partition] = next;
}

static struct frame *tell(struct catch_up *c, const struct feed_missed *missed, struct buf *text)
{
    char id[POSITION_TEXT_SIZE(POSITION_MAX_PARTITIONS)];
    struct str known = { 0 };
    const struct message_view *message = &missed->message;
    buf_clear(text);
    struct json j = json_writer(text);
    event_begin(&j, &(struct event_head){
                        .type = missed->changed ? "message.changed" : "message.posted",
                        .room = message->room_id,
                        .actor = message->sender_id,
                        .number = message->seq,
                        .partition = missed->gap->partition,
                        .offset = missed->position,
                        .at = message->posted_at,
                    });
    message_json(&j, message);
    if (c->seen) {
        advance(c, missed->gap->partition, missed->position + 1);
        known = (struct str){ id, position_format(c->seen, c->partitions, id) };
    }
    return frame_event(c->framing, buf_view(text), known);
}

/* It has seen more than the snapshot has: the feed is ahead of the projection. */
static bool is_ahead(const struct catch_up *c)
{
    for (size_t i = 0; i < c->room_count; i++)
        if (c->after[i] > c->rooms[i].last_seq && c->after[i] > c->rooms[i].joined_seq)
            return true;
    return false;
}

/* Another snapshot, of the same listener; rooms that are new in it were joined meanwhile. */
static err snapshot_again(struct catch_up *c, struct pool_thread *thread)
{
    struct feed_person person = { .user = c->person };
    TRY(feed_snapshot(thread->pg, &thread->arena, &person, 1, c->at, c->partitions));
    int64_t *after = mem_alloc(sizeof *after * (person.count + 1));
    for (size_t i = 0; i < person.count; i++) {
        after[i] = person.rooms[i].joined_seq;
        for (size_t k = 0; k < c->room_count; k++)
            if (uuid_equal(c->rooms[k].id, person.rooms[i].id))
                after[i] = c->after[k];
    }
    free(c->after);
    c->after = after;
    c->rooms = mem_resize(c->rooms, sizeof *c->rooms * (person.count + 1));
    memcpy(c->rooms, person.rooms, sizeof *c->rooms * person.count);
    c->room_count = person.count;
    return OK;
}

/* Not here: one thread reads for all. So the page stays empty, and is asked for again behind those of others. */
static err look_for_projection(struct catch_up *c, struct pool_thread *thread)
{
    int64_t now_us = clock_mono_us();
    if (c->ahead_until_us == 0)
        c->ahead_until_us = now_us + AHEAD_US;
    if (now_us > c->ahead_until_us)
        return err_set(RETRY, "a listener has seen more than there is");
    return snapshot_again(c, thread);
}

static err read_page(struct catch_up *c, struct pool_thread *thread)
{
    c->complete = false;
    if (!c->seen && is_ahead(c)) {
        TRY(look_for_projection(c, thread));
        if (is_ahead(c))
            return OK;
    }
    struct feed_gap *gaps;
    struct feed_missed *missed;
    size_t count, *rooms;
    size_t gap_count = find_gaps(c, &thread->arena, &gaps, &rooms);
    c->complete = gap_count == 0;
    if (c->complete)
        return OK;
    TRY(feed_missed(thread->pg, &thread->arena, gaps, gap_count, c->limit, &missed, &count));
    struct buf text = { 0 };
    size_t bytes = 0;
    for (size_t i = 0; i < count && bytes < c->most; i++) {
        size_t room = rooms[missed[i].gap - gaps];
        struct frame *frame = tell(c, &missed[i], &text);
        bytes += frame->len + LISTENER_FRAME_COST;
        c->frames[c->count++] = frame;
        if (!missed[i].changed && c->after[room] < missed[i].message.seq)
            c->after[room] = missed[i].message.seq;
    }
    buf_finish(&text);
    c->complete = c->count == count && count < (size_t)c->limit;
    c->limit = c->count < count ? (int)c->count + 1 : PAGE; /* what is read and does not fit is read again */
    return OK;
}

static enum request_step read_job(struct request *r, struct pool_thread *thread)
{
    struct catch_up *c = (struct catch_up *)r;
    c->failure = read_page(c, thread);
    if (c->failure != OK)
        LOG(WARN, "what a listener missed could not be read", F_ERR);
    return REQUEST_DONE;
}

/* --- telling, on the lane's thread --- */

static void take_page(struct lane *lane, struct parcel *parcel)
{
    (void)lane;
    struct catch_up *c = (struct catch_up *)((char *)parcel - offsetof(struct catch_up, parcel));
    struct listener *l = c->listener;
    c->under_way = false;
    if (c->abandoned) {
        catch_up_free(c);
        lane_release(l);
        return;
    }
    if (c->failure != OK)
        lane_close(l, CLOSE_TRY_AGAIN, "what you missed cannot be read now; try again");
    for (size_t i = 0; i < c->count; i++)
        lane_send(l, c->frames[i]); /* or frees it, when the connection is about to end */
    c->left -= (int64_t)c->count;
    bool told_something = c->count > 0;
    c->count = 0;
    lane_release(l); /* the job's; the lane has its own */
    if (l->stage != LISTENER_CATCHING)
        return;
    bool too_much = !c->complete && c->left <= 0;
    if (too_much)
        live_resync(l, "too_far_behind", c->at);
    if (!c->complete && !too_much) {
        if (!told_something)
            catch_up_next(l);
        return; /* when this has been sent */
    }
    /* Behind the snapshot the window goes on; `seen` may already lie behind it. */
    if (c->seen && !too_much)
        advance(c, c->partitions, 0);
    int64_t *at = c->at, *seen = too_much ? NULL : c->seen;
    struct feed_room *rooms = c->rooms;
    if (seen)
        c->seen = NULL;
    c->at = NULL;
    c->rooms = NULL;
    l->catch_up = NULL;
    lane_attach(l, at, rooms, c->room_count, seen);
    catch_up_free(c);
}

static void on_resumed(struct request *r)
{
    struct catch_up *c = (struct catch_up *)r;
    c->parcel.take = take_page;
    lane_put(c->listener->lane, &c->parcel);
}

void catch_up_next(struct listener *l)
{
    struct catch_up *c = l->catch_up;
    if (!c || c->under_way)
        return;
    c->under_way = true;
    lane_hold(l);
    arena_reset(&c->request.arena);
    if (live_read(&c->request, read_job) == REQUEST_SUSPENDED)
        return;
    c->under_way = false;
    lane_release(l);
    lane_close(l, CLOSE_TRY_AGAIN, "too many catch up; try again");
}

void catch_up_by_position(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count, int64_t *seen)
{
    l->catch_up = catch_up_create(l, at, rooms, room_count);
    l->catch_up->seen = seen;
    catch_up_next(l);
}

bool catch_up_by_number(struct listener *l, json_t *since, const char **ret_why)
{
    struct catch_up *c = l->catch_up;
    const char *name;
    json_t *value;
    if (!json_is_object(since)) {
        *ret_why = "must be an object: the number of the last message seen, by room.";
        return false;
    }
    json_object_foreach(since, name, value)
    {
        struct uuid room;
        if (!uuid_parse(str_of(name), &room) || !json_is_integer(value) || json_integer_value(value) < 0) {
            *ret_why = "must have a room's id in front of each number, which is 0 or more.";
            return false;
        }
        for (size_t i = 0; i < c->room_count; i++)
            if (uuid_equal(c->rooms[i].id, room))
                c->after[i] = json_integer_value(value);
    }
    lane_begin_stage(l, LISTENER_CATCHING);
    catch_up_next(l);
    return true;
}

void catch_up_abandon(struct listener *l)
{
    struct catch_up *c = l->catch_up;
    l->catch_up = NULL;
    if (!c)
        return;
    c->abandoned = true;
    if (!c->under_way)
        catch_up_free(c);
}
